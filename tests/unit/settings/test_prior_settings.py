# SPDX-License-Identifier: Apache-2.0
"""Section `priors`: off by default, and refused where it names nobody who could be asked."""

import pytest

from service.settings import SettingsError, parse_settings

PACS = "  - {name: pacs, ae_title: PACS, host: localhost, port: 104}\n"
WEB = "  - {name: web, url: 'https://pacs/dicom-web'}\n"


def test_nothing_is_fetched_unless_asked_for() -> None:
    assert parse_settings("").priors is None


def test_the_defaults_are_one_study_five_years_two_minutes() -> None:
    priors = parse_settings(f"destinations:\n{PACS}priors: {{source: pacs}}\n").priors
    assert priors is not None
    assert (priors.studies, priors.years, priors.wait_seconds, priors.at_once) == (1, 5, 120, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"destinations:\n{PACS}priors: {{source: vna}}\n", "source 'vna' is no destination"),
        (f"destinations:\n{PACS}priors: {{source: vna}}\n", "known: pacs"),
        (f"destinations:\n{PACS}{WEB}priors: {{source: web}}\n", "source 'web' speaks DICOMweb alone"),
        ("priors: {source: pacs}\n", "known: none"),
        (f"destinations:\n{PACS}priors: {{source: pacs, wait: 5}}\n", "unknown key; known here: at_once, source"),
        (f"destinations:\n{PACS}priors: {{}}\n", "priors.source: is missing"),
        (f"destinations:\n{PACS}priors: {{source: pacs, studies: 0}}\n", "priors.studies: value 0"),
        (f"destinations:\n{PACS}priors: {{source: pacs, wait_seconds: 0}}\n", "priors.wait_seconds: value 0"),
        (f"destinations:\n{PACS}priors: {{source: pacs, at_once: 9}}\n", "priors.at_once: value 9"),
        (f"destinations:\n{PACS}priors: {{source: pacs, years: 0}}\n", "priors.years: value 0"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(text: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings(text)
    assert words in str(caught.value)


def test_a_source_that_is_nobody_is_told_with_its_line() -> None:
    with pytest.raises(SettingsError, match=r"line 1 with 3: priors: source 'vna'"):
        parse_settings(f"destinations:\n{PACS}priors: {{source: vna}}\n")
