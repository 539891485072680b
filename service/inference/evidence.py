# SPDX-License-Identifier: Apache-2.0
"""What a package shows for itself: golden studies, its budget, what its maps explain, and who promoted it."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from service.domain.result import PackageStatus
from service.inference.manifest_types import Digest, Slug, Strict, Text, Version

LADDER: Final = tuple(PackageStatus)
"""Lowest first; every promotion is one step."""
DECLARED: Final = frozenset((PackageStatus.DEMONSTRATION, PackageStatus.RESEARCH))
"""What a maker may say of a package alone; every status above needs the promotions that lead to it."""
LEAST_STUDIES: Final = 2
Precision = Literal["float32", "bf16"]
Share = Annotated[float, Field(gt=0, le=0.1)]
EXPECTED: Final = "expected.json"


class GoldenStudy(Strict):
    """A whole study of phantom images under golden/<name>/ and the record that the pipeline must make of it.

    `tolerance` is the largest difference of a number, as a share of it (of 1, for numbers below 1); `tolerance_bf16` is
    that where a provider computes in bf16.
    """

    name: Slug
    tolerance: Share
    tolerance_bf16: Share | None = None

    def allowed(self, precision: Precision) -> float:
        """Return the tolerance for a provider of that precision; without one for bf16 nothing more is allowed there."""
        return self.tolerance if precision == "float32" else self.tolerance_bf16 or self.tolerance

    @property
    def folder(self) -> str:
        """Folder of its DICOM files (*.dcm) and of the expected record."""
        return f"golden/{self.name}"

    @property
    def expected(self) -> str:
        """The file with the expected record."""
        return f"{self.folder}/{EXPECTED}"

    def images(self, files: Sequence[str]) -> tuple[str, ...]:
        """Return the study's DICOM files among the files of the package."""
        return tuple(sorted(name for name in files if name.startswith(f"{self.folder}/") and name.endswith(".dcm")))


class Budget(Strict):
    """What one golden study may cost on the CPU: seconds of CPU time on one thread, growth of resident memory."""

    seconds: Annotated[float, Field(gt=0, le=3600)]
    memory_bytes: Annotated[int, Field(ge=1_000_000, le=1 << 40)]


class Decomposition(Strict):
    """A map that is the score itself, spread out: mean over rows and columns + constant = score, for every sample.

    `map` is an output (batch, channels, rows, columns); `score` one of (batch,) or (batch, channels), of which `index`
    picks a channel; `constant` has one number, or one for each channel.
    """

    graph: Slug
    map: Text
    score: Text
    index: Annotated[int, Field(ge=0)] | None = None
    constant: Annotated[tuple[float, ...], Field(min_length=1, max_length=4096)] = (0.0,)
    tolerance: Share = 1e-3


class Promotion(Strict):
    """One step up the ladder: which package was validated, by which report, and who answers for it.

    `package_sha256` is the digest of the package that was promoted, that is, of the one that the report is about.
    """

    from_status: PackageStatus
    to_status: PackageStatus
    package_version: Version
    package_sha256: Digest
    report_sha256: Digest
    approver: Annotated[str, StringConstraints(min_length=3, max_length=200, strip_whitespace=True)]
    promoted_at: AwareDatetime


def next_status(status: PackageStatus) -> PackageStatus | None:
    """Return the status one step up; None at the top."""
    above = LADDER[LADDER.index(status) + 1 :]
    return above[0] if above else None


def ladder_problem(status: PackageStatus, promotions: Sequence[Promotion]) -> str:
    """Return why the promotions do not lead to the declared status; "" when they do."""
    if not promotions:
        proven = status in DECLARED
        return "" if proven else f"status {status} needs the promotions that lead to it; use 'dokuei models promote'"
    proved = promotions[0].from_status
    if proved not in DECLARED:
        return f"the first promotion starts at {proved}, which only a promotion can have given"
    for step in promotions:
        if step.from_status is not proved or step.to_status is not next_status(proved):
            return (
                f"a promotion from {step.from_status} to {step.to_status} does not follow {proved}; one step at a time"
            )
        proved = step.to_status
    return "" if proved is status else f"the promotions prove status {proved}, but the manifest says {status}"
