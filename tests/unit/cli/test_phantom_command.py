# SPDX-License-Identifier: Apache-2.0
"""`dokuei phantom`: what it writes, lists and refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from models.phantoms.generate import Order, generate
from models.phantoms.variants.table import VARIANTS
from service.cli.app import app
from service.domain.errors import ConfigurationError

RUNNER = CliRunner()
SMALL_VOI = ("voi", "--matrix", "16")


def phantom(*arguments: object) -> str:
    """Run the command in this process; raises what it raises."""
    answer = RUNNER.invoke(app, ["phantom", *map(str, arguments)], catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    return answer.output


def test_the_same_seed_gives_the_same_bytes_and_another_other_ones(tmp_path: Path) -> None:
    for name in ("a", "b"):
        phantom(*SMALL_VOI, "--out", tmp_path / name, "--seed", 3, "--count", 2, "--preview")
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 2 * (16 + 1 + 1), "planes, pair and preview of each"
    assert all((tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes() for path in files)
    first, second = (tmp_path / "a" / f"voi-000{seed}" / "lesion-voi-0008.dcm" for seed in (3, 4))
    assert dcmread(first).PixelData != dcmread(second).PixelData
    assert dcmread(first).StudyInstanceUID != dcmread(second).StudyInstanceUID


@pytest.mark.parametrize("kind", ["radiograph", "hrct", "mammogram", "voi", "head-ct"])
def test_list_says_what_there_is(kind: str) -> None:
    rows = json.loads(phantom(kind, "--list", "--json"))
    assert all(row["name"] and row["what"] for row in rows)
    if kind in VARIANTS:
        assert [row["name"] for row in rows] == [variant.name for variant in VARIANTS[kind]]
        assert all(row["owed"] for row in rows)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ("radiograph", "--variant", "invrted"),
            "there is no variant 'invrted' of a radiograph; known are plain, mono",
        ),
        (("radiograph", "--profusion", "4/4"), "there is no profusion '4/4'; known are 0/-, 0/0"),
        (("radiograph", "--shape", "q/x"), "there is no shape 'x'; known are p, q, r, s, t, u"),
        (("radiograph", "--zone", "MIDDLE"), "there is no zone 'MIDDLE'; known are RU, RM"),
        (("hrct", "--pattern", "tumour"), "there is no pattern 'tumour'; known are normal, consolidation"),
        (("hrct", "--pattern", "emphysema", "--side", "X"), "there is no side 'X'; known are R, L, both"),
        (("hrct", "--pattern", "emphysema", "--extent", "140"), "--extent is 140; 1 to 100 can be drawn"),
        (("mammogram", "--view", "ML"), "there is no view 'ML'; known are CC, MLO"),
        (("voi", "--lesion", "spleen"), "there is no lesion kind 'spleen'; known are nodule, liver, brain"),
        (("head-ct", "--finding", "tumour"), "there is no head finding 'tumour'; known are epidural"),
    ],
)
def test_what_is_unknown_is_refused_with_what_is_known(
    arguments: tuple[str, ...], expected: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        phantom(*arguments, "--out", tmp_path / "none")
    assert expected in str(refused.value)
    assert not (tmp_path / "none").exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    phantom(*SMALL_VOI, "--out", tmp_path)
    with pytest.raises(ConfigurationError, match="is not empty; name another with --out"):
        phantom(*SMALL_VOI, "--out", tmp_path)


def test_options_reach_the_phantom(tmp_path: Path) -> None:
    phantom("hrct", "--slices", 8, "--pattern", "consolidation", "--side", "L", "--out", tmp_path)
    lungs = dcmread(sorted((tmp_path / "hrct-0001").glob("*.dcm"))[4]).pixel_array.astype(int) - 1024
    right, left = (((half > -200) & (half < 120)).mean() for half in (lungs[150:360, :256], lungs[150:360, 256:]))
    assert left > right + 0.2, "the left lung is consolidated, on the picture's right"


def test_without_the_checkout_it_says_what_is_missing(tmp_path: Path) -> None:
    """An installed node has no package `models`: here the interpreter is told that there is none."""
    script = "import sys; sys.modules['models'] = None; from service.cli import main; main()"
    answer = subprocess.run(
        [sys.executable, "-c", script, "phantom", "voi", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
    )
    assert answer.returncode == 1
    assert "run this in a source checkout" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_an_unreadable_variant_has_no_preview(tmp_path: Path) -> None:
    order = Order(kind="hrct", out=tmp_path, variant="deflated", preview=True, options={"slices": 8})
    (folder,) = generate(order, total=lambda _: None, written=lambda: None)
    assert len(list(folder.iterdir())) == 8
