# SPDX-License-Identifier: Apache-2.0
"""The audit's result as JSON and as a section of the model card."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.audit.checks import Check
from models.audit.subject import Subject

FILE_NAME = "explanation_audit.json"
HEADING = "## Explanation audit"
_WORDS = {True: "passed", False: "**failed**", None: "not made"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """All checks of one graph of one package, with the digest of the graph that was audited."""

    package: str
    graph_sha256: str
    subject: Subject
    samples: str
    checks: Sequence[Check]

    @property
    def failed(self) -> bool:
        """Whether any check failed; one that could not be made has not."""
        return any(check.passed is False for check in self.checks)


def as_json(audit: Audit) -> str:
    """Return the audit as JSON, with a line feed at the end."""
    content: Mapping[str, Any] = {
        "package": audit.package,
        "graph": audit.subject.graph,
        "graph_sha256": audit.graph_sha256,
        "map": audit.subject.map,
        "samples": audit.samples,
        "failed": audit.failed,
        "checks": [
            {"name": check.name, "passed": check.passed, "sentence": check.sentence, **check.values}
            for check in audit.checks
        ],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def as_section(audit: Audit) -> str:
    """Return the section of the model card."""
    rows = "\n".join(f"| {check.name} | {_WORDS[check.passed]} | {check.sentence} |" for check in audit.checks)
    return (
        f"{HEADING}\n\n"
        f"The map `{audit.subject.map}` of graph `{audit.subject.graph}` (SHA-256 {audit.graph_sha256[:16]}), tried on "
        f"{audit.samples}, by `python -m models.audit`. A map that passes explains the score; it still "
        "detects nothing.\n\n"
        f"| check | | what was found |\n|---|---|---|\n{rows}\n"
    )


def with_section(card: str, section: str) -> str:
    """Return the card with this section in the place of an earlier audit's, or at its end."""
    before, found, after = card.partition(f"{HEADING}\n")
    if not found:
        return f"{card.rstrip()}\n\n{section}"
    _, next_heading, rest = after.partition("\n## ")
    return f"{before.rstrip()}\n\n{section}" + (f"\n## {rest}" if next_heading else "")
