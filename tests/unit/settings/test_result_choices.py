# SPDX-License-Identifier: Apache-2.0
"""What a destination may choose about its results."""

import dataclasses

import pytest

from service.domain.profile import DEFAULT_PROFILE, EncodingProfile, encoding_profile, profile_key
from service.results import ENCODERS
from service.settings import DestinationSettings, SettingsError, parse_settings
from service.settings.results import CHOICES, DEFAULT_OBJECTS, RESERVED, STATEMENTS, ResultKind, ResultSettings


def of(options: str) -> DestinationSettings:
    text = f"destinations:\n  - {{name: a, ae_title: A, host: h, port: 1, {options}}}\n"
    return parse_settings(text).destinations[0]


def problem(options: str) -> str:
    with pytest.raises(SettingsError) as caught:
        of(options)
    return str(caught.value)


def test_every_kind_that_can_be_chosen_has_an_encoder() -> None:
    assert set(CHOICES) == set(ENCODERS)
    assert set(ResultKind) == set(CHOICES) | RESERVED


def test_without_a_word_a_destination_gets_what_everybody_can_read() -> None:
    settings = of("timeout_seconds: 5")
    assert settings.objects == DEFAULT_OBJECTS
    assert set(DEFAULT_OBJECTS) & STATEMENTS == {"sr", "heatmap"}
    assert encoding_profile(settings.results) == DEFAULT_PROFILE
    assert settings.supersede == "reference"


def test_every_choice_is_taken() -> None:
    choices = (
        "report_class: comprehensive3d, character_set: utf8, language: ja, capture_modality: source, "
        "tracking: cornerstone, max_secondary_captures: 3, label_maps: true"
    )
    settings = of(f"objects: [heatmap], supersede: reject, results: {{{choices}}}")
    profile = encoding_profile(settings.results)
    assert settings.objects == (ResultKind.HEATMAP,)
    for field in dataclasses.fields(EncodingProfile):
        assert getattr(profile, field.name) != getattr(DEFAULT_PROFILE, field.name), field.name


def test_settings_and_profile_have_the_same_choices_and_defaults() -> None:
    assert set(ResultSettings.model_fields) == {field.name for field in dataclasses.fields(EncodingProfile)}
    assert encoding_profile(ResultSettings()) == DEFAULT_PROFILE


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            "results: {languagex: ja}",
            "did you mean 'language'? known here: capture_modality, character_set, label_maps",
        ),
        ("results: {language: fr}", "'en' or 'ja'"),
        ("results: {max_secondary_captures: 0}", "greater than or equal to 1"),
        ("objects: [sr, dance]", "this kind of object does not exist; known: sr, heatmap"),
        ("objects: [rejection_note]", "is made where a destination has 'supersede: reject'"),
        ("objects: []", "'objects' names no kind, and none that every result has"),
        ("objects: [sr, sr]", "'sr' is named twice"),
        ("supersede: delete", "'reference' or 'reject'"),
    ],
)
def test_what_is_not_a_choice_is_explained(options: str, told: str) -> None:
    assert told in problem(options)


def test_a_profile_has_a_name_that_other_choices_do_not_have() -> None:
    assert profile_key(DEFAULT_PROFILE) == ""
    changed = [
        dataclasses.replace(DEFAULT_PROFILE, **{field.name: getattr(encoding_profile(other), field.name)})
        for field in dataclasses.fields(EncodingProfile)
        for other in [
            of(
                "results: {report_class: comprehensive3d, character_set: utf8, language: ja, "
                "capture_modality: source, tracking: cornerstone, max_secondary_captures: 3, label_maps: true}"
            ).results
        ]
    ]
    keys = {profile_key(profile) for profile in changed}
    assert len(keys) == len(changed)
    assert "" not in keys
