# SPDX-License-Identifier: Apache-2.0
"""Audits the explanation maps of a model package; exit status 1 when a check fails, 2 when it cannot be audited."""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from models.audit.checks import Check
from models.audit.deletion import check_deletion
from models.audit.localisation import check_energy, check_pointing
from models.audit.randomisation import check_randomisation
from models.audit.repeatability import check_repeatability
from models.audit.report import FILE_NAME, Audit, as_json, as_section, with_section
from models.audit.samples import golden_samples, phantom_samples
from models.audit.subject import SUBJECTS, Explainer, Samples, Subject
from models.packaging import put_files
from service.domain.errors import PackageError
from service.inference.package_files import PackageFiles, read_package

_SAMPLES = 24


def main(arguments: Sequence[str] | None = None) -> int:
    """Audit a package, print the section of the model card and write what was asked for."""
    options = _parser().parse_args(arguments)
    try:
        package = read_package(options.package.resolve())
        audit = audit_package(package, against=options.against, count=options.samples, golden=options.golden)
    except (PackageError, ValueError) as error:
        sys.stderr.write(f"{options.package}: not audited: {error}\n")
        return 2
    sys.stdout.write(as_section(audit))
    if options.out:
        options.out.write_text(as_json(audit), encoding="utf-8")
    if options.write:
        _write(package, audit)
    return 1 if audit.failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.audit", description=__doc__)
    parser.add_argument("package", type=Path, help="folder <name>/<version> of the package")
    parser.add_argument(
        "--against",
        type=Path,
        action="append",
        default=[],
        help="another member or seed, for repeatability; repeatable",
    )
    parser.add_argument("--samples", type=int, default=_SAMPLES, help=f"phantoms to draw ({_SAMPLES})")
    parser.add_argument("--golden", action="store_true", help="use the package's golden inputs instead of phantoms")
    parser.add_argument("--out", type=Path, help="write the result as JSON here")
    parser.add_argument(
        "--write",
        action="store_true",
        help=f"write {FILE_NAME} and the section of the model card into the package; its digest changes, so that it "
        "has to be signed again",
    )
    return parser


def audit_package(
    package: PackageFiles, *, against: Sequence[Path] = (), count: int = _SAMPLES, golden: bool = False
) -> Audit:
    """Make every check of the package's explanation map.

    Raises
    ------
    ValueError
        Its pipeline is unknown to the audit, its graph lacks a tensor, or another package has the very same graph.
    """
    pipeline = package.manifest.pipeline
    subject = SUBJECTS.get(pipeline)
    if subject is None:
        raise ValueError(f"pipeline {pipeline!r} has no map to audit; known are {', '.join(SUBJECTS)}")
    samples = golden_samples(package, subject) if golden else phantom_samples(pipeline, subject, count=count)
    model = _model(package, subject)
    others = {_name(other): _model(other, subject) for other in (read_package(path.resolve()) for path in against)}
    for name, other in others.items():
        if other == model:
            raise ValueError(f"--against {name}: is the graph that is audited; name another member or seed")
    return Audit(
        package=f"{package.identity.name} {package.identity.version}",
        graph_sha256=hashlib.sha256(model).hexdigest(),
        subject=subject,
        samples=samples.origin,
        checks=_checks(model, subject, samples, others=others),
    )


def _model(package: PackageFiles, subject: Subject) -> bytes:
    graph = package.manifest.graphs.get(subject.graph)
    if graph is None:
        raise ValueError(f"{package.folder} has no graph {subject.graph!r}")
    return package.contents[graph.file]


def _name(package: PackageFiles) -> str:
    return f"{package.identity.name} {package.identity.version} ({package.identity.sha256[:8]})"


def _checks(model: bytes, subject: Subject, samples: Samples, *, others: dict[str, bytes]) -> tuple[Check, ...]:
    explain = Explainer(model, subject)
    targets = explain.targets(samples.inputs)
    maps = explain(samples.inputs, targets).maps
    members = {"this package": explain} | {name: Explainer(other, subject) for name, other in others.items()}
    return (
        check_randomisation(model, subject, images=samples.inputs, targets=targets),
        *check_deletion(explain, samples, targets, sigma_px=subject.low_pass_px),
        check_repeatability(members, samples, targets),
        check_pointing(maps, samples),
        check_energy(maps, samples, masked=subject.masked),
    )


def _write(package: PackageFiles, audit: Audit) -> None:
    card = with_section(package.contents["MODEL_CARD.md"].decode("utf-8"), as_section(audit))
    put_files(package.folder, {FILE_NAME: as_json(audit).encode(), "MODEL_CARD.md": card.encode()})


if __name__ == "__main__":
    sys.exit(main())
