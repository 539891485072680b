# SPDX-License-Identifier: Apache-2.0
"""A site's labels and images are joined; what is not used is counted, and nothing leaks between parts."""

from dataclasses import replace

import numpy as np
import pytest

from models.data.__main__ import main
from models.data.images import pixel_hash, radiograph, stored_image
from models.data.problem import DataError
from models.data.site import load_site, without_duplicates
from models.data.splits import refuse_leakage, split_by_patient


def row(study=None, *, patient="patient-1", label="1", **more):
    uid = {"study_uid": study.study_instance_uid} if study else {}
    return {"study_uid": "", **uid, "patient_id_hash": patient, "target": "dust", "label": label, **more}


def reasons(data):
    return {out.what: out.reason for out in data.left_out}


@pytest.mark.parametrize("key", ["study_uid", "series_uid", "sop_uid", "file"])
def test_an_image_is_found_by_each_key(film, write_labels, write_site, key):
    path, study = film("a", value=500)
    film("b")
    value = {
        "study_uid": study.study_instance_uid,
        "series_uid": study.uid("Chest PA", "series"),
        "sop_uid": study.uid("Chest PA", "instance", 1),
        "file": "a.dcm",
    }[key]
    write_labels([{key: value, "patient_id_hash": "patient-1", "target": "dust", "label": "1"}])
    data = load_site(write_site())
    (found,) = data.images
    assert (found.image.path, found.positive, found.site, found.view) == (path, True, "here", "PA")
    assert reasons(data) == {"b.dcm": "no label for target 'dust'"}


def test_keys_that_disagree_match_nothing(film, write_labels, write_site):
    _, one = film("a")
    _, two = film("b")
    write_labels([row(one, sop_uid=two.uid("Chest PA", "instance", 1)), row(one, sop_uid="", patient="patient-1")])
    assert reasons(load_site(write_site()))["line 2"] == "labelled, and no such image in the folder"


def test_everything_that_is_left_out_is_named(film, write_labels, write_site, tmp_path):
    studies = {name: film(name, value=900 + number)[1] for number, name in enumerate("abcdefg")}
    (tmp_path / "images" / "broken.dcm").write_bytes(b"no DICOM at all")
    write_labels(
        [
            {"view": "", "exclude_reason": "", "reader": "", **each}
            for each in (
                row(studies["a"], exclude_reason="rotated"),
                row(studies["b"], label="perhaps"),
                row(studies["c"], reader="x"),
                row(studies["c"], reader="y", label="0"),
                row(studies["d"]),
                row(studies["f"], view="LL"),
                {**row(), "study_uid": "1.2.3"},
                {**row(studies["g"]), "target": "other"},
            )
        ]
    )
    data = load_site(write_site(views="[PA]"))
    told = reasons(data)
    assert [image.image.file for image in data.images] == ["d.dcm"]
    assert told.pop("broken.dcm").startswith("unreadable: ")
    assert told == {
        "a.dcm": "excluded: rotated",
        "b.dcm": "label perhaps is neither positive nor negative",
        "c.dcm": "readers are split evenly",
        "e.dcm": "no label for target 'dust'",
        "f.dcm": "view LL is not one of PA",
        "g.dcm": "no label for target 'dust'",
        "line 8": "labelled, and no such image in the folder",
    }


def test_the_majority_of_readers_counts(film, write_labels, write_site):
    _, study = film("a")
    write_labels([row(study, reader=reader, label=label) for reader, label in (("x", "1"), ("y", "0"), ("z", "0"))])
    assert [image.positive for image in load_site(write_site()).images] == [False]


def test_rows_by_different_keys_cannot_name_two_patients(film, write_labels, write_site):
    _, study = film("a")
    sop = study.uid("Chest PA", "instance", 1)
    write_labels([row(study, sop_uid=""), {**row(patient="patient-2"), "sop_uid": sop}])
    with pytest.raises(DataError, match="no image is left") as caught:
        load_site(write_site())
    assert "its rows name different patients" in str(caught.value)


def test_the_same_pixels_are_used_once_and_under_one_patient_only(film, write_labels, write_site):
    studies = [film(name, value=value)[1] for name, value in (("a", 9), ("b", 9), ("c", 20), ("d", 20), ("e", 30))]
    patients = ["patient-1", "patient-1", "patient-2", "patient-3", "patient-4"]
    write_labels([row(study, patient=patient) for study, patient in zip(studies, patients, strict=True)])
    data = without_duplicates(load_site(write_site()))
    assert [image.image.file for image in data.images] == ["a.dcm", "e.dcm"]
    assert reasons(data) == {
        "b.dcm": "the same pixels as a.dcm",
        "c.dcm": "the same pixels under two patients or labels",
        "d.dcm": "the same pixels under two patients or labels",
    }


def test_pixels_that_do_not_decode_are_counted(film, write_labels, write_site):
    path, study = film("a")
    _, other = film("b", value=77)
    path.write_bytes(path.read_bytes()[:-20])
    write_labels([row(study), row(other, patient="patient-2")])
    data = without_duplicates(load_site(write_site()))
    assert len(data.images) == 1
    assert "unreadable" in data.summary()


