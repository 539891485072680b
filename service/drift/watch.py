# SPDX-License-Identifier: Apache-2.0
"""One step of the watch: a study comes, the evidence of its channels grows or fades."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from service.domain.drift import DriftReference, Monitor, Monitored, ReferenceChannel
from service.drift.detector import NO_EVIDENCE, add, channel_evidence, chosen, complete, log_ratios, weights
from service.drift.psi import psi
from service.drift.ranks import normal_score
from service.drift.reference import place

SCORE = "score"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the site wants of the watch (config.yaml, section `drift`).

    `false_alarm_studies` is how many studies lie between two false alarms on average at least; `least_studies` come
    before any alarm; `window` is how many studies the index is measured over; `ignore` are channels left out.
    """

    false_alarm_studies: float = 100_000
    least_studies: int = 30
    window: int = 200
    ignore: frozenset[str] = frozenset()


def step(monitor: Monitor, reference: DriftReference, study: Monitored, *, key: str, rules: Rules) -> Monitor:
    """Return the monitor after one more study; channels that it lacks stay as they are."""
    found = _found(reference, study, rules)
    if not found:
        return replace(monitor, studies=monitor.studies + 1)
    scores = np.array([normal_score(channel, value, key=key) for channel, value in found.values()])
    sizes = np.array([channel.studies for channel, _ in found.values()], dtype=np.float64)
    before = np.array([complete(monitor.evidence.get(name, NO_EVIDENCE)) for name in found])
    after = add(before, log_ratios(scores, sizes))
    evidence = {name: tuple(row) for name, row in zip(found, np.round(after, 9).tolist(), strict=True)}
    return replace(
        monitor,
        studies=monitor.studies + 1,
        evidence={**monitor.evidence, **evidence},
        recent=_recent(monitor, reference, study, rules),
    )


def _found(
    reference: DriftReference, study: Monitored, rules: Rules
) -> dict[str, tuple[ReferenceChannel, float | str]]:
    """Return what can be compared: the reference's channels that the study has, each with the study's value."""
    pairs = {}
    for entry in watched(reference, rules):
        channel, value = reference.channel_for(entry, study.manufacturer), study.get(entry)
        if channel is not None and value is not None:
            pairs[entry] = (channel, value)
    return pairs


def watched(reference: DriftReference, rules: Rules) -> tuple[str, ...]:
    """Return the channels that are watched."""
    return tuple(entry.channel for entry in reference.overall.channels if entry.channel not in rules.ignore)


def _recent(
    monitor: Monitor, reference: DriftReference, study: Monitored, rules: Rules
) -> Mapping[str, tuple[int, ...]]:
    """Return the bins of the last studies, by those of all manufacturers together."""
    bins = dict(monitor.recent)
    for entry in reference.overall.channels:
        value = study.get(entry.channel)
        if value is not None and entry.channel not in rules.ignore:
            bins[entry.channel] = (*bins.get(entry.channel, ()), place(entry, value))[-rules.window :]
    return bins


def shifted(monitor: Monitor, reference: DriftReference, rules: Rules) -> tuple[str, ...]:
    """Return the channels that have shifted, by all evidence so far; nothing while too few studies came."""
    names = watched(reference, rules)
    if not names or monitor.studies < rules.least_studies:
        return ()
    kept = [complete(monitor.evidence.get(name, NO_EVIDENCE)) for name in names]
    evidence = channel_evidence(np.array(kept))
    enough = chosen(evidence, weights(names), studies_per_false_alarm=rules.false_alarm_studies)
    return tuple(name for name, is_shifted in zip(names, enough.tolist(), strict=True) if is_shifted)


def indices(monitor: Monitor, reference: DriftReference) -> dict[str, float]:
    """Return the population stability index of each channel over the last studies."""
    return {
        entry.channel: round(psi(entry.counts, _counted(monitor.recent[entry.channel], len(entry.counts))), 6)
        for entry in reference.overall.channels
        if monitor.recent.get(entry.channel)
    }


def _counted(bins: tuple[int, ...], number: int) -> list[int]:
    counted = Counter(bins)
    return [counted[index] for index in range(number)]
