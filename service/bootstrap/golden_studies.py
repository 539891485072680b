# SPDX-License-Identifier: Apache-2.0
"""Golden studies: whole phantom studies through the real pipeline, compared with what they came to at the maker's.

Golden tensors prove the graph; only DICOM files prove what lies before and after it: decoding, grey scale, geometry,
gates, thresholds. A change there is the commonest failure that nobody sees.
"""

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

from service.bootstrap.golden_record import FORMAT, differences, golden_record
from service.bootstrap.noise import with_noise
from service.bootstrap.peak_memory import PeakMemory
from service.dicom.header import read_attributes
from service.domain.errors import InputError, PackageError
from service.domain.instance import Instance, sop_instance_uids
from service.domain.result import Outcome, PackageIdentity, PipelineResult
from service.domain.study import Refusal
from service.inference.evidence import Budget, GoldenStudy, Precision
from service.inference.package_files import PackageFiles
from service.pipelines import PIPELINES
from service.ports import Package

ANALYSED_AT: Final = datetime(2000, 1, 1, tzinfo=UTC)
_DECLARATIONS: Final = ("QualityControlImage", "PatientIdentityRemoved")
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyCheck:
    """A golden study that came to what was expected: its outcome, CPU seconds, and growth of resident memory."""

    outcome: Outcome
    cpu_seconds: float
    memory_bytes: int


def verify_studies(files: PackageFiles, package: Package, *, precision: Precision = "float32") -> dict[str, StudyCheck]:
    """Run every golden study, and the first one as noise where the package says that noise is refused.

    `precision` is that of the provider which the package runs on: what may differ depends on it.

    Raises
    ------
    PackageError
        A study cannot be run, comes to something else, or costs more than the package's budget; or noise was analysed.
    """
    manifest = files.manifest
    checks = {
        study.name: _verify_study(files, study, package, precision=precision) for study in manifest.golden_studies
    }
    if manifest.refuses_noise:
        _verify_noise(files, manifest.golden_studies[0], package)
    return checks


def _verify_study(files: PackageFiles, study: GoldenStudy, package: Package, *, precision: Precision) -> StudyCheck:
    where = str(files.folder / study.folder)
    expected = _expected(files, study)
    memory, started = PeakMemory(), time.process_time()
    record = golden_record(run_study(files, study, package))
    check = StudyCheck(
        outcome=Outcome(record["result"]["outcome"]),
        cpu_seconds=time.process_time() - started,
        memory_bytes=memory.growth(),
    )
    found = list(islice(differences(record["result"], expected, tolerance=study.allowed(precision)), _SHOWN + 1))
    if found:
        more = "; and more" if len(found) > _SHOWN else ""
        raise PackageError(
            f"{where}: the study comes to something else here: {'; '.join(found[:_SHOWN])}{more}; the package was "
            "validated with other preprocessing, thresholds or libraries than run here"
        )
    if files.manifest.budget is not None:
        _check_budget(check, files.manifest.budget, where=where)
    return check