def test_the_summary_gives_prevalence_by_site(film, write_labels, write_site):
    studies = [film(name)[1] for name in "abc"]
    write_labels(
        [
            row(studies[0], site="east"),
            row(studies[1], label="0", site="east", patient="patient-2"),
            row(studies[2], label="0", site="", patient="patient-3"),
        ]
    )
    told = load_site(write_site()).summary()
    assert "3 images of 3 patients, 1 (33.3%) positive" in told
    assert "site east: 2 images, 1 (50.0%) positive" in told
    assert "site here: 1 images, 0 (0.0%) positive" in told


def test_pictures_come_through_the_same_contract(png, film):
    pixels = np.arange(48, dtype=np.uint8).reshape(8, 6)
    path = png("a.png", pixels)
    shown = radiograph(path, pixel_size_mm=0.2)
    assert shown.pixel_spacing_mm == (0.2, 0.2)
    np.testing.assert_allclose(shown.pixels, pixels / 47, atol=1e-6)
    coloured = png("b.png", np.repeat(pixels[..., None], 3, axis=2))
    assert pixel_hash(coloured) == pixel_hash(path)
    assert pixel_hash(png("c.png", pixels.reshape(6, 8))) != pixel_hash(path)
    wide = png("d.png", pixels.astype(np.uint16) * 257)
    assert stored_image(wide).bits_stored == 16
    for channel in (1, 2):
        tinted = np.repeat(pixels[..., None], 3, axis=2)
        tinted[0, 0, channel] = 9
        with pytest.raises(DataError, match="not grey"):
            stored_image(png("e.png", tinted))
    path.write_bytes(b"\x89PNG broken")
    with pytest.raises(DataError, match="cannot be read as a picture"):
        stored_image(path)


def test_dicom_is_decoded_by_the_node(film):
    path, _ = film("a", value=1000, photometric="MONOCHROME1", patient_orientation=("R", "F"))
    shown = radiograph(path)
    assert shown.patient_orientation == ("L", "F")
    assert shown.pixels[0, -1] < shown.pixels[0, 0]


@pytest.fixture
def many(film, write_labels, write_site):
    rows = []
    for number in range(24):
        _, study = film(f"f{number:02d}", value=100 + number)
        site = "east" if number % 3 else "west"
        rows.append(row(study, patient=f"patient-{number // 2}", label=str(number // 2 % 2), site=site))
    write_labels(rows)
    return load_site(write_site())


def test_a_split_keeps_patients_together_and_labels_in_balance(many):
    parts = split_by_patient(many.images, folds=3, seed=4)
    assert sorted(image.image.file for part in parts for image in part) == [image.image.file for image in many.images]
    patients = [{image.patient for image in part} for part in parts]
    assert not patients[0] & patients[1]
    assert not (patients[0] | patients[1]) & patients[2]
    assert all(2 <= sum(image.positive for image in part) <= 6 for part in parts)
    assert split_by_patient(many.images, folds=3, seed=4) == parts
    assert split_by_patient(many.images, folds=3, seed=5) != parts


def test_too_few_patients_for_the_parts_are_refused(many):
    with pytest.raises(DataError, match="6 patients are positive, 7 parts"):
        split_by_patient(many.images, folds=7)


def test_leakage_by_patient_and_by_pixels_is_refused(many):
    one, two = many.images[0], many.images[4]
    refuse_leakage({"train": [one], "test": [two]})
    with pytest.raises(DataError, match="patient patient-0 is in test and train"):
        refuse_leakage({"train": [one], "test": [two, many.images[1]]})
    with pytest.raises(DataError, match=r"f00\.dcm and f04\.dcm hold the same pixels, in test and train"):
        refuse_leakage({"train": [replace(one, pixels_sha256="x")], "test": [replace(two, pixels_sha256="x")]})


def test_a_split_of_the_site_s_own_that_leaks_is_refused(film, write_labels, write_site, capsys):
    studies = [film(name, value=value)[1] for name, value in (("a", 5), ("b", 6))]
    write_labels([row(study, split=split) for study, split in zip(studies, ("train", "test"), strict=True)])
    assert main(["check", str(write_site())]) == 1
    assert "patient patient-1 is in test and train" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"positive": "[]"}, "positive"),
        ({"colour": "red"}, "colour.*known keys"),
        ({"negative": '["1"]'}, "label 1 is both positive and negative"),
        ({"folder": "nowhere"}, "there is no folder"),
        ({"name": "{"}, "cannot be read as YAML"),
    ],
)
def test_settings_that_do_not_fit_are_refused(write_site, write_labels, change, message):
    write_labels([{**row(), "study_uid": "1.2"}])
    with pytest.raises(DataError, match=message):
        load_site(write_site(**change))


def test_a_table_that_is_not_there_is_named_without_a_traceback(tmp_path, capsys):
    site = tmp_path / "SITE.yaml"
    site.write_text("name: x\nfolder: .\nlabels: absent.csv\ntarget: t\npositive: ['1']\nnegative: ['0']\n")
    assert main(["check", str(site)]) == 1
    assert (
        f"{tmp_path / 'absent.csv'}: cannot be read or written (No such file or directory)" in capsys.readouterr().err
    )
