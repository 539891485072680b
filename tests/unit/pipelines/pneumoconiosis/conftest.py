# SPDX-License-Identifier: Apache-2.0
"""The demonstration package, and instances of phantom and real films."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.shipped import shipped
from harness.variants import stored_instance
from models.recipes.pneumoconiosis_card import ACCEPTANCE
from service.domain.instance import AttributeValue, Instance
from service.inference.package import LoadedPackage, load_package

PACKAGE = shipped("pneumoconiosis-demo")
DX = "1.2.840.10008.5.1.4.1.1.1.1"

PA_CHEST: dict[str, AttributeValue] = {
    "Modality": "DX",
    "PresentationIntentType": "FOR PRESENTATION",
    "ViewPosition": "PA",
    "BodyPartExamined": "CHEST",
    "ImagerPixelSpacing": (0.2, 0.2),
    "PatientOrientation": ("L", "F"),
    "PatientAge": "065Y",
    "BitsStored": 12,
    "Rows": 2000,
    "Columns": 1800,
    "ImageType": ("ORIGINAL", "PRIMARY"),
}


@pytest.fixture(scope="session")
def package() -> LoadedPackage:
    return load_package(PACKAGE, provider="cpu")


@pytest.fixture(scope="session")
def acceptance() -> dict[str, object]:
    return dict(ACCEPTANCE)


@pytest.fixture
def film() -> Callable[..., Instance]:
    """Make an instance from attributes alone: a perfect PA chest film, changed as told."""

    def make(*, sop_class_uid: str = DX, uid: str = "1.2.3", **changes: AttributeValue) -> Instance:
        attributes = {name: value for name, value in {**PA_CHEST, **changes}.items() if value is not None}
        return Instance(
            sop_instance_uid=uid,
            sop_class_uid=sop_class_uid,
            study_instance_uid="1.2",
            series_instance_uid="1.2.1",
            transfer_syntax_uid="1.2.840.10008.1.2.1",
            path=Path("absent.dcm"),
            sha256="0" * 64,
            size_bytes=0,
            attributes=attributes,
        )

    return make


@pytest.fixture(scope="session")
def as_instance() -> Callable[[Path], Instance]:
    return stored_instance
