# SPDX-License-Identifier: Apache-2.0
"""`dokuei route`: which rule would a study match, and why or why not."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydicom.misc import is_dicom

from service.cli.console import complain, console, print_json
from service.dicom.header import read_attributes
from service.domain.errors import DicomStructureError
from service.domain.instance import Instance
from service.settings import RuleSettings, Settings, load_settings
from service.workflow.rules import keywords, lines, matching_rules, verdicts, wanted_pipelines


def route(files: list[Path], config: Path | None, *, as_json: bool) -> int:
    """Explain the routing of the files' studies; exit status 1 when one matches no rule or a file is bad."""
    settings = load_settings(config) if config else Settings()
    studies, bad = _read(files, settings)
    reports = [_report(uid, instances, settings.rules) for uid, instances in studies.items()]
    if as_json:
        print_json({"studies": reports, "unreadable": bad})
    else:
        _tell(reports, bad)
    return 0 if reports and not bad and all(report["pipelines"] for report in reports) else 1


def _read(files: list[Path], settings: Settings) -> tuple[dict[str, list[Instance]], list[str]]:
    studies: dict[str, list[Instance]] = defaultdict(list)
    bad: list[str] = []
    extra = sorted(keywords(settings.rules))
    for path in _expand(files):
        try:
            instance = _instance(path, extra)
        except (DicomStructureError, OSError) as error:
            bad.append(f"{path}: {error}")
            continue
        studies[instance.study_instance_uid].append(instance)
    return studies, bad


def _expand(files: Iterable[Path]) -> Iterator[Path]:
    """Yield the files; of folders only what is DICOM, because they hold other things too."""
    for path in files:
        if path.is_dir():
            yield from sorted(entry for entry in path.rglob("*") if entry.is_file() and is_dicom(entry))
        else:
            yield path


def _instance(path: Path, extra: Iterable[str]) -> Instance:
    attributes = read_attributes(path, tuple(extra))
    return Instance(
        sop_instance_uid=str(attributes.get("SOPInstanceUID") or ""),
        sop_class_uid=str(attributes.get("SOPClassUID") or ""),
        study_instance_uid=str(attributes.get("StudyInstanceUID") or ""),
        series_instance_uid=str(attributes.get("SeriesInstanceUID") or ""),
        transfer_syntax_uid="",
        path=path,
        sha256="",
        size_bytes=path.stat().st_size,
        attributes=attributes,
    )


def _report(study_uid: str, instances: list[Instance], rules: tuple[RuleSettings, ...]) -> dict[str, Any]:
    """Explain a study by the instance that each rule fits best: the first that fulfils it, else the first of all."""
    matched = matching_rules(rules, instances)
    explained = {rule.name: _explained(rule, instances) for rule in rules}
    return {
        "study": study_uid,
        "files": len(instances),
        "rules": [rule.name for rule in matched],
        "pipelines": list(wanted_pipelines(matched)),
        "why": explained,
    }


def _explained(rule: RuleSettings, instances: list[Instance]) -> list[str]:
    found = [verdict for instance in instances for verdict in verdicts((rule,), instance)]
    best = next((verdict for verdict in found if verdict.holds), found[0])
    return list(lines(best.explanation))


def _tell(reports: list[dict[str, Any]], bad: list[str]) -> None:
    for report in reports:
        wanted = ", ".join(report["pipelines"]) or "no pipeline: no rule matches, the study is recorded and left alone"
        console.print(f"study {report['study']} ({report['files']} file(s)) -> {wanted}", markup=False, style="bold")
        for name, why in report["why"].items():
            verdict = "matches" if name in report["rules"] else "does not match"
            console.print(f"  rule {name} {verdict}:", markup=False)
            for line in why:
                console.print(f"    {line}", markup=False)
    for problem in bad:
        complain(problem)