def _expected(files: PackageFiles, study: GoldenStudy) -> dict[str, Any]:
    where = files.folder / study.expected
    try:
        record = json.loads(files.contents[study.expected])
        if record["format"] != FORMAT:
            raise PackageError(f"{where}: 'format' {record['format']!r} is not supported, this version reads {FORMAT}")
        expected: dict[str, Any] = record["result"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise PackageError(f"{where}: no record of a result ({type(error).__name__}: {error}); make it again") from None
    return expected


def _check_budget(check: StudyCheck, budget: Budget, *, where: str) -> None:
    if check.cpu_seconds > budget.seconds:
        raise PackageError(
            f"{where}: took {check.cpu_seconds:.1f} s of CPU time, the package's budget is {budget.seconds:g} s; the "
            "machine is too slow for it, or the graph is not the one that was measured"
        )
    if check.memory_bytes > budget.memory_bytes:
        raise PackageError(
            f"{where}: took {check.memory_bytes} bytes of memory, the package's budget is {budget.memory_bytes}; "
            "correct the budget, or export the graph again"
        )


def _verify_noise(files: PackageFiles, study: GoldenStudy, package: Package) -> None:
    result = run_study(files, study, package, as_noise=True)
    if result.outcome is not Outcome.NOT_ANALYSED:
        raise PackageError(
            f"{files.folder / study.folder}: with noise in place of its pixels the study was analysed "
            f"({result.outcome}), though the package says that noise is refused; tighten the acceptance "
            "profile, or drop 'refuses_noise'"
        )


def run_study(files: PackageFiles, study: GoldenStudy, package: Package, *, as_noise: bool = False) -> PipelineResult:
    """Return what the package's pipeline makes of a golden study.

    Raises
    ------
    PackageError
        The pipeline is unknown, or the study's files cannot be used.
    """
    pipeline = files.manifest.pipeline
    if pipeline not in PIPELINES:
        raise PackageError(f"{files.folder}: no pipeline {pipeline!r}; known are {', '.join(sorted(PIPELINES))}")
    where = str(files.folder / study.folder)
    with tempfile.TemporaryDirectory(prefix="dokuei-golden-") as scratch:
        try:
            instances = _unpacked(files, study, Path(scratch), as_noise=as_noise)
            return _analysed(pipeline, instances, package)
        except PackageError as error:
            raise PackageError(f"{where}: {error}") from None
        except InputError as error:
            raise PackageError(f"{where}: the study's files cannot be used: {error}") from None
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise PackageError(
                f"{where}: the pipeline failed ({type(error).__name__}: {error}); the manifest's acceptance "
                f"or parameters lack what pipeline {pipeline} reads"
            ) from error


def _unpacked(files: PackageFiles, study: GoldenStudy, scratch: Path, *, as_noise: bool) -> list[Instance]:
    """Write the verified bytes where the decoder can read them; return the instances, as the ledger would know them."""
    instances = []
    for index, name in enumerate(study.images(list(files.contents))):
        data = files.contents[name]
        path = scratch / f"{index:05d}.dcm"
        path.write_bytes(with_noise(data, seed=index) if as_noise else data)
        instances.append(_instance(path, name))
    return instances


def _instance(path: Path, name: str) -> Instance:
    attributes = read_attributes(path, _DECLARATIONS)
    if not any(attributes.get(keyword) == "YES" for keyword in _DECLARATIONS):
        raise PackageError(
            f"{name}: (0028,0300) 'Quality Control Image' and (0012,0062) 'Patient Identity Removed' are not YES; "
            "golden studies are phantoms, or images whose identity was removed, and say so"
        )
    return Instance(
        sop_instance_uid=str(attributes.get("SOPInstanceUID") or ""),
        sop_class_uid=str(attributes.get("SOPClassUID") or ""),
        study_instance_uid=str(attributes.get("StudyInstanceUID") or ""),
        series_instance_uid=str(attributes.get("SeriesInstanceUID") or ""),
        transfer_syntax_uid=str(attributes.get("TransferSyntaxUID") or ""),
        path=path,
        sha256="",
        size_bytes=path.stat().st_size,
        attributes=attributes,
    )


def _analysed(pipeline: str, instances: Sequence[Instance], package: Package) -> PipelineResult:
    selection = PIPELINES[pipeline].select(instances, package.acceptance)
    if not isinstance(selection, Refusal):
        return PIPELINES[pipeline].run(selection, package, analysed_at=ANALYSED_AT)
    return _refused(pipeline, selection, package.identity)


def _refused(pipeline: str, refusal: Refusal, identity: PackageIdentity) -> PipelineResult:
    return PipelineResult(
        pipeline=pipeline,
        study_instance_uid=refusal.instances[0].study_instance_uid if refusal.instances else "",
        outcome=Outcome.NOT_ANALYSED,
        headline="not analysed",
        package=identity,
        input_sop_instance_uids=sop_instance_uids(refusal.instances),
        analysed_at=ANALYSED_AT,
        refusals=refusal.reasons,
    )
