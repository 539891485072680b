# SPDX-License-Identifier: Apache-2.0
"""The sentences of a result, the same in report and picture: ASCII, so that every character set can carry them."""

import unicodedata

from service.codes import Code
from service.domain.provenance import DEMONSTRATION_MODEL_NAME, MODEL_NAME
from service.domain.result import Outcome, PackageStatus, PipelineResult, Presence, Priority
from service.ports import ResultContext

RESEARCH_BANNER = "RESEARCH USE - NOT FOR DIAGNOSIS"
DEMONSTRATION_BANNER = "DEMONSTRATION - NOT FOR CLINICAL USE"
DEMONSTRATION_SENTENCE = (
    "DEMONSTRATION - NOT FOR CLINICAL USE. The model package is a demonstration that was never validated on patients."
)
RESEARCH_SENTENCE = (
    "Research use - not for diagnosis. Computer output that no physician has verified; "
    "no mark does not mean no disease."
)
NOT_NEGATIVE_SENTENCE = "This is not a negative result. Read the study as if it had not been sent."
MAX_LABEL = 64
"""Characters that fit a long string (LO) and a viewer's annotation."""

OUTCOME_WORDS = {
    Outcome.FINDINGS: "Analysed: findings",
    Outcome.NO_FINDINGS: "Analysed: no findings",
    Outcome.PARTLY_ANALYSED: "PARTLY ANALYSED",
    Outcome.NOT_ANALYSED: "NOT ANALYSED",
}
STATE_SENTENCES = {
    Outcome.FINDINGS: "The study was analysed, and the model marked findings.",
    Outcome.NO_FINDINGS: "The study was analysed, and the model marked nothing. No mark does not mean no disease.",
    Outcome.PARTLY_ANALYSED: (
        "Only part of the study was analysed. What was left out was not looked at; nothing can be said of it."
    ),
    Outcome.NOT_ANALYSED: (
        "The study was NOT analysed. This is not a negative result. Read the study as if it had not been sent."
    ),
}
"""The state of the analysis in one sentence; none can be taken for another."""
PRESENCE_WORDS = {
    Presence.PRESENT: "present",
    Presence.ABSENT: "not marked",
    Presence.UNDETERMINED: "unknown (not judged)",
}

PLAIN = str.maketrans(
    {"–": "-", "—": "-", "−": "-", "≥": ">=", "≤": "<=", "×": "x", "±": "+/-", "µ": "u", "μ": "u", "°": " deg"}
    | {"“": '"', "”": '"', "‘": "'", "’": "'", "…": "..."}
)


def latin(text: str) -> str:
    """Return the text in printable ASCII: look-alikes are written out, other characters become "?"."""
    plain = unicodedata.normalize("NFKD", text.translate(PLAIN))
    letters = "".join(character for character in plain if not unicodedata.combining(character))
    ascii_text = letters.encode("ascii", "replace").decode("ascii")
    return " ".join("".join(character if character.isprintable() else " " for character in ascii_text).split())


def label(text: str) -> str:
    """Return the text as ASCII of at most 64 characters, without a backslash, which separates values."""
    return latin(text).replace("\\", "/")[:MAX_LABEL].strip()


def is_demonstration(result: PipelineResult) -> bool:
    """Say whether the result must be called a demonstration wherever it is shown."""
    return result.package is not None and result.package.status is PackageStatus.DEMONSTRATION


def model_name(result: PipelineResult) -> str:
    """Return Manufacturer's Model Name (0008,1090)."""
    return DEMONSTRATION_MODEL_NAME if is_demonstration(result) else MODEL_NAME


def series_description(result: PipelineResult, kind: str, *, context: ResultContext) -> str:
    """Return Series Description: what it is, whose it is not (no patient), and whether to look at it first."""
    demonstration = "[DEMO] " if is_demonstration(result) else ""
    review = "review first - " if is_raised(result, context) else ""
    return label(f"{demonstration}AI {review}{kind} {result.pipeline.replace('_', ' ')} (research)")


def is_raised(result: PipelineResult, context: ResultContext) -> bool:
    """Say whether this result is what made the study urgent (a routing rule may have done so as well)."""
    is_urgent = context.may_raise and context.priority is Priority.URGENT
    return is_urgent and result.triage is not None and result.triage.above_operating_point


def reason_line(result: PipelineResult) -> str:
    """Return the line that says what was not analysed; "" when everything was."""
    if result.outcome not in {Outcome.NOT_ANALYSED, Outcome.PARTLY_ANALYSED}:
        return ""
    reasons = "; ".join(reason.message for reason in result.refusals) or "no reason was recorded"
    part = "NOT ANALYSED" if result.outcome is Outcome.NOT_ANALYSED else "PARTLY ANALYSED, left out"
    return latin(f"{part}: {reasons}")


def package_line(result: PipelineResult) -> str:
    """Return name, version and digest of the package for people."""
    package = result.package
    return latin(f"{package.name} {package.version} (sha256 {package.sha256[:12]})") if package else "none ran"


def meaning(code: Code) -> str:
    """Return a code's meaning as it goes into a code sequence."""
    return label(code.meaning)
