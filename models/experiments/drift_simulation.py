# SPDX-License-Identifier: Apache-2.0
"""How rarely the watch over drift cries wolf, and how soon it sees what: streams of 10,000 exams, resampled.

`python -m models.experiments.drift_simulation ROWS.jsonl [...]` prints the tables of docs/drift.md. The rows are what
phantom studies came to in a real package (`models.drift.studies`): on one site's scanner, on the same scanner with one
thing changed, and in files that something broke on the way. Streams are drawn from them with replacement and a little
noise (a smoothed bootstrap), at the site's prevalence; the detector is the node's own, over many streams at once.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from models.drift.bodies import ANY, BLUR, LEVEL, NOISE, PROCESSING, USUAL
from models.drift.studies import BROKEN_WINDOW, UNCHANGED, Row, read_rows
from service.domain.drift import DriftReference, Monitored
from service.drift.detector import BETS, add, channel_evidence, chosen, log_ratios, weights
from service.drift.reference import make_reference
from service.drift.watch import Rules, watched

Values = NDArray[np.float64]
EXAMS: Final = 10_000
BEFORE: Final = 500
"""Usual exams before a shift begins."""
AFTER: Final = 1_000
"""Exams after it, at the end of which it counts as not seen."""
STREAMS: Final = 100
BLOCK: Final = 200
SITES: Final = 10
"""Baselines, each with a tenth of the streams."""
PREVALENCE: Final = 0.1
BANDWIDTH: Final = 0.2
"""Of the smoothed bootstrap, in standard deviations of each channel."""
NOT_COMPARED: Final = ("spacing_mm", "manufacturer", "kernel", "bits_stored", "kvp")
"""The same in every phantom: a shift that shows in the header is seen at once, and would hide what pixels show."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Pool:
    """Studies to draw from: numbers (studies, channels), NaN where one is missing, and who of them has disease."""

    values: Values
    diseased: NDArray[np.bool_]

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], *, prevalence: float, spread: Values) -> Values:
        """Return values (*shape, channels) of studies of which a share has disease."""
        sick = rng.random(shape) < prevalence
        index = np.where(sick, _picked(self.diseased, rng, shape), _picked(~self.diseased, rng, shape))
        noise = BANDWIDTH * spread * rng.standard_normal((*shape, len(spread)))
        return np.asarray(self.values[index] + noise)


def _picked(mask: NDArray[np.bool_], rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.intp]:
    return np.asarray(rng.choice(np.flatnonzero(mask), size=shape))


def pools(rows: Sequence[Row], names: Sequence[str]) -> dict[str, Pool]:
    """Return the pools by what was changed; USUAL is the site as it was."""
    kinds: dict[str, list[Row]] = {}
    for row in rows:
        kinds.setdefault(row.order.change or row.order.setting, []).append(row)
    return {
        kind: Pool(
            values=np.array([[row.monitored.numbers.get(name, np.nan) for name in names] for row in found]),
            diseased=np.array([row.order.diseased for row in found]),
        )
        for kind, found in kinds.items()
    }


def _as_usual(row: Row) -> Row:
    return replace(row, order=replace(row.order, setting=USUAL))


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Site:
    """A simulated site: its channels, its pools, and the noise of the bootstrap."""

    names: tuple[str, ...]
    pools: dict[str, Pool]
    spread: Values

    @classmethod
    def of(cls, rows: Sequence[Row], *, usual_setting: str = USUAL) -> "Site":
        """Make the site of the rows: one scanner (USUAL), or many (ANY)."""
        usual = [row for row in rows if (row.order.setting, row.order.change) == (usual_setting, UNCHANGED)]
        names = sorted({name for row in usual for name in row.monitored.numbers} - set(NOT_COMPARED))
        found = {**pools(rows, names), **pools([_as_usual(row) for row in usual], names)}
        spread = np.nanstd(found[USUAL].values, axis=0)
        return cls(names=tuple(names), pools=found, spread=spread)

    def draw(
        self, rng: np.random.Generator, shape: tuple[int, ...], *, kind: str = USUAL, prevalence: float = PREVALENCE
    ) -> Values:
        """Return exams of a kind."""
        return self.pools[kind].draw(rng, shape, prevalence=prevalence, spread=self.spread)

    def reference(self, rng: np.random.Generator, studies: int) -> DriftReference:
        """Return a baseline of so many usual exams, as the site would confirm it; what was not measured is absent."""
        rows = self.draw(rng, (studies,))
        named = [zip(self.names, row.tolist(), strict=True) for row in rows]
        measured = [{name: value for name, value in pairs if not np.isnan(value)} for pairs in named]
        return make_reference([Monitored(numbers=numbers) for numbers in measured], source="s")


