# SPDX-License-Identifier: Apache-2.0
"""References: bins of numbers, words by how common they are, groups by manufacturer, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.drift_studies import reference, study
from service.domain.drift import EVERYBODY, DriftReference, GroupReference, Monitored, ReferenceChannel, kind_of
from service.drift.reference import LEAST_OF_A_WORD, make_reference, place


def of(values: list[float]) -> ReferenceChannel:
    made = make_reference([Monitored(numbers={"score": value}) for value in values], source="s")
    channel = made.overall.channel("score")
    assert channel is not None
    return channel


def test_numbers_lie_in_tenths_with_bins_beyond_both_ends() -> None:
    channel = of([index / 1000 for index in range(1000)])
    assert (channel.counts[0], channel.counts[-1]) == (0, 0)  # nothing lay outside
    assert channel.counts[1:-1] == (10, 90, *(100,) * 8, 90, 10)
    assert place(channel, -0.5) == 0
    assert place(channel, 2.0) == len(channel.counts) - 1


@given(st.lists(st.floats(-1e6, 1e6) | st.just(0.0), min_size=100, max_size=300))
@settings(max_examples=100, deadline=None)
def test_every_study_of_the_reference_has_its_place_in_it(values: list[float]) -> None:
    channel = of(values)
    placed = np.bincount([place(channel, value) for value in values], minlength=len(channel.counts))
    assert placed.tolist() == list(channel.counts)


def test_a_number_that_never_changes_has_a_bin_of_its_own() -> None:
    channel = of([12.0] * 150)
    assert place(channel, 12.0) not in {place(channel, 10.0), place(channel, 16.0)}


def test_rare_words_are_others() -> None:
    words = ["alpha"] * 100 + ["beta"] * LEAST_OF_A_WORD + ["Hanako Yamada"] * (LEAST_OF_A_WORD - 1)
    made = make_reference([Monitored(words={"manufacturer": word}) for word in words], source="s")
    channel = made.overall.channel("manufacturer")
    assert channel is not None
    assert channel.categories == ("alpha", "beta")
    assert channel.counts == (100, LEAST_OF_A_WORD, LEAST_OF_A_WORD - 1)
    assert place(channel, "Hanako Yamada") == place(channel, "gamma") == 2


def test_a_manufacturer_with_enough_studies_is_compared_with_its_own() -> None:
    rng = np.random.default_rng(3)
    low = [Monitored(numbers={"score": float(rng.normal())}, words={"manufacturer": "alpha"}) for _ in range(150)]
    high = [Monitored(numbers={"score": 9 + float(rng.normal())}, words={"manufacturer": "beta"}) for _ in range(150)]
    few = [Monitored(numbers={"score": 0.0}, words={"manufacturer": "gamma"}) for _ in range(20)]
    made = make_reference([*low, *high, *few], source="s")
    assert [group.manufacturer for group in made.groups] == [EVERYBODY, "alpha", "beta"]
    alpha, beta = made.channel_for("score", "alpha"), made.channel_for("score", "beta")
    assert alpha is not None
    assert beta is not None
    assert place(alpha, 9.0) == len(alpha.counts) - 1
    assert 0 < place(beta, 9.0) < len(beta.counts) - 1
    assert made.channel_for("score", "gamma") == made.overall.channel("score")
    assert made.channel_for("manufacturer", "alpha") == made.overall.channel("manufacturer")


def test_too_few_studies_are_no_reference() -> None:
    rng = np.random.default_rng(4)
    with pytest.raises(ValueError, match="99 studies are too few"):
        make_reference([study(rng) for _ in range(99)], source="s")


COUNTS = (50, 50, 0)
WRONG = {
    "unknown channel": ({"channel": "ward", "edges": (0.0, 1.0), "counts": COUNTS}, "channel ward is unknown"),
    "no edges": ({"channel": "score", "counts": (100,)}, "has edges, and nothing else"),
    "words of a number": ({"channel": "score", "categories": ("a", "b"), "counts": COUNTS}, "has edges"),
    "edges of a word": ({"channel": "outcome", "edges": (0.0, 1.0), "counts": COUNTS}, "has categories"),
    "counts": ({"channel": "score", "edges": (0.0, 1.0), "counts": (50, 50)}, "has 2 counts"),
    "too few": ({"channel": "score", "edges": (0.0, 1.0), "counts": (50, 49, 0)}, "counts 99 studies"),
    "below 0": ({"channel": "score", "edges": (0.0, 1.0), "counts": (-1, 200, 0)}, "none below 0"),
    "falling": ({"channel": "score", "edges": (1.0, 0.0), "counts": COUNTS}, "must rise"),
    "no number": ({"channel": "score", "edges": (0.0, float("nan")), "counts": COUNTS}, "must rise and be finite"),
    "twice": ({"channel": "outcome", "categories": ("a", "a"), "counts": COUNTS}, "a category twice"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_channels_are_refused(name: str) -> None:
    values, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        ReferenceChannel(**values)  # type: ignore[arg-type]


def test_groups_are_whole_and_there_once() -> None:
    channel = ReferenceChannel(channel="score", edges=(0.0, 1.0), counts=COUNTS)
    everybody = GroupReference(channels=(channel,))
    with pytest.raises(ValueError, match="each of them once"):
        GroupReference(channels=(channel, channel))
    with pytest.raises(ValueError, match="one group without manufacturer"):
        DriftReference(source="s", groups=(GroupReference(manufacturer="alpha", channels=(channel,)),))
    with pytest.raises(ValueError, match="each manufacturer once"):
        DriftReference(source="s", groups=(everybody, everybody))


def test_every_channel_of_a_study_has_a_kind() -> None:
    names = {entry.channel for entry in reference(studies=100).overall.channels}
    assert {kind_of(name).value for name in names} == {"metadata", "pixels", "outputs", "embeddings", "refusals"}
