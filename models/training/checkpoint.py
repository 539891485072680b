# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of a fit: written whole or not at all, and read as tensors and text alone: no code in a file can run."""

import os
import pickle
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

SUFFIX = ".checkpoint.pt"
_FORMAT = 1


class CheckpointError(ValueError):
    """A checkpoint that cannot be read or that belongs to another run; the message says which and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """All that a fit needs to go on after `epoch` epochs; `identity` says which run it is of."""

    identity: str
    epoch: int
    losses: list[float]
    network: dict[str, Any]
    optimiser: dict[str, Any]
    schedule: dict[str, Any]
    random: dict[str, Any]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the file at `path`; a power cut leaves the old file or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".writing-", suffix=SUFFIX)
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save({"format": _FORMAT, **_plain(checkpoint)}, file)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    finally:
        Path(draft).unlink(missing_ok=True)


def _plain(checkpoint: Checkpoint) -> dict[str, Any]:
    return {name: getattr(checkpoint, name) for name in Checkpoint.__slots__}


def read_checkpoint(path: Path, *, identity: str) -> Checkpoint:
    """Read a checkpoint of the run `identity`.

    Raises
    ------
    CheckpointError
        The file holds other things than plain tensors and text, is damaged, or is of another run.
    """
    found = _load(path)
    if not isinstance(found, dict) or found.pop("format", None) != _FORMAT or set(found) != set(Checkpoint.__slots__):
        raise _none(path, f"not of format {_FORMAT}")
    if found["identity"] != identity:
        raise CheckpointError(
            f"{path}: is of another run (another recipe, seed, data or first weights); "
            "resume with the recipe that it was written by, or give another folder"
        )
    return Checkpoint(**found)


def _load(path: Path) -> Any:
    if not _is_whole(path):
        raise _none(path, "damaged, or not written by this program")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise _none(path, next(iter(str(error).splitlines()), type(error).__name__)) from None


def _is_whole(path: Path) -> bool:
    """Check the sums of the archive: torch does not, and of what is none it would try older formats."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return archive.testzip() is None


def _none(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path}: is no checkpoint ({reason}); remove it and train from the start")