def normal_scores(reference: DriftReference, names: Sequence[str], values: Values, rng: np.random.Generator) -> Values:
    """Return the scores of `service.drift.ranks`, for many exams at once; ties are broken by the generator."""
    scores = np.full(values.shape, np.nan)
    for index, name in enumerate(names):
        channel = reference.channel_for(name, "")
        if channel is None:
            continue
        column = values[..., index]
        counts = np.array(channel.counts)
        bins = np.searchsorted(np.array(channel.edges), column)
        bins = np.minimum(bins, len(counts) - 1)
        below = np.concatenate([[0], np.cumsum(counts)])[bins]
        ranks = (below + rng.random(column.shape) * (counts[bins] + 1)) / (channel.studies + 1)
        scores[..., index] = np.where(np.isnan(column), np.nan, ndtri(np.clip(ranks, 1e-6, 1 - 1e-6)))
    return scores


def first_alarms(reference: DriftReference, names: Sequence[str], streams: Iterator[Values], rules: Rules) -> Values:
    """Return the number of the exam at which each stream alarms first, infinite where none does.

    `streams` yields the scores of one exam of each stream after the other, (streams, channels).
    """
    used = [names.index(name) for name in watched(reference, rules)]
    share = weights([names[index] for index in used])
    sizes = np.array([channel.studies for channel in reference.overall.channels], dtype=np.float64)
    evidence: Values | None = None
    alarms: Values = np.empty(0)
    for number, scores in enumerate(streams, start=1):
        mine = scores[:, used]
        if evidence is None:
            evidence, alarms = np.full((*mine.shape, BETS), -np.inf), np.full(len(mine), np.inf)
        ratios = log_ratios(np.nan_to_num(mine), np.broadcast_to(sizes, mine.shape))
        evidence = np.where(np.isnan(mine)[..., None], evidence, add(evidence, ratios))
        if number >= rules.least_studies:
            enough = chosen(channel_evidence(evidence), share, studies_per_false_alarm=rules.false_alarm_studies)
            alarms = np.where(np.isinf(alarms) & enough.any(axis=-1), number, alarms)
    return alarms


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """What changes at a site: the pool that exams come from, the prevalence, and the share of exams that it befalls."""

    name: str
    kind: str = USUAL
    prevalence: float = PREVALENCE
    share: float = 1.0


SHIFTS: Final = (
    Shift(name="dose cut to a third (noise)", kind=NOISE),
    Shift(name="dose cut to a third, on half of the exams", kind=NOISE, share=0.5),
    Shift(name="blur", kind=BLUR),
    Shift(name="level or calibration", kind=LEVEL),
    Shift(name="processing or kernel", kind=PROCESSING),
    Shift(name="processing or kernel, on half of the exams", kind=PROCESSING, share=0.5),
    Shift(name="files broken on the way", kind=BROKEN_WINDOW),
    Shift(name="prevalence doubled", prevalence=2 * PREVALENCE),
    Shift(name="prevalence fourfold", prevalence=4 * PREVALENCE),
)


def usual_streams(
    site: Site, reference: DriftReference, rng: np.random.Generator, *, streams: int, exams: int
) -> Iterator[Values]:
    """Yield the exams of streams without any shift."""
    for count in _blocks(exams):
        yield from normal_scores(reference, site.names, site.draw(rng, (count, streams)), rng)


