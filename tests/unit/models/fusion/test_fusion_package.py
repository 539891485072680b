# SPDX-License-Identifier: Apache-2.0
"""The command finds planted columns, and its graph alone makes of raw values what training made of them."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch", reason="needs the optional extra `train`")

from planted_tables import rows, write  # noqa: E402

from models.fusion.__main__ import main  # noqa: E402
from models.fusion.graph import OUTPUTS, FusionGraph  # noqa: E402
from models.fusion.preparation import prepare  # noqa: E402
from models.fusion.selection import SelectionNetwork  # noqa: E402
from models.fusion.table import Roles, Table, make_table, read_rows  # noqa: E402
from service.inference.onnx_file import check_onnx  # noqa: E402

ROLES = Roles(target="target", patient="PatientID", study="StudyInstanceUID")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fusion")
    found = rows(1, patients=300, noise=6)
    features = ("StudyInstanceUID", *(name for name in found[0] if name.startswith("feature")))
    write(folder / "image.csv", [{name: row[name] for name in features} for row in found])
    write(folder / "table.csv", [{k: v for k, v in row.items() if k not in features[1:]} for row in found])
    arguments = ["train", str(folder / "table.csv"), "--target", "target", "--join", str(folder / "image.csv")]
    for name in ("first", "second"):
        assert main([*arguments, "--out", str(folder / name), "--half-samples", "8"]) == 0
    return folder


def _table(folder: Path) -> Table:
    found = read_rows(folder / "table.csv")
    image = {row["StudyInstanceUID"]: row for row in read_rows(folder / "image.csv")}
    return make_table([row | image[row["StudyInstanceUID"]] for row in found], ROLES)


def _contract(folder: Path) -> Any:
    return json.loads((folder / "first" / "fusion.json").read_text(encoding="utf-8"))


def test_planted_columns_come_first_and_the_area_is_high(trained: Path) -> None:
    contract = _contract(trained)
    ordered = sorted(contract["inputs"], key=lambda each: -each["importance"])
    assert {each["name"] for each in ordered[:3]} == {"feature 0", "feature 1", "age"}
    assert all(each["stable"] for each in ordered[:3])
    metric = contract["training"]["metrics"][0]
    assert metric["name"] == "AUC, held-out patients"
    low, high = metric["interval_95"]
    assert 0.7 < low < metric["value"] < high
    assert metric["patients"] + contract["training"]["patients"] == 300


def test_one_seed_is_one_result(trained: Path) -> None:
    for name in ("fusion.json", "fusion.onnx", "importance.csv", "path.csv"):
        assert (trained / "first" / name).read_bytes() == (trained / "second" / name).read_bytes()


def test_the_contract_says_what_goes_in_and_what_it_may_be_used_for(trained: Path) -> None:
    contract = _contract(trained)
    assert (contract["status"], contract["clinical_use"]) == ("research", "prohibited")
    columns = contract["input"]["columns"]
    smoking = next(each for each in columns if each["name"] == "SmokingStatus")
    assert smoking == {"name": "SmokingStatus", "source": "DICOM attribute", "kind": "words", "words": ["NO", "YES"]}
    age = next(each for each in columns if each["name"] == "age")
    assert age["mean"] == pytest.approx(60, abs=3)
    data = (trained / "first" / "fusion.onnx").read_bytes()
    assert contract["files"]["fusion.onnx"] == hashlib.sha256(data).hexdigest()
    check_onnx(data, where="fusion.onnx")


def test_the_graph_alone_gives_what_the_contract_describes(trained: Path) -> None:
    """Imputation, indicators, one-hot lists, scales and weights, computed here from the contract, row by row."""
    contract, table = _contract(trained), _table(trained)
    columns = {each["name"]: each for each in contract["input"]["columns"]}
    values, expected = [], []
    for row in range(60):
        raw = {name: column[row] for name, column in {**table.numbers, **table.words}.items()}
        values.append([_encoded(raw[name], each) for name, each in columns.items()])
        inputs = [_input(raw, each, columns) for each in contract["inputs"]]
        weighted = [
            (value - each["centre"]) / each["scale"] * each["weight"]
            for value, each in zip(inputs, contract["inputs"], strict=True)
        ]
        expected.append(weighted)
    session = onnxruntime.InferenceSession(str(trained / "first" / "fusion.onnx"), providers=["CPUExecutionProvider"])
    logit, score, weighted, importance = session.run(list(OUTPUTS), {"values": np.array(values, dtype=np.float32)})
    np.testing.assert_allclose(weighted, expected, atol=1e-4)
    bias = logit - weighted.sum(axis=1)
    np.testing.assert_allclose(bias, bias[0], atol=1e-4)
    np.testing.assert_allclose(score, 1 / (1 + np.exp(-logit)), atol=1e-6)
    np.testing.assert_allclose(importance[7], [each["importance"] for each in contract["inputs"]], atol=1e-6)


def _encoded(value: Any, column: Any) -> float:
    if column["kind"] == "number":
        return float(value)
    return float("nan") if value == "" else float(column["words"].index(value))


def _input(raw: Any, each: Any, columns: Any) -> float:
    value = raw[each["column"]]
    if each["kind"] == "value":
        return columns[each["column"]]["mean"] if np.isnan(value) else float(value)
    if each["kind"] == "missing":
        return float(np.isnan(value))
    word = each["name"].partition("=")[2]
    return float(value == word)


def test_words_that_are_not_in_the_list_and_a_hidden_layer() -> None:
    table = make_table([{k: str(v) for k, v in row.items()} for row in rows(3, patients=40, noise=1)], ROLES)
    preparation = prepare(table)
    graph = FusionGraph(preparation, SelectionNetwork(len(preparation.inputs), hidden=4, seed=2)).eval()
    encoded = preparation.encode(table)
    encoded[0, preparation.columns.index("grade")] = -1
    with torch.no_grad():
        logit, _, weighted, _ = graph(torch.from_numpy(encoded.astype(np.float32)))
        network = SelectionNetwork(len(preparation.inputs), hidden=4, seed=2)
        direct = network(torch.from_numpy(preparation.transform(table))).numpy()
    np.testing.assert_allclose(logit.numpy()[1:], direct[1:], atol=1e-4)
    grades = [index for index, each in enumerate(preparation.inputs) if each.column == "grade"]
    expected = -preparation.centres[grades] / preparation.scales[grades] * 0.1
    np.testing.assert_allclose(weighted.numpy()[0, grades], expected, atol=1e-5)


def test_wrong_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "few.csv", rows(0, patients=8))
    assert main(["train", str(path), "--target", "target", "--out", str(tmp_path / "out")]) == 2
    assert "are needed to train and to hold out" in capsys.readouterr().err
    assert main(["train", str(path), "--target", "cured", "--out", str(tmp_path / "out")]) == 2
    assert "no column 'cured'" in capsys.readouterr().err
    assert main(["attributes", str(tmp_path), "--out", str(tmp_path / "attributes.csv")]) == 2
    assert not (tmp_path / "out").exists()
