# SPDX-License-Identifier: Apache-2.0
"""Codes in phantoms mean what they say: a wrong one would hide the same mistake in the node."""

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sr._concepts_dict import concepts

from models.phantoms import axial, dicom
from models.phantoms.dicom import PhantomStudy, coded, write_dx
from models.phantoms.mammogram import files
from models.phantoms.variants import mammogram_edits, radiograph_edits
from service.dicom.header import read_attributes
from service.pipelines.pneumoconiosis import headers

ITEMS = {
    item.CodeMeaning: item
    for item in (
        *dicom._VIEWS.values(),
        *files._VIEW_CODES.values(),
        *radiograph_edits.VIEW_CODES.values(),
        *(
            coded(code, "SCT", meaning)
            for code, meaning in (axial.CHEST.region, axial.HEAD.region, axial.ABDOMEN.region)
        ),
        files.SPOT,
        mammogram_edits.MAGNIFICATION,
        mammogram_edits.IMPLANT_DISPLACED,
    )
}


@cache
def meanings(value: str) -> frozenset[str]:
    """What pydicom's copy of the standard calls a SNOMED CT code, and what an older one called it."""
    older = {"51185008": "chest"}  # CID 4031 until 2020
    found = {named[value][0].casefold() for named in concepts["SCT"].values() if value in named}
    return frozenset(found | ({older[value]} if value in older else set()))


@pytest.mark.parametrize("meaning", ITEMS)
def test_a_code_means_what_it_says(meaning: str) -> None:
    item: Dataset = ITEMS[meaning]
    assert meaning.casefold() in meanings(str(item.CodeValue)), f"{item.CodeValue} is {set(meanings(item.CodeValue))}"


def view_codes() -> Iterator[tuple[str, str]]:
    letters = {"postero-anterior": "PA", "antero-posterior": "AP", "left lateral": "LL", "right lateral": "RL"}
    for meaning, view in letters.items():
        values = {value for named in concepts["SCT"].values() for value, says in named.items() if says[0] == meaning}
        yield from ((value, view) for value in values)


@pytest.mark.parametrize(("value", "view"), tuple(view_codes()))
def test_the_gate_reads_the_codes_of_the_standard(value: str, view: str) -> None:
    assert headers._VIEW_CODES[value] == view


def test_a_phantom_says_its_view_twice_and_alike(tmp_path) -> None:
    pixels = np.zeros((8, 8), np.uint16)
    for view in ("PA", "AP", "LL"):
        path = write_dx(tmp_path / f"{view}.dcm", pixels, study=PhantomStudy(seed=view), view=view)
        attributes = read_attributes(path)
        assert headers._VIEW_CODES[attributes["ViewCodeSequence.CodeValue"]] == attributes["ViewPosition"] == view
