# SPDX-License-Identifier: Apache-2.0
"""Pieces that several pages share: a word with a tone, an analysis and a destination in words."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from service.domain.entry import DeliveryState, JobState
from service.domain.result import Outcome, PackageStatus, Priority
from service.ports.status_page import AnalysisState, DestinationShare, RevisionState, WorkItem
from service.web import states
from service.web.moments import Say
from service.web.sources import Sources, Speech
from service.web.states import Tone

OUTCOME_TONES = {
    Outcome.FINDINGS: Tone.PLAIN,
    Outcome.NO_FINDINGS: Tone.PLAIN,
    Outcome.PARTLY_ANALYSED: Tone.BAD,
    Outcome.NOT_ANALYSED: Tone.BAD,
}
QUIET = frozenset({DeliveryState.UNNEEDED, DeliveryState.WAITING})
"""States that say nothing to a reader unless there is nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A few words and how much they want to be looked at; `lang` is theirs where it is not the page's."""

    text: str
    tone: Tone = Tone.PLAIN
    lang: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """An analysis in words: which pipeline, where it stands, its outcome, its result line, what the package is."""

    pipeline: str
    state: Label
    outcome: Label | None
    line: str
    banner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A destination and what it has of an analysis."""

    destination: str
    labels: tuple[Label, ...]


def result(job: AnalysisState, say: Say, speech: Speech) -> Result:
    """Say how an analysis stands and what it came to."""
    outcome = outcome_label(job, speech)
    line = speech.line(job.headline) if job.headline else ""
    return Result(
        pipeline=speech.pipeline(job.pipeline),
        state=job_label(job, say),
        outcome=outcome,
        line="" if outcome and line == outcome.text else line,
        banner=banner(job, speech),
    )


def job_label(job: AnalysisState, say: Say) -> Label:
    """Say where an analysis stands."""
    if job.state is JobState.QUEUED and job.crashes:
        return Label(text=say("analysis is repeated after a failure"), tone=Tone.BAD)
    if job.state is JobState.QUEUED and job.starts:
        return Label(text=say("being analysed"), tone=Tone.WAITING)
    return Label(text=say(states.JOBS[job.state]), tone=states.JOB_TONES[job.state])


def outcome_label(job: AnalysisState, speech: Speech) -> Label | None:
    """Say what an analysis came to; None before it has."""
    if not job.outcome:
        return None
    outcome = Outcome(job.outcome)
    return Label(text=speech.outcomes[outcome], tone=OUTCOME_TONES[outcome])


def banner(job: AnalysisState, speech: Speech) -> str:
    """Return what must stand beside every result of the package."""
    if not job.package_status or not job.outcome:
        return ""
    demonstration = job.package_status == PackageStatus.DEMONSTRATION.value
    return speech.demonstration_banner if demonstration else speech.research_banner


def sent(shares: Iterable[DestinationShare], say: Say) -> tuple[Sent, ...]:
    """Say what each destination has, over the analyses of a study."""
    found: dict[str, dict[DeliveryState, int]] = defaultdict(lambda: defaultdict(int))
    for share in shares:
        found[share.destination][share.state] += share.objects
    return tuple(Sent(destination=name, labels=_labels(found[name], say)) for name in sorted(found))


def _labels(counts: Mapping[DeliveryState, int], say: Say) -> tuple[Label, ...]:
    telling = {state: number for state, number in counts.items() if state not in QUIET} or counts
    return tuple(
        Label(
            text=say("{words}: {number}", words=say(states.DELIVERIES[state]), number=telling[state]),
            tone=states.DELIVERY_TONES[state],
        )
        for state in DeliveryState
        if telling.get(state)
    )


def study_state(item: WorkItem, say: Say) -> Label | None:
    """Say how a study stands for which there is no analysis, or more images than its analyses know of, or no reader."""
    if item.unclosed:
        return Label(text=say("receiving images"), tone=Tone.WAITING)
    if item.fetched:
        return Label(text=say("older study from the archive, for comparison alone: no result of it is sent"))
    if item.revision is None or item.revision.routed_at is None:
        return Label(text=say("complete, rules are applied next"), tone=Tone.WAITING)
    if not item.revision.pipelines:
        return Label(text=say("NO RULE MATCHED: analysed by no pipeline"), tone=Tone.BAD)
    return None


def why_urgent(item: WorkItem, sources: Sources, say: Say) -> str:
    """Say what made a study urgent: a rule of the site, or a score; "" for a routine one."""
    if not item.urgent:
        return ""
    urgent = [job for job in item.analyses if job.priority is Priority.URGENT]
    if not urgent:
        return say("an earlier analysis raised it; a priority is never lowered")
    return "; ".join(dict.fromkeys(_why(job, item.revision, sources, say) for job in urgent))


def _why(job: AnalysisState, revision: RevisionState | None, sources: Sources, say: Say) -> str:
    rules = revision.rules if revision else ()
    urgent = [rule for rule in rules if (rule, job.pipeline) in sources.urgent_rules]
    if urgent:
        return say("rule '{rule}'", rule=urgent[0])
    if job.triage_score is not None:
        return say("model score {score} is above the operating point", score=f"{job.triage_score:.2f}")
    return say("raised when it was routed")
