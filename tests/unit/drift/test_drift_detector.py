# SPDX-License-Identifier: Apache-2.0
"""Evidence: what keeps false alarms rare is held as mathematics here; how soon a shift is seen, in test_drift_watch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.drift_studies import reference, study
from service.domain.drift import ReferenceChannel
from service.drift.detector import BETS, TAIL, add, channel_evidence, chosen, complete, log_ratios, weights
from service.drift.psi import psi
from service.drift.ranks import normal_score

NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(120)
"""For means under a normal distribution."""


SMOOTH = BETS - 2
"""Bets that are smooth functions of the score; the last two count what lies beyond a limit, and have no quadrature."""


def mean_ratios(*, studies: float, mean: float = 0.0, deviation: float = 1.0) -> np.ndarray:
    scores = mean + deviation * NODES
    ratios = np.exp(log_ratios(scores, np.full(scores.shape, studies)))[:, :SMOOTH]
    return (ratios * NODE_WEIGHTS[:, None]).sum(axis=0) / NODE_WEIGHTS.sum()


def tail_logs(studies: float) -> tuple[np.ndarray, np.ndarray]:
    """The logarithms of the two bets on the tails: of a study beyond the upper limit, and of one between them."""
    high, middle = log_ratios(np.array([2.0, 0.0]), np.full(2, studies))[:, SMOOTH:]
    return high, middle


@given(studies=st.floats(100, 1e7), place=st.floats(-1, 1))
@settings(max_examples=200, deadline=None)
def test_no_bet_wins_on_average_on_any_stream_that_the_reference_cannot_tell_from_usual(
    studies: float, place: float
) -> None:
    slack = 2 / np.sqrt(studies)
    assert (mean_ratios(studies=studies, mean=place * slack) <= 1 + 1e-9).all()


@given(studies=st.floats(100, 1e7), place=st.floats(0, 1))
@settings(max_examples=200, deadline=None)
def test_no_bet_on_a_tail_wins_on_average_while_the_reference_cannot_tell_its_share_from_usual(
    studies: float, place: float
) -> None:
    high, middle = np.exp(tail_logs(studies))
    share = place * (TAIL + 2 * np.sqrt(TAIL * (1 - TAIL) / studies))
    assert share * high[0] + (1 - share) * middle[0] <= 1 + 1e-9
    assert middle == pytest.approx([middle[0]] * 2)


def test_a_perfect_reference_makes_each_bet_fair() -> None:
    assert mean_ratios(studies=1e14) == pytest.approx(np.ones(SMOOTH), rel=1e-5)
    high, middle = np.exp(tail_logs(1e14))
    assert TAIL * high[0] + (1 - TAIL) * middle[0] == pytest.approx(1, rel=1e-5)


def test_the_bets_on_tails_win_where_twice_as_many_lie_there() -> None:
    for studies, growth in ((300, 0.016), (1000, 0.026), (1e9, 0.0444)):
        high, middle = tail_logs(studies)
        assert 0.2 * high[0] + 0.8 * middle[0] == pytest.approx(growth, abs=1e-3)
        low = log_ratios(np.array([-2.0]), np.array([float(studies)]))[0, SMOOTH:]
        assert low.tolist() == high[::-1].tolist(), "the lower tail alike"


def test_evidence_that_was_kept_with_fewer_bets_is_taken_on() -> None:
    assert complete((1.0, 2.0)) == (1.0, 2.0, *(-np.inf,) * (BETS - 2))
    assert complete(range(BETS)) == tuple(range(BETS))


def test_each_bet_wins_on_the_shift_that_it_is_made_for() -> None:
    def growth(mean: float, deviation: float) -> np.ndarray:
        scores = mean + deviation * NODES
        logs = log_ratios(scores, np.full(scores.shape, 2000.0))[:, :SMOOTH]
        return (logs * NODE_WEIGHTS[:, None]).sum(axis=0) / NODE_WEIGHTS.sum()

    shifts = ((0.5, 1.0), (-0.5, 1.0), (1.25, 1.0), (-1.25, 1.0), (0.0, 1.6), (0.0, 0.6))
    for index, (mean, deviation) in enumerate(shifts):
        found = growth(mean, deviation)
        assert found[index] > 0.05
        assert found[index] == found.max()


def test_evidence_is_the_sum_of_all_products_since_some_study() -> None:
    ratios = np.log(np.array([[2.0], [0.5], [3.0]]))
    evidence = np.full(1, -np.inf)
    for row in ratios:
        evidence = add(evidence, row)
    assert np.exp(evidence) == pytest.approx([2 * 0.5 * 3 + 0.5 * 3 + 3])


def test_the_evidence_of_a_channel_is_the_mean_over_its_bets() -> None:
    assert np.exp(channel_evidence(np.log([[1.0, 3.0], [2.0, 2.0]]))) == pytest.approx([2.0, 2.0])
    assert channel_evidence(np.full((1, BETS), -np.inf)) == -np.inf


def test_kinds_count_alike_and_channels_alike_within_a_kind() -> None:
    share = weights(["score", "noise", "level", "contrast", "fineness"])
    assert share == pytest.approx([0.5, *(0.125,) * 4])
    assert share.sum() == pytest.approx(1)


@given(st.lists(st.floats(-5, 25), min_size=1, max_size=12), st.floats(1e2, 1e8))
@settings(max_examples=300, deadline=None)
def test_nothing_is_chosen_before_the_weighted_mean_passes_the_limit(logs: list[float], limit: float) -> None:
    share = np.random.default_rng(len(logs)).dirichlet(np.ones(len(logs)))
    picked = chosen(np.array(logs), share, studies_per_false_alarm=limit)
    if picked.any():
        assert (share * np.exp(logs)).sum() >= limit * (1 - 1e-9)


def test_one_strong_channel_is_chosen_and_weak_ones_are_not() -> None:
    share = np.full(4, 0.25)
    strong, weak = np.log(5e5), np.log(10)
    assert chosen(np.array([strong, weak, weak, weak]), share, studies_per_false_alarm=1e5).tolist() == [
        True,
        False,
        False,
        False,
    ]
    assert not chosen(np.array([np.log(3.9e5), weak, weak, weak]), share, studies_per_false_alarm=1e5).any()
    # Two that are each too weak alone are enough together: the second needs half.
    both = np.array([np.log(2.1e5), np.log(2.1e5), weak, weak])
    assert chosen(both, share, studies_per_false_alarm=1e5).tolist() == [True, True, False, False]


def test_scores_of_usual_studies_are_standard_normal_and_the_same_each_time() -> None:
    usual, rng = reference(), np.random.default_rng(7)
    channel = usual.overall.channel("score")
    assert channel is not None
    values = [study(rng).numbers["score"] for _ in range(4000)]
    scores = np.array([normal_score(channel, value, key=str(index)) for index, value in enumerate(values)])
    assert abs(scores.mean()) < 0.08
    assert abs(scores.std() - 1) < 0.05
    assert normal_score(channel, 0.1, key="k") == normal_score(channel, 0.1, key="k")
    assert normal_score(channel, 0.1, key="k") != normal_score(channel, 0.1, key="l")


def test_words_are_ranked_by_how_rare_they_are() -> None:
    channel = ReferenceChannel(channel="kernel", categories=("lung", "bone"), counts=(900, 95, 5))
    means = {
        word: np.mean([normal_score(channel, word, key=str(index)) for index in range(300)])
        for word in ("lung", "bone", "never seen")
    }
    assert means["lung"] < 0 < means["bone"] < 2 < means["never seen"]


@given(st.lists(st.integers(0, 50), min_size=3, max_size=14))
def test_the_index_is_none_of_the_same_and_grows_with_what_differs(counts: list[int]) -> None:
    assert psi(counts, counts) == pytest.approx(0)
    assert psi(counts, counts[::-1]) >= 0
    assert psi([100, 100, 100], [300, 0, 0]) > psi([100, 100, 100], [150, 80, 70]) > 0


def test_the_index_is_that_of_the_books() -> None:
    # Shares 0.5 and 0.5 against 0.25 and 0.75: 0.25 ln 1.5 + 0.25 ln 2 = 0.2747, but for half a study in each bin.
    assert psi([50_000, 50_000], [25_000, 75_000]) == pytest.approx(0.2747, abs=1e-3)
