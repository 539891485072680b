# SPDX-License-Identifier: Apache-2.0
"""What is encoded here is what pydicom would write, and what is encoded once stays as it is."""

from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from harness.studies import context_of, result_of
from service.codes import dcm
from service.domain.instance import Instance
from service.domain.profile import EncodingProfile, Language
from service.domain.result import Outcome
from service.ports import ResultKind
from service.results import ENCODERS
from service.results.object.encoding import element_bytes
from service.results.object.equipment import code_element, code_item


@pytest.mark.parametrize("kind", list(ENCODERS))
@pytest.mark.parametrize("language", list(Language))
def test_files_are_what_pydicom_writes(
    kind: ResultKind, language: Language, radiograph: Instance, tmp_path: Path
) -> None:
    context = context_of(radiograph, profile=EncodingProfile(language=language))
    for entry in ENCODERS[kind](result_of("CR", (radiograph,), Outcome.PARTLY_ANALYSED), context, tmp_path):
        again = BytesIO()
        pydicom.dcmwrite(again, pydicom.dcmread(entry.path), enforce_file_format=True)
        assert again.getvalue() == entry.path.read_bytes()


def test_an_encoded_code_is_the_same_object_each_time_and_the_same_bytes_as_a_new_one() -> None:
    dataset = Dataset()
    dataset.ConceptNameCodeSequence = [code_item(dcm("121071"))]
    once, twice = (code_element("ConceptNameCodeSequence", dcm("121071")) for _ in range(2))
    assert once is twice
    assert element_bytes(once) == element_bytes(dataset["ConceptNameCodeSequence"])


def test_nested_text_is_written_in_the_codecs_that_are_given() -> None:
    inner, outer = Dataset(), Dataset()
    inner.TextValue = "所見 12 mm"
    outer.ContentSequence = [inner]
    raw = element_bytes(outer["ContentSequence"], ["csiso2022jp"])
    assert "所見 12 mm".encode("iso2022_jp") in raw
