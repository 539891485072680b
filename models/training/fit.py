# SPDX-License-Identifier: Apache-2.0
"""The one fit loop of the workbench: AdamW on a one-cycle schedule, checkpoints, and one seed that is one result."""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from models.training.checkpoint import SUFFIX, Checkpoint, read_checkpoint, write_checkpoint
from models.training.fit_settings import FitSettings
from models.training.journal import Journal, open_journal
from models.training.random_source import RandomSource, reproducible

LossOf = Callable[[Tensor, RandomSource], Tensor]
"""Takes the indices of a batch's samples, int64 (B,), and the random numbers for augmentation; returns a scalar."""
Measure = Callable[[], Mapping[str, float]]


class FitError(RuntimeError):
    """A fit that cannot go on; the message names the epoch and the step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a run keeps what it writes beside its result; nothing is written where no folder is given.

    `identity` is what a run depends on and the loop cannot see, such as the digest of a recipe file: `resume` refuses
    a checkpoint that was written under another one.
    """

    checkpoints: Path | None = None
    resume: bool = False
    tensorboard: Path | None = None
    progress: bool = True
    identity: str = ""


def fit(
    network: nn.Module,
    loss_of: LossOf,
    *,
    name: str,
    count: int,
    settings: FitSettings,
    seed: int,
    weights: Tensor | None = None,
    measure: Measure | None = None,
    places: Places = Places(),
) -> tuple[float, ...]:
    """Fit the network, which is changed and left in evaluation mode; return the mean loss of every epoch.

    The same network, seed, settings and data give the same bits on one machine with one number of threads, whether
    the run was interrupted and resumed or not. An epoch leaves out what does not fill its last batch.

    Parameters
    ----------
    loss_of
        The loss of a batch in training mode. All its random numbers come from the source that it is handed, or from
        torch's global generator; anything else would not be resumed.
    name
        Of this fit within the run: names the progress bar, the checkpoint file and TensorBoard's run.
    count
        Number of samples; indices are 0 to count - 1.
    weights
        With weights (count,), batches are drawn with replacement in their proportion (`balance.sample_weights`).
    measure
        Called after every epoch in evaluation mode; its values go to TensorBoard. It cannot change the result.

    Raises
    ------
    FitError
        The loss is not finite. The last checkpoint is of the epoch before.
    CheckpointError
        `places.resume` is set and the checkpoint there is damaged or of another run.
    """
    if settings.channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with reproducible():
        run = _Run(network, count=count, settings=settings, seed=seed, name=name, places=places)
        run.resume()
        with run.journal() as journal:
            for _ in range(run.epoch, settings.epochs):
                run.train_epoch(loss_of, weights, journal)
                run.close_epoch(measure, journal)
    network.eval()
    return tuple(run.losses)


class _Run:
    """A fit in progress: all that changes from step to step."""

    def __init__(
        self, network: nn.Module, *, count: int, settings: FitSettings, seed: int, name: str, places: Places
    ) -> None:
        self.network, self.count, self.settings, self.name, self.places = network, count, settings, name, places
        self.identity = _identity(network, count=count, settings=settings, seed=seed, places=places)
        self.per_epoch = settings.steps_per_epoch(count)
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=settings.peak_rate, weight_decay=settings.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser,
            max_lr=settings.peak_rate,
            total_steps=settings.epochs * self.per_epoch,
            pct_start=settings.warm_up_share(count),
        )
        self.random = RandomSource(seed)
        self.epoch = 0
        self.losses: list[float] = []

    @property
    def _checkpoint_file(self) -> Path | None:
        return self.places.checkpoints / f"{self.name}{SUFFIX}" if self.places.checkpoints else None

    def resume(self) -> None:
        """Go to where the checkpoint was written, if there is one to resume from."""
        path = self._checkpoint_file
        if not self.places.resume or path is None or not path.exists():
            return
        found = read_checkpoint(path, identity=self.identity)
        self.network.load_state_dict(found.network)
        self.optimiser.load_state_dict(found.optimiser)
        self.schedule.load_state_dict(found.schedule)
        self.random.restore(found.random)
        self.epoch, self.losses = found.epoch, found.losses

    def journal(self) -> AbstractContextManager[Journal]:
        """Open the progress bar and TensorBoard's run for the epochs that are left."""
        steps = range(self.epoch * self.per_epoch, self.settings.epochs * self.per_epoch)
        return open_journal(
            self.name,
            steps=steps,
            first_epoch=self.epoch + 1,
            tensorboard=self.places.tensorboard,
            progress=self.places.progress,
        )

    def train_epoch(self, loss_of: LossOf, weights: Tensor | None, journal: Journal) -> None:
        """Take every batch of an epoch once."""
        self.network.train()
        total = 0.0
        for step, index in enumerate(self._batches(weights)):
            self.optimiser.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.settings.precision == "bfloat16"):
                loss = loss_of(index, self.random)
            total += self._finite(float(loss.detach()), step)
            torch.autograd.backward(loss)
            self.optimiser.step()
            self.schedule.step()
            journal.step_done()
        self.losses.append(total / self.per_epoch)
        self.epoch += 1

    def _batches(self, weights: Tensor | None) -> Iterator[Tensor]:
        order, size = self._order(weights), self.settings.batch
        for batch in range(self.per_epoch):
            yield order[batch * size : (batch + 1) * size]

    def _order(self, weights: Tensor | None) -> Tensor:
        if weights is None:
            return torch.randperm(self.count, generator=self.random.torch)
        return torch.multinomial(weights, self.count, replacement=True, generator=self.random.torch)

    def _finite(self, loss: float, step: int) -> float:
        if math.isfinite(loss):
            return loss
        raise FitError(
            f"{self.name}: the loss is {loss} in epoch {self.epoch + 1}, step {step + 1} of {self.per_epoch}; it must "
            f"be finite: lower peak_rate (now {self.settings.peak_rate:g}), or look for NaN or infinity in the data"
        )

    def close_epoch(self, measure: Measure | None, journal: Journal) -> None:
        """Measure, write the checkpoint and note the epoch, in this order: what is noted can be resumed."""
        scalars = {"loss": self.losses[-1], "rate": float(self.schedule.get_last_lr()[0]), **self._measured(measure)}
        path = self._checkpoint_file
        if path is not None:
            write_checkpoint(path, self._checkpoint())
        journal.epoch_done(self.epoch, scalars)

    def _measured(self, measure: Measure | None) -> Mapping[str, float]:
        if measure is None:
            return {}
        self.network.eval()
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            return measure()

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(
            identity=self.identity,
            epoch=self.epoch,
            losses=self.losses,
            network=self.network.state_dict(),
            optimiser=self.optimiser.state_dict(),
            schedule=self.schedule.state_dict(),
            random=self.random.state(),
        )


def _identity(network: nn.Module, *, count: int, settings: FitSettings, seed: int, places: Places) -> str:
    """Return a digest of everything that the result follows from: settings, seed, first weights, and the caller's."""
    digest = hashlib.sha256(f"{places.identity}|{count}|{seed}|{settings.model_dump_json()}".encode())
    for name, tensor in network.state_dict().items():
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
