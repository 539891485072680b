# SPDX-License-Identifier: Apache-2.0
"""Shows how a fit goes: a progress bar on standard error and, where a folder is given, scalars for TensorBoard."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm


class Journal:
    """What is written down about one fit."""

    def __init__(self, bar: Any, writer: Any | None) -> None:
        self._bar, self._writer = bar, writer

    def step_done(self) -> None:
        """Move the bar on by one batch."""
        self._bar.update()

    def epoch_done(self, epoch: int, scalars: Mapping[str, float]) -> None:
        """Write the scalars of an epoch, counted from 1."""
        self._bar.set_postfix_str(f"epoch {epoch}, loss {scalars['loss']:.4f}")
        if self._writer is not None:
            for name, value in scalars.items():
                self._writer.add_scalar(name, value, global_step=epoch)
            self._writer.flush()


@contextmanager
def open_journal(
    name: str, *, steps: range, first_epoch: int, tensorboard: Path | None, progress: bool
) -> Iterator[Journal]:
    """Open the journal of a fit whose remaining batches are `steps`; TensorBoard's run is `<tensorboard>/<name>`.

    Scalars of epochs from `first_epoch` on that an interrupted run left behind are hidden by TensorBoard.
    """
    with tqdm(desc=name, total=steps.stop, initial=steps.start, unit="batch", disable=not progress) as bar:
        writer = _writer(tensorboard / name, first_epoch) if tensorboard else None
        try:
            yield Journal(bar, writer)
        finally:
            if writer is not None:
                writer.close()


def _writer(folder: Path, first_epoch: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  # slow to import, and rarely asked for

    return SummaryWriter(str(folder), purge_step=first_epoch)
