# SPDX-License-Identifier: Apache-2.0
"""A tiny site: DICOM files and pictures with their labels."""

import csv

import numpy as np
import pytest
from PIL import Image

from models.phantoms.dicom import PhantomStudy, write_dx

HEADER = ("sop_uid", "patient_id_hash", "target", "label")


@pytest.fixture
def write_labels(tmp_path):
    """Write rows (dicts) as labels.csv; returns the path."""

    def write(rows, columns=None, name="labels.csv"):
        path = tmp_path / name
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns or list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        return path

    return write


@pytest.fixture
def film(tmp_path):
    """Write one DX film of a few pixels; returns (path, study)."""

    def write(name, *, value=1000, folder="images", **options):
        study = PhantomStudy(seed=name)
        pixels = np.full((8, 6), value, dtype=np.uint16)
        pixels[0, 0] = value // 2
        path = tmp_path / folder / f"{name}.dcm"
        return write_dx(path, pixels, study=study, **options), study

    return write


@pytest.fixture
def png(tmp_path):
    """Write one PNG; returns its path."""

    def write(name, pixels, folder="images"):
        path = tmp_path / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def write_site(tmp_path):
    """Write SITE.yaml; returns its path."""

    def write(**more):
        keys = {
            "name": "here",
            "folder": "images",
            "labels": "labels.csv",
            "target": "dust",
            "positive": '["1"]',
            "negative": '["0"]',
            **more,
        }
        path = tmp_path / "site.yaml"
        path.write_text("".join(f"{key}: {value}\n" for key, value in keys.items()), encoding="utf-8")
        return path

    return write
