# SPDX-License-Identifier: Apache-2.0
"""`dokuei drift`: whether studies are still like the reference, and what a person says to an alarm."""

from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.bootstrap.desk import open_desk
from service.cli.console import console, print_json, print_table
from service.domain.drift import DriftReference, DriftState, Monitored
from service.domain.errors import ConfigurationError
from service.drift.reference import make_reference
from service.ports.drift import DriftStatus
from service.settings import load_settings
from service.storage.drift import status_of
from service.workflow.context import FlowParts
from service.workflow.drift import acknowledged, restarted, with_baseline

COLUMNS = ("pipeline", "model", "version", "state", "since", "studies", "score PSI", "shifted", "seen by", "reference")
MOST_BY = 64


def list_watches(config: Path, *, as_json: bool) -> int:
    """Print the watch over each package; exit status 1 while an alarm stands."""
    with open_desk(load_settings(config)) as parts, parts.ledger.reading() as view:
        states = view.drift.states()
    statuses = [status_of(state) for state in states]
    if as_json:
        print_json([_public(status, state) for status, state in zip(statuses, states, strict=True)])
    elif statuses:
        print_table("Watch over drift", COLUMNS, [_row(status) for status in statuses])
    else:
        console.print("no study has been counted yet")
    return int(any(state.alarm is not None for state in states))


def acknowledge(config: Path, model: str, *, by: str, note: str, then: str) -> int:
    """Note that a person has seen the alarm over a model, and what is to become of the watch."""
    person = _named(by)
    with open_desk(load_settings(config)) as parts, parts.ledger.transaction() as transaction:
        state = _state(transaction.drift.states(), model)
        now = parts.now()
        try:
            after = (
                acknowledged(state, by=person, note=note, at=now)
                if then == "keep"
                else restarted(state, by=person, note=note, at=now, relearns=then == "relearn")
            )
        except ValueError as error:
            raise ConfigurationError(f"{model}: {error}; see `dokuei drift list`") from None
        transaction.drift.save(after)
    console.print(f"{model}: {SAID[then]}", markup=False, soft_wrap=True)
    return 0


SAID = {
    "keep": "the alarm is acknowledged; it stands, and results go on saying that performance is not assured",
    "restart": "the alarm is over; the watch begins anew with the same reference",
    "relearn": "the alarm is over; studies are collected until `dokuei drift reference --by` confirms a new baseline",
}


def reference(config: Path, model: str, *, since: str | None, until: str | None, by: str | None, as_json: bool) -> int:
    """Show what a site's own baseline would be; with a person's name, make it the reference of the watch."""
    settings = load_settings(config)
    period = {"since": _seconds(since, 0.0), "until": _seconds(until, float("inf"))}
    with open_desk(settings) as parts:
        found, studies = _collected(parts, model, period=period)
        if len(studies) < settings.drift.baseline_studies:
            raise ConfigurationError(
                f"{model}: {len(studies)} studies were counted in that period; drift.baseline_studies asks for "
                f"{settings.drift.baseline_studies}; wait, or choose a longer period"
            )
        baseline = make_reference(
            studies,
            source=f"{len(studies)} studies of this site",
            confirmed_by="" if by is None else _named(by),
            confirmed_at=0.0 if by is None else parts.now(),
        )
        if by is not None:
            _confirm(parts, found, baseline, model=model)
    _show(baseline, studies, model=model, confirmed=by is not None, as_json=as_json)
    return 0


def _collected(parts: FlowParts, model: str, *, period: dict[str, float]) -> tuple[DriftState, tuple[Monitored, ...]]:
    with parts.ledger.reading() as view:
        state = _state(view.drift.states(), model)
        # While the watch learns anew, what came before the decision is what was found unusual.
        since = max(period["since"], state.monitor.since) if state.relearns else period["since"]
        studies = view.drift.studies(state.pipeline, state.package, since=since, until=period["until"])
    return state, studies


def _confirm(parts: FlowParts, found: DriftState, baseline: DriftReference, *, model: str) -> None:
    with parts.ledger.transaction() as transaction:
        state = transaction.drift.state(found.pipeline, found.package) or found
        try:
            transaction.drift.save(with_baseline(state, baseline, at=parts.now()))
        except ValueError as error:
            raise ConfigurationError(f"{model}: {error}") from None


def _show(
    baseline: DriftReference, studies: tuple[Monitored, ...], *, model: str, confirmed: bool, as_json: bool
) -> None:
    if as_json:
        print_json({"model": model, "studies": len(studies), "confirmed": confirmed, "reference": asdict(baseline)})
        return
    makers = Counter(study.manufacturer or "unknown" for study in studies)
    print_table(
        f"{model}: {baseline.source}",
        ("channel", "studies", "tenth, median, nine tenths, or words"),
        [(entry.channel, str(entry.studies), _spread(entry.channel, studies)) for entry in baseline.overall.channels],
    )
    apart = [group.manufacturer for group in baseline.groups if group.manufacturer]
    console.print(f"manufacturers: {_counted(makers)}; with a group of their own: {', '.join(apart) or 'none'}")
    told = "confirmed; the watch begins with it" if confirmed else "not confirmed; --by NAME makes it the reference"
    console.print(told, markup=False, soft_wrap=True)


def _spread(channel: str, studies: tuple[Monitored, ...]) -> str:
    words = Counter(study.words[channel] for study in studies if channel in study.words)
    if words:
        return _counted(words)
    values = sorted(study.numbers[channel] for study in studies if channel in study.numbers)
    return ", ".join(f"{values[int(share * (len(values) - 1))]:.4g}" for share in (0.1, 0.5, 0.9))


def _counted(words: Counter[str]) -> str:
    """Return the commonest words; rare ones are counted together, as in the reference."""
    common = [f"{word} {count}" for word, count in words.most_common(5) if count >= 5]
    others = words.total() - sum(count for _, count in words.most_common(5) if count >= 5)
    return ", ".join([*common, *([f"others {others}"] if others else [])])


def _state(states: tuple[DriftState, ...], model: str) -> DriftState:
    """Return the latest watch over a model, by "name" or "name version"."""
    for state in states:
        if model in {state.package.name, f"{state.package.name} {state.package.version}"}:
            return state
    known = ", ".join(sorted({state.package.name for state in states})) or "none yet"
    raise ConfigurationError(f"no studies of a model '{model}' have been counted; known: {known}")


def _named(by: str) -> str:
    name = by.strip()
    if not name or len(name) > MOST_BY or not name.isprintable():
        raise ConfigurationError(f"--by: give the person's name, at most {MOST_BY} characters")
    return name


def _seconds(text: str | None, otherwise: float) -> float:
    if text is None:
        return otherwise
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"'{text}' is no date or time; write for example 2026-11-01") from None
    return moment.astimezone().timestamp()


def _public(status: DriftStatus, state: DriftState) -> dict[str, Any]:
    return {
        **asdict(status),
        "score_psi": status.score_psi,
        "since": _local(status.since),
        "acknowledged_at": _local(status.acknowledged_at),
        "note": "" if state.alarm is None else state.alarm.note,
        "history": [asdict(alarm) for alarm in state.history],
    }


def _row(status: DriftStatus) -> tuple[str, ...]:
    index = "" if status.score_psi is None else f"{status.score_psi:.3f}"
    counts = (_local(status.since), str(status.studies), index)
    who = (", ".join(status.channels), status.acknowledged_by, status.reference)
    return (status.pipeline, status.model, status.version, status.mode.value, *counts, *who)


def _local(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).astimezone().isoformat(timespec="seconds") if seconds else ""
