# SPDX-License-Identifier: Apache-2.0
"""The site's prevalence on its way from config.yaml to the package that a child process runs."""

import pytest
from pydantic import ValidationError

from harness.shipped import shipped
from service.bootstrap.messages import CHOICES
from service.bootstrap.packages import choose_packages, choose_shadows, load_choices
from service.settings import Settings
from service.settings.inference import PipelineSettings

FILM = {"package": "pneumoconiosis-demo", "version": shipped("pneumoconiosis-demo").name}
OTHER = {"package": "pneumoconiosis-demo", "version": "9.9.9"}


def settings(**film: object) -> Settings:
    chosen = PipelineSettings.model_validate({**FILM, **film})
    return Settings().model_copy(update={"pipelines": {"pneumoconiosis": chosen}})


def test_it_reaches_the_package_through_the_message_to_the_child():
    choices = choose_packages(settings(prevalence=0.15), cores=1)
    sent = CHOICES.validate_python(CHOICES.dump_python(choices, mode="json"))
    loaded, reports = load_choices(sent, lambda _: None)
    assert reports["pneumoconiosis"].error == ""
    assert loaded["pneumoconiosis"].prevalence == 0.15


def test_unsaid_it_is_unknown_and_shadows_are_told_the_same():
    assert choose_packages(settings(), cores=1)["pneumoconiosis"].prevalence is None
    (shadow,) = choose_shadows(settings(prevalence=0.3, shadow=[OTHER]), cores=1).values()
    assert shadow.prevalence == 0.3


@pytest.mark.parametrize("value", [0, 1, -0.1, 2, "many"])
def test_what_is_no_share_is_refused(value):
    with pytest.raises(ValidationError, match="prevalence"):
        settings(prevalence=value)