def shifted_streams(
    site: Site, reference: DriftReference, rng: np.random.Generator, shift: Shift, *, streams: int, exams: int
) -> Iterator[Values]:
    """Yield exams of streams that have shifted."""
    for count in _blocks(exams):
        usual = site.draw(rng, (count, streams), prevalence=shift.prevalence)
        moved = site.draw(rng, (count, streams), kind=shift.kind, prevalence=shift.prevalence)
        mixed = np.where(rng.random((count, streams, 1)) < shift.share, moved, usual)
        yield from normal_scores(reference, site.names, mixed, rng)


def _blocks(exams: int) -> Iterator[int]:
    """Yield how many exams are drawn at a time, which is faster than one by one."""
    return (min(BLOCK, exams - start) for start in range(0, exams, BLOCK))


def false_alarms(site: Site, *, studies: int, streams: int, exams: int, rules: Rules) -> int:
    """Return how many usual streams alarm; each site of ten has a baseline of its own."""
    found = 0
    for number in range(SITES):
        rng = np.random.default_rng([number, studies, 1])
        reference = site.reference(rng, studies)
        stream = usual_streams(site, reference, rng, streams=streams // SITES, exams=exams)
        found += int(np.isfinite(first_alarms(reference, site.names, stream, rules)).sum())
    return found


def delays(
    site: Site, shift: Shift, *, studies: int, streams: int, rules: Rules, before: int = BEFORE, after: int = AFTER
) -> Values:
    """Return after how many shifted exams each stream alarms; infinite where none does, negative for a false alarm."""
    found = []
    for number in range(SITES):
        rng = np.random.default_rng([number, studies, 2])
        reference, many = site.reference(rng, studies), streams // SITES
        stream = chain(
            usual_streams(site, reference, rng, streams=many, exams=before),
            shifted_streams(site, reference, rng, shift, streams=many, exams=after),
        )
        found.append(first_alarms(reference, site.names, stream, rules) - before)
    return np.concatenate(found)


def table(site: Site, *, studies: int, streams: int, exams: int, say: Callable[[str], Any]) -> None:
    """Print the tables of one package."""
    rules = Rules()
    wolf = false_alarms(site, studies=studies, streams=streams, exams=exams, rules=rules)
    say(f"baseline of {studies} exams: {wolf} of {streams} streams of {exams} usual exams alarmed")
    say("| shift | seen within 200 | median delay | 90 % within | not seen in 1,000 |\n|---|---|---|---|---|")
    for shift in SHIFTS:
        if shift.kind not in site.pools:
            continue
        found = delays(site, shift, studies=studies, streams=streams, rules=rules)
        late = found[found > 0]
        middle, most = (_quantile(late, share) for share in (0.5, 0.9))
        missed = int(np.isinf(late).sum())
        say(f"| {shift.name} | {int((late <= 200).sum())} of {late.size} | {middle} | {most} | {missed} |")


def _quantile(delays_: Values, share: float) -> str:
    value = float(np.sort(delays_)[int(np.ceil(share * delays_.size)) - 1])
    return "-" if np.isinf(value) else f"{value:.0f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m models.experiments.drift_simulation", description=__doc__)
    parser.add_argument("rows", type=Path, nargs="+", metavar="ROWS", help="files of models.drift.studies")
    parser.add_argument("--streams", type=int, default=STREAMS, metavar="N", help=f"streams of each kind ({STREAMS})")
    parser.add_argument("--exams", type=int, default=EXAMS, metavar="N", help=f"exams of a usual stream ({EXAMS})")
    parser.add_argument("--baseline", type=int, nargs="*", default=(300, 1000), metavar="N", help="exams of a baseline")
    parser.add_argument("--site", choices=(USUAL, ANY), default=USUAL, help="one scanner (usual), or many (any)")
    options = parser.parse_args(arguments)
    for path in options.rows:
        site = Site.of(read_rows(path), usual_setting=options.site)
        sizes = ", ".join(f"{kind} {len(pool.diseased)}" for kind, pool in sorted(site.pools.items()))
        _say(f"{path.stem}: channels {', '.join(site.names)}; exams drawn from: {sizes}")
        for studies in options.baseline:
            table(site, studies=studies, streams=options.streams, exams=options.exams, say=_say)
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
