# SPDX-License-Identifier: Apache-2.0
"""Watches that studies stay like the reference: counts each analysed study once, raises an alarm, flags what follows.

Everything is in the ledger, in the transaction that ends the analysis: a restart forgets nothing, and a study that
comes again, late or analysed twice, is counted once for a package.
"""

from dataclasses import replace
from typing import Final

from service.domain.drift import (
    DriftAlarm,
    DriftReference,
    DriftState,
    Monitor,
    Monitored,
    MonitoredStudy,
)
from service.domain.entry import JobRecord
from service.domain.event import DriftAlarmRaised
from service.domain.result import PackageIdentity, Reason
from service.drift.watch import Rules, indices, shifted, step
from service.ports.analyst import AnalysisSummary
from service.ports.ledger import LedgerTransaction
from service.settings import DriftSettings, Settings
from service.workflow.context import FlowParts

MOST_HISTORY: Final = 20


def rules_of(settings: DriftSettings) -> Rules:
    """Return what the site wants, as the watch takes it."""
    return Rules(
        false_alarm_studies=float(settings.false_alarm_studies),
        least_studies=settings.least_studies,
        window=settings.window,
        ignore=frozenset(settings.ignore),
    )


def is_watched(settings: Settings, pipeline: str) -> bool:
    """Say whether the site has the studies of a pipeline watched."""
    own = settings.pipelines.get(pipeline)
    return settings.drift.enabled and own is not None and own.drift


def standing_caveats(parts: FlowParts, view: LedgerTransaction, job: JobRecord) -> tuple[Reason, ...]:
    """Return the flags that a result of the job carries: one while an alarm stands for its package."""
    if job.package is None or not is_watched(parts.settings, job.pipeline):
        return ()
    state = view.drift.state(job.pipeline, job.package)
    return () if state is None or state.alarm is None else (state.alarm.caveat(),)


def count_study(
    parts: FlowParts, transaction: LedgerTransaction, job: JobRecord, summary: AnalysisSummary, *, at: float
) -> tuple[DriftAlarmRaised, ...]:
    """Count an analysed study; return the alarm that it raises, if any."""
    if job.package is None or summary.monitored is None or not is_watched(parts.settings, job.pipeline):
        return ()
    key = parts.study_key(job.study_instance_uid)
    study = MonitoredStudy(
        pipeline=job.pipeline, package=job.package, study_key=key, monitored=summary.monitored, at=at
    )
    if not transaction.drift.add(study, keep=parts.settings.drift.keep_studies):
        return ()
    installed = parts.packages.get(job.pipeline)
    if installed is None or installed.identity.sha256 != job.package.sha256:
        return ()  # the last studies of a package that a reload replaced: nobody waits for its watch
    before = transaction.drift.state(job.pipeline, job.package) or new_state(job.pipeline, job.package)
    rules = rules_of(parts.settings.drift)
    after = advance(before, reference_of(before, installed.drift), summary.monitored, key=key, rules=rules, at=at)
    transaction.drift.save(after)
    is_news = after.alarm is not None and (before.alarm is None or before.alarm.channels != after.alarm.channels)
    return (_raised(after),) if is_news else ()


def new_state(pipeline: str, package: PackageIdentity) -> DriftState:
    """Return the watch over a package before its first study."""
    return DriftState(pipeline=pipeline, package=package)


def reference_of(state: DriftState, packaged: DriftReference | None) -> DriftReference | None:
    """Return what studies are compared with: the site's own baseline, or else the package's reference."""
    if state.relearns:
        return None
    return state.baseline or packaged


def advance(
    state: DriftState, reference: DriftReference | None, study: Monitored, *, key: str, rules: Rules, at: float
) -> DriftState:
    """Return the watch after one more study; an alarm stays, and takes up what shifts later."""
    begun = replace(state.monitor, since=state.monitor.since or at)
    if reference is None:
        return replace(state, monitor=replace(begun, studies=begun.studies + 1), psi={}, reference="", updated_at=at)
    monitor = step(begun, reference, study, key=key, rules=rules)
    return replace(
        state,
        monitor=monitor,
        alarm=_alarm(state.alarm, shifted(monitor, reference, rules), monitor, at=at),
        psi=indices(monitor, reference),
        reference=reference.source,
        updated_at=at,
    )


def _alarm(alarm: DriftAlarm | None, channels: tuple[str, ...], monitor: Monitor, *, at: float) -> DriftAlarm | None:
    if alarm is None:
        return DriftAlarm(since=at, studies=monitor.studies, channels=channels) if channels else None
    return replace(alarm, channels=tuple(dict.fromkeys((*alarm.channels, *channels))))


def _raised(state: DriftState) -> DriftAlarmRaised:
    alarm = state.alarm or DriftAlarm(since=0.0, studies=0, channels=())
    return DriftAlarmRaised(
        pipeline=state.pipeline,
        package=state.package.name,
        version=state.package.version,
        kinds=tuple(kind.value for kind in alarm.kinds),
        channels=alarm.channels,
        studies=state.monitor.studies,
    )


def acknowledged(state: DriftState, *, by: str, note: str, at: float) -> DriftState:
    """Return the watch with its alarm seen by a person; the alarm stands on."""
    alarm = _standing(state)
    return replace(state, alarm=replace(alarm, acknowledged_by=by, acknowledged_at=at, note=note), updated_at=at)


def restarted(state: DriftState, *, by: str, note: str, at: float, relearns: bool) -> DriftState:
    """Return the watch begun anew: its alarm goes into the history; with `relearns` without any reference."""
    alarm = _standing(state)
    ended = replace(alarm, acknowledged_by=by, acknowledged_at=at, note=note, ended_at=at)
    return replace(
        state,
        monitor=Monitor(since=at),
        alarm=None,
        baseline=None if relearns else state.baseline,
        relearns=relearns or state.relearns,
        history=(*state.history, ended)[-MOST_HISTORY:],
        psi={},
        reference="" if relearns else state.reference,
        updated_at=at,
    )


def with_baseline(state: DriftState, baseline: DriftReference, *, at: float) -> DriftState:
    """Return the watch over a site's own baseline, begun anew.

    Raises
    ------
    ValueError
        An alarm stands: what came since is not to be called usual by accident.
    """
    if state.alarm is not None:
        raise ValueError("an alarm stands; acknowledge it with --then restart or --then relearn first")
    return replace(
        state,
        monitor=Monitor(since=at),
        baseline=baseline,
        relearns=False,
        psi={},
        reference=baseline.source,
        updated_at=at,
    )


def _standing(state: DriftState) -> DriftAlarm:
    if state.alarm is None:
        raise ValueError("no alarm stands")
    return state.alarm
