# SPDX-License-Identifier: Apache-2.0
"""Recipes of public sets: complete, honest about what was verified, and turned into labels.csv without a network."""

import ast
import gzip
import hashlib
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

import models.data
from models.data.__main__ import main
from models.data.checksums import as_text, parse
from models.data.labels import read_labels
from models.data.prepare import prepare
from models.data.problem import DataError
from models.data.public import Recipe, load_recipe, load_recipes
from models.data.site import load_site, without_duplicates

NAMED = """jsrt montgomery shenzhen chexmask rsna-pneumonia nih-chestxray14 padchest vindr-cxr medgift-ild osic
vindr-mammo cbis-ddsm inbreast embed cmmd csaw-cc uls23 lidc-idri cq500 rsna-ich"""
NIH_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]\n"
)
NETWORK = {"socket", "urllib", "http", "requests", "httpx", "aiohttp", "ftplib", "boto3", "huggingface_hub", "ssl"}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def nih(tmp_path, png):
    """Four films of the set as the NIH lays them, one of them missing."""
    for name, value in (("00000001_000.png", 10), ("00000002_000.png", 20), ("00000003_000.png", 30)):
        png(name, np.full((4, 10), value, dtype=np.uint8) + np.arange(10, dtype=np.uint8), folder="nih/images")
    table = tmp_path / "nih" / "Data_Entry_2017_v2020.csv"
    table.write_text(
        NIH_HEADER
        + "00000001_000.png,Pneumonia|Fibrosis,0,1,57,M,PA,100,137,0.143,0.143\n"
        + "00000002_000.png,No Finding,0,2,57,F,AP,100,137,0.2,0.2\n"
        + "00000003_000.png,Hernia,0,3,57,F,PA,100,137,,\n"
        + "00000004_000.png,No Finding,0,4,57,F,PA,100,137,0.2,0.2\n",
        encoding="utf-8",
    )
    return tmp_path / "nih"


def test_every_set_has_a_recipe_that_fits():
    assert set(NAMED.split()) <= {recipe.name for recipe in load_recipes()}


@pytest.mark.parametrize("recipe", load_recipes(), ids=lambda recipe: recipe.name)
def test_what_is_not_verified_says_so(recipe, capsys):
    assert main(["show", recipe.name]) == 0
    shown = capsys.readouterr().out
    assert recipe.licence.terms in shown
    assert recipe.homepage in shown
    assert ("NOT VERIFIED" in shown) == (not recipe.licence.verified)
    assert ("mapping was NOT tried" in shown) == (recipe.converts and not recipe.mapping_verified)


def test_only_what_was_read_or_tried_is_marked_so():
    assert {recipe.name for recipe in load_recipes() if recipe.licence.verified} == {"nih-chestxray14", "cbis-ddsm"}
    assert {recipe.name for recipe in load_recipes() if recipe.mapping_verified} == {"nih-chestxray14"}


def test_nothing_here_imports_a_network():
    for path in Path(models.data.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.partition(".")[0] for name in names} & NETWORK, path


def test_terms_come_first_and_nothing_is_written_without_their_acceptance(nih, tmp_path, capsys):
    assert main(["prepare", "nih-chestxray14", "--folder", str(nih)]) == 2
    told = capsys.readouterr()
    assert "https://nihcc.app.box.com/v/ChestXray-NIHCC" in told.out
    assert "--accept-licence" in told.err
    assert not (nih / "SHA256SUMS").exists()
    assert not (tmp_path / "nih-labels.csv").exists()


