# SPDX-License-Identifier: Apache-2.0
"""A study's way through the node: what the ledger's rows tell, in the order in which it happened, with every reason.

The ledger keeps states and not a history: how often something was tried and what the last answer was is known, when
each earlier try was made is not.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from service.domain.entry import CommitmentState, DeliveryState, NotificationState
from service.domain.fetch import FetchOutcome
from service.domain.result import Outcome, Priority
from service.ports.status_page import (
    AnalysisState,
    CommitmentStory,
    DeliveryStory,
    FetchStory,
    HeldStory,
    NotificationStory,
    RevisionState,
    StudyStory,
)
from service.web import states
from service.web.labels import OUTCOME_TONES, banner
from service.web.moments import Moment, Say, moment
from service.web.sources import Sources, Speech
from service.web.states import Tone

Told = tuple[object, ...]
"""What is to be said of an object at a destination; objects of which the same is to be said are one entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A detail of an entry; `lang` is its language where it is not the page's."""

    text: str
    lang: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Something that happened, or is yet to: `at` is in seconds since the epoch."""

    at: float
    title: str
    tone: Tone = Tone.PLAIN
    lines: tuple[Line, ...] = ()

    @property
    def when(self) -> Moment | None:
        """The time for people."""
        return moment(self.at)


class Timeline:
    """Tells the story of a study in one language."""

    def __init__(self, story: StudyStory, sources: Sources, *, say: Say, speech: Speech) -> None:
        self._story, self._sources, self._say, self._speech = story, sources, say, speech
        self._pipelines = {job.id: job.pipeline for job in story.study.analyses}

    def entries(self) -> tuple[Entry, ...]:
        """Return everything, first things first."""
        found = [
            *self._arrivals(),
            *self._set_aside(),
            *(entry for revision in self._story.revisions for entry in self._revision(revision)),
            *(entry for job in self._story.study.analyses for entry in self._job(job)),
            *map(self._fetch, self._story.fetches),
            *map(self._held, self._story.held),
            *self._deliveries(),
            *(entry for item in self._story.commitments for entry in self._commitment(item)),
            *map(self._notification, self._story.notifications),
        ]
        return tuple(sorted(found, key=lambda entry: entry.at))

    def _arrivals(self) -> Iterator[Entry]:
        say = self._say
        for item in self._story.arrivals:
            last = moment(item.last_at)
            yield Entry(
                at=item.first_at,
                title=say("Received: {count} images from '{peer}'", count=item.count, peer=item.peer),
                lines=_lines(
                    item.calling_ae and say("AE title: {title}", title=item.calling_ae),
                    say("last image: {time}", time=last.text if last else ""),
                ),
            )

    def _set_aside(self) -> Iterator[Entry]:
        say = self._say
        for item in self._story.set_aside:
            words, remedy = states.SET_ASIDE.get(item.reason, ("", states.UNKNOWN_REMEDY))
            reason = say(words) if words else item.reason
            title = say("Not let in, in the quarantine: {count} ({reason})", count=item.count, reason=reason)
            yield Entry(at=item.first_at, title=title, tone=Tone.BAD, lines=_lines(say(remedy)))

    def _revision(self, item: RevisionState) -> Iterator[Entry]:
        say = self._say
        reason = say(states.CLOSED[item.reason]) if item.reason in states.CLOSED else item.reason
        title = say(
            "Taken as complete with {count} images (set {number})", count=item.instance_count, number=item.number
        )
        yield Entry(at=item.closed_at, title=title, lines=_lines(reason))
        if item.routed_at is None:
            return
        rules = say("rules that matched: {names}", names=", ".join(item.rules)) if item.rules else ""
        if item.pipelines:
            names = ", ".join(map(self._speech.pipeline, item.pipelines))
            yield Entry(at=item.routed_at, title=say("Routed to: {names}", names=names), lines=_lines(rules))
            return
        title = say("NO RULE MATCHED: analysed by no pipeline")
        yield Entry(at=item.routed_at, title=title, tone=Tone.BAD, lines=_lines(rules))

    def _job(self, job: AnalysisState) -> Iterator[Entry]:
        yield self._planned(job)
        if job.analysed_at is not None:
            yield self._analysed(job)
        if job.encoded_at is not None:
            yield self._written(job, job.encoded_at)
        if job.ended_at is not None:
            title = self._titled(job, self._say(states.JOBS[job.state]))
            yield Entry(at=job.ended_at, title=title, tone=states.JOB_TONES[job.state])

    def _planned(self, job: AnalysisState) -> Entry:
        say = self._say
        package = f"{job.package_name} {job.package_version}".strip()
        return Entry(
            at=job.created_at,
            title=self._titled(job, say("analysis planned (result {number})", number=job.result_revision)),
            lines=_lines(
                say("model package: {name}", name=package) if package else say("there is no usable model package"),
                self._failures(job),
            ),
        )

    def _failures(self, job: AnalysisState) -> str:
        failed = job.crashes + job.encode_failures
        return self._say("broken off and done again: {count} times", count=failed) if failed else ""

    def _analysed(self, job: AnalysisState) -> Entry:
        say, speech, outcome = self._say, self._speech, Outcome(job.outcome)
        score = job.triage_score
        lines = [
            *(Line(text=say("gate refused: {reason}", reason=speech.reason(reason))) for reason in job.refusals),
            *(Line(text=say("note: {reason}", reason=speech.reason(reason))) for reason in job.flags),
            *_lines(
                speech.line(job.headline),
                say("model score for triage: {score}", score=f"{score:.3f}") if score is not None else "",
                say("priority: urgent") if job.priority is Priority.URGENT else "",
                banner(job, speech),
            ),
        ]
        title = self._titled(job, speech.outcomes[outcome])
        return Entry(at=job.analysed_at or 0.0, title=title, tone=OUTCOME_TONES[outcome], lines=tuple(lines))

    def _written(self, job: AnalysisState, at: float) -> Entry:
        kinds = [f"{item.kind} ×{item.count}" for item in self._story.objects if item.job_id == job.id]
        title = self._titled(job, self._say("result objects written"))
        return Entry(at=at, title=title, lines=_lines(", ".join(kinds)))

    def _fetch(self, item: FetchStory) -> Entry:
        due = moment(item.due_at) if item.outcome is FetchOutcome.WAITING else None
        return Entry(
            at=item.ended_at or item.created_at,
            title=f"{self._speech.pipeline(self._pipelines[item.job_id])}: {self._say(states.FETCHES[item.outcome])}",
            tone=states.FETCH_TONES[item.outcome],
            lines=_lines(self._say("the analysis waits until: {time}", time=due.text) if due else ""),
        )

    def _held(self, item: HeldStory) -> Entry:
        say = self._say
        return Entry(
            at=item.held_at,
            title=say("HELD BACK: '{kind}' failed the checks before sending", kind=item.kind),
            tone=Tone.BAD,
            lines=(
                *_lines(say("for: {names}", names=", ".join(item.destinations)) if item.destinations else ""),
                *(Line(text=problem, lang="en") for problem in item.problems),
            ),
        )

    def _deliveries(self) -> Iterator[Entry]:
        """Yield what happened at destinations; objects that fared alike in the same second are one entry."""
        stored: dict[tuple[str, int, int], Counter[str]] = defaultdict(Counter)
        ended: dict[tuple[str, Told], list[DeliveryStory]] = defaultdict(list)
        for item in self._story.deliveries:
            if item.stored_at is not None:
                stored[item.destination, item.job_id, int(item.stored_at)][item.kind] += 1
            if not _only_stored(item):
                ended[item.destination, _told(item)].append(item)
        for (destination, job_id, at), kinds in stored.items():
            title = self._say("Stored at '{destination}'", destination=destination)
            lines = _lines(self._of(job_id), _kinds(kinds))
            yield Entry(at=float(at), title=title, tone=Tone.GOOD, lines=lines)
        for (destination, _), items in ended.items():
            yield self._delivery(destination, items)

    def _delivery(self, destination: str, items: Sequence[DeliveryStory]) -> Entry:
        say, first = self._say, items[0]
        waits = first.state is DeliveryState.PENDING
        due = moment(first.next_attempt_at)
        parked = say("nobody is there; sent as soon as somebody is") if first.parked else ""
        next_try = say("next try: {time}", time=due.text) if due and not first.parked else ""
        return Entry(
            at=first.ended_at or first.created_at,
            title=f"'{destination}': {say(states.DELIVERIES[first.state])}",
            tone=states.DELIVERY_TONES[first.state],
            lines=(
                *_lines(
                    self._of(first.job_id),
                    _kinds(Counter(item.kind for item in items)),
                    say("tries: {count}", count=first.attempts) if first.attempts else "",
                    say("last answer: {status}", status=f"0x{first.last_status:04X}") if _answered(first) else "",
                    (parked or next_try) if waits else "",
                    say("shown by: {proof}", proof=first.proof) if first.proof else "",
                ),
                *(Line(text=text, lang="en") for text in [first.last_error] if text),
            ),
        )

    def _commitment(self, item: CommitmentStory) -> Iterator[Entry]:
        say = self._say
        if item.asked_at is not None:
            title = say("'{destination}' was asked to commit itself", destination=item.destination)
            yield Entry(at=item.asked_at, title=title, lines=_lines(say(states.COMMITMENTS[item.state])))
        if item.state is CommitmentState.EXPIRED and item.ended_at is not None:
            title = say("'{destination}' sent no report in time", destination=item.destination)
            yield Entry(at=item.ended_at, title=title, tone=Tone.BAD)

    def _notification(self, item: NotificationStory) -> Entry:
        titles = {
            NotificationState.PENDING: ("'{name}' is to be told of the raised priority", Tone.WAITING),
            NotificationState.SENT: ("'{name}' was told of the raised priority", Tone.GOOD),
            NotificationState.FAILED: ("'{name}' COULD NOT BE TOLD of the raised priority", Tone.BAD),
        }
        words, tone = titles[item.state]
        tries = self._say("tries: {count}", count=item.attempts) if item.attempts else ""
        title = self._say(words, name=item.notifier)
        return Entry(at=item.ended_at or item.created_at, title=title, tone=tone, lines=_lines(tries))

    def _of(self, job_id: int) -> str:
        several = len(set(self._pipelines.values())) > 1
        return self._speech.pipeline(self._pipelines.get(job_id, "")) if several else ""

    def _titled(self, job: AnalysisState, text: str) -> str:
        return f"{self._speech.pipeline(job.pipeline)}: {text}"


def _lines(*texts: str) -> tuple[Line, ...]:
    return tuple(Line(text=text) for text in texts if text)


def _kinds(kinds: Iterable[str]) -> str:
    counts = kinds if isinstance(kinds, Counter) else Counter(kinds)
    return ", ".join(kind if number == 1 else f"{kind} ×{number}" for kind, number in sorted(counts.items()))


def _only_stored(item: DeliveryStory) -> bool:
    """Whether "stored" says all of it."""
    return item.state in {DeliveryState.DELIVERED, DeliveryState.STORED} and item.stored_at is not None


def _answered(item: DeliveryStory) -> bool:
    """Whether the last answer was one that is worth showing: success is told already."""
    return bool(item.last_status)


def _told(item: DeliveryStory) -> Told:
    due = int(item.next_attempt_at) if item.state is DeliveryState.PENDING else 0
    how = (item.state, item.proof, item.attempts, item.last_status, item.last_error, item.parked)
    return item.job_id, *how, int(item.ended_at or 0), due
