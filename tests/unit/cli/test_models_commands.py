# SPDX-License-Identifier: Apache-2.0
"""`dokuei models` from a skeleton to an installed package, as a research group and a site use it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.cli import main
from service.inference.package import default_packages_folder, find_packages

SHIPPED = {folder.parent.name: folder for folder in find_packages(default_packages_folder())}["diffuse-lung-demo"]


@dataclass(frozen=True, slots=True)
class Answer:
    stdout: str
    stderr: str


Ask = Callable[..., Answer]


@pytest.fixture
def models(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Run `dokuei models ...` in this process, whose imports are paid for already."""

    def ask(*arguments: object, status: int = 0) -> Answer:
        monkeypatch.setattr(sys, "argv", ["dokuei", "models", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        answer = Answer(*capsys.readouterr())
        assert (ended.value.code or 0) == status, answer
        return answer

    return ask


def answered(models: Ask, *arguments: object, status: int = 0) -> Any:
    return json.loads(models(*arguments, "--json", status=status).stdout)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", path], check=True, capture_output=True)
    public = ["openssl", "pkey", "-in", path, "-pubout", "-out", tmp_path / "key.pub"]
    subprocess.run(public, check=True, capture_output=True)
    path.chmod(0o600)
    return path


@pytest.fixture
def config(tmp_path: Path, key: Path) -> Path:
    path = tmp_path / "config.yaml"
    signatures = {"required": True, "keys": [str(key.with_suffix(".pub"))]}
    path.write_text(json.dumps({"inference": {"packages_folder": str(tmp_path / "node"), "signatures": signatures}}))
    return path


def test_from_a_skeleton_to_the_node(tmp_path: Path, key: Path, config: Path, models: Ask) -> None:
    """A research group makes a package from the skeleton, with the graphs and studies of a shipped one."""
    answer = models("init", "our-lungs", "--pipeline", "diffuse_lung", "--out", tmp_path / "ours", "--version", "1.0.0")
    folder = tmp_path / "ours" / "our-lungs" / "1.0.0"
    assert "dokuei models seal --record" in answer.stdout
    assert (folder / "manifest.yaml").read_text().count("#") > 15
    _fill_in(folder)
    sealed = answered(models, "seal", folder, "--record")
    assert sealed["recorded"] == ["golden/honeycombing/expected.json", "golden/clear/expected.json"]
    (report,) = answered(models, "check", folder)
    assert report["identity"]["status"] == "research"
    assert {name: study["outcome"] for name, study in report["studies"].items()} == {
        "honeycombing": "findings",
        "clear": "no_findings",
    }
    models("sign", folder, "--key", key, "--days", 365)
    exported = answered(models, "export", folder, "--out", tmp_path / "ours.cadpkg")
    installed = answered(models, "install", tmp_path / "ours.cadpkg", "--config", config)
    assert installed["folder"] == str(tmp_path / "node" / "our-lungs" / "1.0.0")
    (listed,) = answered(models, "list", "--config", config)
    assert listed["identity"]["sha256"] == exported["sha256"]
    assert len(listed["signers"]) == 1


def _fill_in(folder: Path) -> None:
    """Do what the skeleton asks a person for."""
    for part in ("graphs", "golden"):
        shutil.copytree(SHIPPED / part, folder / part, dirs_exist_ok=True)
    for record in folder.glob("golden/*/expected.json"):
        record.unlink()
    shipped = yaml.safe_load((SHIPPED / "manifest.yaml").read_text())
    path = folder / "manifest.yaml"
    mine = yaml.safe_load(path.read_text())
    for name in (
        "graphs",
        "classes",
        "operating_points",
        "triage_operating_point",
        "parameters",
        "acceptance",
        "golden",
        "golden_studies",
        "decompositions",
    ):
        mine[name] = shipped[name]
    path.write_text(yaml.safe_dump({**mine, "title": "Our lungs"}, sort_keys=False))


def test_a_skeleton_says_what_is_still_to_do(tmp_path: Path, models: Ask) -> None:
    models("init", "ours", "--pipeline", "mammography", "--out", tmp_path)
    folder = tmp_path / "ours" / "0.1.0"
    problem = answered(models, "check", folder, "--quick", status=1)[0]["problem"]
    assert "files" in problem
    assert (
        "exists; a version never changes"
        in models("init", "ours", "--pipeline", "mammography", "--out", tmp_path, status=1).stderr
    )


@pytest.mark.parametrize("arguments", [("Bad Name", "--pipeline", "mammography"), ("good", "--pipeline", "ultrasound")])
def test_a_skeleton_of_nothing_is_refused(tmp_path: Path, arguments: tuple[str, ...], models: Ask) -> None:
    models("init", *arguments, "--out", tmp_path, status=1)
    assert list(tmp_path.iterdir()) == []


def test_promotion_makes_a_new_version_beside_the_old(tmp_path: Path, key: Path, models: Ask) -> None:
    listed = {entry["identity"]["name"]: entry["identity"] for entry in answered(models, "list")}
    digest = listed["diffuse-lung-demo"]["sha256"]
    report = tmp_path / "report.html"
    report.write_text(f"<p>{digest}</p>")
    arguments = ("--version", "9.0.0", "--report", report, "--approver", "Dr A. Example", "--key", key)
    promoted = answered(models, "promote", SHIPPED, *arguments, "--out", tmp_path / "out")
    assert promoted["status"] == "research"
    assert promoted["sha256"] != digest
    changed = answered(models, "diff", SHIPPED, promoted["folder"], status=1)
    keys = {change["key"]: (change["before"], change["after"]) for change in changed["manifest"]}
    assert keys["status"] == ("demonstration", "research")
    assert keys["version"] == (SHIPPED.name, "9.0.0")
    assert keys["promotions.0.approver"] == ("(absent)", "Dr A. Example")
    assert changed["graphs"] == changed["operating_points"] == []


def test_diff_tells_operating_points_and_golden_results_apart(tmp_path: Path, models: Ask) -> None:
    import numpy as np

    other = Path(shutil.copytree(SHIPPED, tmp_path / SHIPPED.parent.name / SHIPPED.name))
    path = other / "manifest.yaml"
    manifest = yaml.safe_load(path.read_text())
    name = manifest["triage_operating_point"]
    before = manifest["operating_points"][name]["threshold"]
    manifest["operating_points"][name]["threshold"] = 0.123
    path.write_text(yaml.safe_dump(manifest, sort_keys=False))
    golden = other / "golden" / "patterns-00.npz"
    with np.load(golden) as stored:
        arrays = {key: stored[key] for key in stored.files}
    arrays["outputs/logits"] = arrays["outputs/logits"] + np.float32(0.25)
    np.savez(golden, **arrays)
    models("seal", other)
    changed = answered(models, "diff", SHIPPED, other, status=1)
    assert changed["operating_points"] == [{"key": f"{name}.threshold", "before": before, "after": 0.123}]
    assert changed["golden"]["golden/patterns-00.npz: logits"] == pytest.approx(0.25)
    assert changed["golden"]["golden/patterns-00.npz: cam"] == 0
    assert answered(models, "diff", SHIPPED, SHIPPED)["manifest"] == []


def test_what_is_no_package_is_refused_with_the_reason(tmp_path: Path, models: Ask) -> None:
    (tmp_path / "x.cadpkg").write_bytes(b"PK\x03\x04" + b"x" * 100)
    (report,) = answered(models, "check", tmp_path / "x.cadpkg", status=1)
    assert not report["ok"]
    assert "damaged" in report["problem"]