def test_labels_patients_views_and_pixel_sizes_become_ours(nih, tmp_path, write_site):
    arguments = ["prepare", "nih-chestxray14", "--folder", str(nih), "--accept-licence", "--target", "pneumonia"]
    assert main(arguments) == 0
    rows = [line.row for line in read_labels(tmp_path / "nih-labels.csv")]
    assert [(row.file, row.label, row.view, row.pixel_size_mm) for row in rows] == [
        ("images/00000001_000.png", "1", "PA", 1.43),
        ("images/00000002_000.png", "0", "AP", 2.0),
        ("images/00000003_000.png", "0", "PA", None),
    ]
    assert [row.exclude_reason for row in rows] == [None, None, "neither positive nor negative: Hernia"]
    assert rows[0].patient_id_hash == hashlib.sha256(b"nih-chestxray14/1").hexdigest()[:24]
    site = write_site(folder="nih", labels="nih-labels.csv", target="pneumonia")
    assert [image.positive for image in load_site(site).images] == [True, False]
    assert main(arguments) == 1, "labels that are there are not overwritten"


def test_the_default_target_and_a_packed_table(nih, tmp_path):
    table = nih / "Data_Entry_2017_v2020.csv"
    (nih / "Data_Entry_2017_v2020.csv.gz").write_bytes(gzip.compress(table.read_bytes()))
    table.unlink()
    prepared = prepare(load_recipe("nih-chestxray14"), nih, target="abnormal")
    assert (prepared.images, prepared.absent, prepared.positive, prepared.excluded) == (3, 1, 2, 0)


def test_a_changed_file_is_found_at_the_second_use(nih, tmp_path, capsys):
    arguments = ["prepare", "nih-chestxray14", "--folder", str(nih), "--accept-licence"]
    assert main(arguments) == 0
    (tmp_path / "nih-labels.csv").unlink()
    image = nih / "images" / "00000001_000.png"
    image.write_bytes(image.read_bytes() + b"\0")
    assert main(arguments) == 1
    assert "1 changed: images/00000001_000.png" in capsys.readouterr().err
    assert not (tmp_path / "nih-labels.csv").exists()


def test_checksums_are_those_of_sha256sum(nih, capsys):
    assert main(["checksum", str(nih)]) == 0
    first = (nih / "SHA256SUMS").read_text("utf-8").splitlines()[0]
    table = nih / "Data_Entry_2017_v2020.csv"
    assert first == f"{hashlib.sha256(table.read_bytes()).hexdigest()}  Data_Entry_2017_v2020.csv"
    assert main(["checksum", str(nih)]) == 0
    assert "are as recorded" in capsys.readouterr().out
    (nih / "new.txt").touch()
    (nih / "images" / "00000002_000.png").unlink()
    assert main(["checksum", str(nih)]) == 1
    told = capsys.readouterr().err
    assert "1 missing: images/00000002_000.png; 1 not in the list: new.txt" in told


def test_a_list_that_is_none_is_refused():
    assert parse(as_text({"b c": "0" * 64}), where="x") == {"b c": "0" * 64}
    with pytest.raises(DataError, match="x, line 2"):
        parse("0" * 64 + "  a\nnonsense\n", where="x")


def test_labels_in_file_names(png, tmp_path):
    for number, label in (("0001", 0), ("0002", 1)):
        png(f"CHNCXR_{number}_{label}.png", np.zeros((4, 4), dtype=np.uint8), folder="set/CXR_png")
        png(f"CHNCXR_{number}_{label}_mask.png", np.zeros((4, 4), dtype=np.uint8), folder="set/mask")
    prepared = prepare(load_recipe("shenzhen"), tmp_path / "set", target="tuberculosis")
    assert (prepared.images, prepared.positive) == (2, 1)


def test_columns_that_a_release_lacks_are_named(nih):
    table = nih / "Data_Entry_2017_v2020.csv"
    table.write_text(table.read_text("utf-8").replace("Patient ID", "Patient"), encoding="utf-8")
    with pytest.raises(DataError, match="lacks the columns Patient ID"):
        prepare(load_recipe("nih-chestxray14"), nih, target="abnormal")


def test_an_image_that_could_be_two_is_refused(nih, png):
    png("00000001_000.png", np.zeros((4, 4), dtype=np.uint8), folder="nih/other")
    shutil.move(nih / "images", nih / "pictures")
    with pytest.raises(DataError, match=r"00000001_000\.png could be other/.* or pictures/"):
        prepare(load_recipe("nih-chestxray14"), nih, target="abnormal")


