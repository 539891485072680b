# SPDX-License-Identifier: Apache-2.0
"""Sections `pipelines` and `inference`: old forms stay valid, and what makes no sense is explained."""

import pytest

from service.settings import Settings, SettingsError, parse_settings


def problem(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        parse_settings(text)
    (found,) = caught.value.problems
    return str(found)


def test_one_provider_needs_no_list() -> None:
    assert parse_settings("inference: {provider: cuda}").inference.provider == ("cuda",)
    assert parse_settings("").inference.provider == ("auto",)


def test_providers_are_tried_in_their_order() -> None:
    settings = parse_settings("inference: {provider: [tensorrt, cuda, cpu]}")
    assert settings.inference.provider == ("tensorrt", "cuda", "cpu")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("rocm", "'auto', 'cpu', 'cuda', 'tensorrt', 'openvino' or 'openvino_bf16'"),
        ("[auto, cpu]", "'auto' is an order by itself"),
        ("[cpu, cpu]", "names a provider twice"),
        ("[]", "an empty list names no provider"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(value: str, words: str) -> None:
    assert words in problem(f"inference: {{provider: {value}}}")


def test_a_pipeline_names_its_package_as_ever() -> None:
    settings = parse_settings("pipelines: {pneumoconiosis: {package: film, version: 1.0.0}}\nrules: []")
    choice = settings.pipelines["pneumoconiosis"]
    assert (choice.package, choice.version, choice.shadow) == ("film", "1.0.0", ())


def pipelines(shadow: str) -> str:
    return f"rules: []\npipelines:\n  pneumoconiosis: {{package: film, version: 1.0.0, shadow: {shadow}}}"


def test_shadows_are_other_packages() -> None:
    settings = parse_settings(pipelines("[{package: film, version: 1.1.0}, {package: other, version: 1.0.0}]"))
    shadows = settings.pipelines["pneumoconiosis"].shadow
    assert [(item.package, item.version) for item in shadows] == [("film", "1.1.0"), ("other", "1.0.0")]


@pytest.mark.parametrize(
    ("shadow", "words"),
    [
        ("[{package: film, version: 1.0.0}]", "package 'film 1.0.0' is named twice"),
        ("[{package: film, version: 1.1.0}, {package: film, version: 1.1.0}]", "package 'film 1.1.0' is named twice"),
        ("[{package: film, colour: 1.1.0}]", "colour"),
    ],
)
def test_a_shadow_that_makes_no_sense_is_refused(shadow: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        parse_settings(pipelines(shadow))


def test_the_settings_print_and_parse_again() -> None:
    settings = parse_settings(pipelines("[{package: film, version: 1.1.0}]"))
    assert Settings.model_validate(settings.model_dump(mode="json", by_alias=True, exclude_none=True)) == settings
