# SPDX-License-Identifier: Apache-2.0
"""Our own results are recognised by any one of their marks, and nothing else is."""

import pytest

from service.domain.instance import AttributeValue
from service.domain.provenance import is_own_result


@pytest.mark.parametrize(
    "attributes",
    [
        {"Manufacturer": "Dokuei project", "ManufacturerModelName": "DOKUEI"},
        {"ManufacturerModelName": "DOKUEI-DEMO"},
        {"ManufacturerModelName": "dokuei "},
        {"ImageType": ("DERIVED", "SECONDARY", "AI_HEATMAP")},
        {"ImageType": ("DERIVED", "SECONDARY", "AI_HEATMAP", "OTHER"), "ManufacturerModelName": None},
    ],
)
def test_each_mark_is_enough(attributes: dict[str, AttributeValue]) -> None:
    assert is_own_result(attributes)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"Manufacturer": None, "ManufacturerModelName": None, "ImageType": None},
        {"Manufacturer": "FUJIFILM", "ManufacturerModelName": "DOKUEI-SCANNER", "ImageType": "ORIGINAL"},
        {"ImageType": ("DERIVED", "SECONDARY")},
        {"ImageType": ("ORIGINAL", "PRIMARY", "AI_HEATMAP")},
    ],
)
def test_other_images_pass(attributes: dict[str, AttributeValue]) -> None:
    assert not is_own_result(attributes)


def test_known_uid_is_enough() -> None:
    assert is_own_result({}, sop_instance_uid="2.25.7", own_sop_instance_uids={"2.25.7"})
    assert not is_own_result({}, sop_instance_uid="2.25.8", own_sop_instance_uids={"2.25.7"})
