# SPDX-License-Identifier: Apache-2.0
"""What every pipeline promises, on every row of the table: headers of every kind, and never an exception."""

from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.dicom.keywords import LEDGER_KEYWORDS
from service.domain.instance import Instance
from service.domain.study import Completeness, Refusal, Selection
from service.inference.package import default_packages_folder
from service.inference.package_files import read_package
from service.pipelines import PIPELINES
from service.ports import Pipeline
from service.settings import Settings

MODALITY_OF = {"pneumoconiosis": "DX", "diffuse_lung": "CT", "mammography": "MG"}
values = st.one_of(
    st.none(),
    st.text(max_size=8),
    st.integers(-5, 5000),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.tuples(st.text(max_size=4), st.text(max_size=4)),
    st.tuples(st.floats(-9, 9), st.floats(-9, 9), st.floats(-9, 9)),
    st.sampled_from(["CR", "DX", "MG", "CT", "PA", "CHEST", "L", "R", "CC", "FOR PRESENTATION", "NaN", "1.2.3"]),
)
headers = st.dictionaries(st.sampled_from(LEDGER_KEYWORDS), values, max_size=12)


def instance(number: int, **attributes: object) -> Instance:
    return Instance(
        sop_instance_uid=f"1.2.{number}",
        sop_class_uid=str(attributes.get("SOPClassUID", "1.2.840.10008.5.1.4.1.1.2")),
        study_instance_uid="1.2",
        series_instance_uid="1.2.3",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=Path("absent.dcm"),
        sha256="",
        size_bytes=0,
        attributes=attributes,  # type: ignore[arg-type]
    )


@cache
def acceptance(name: str) -> dict[str, object]:
    choice = Settings().pipelines[name]
    return read_package(default_packages_folder() / choice.package / choice.version).manifest.acceptance


@pytest.mark.parametrize(("name", "pipeline"), PIPELINES.items())
def test_the_table_and_the_default_settings_agree(name: str, pipeline: Pipeline) -> None:
    assert pipeline.name == name
    assert name in Settings().pipelines


@pytest.mark.parametrize(("name", "pipeline"), PIPELINES.items())
def test_another_modality_is_not_wanted_and_its_refusal_says_why(name: str, pipeline: Pipeline) -> None:
    stranger = instance(1, Modality="US", SOPClassUID="1.2.840.10008.5.1.4.1.1.6.1")
    assert pipeline.completeness([stranger]) is Completeness.NOT_WANTED
    assert pipeline.completeness([]) is Completeness.NOT_WANTED
    refusal = pipeline.select([stranger], acceptance(name))
    assert isinstance(refusal, Refusal)
    assert refusal.reasons
    for reason in refusal.reasons:
        assert reason.code.replace("_", "").isalnum()
        assert reason.code == reason.code.lower()
        assert " " in reason.message


@pytest.mark.parametrize(("name", "pipeline"), PIPELINES.items())
@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault of the headers
@given(data=st.data())
def test_no_header_whatever_makes_a_pipeline_stumble(name: str, pipeline: Pipeline, data: st.DataObject) -> None:
    found = data.draw(st.lists(headers, min_size=1, max_size=4))
    modality = data.draw(st.sampled_from([MODALITY_OF[name], "XX"]))
    instances = [instance(number, **{**header, "Modality": modality}) for number, header in enumerate(found)]
    assert pipeline.completeness(instances) in Completeness
    chosen = pipeline.select(instances, acceptance(name))
    assert isinstance(chosen, Selection | Refusal)
    if isinstance(chosen, Selection):
        assert all(item in instances for item in chosen.instances)
    else:
        assert chosen.reasons