@pytest.mark.parametrize(
    ("name", "target", "message"),
    [
        ("nih-chestxray14", "cancer", "no target 'cancer'; known are abnormal, pneumonia"),
        ("lidc-idri", "nodule", "no labels that are converted: Its outlines are XML"),
        ("jsrt", "nodule", "none of the 0 images"),
        ("vindr-mammo", "birads-4-or-5", "needs its table breast-level_annotations.csv"),
    ],
)
def test_what_cannot_be_prepared_says_why(tmp_path, name, target, message):
    with pytest.raises(DataError, match=message):
        prepare(load_recipe(name), tmp_path, target=target)


def test_an_unknown_set_is_refused_with_the_known_ones():
    with pytest.raises(DataError, match=r"there is no recipe 'mnist'; known are .*nih-chestxray14"):
        load_recipe("mnist")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"licence": {"verified": True, "checked": ""}}, "says in `checked`"),
        ({"pixel_size": {"rule": "fixed"}}, "needs mm"),
        ({"pixel_size": {"rule": "column", "column": "a", "original": ""}}, "needs column and original"),
        ({"targets": {}}, "targets go with"),
        ({"no_labels": "because"}, "either tables or names"),
        ({"targets": {"x": {}}}, "positive words, negative words"),
        ({"homepage": "ftp://somewhere"}, "homepage"),
        ({"licence": {"commercial": "perhaps"}}, "commercial"),
    ],
)
def test_a_recipe_that_contradicts_itself_is_refused(change, message):
    given = load_recipe("nih-chestxray14").model_dump()
    licence = {**given["licence"], **change.get("licence", {})}
    with pytest.raises(ValidationError, match=message):
        Recipe.model_validate({**given, **change, "licence": licence})


@pytest.mark.real_data
def test_nih_films_with_the_full_table(real_data_folder, tmp_path):
    """The excerpts at 1024 and 512 pixels, labelled by the set's own table; one film is in both classes' folders."""
    folder = tmp_path / "nih"
    for part in ("cxr_nih", "cxr_nih_512"):
        shutil.copytree(real_data_folder / part, folder / part, ignore=shutil.ignore_patterns("*.csv"))
    shutil.copy(next((real_data_folder / "cxr_txv").rglob("Data_Entry_2017_v2020.csv.gz")), folder)
    assert (
        main(["prepare", "nih-chestxray14", "--folder", str(folder), "--accept-licence", "--target", "pneumonia"]) == 0
    )
    site = tmp_path / "site.yaml"
    keys = {"name": "nih", "folder": "nih", "labels": "nih-labels.csv", "target": "pneumonia"}
    site.write_text(yaml.safe_dump({**keys, "positive": ["1"], "negative": ["0"]}), encoding="utf-8")
    data = without_duplicates(load_site(site))
    assert (len(data.images), sum(image.positive for image in data.images)) == (216, 61)
    assert [out.reason.startswith("the same pixels as") for out in data.left_out] == [True]
    sizes = {round(image.pixel_size_mm * width) for image in data.images for width in [_width(image)]}
    assert min(sizes) > 250
    assert max(sizes) < 450, "a film is 25 to 45 cm wide"


def _width(image):
    return image.open().pixels.shape[1]


@pytest.mark.real_data
@pytest.mark.parametrize(("part", "images"), [("cxr_nih", 32), ("cxr_nih_512", 185)])
def test_nih_excerpts_with_their_own_table(real_data_folder, tmp_path, part, images):
    prepared = prepare(load_recipe("nih-chestxray14"), real_data_folder / part, target="abnormal")
    assert (prepared.images, prepared.absent) == (images, 0)
    path = tmp_path / "labels.csv"
    path.write_text(prepared.text, encoding="utf-8")
    assert sum(line.row.label == "1" for line in read_labels(path)) == prepared.positive > 0
