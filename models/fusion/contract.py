# SPDX-License-Identifier: Apache-2.0
"""Writes the optional fusion package: graph, golden rows, and a contract of what goes in and what comes out."""

import copy
import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from models.export import export_onnx
from models.fusion.attributes import ATTRIBUTES
from models.fusion.graph import INPUT, OUTPUTS, FusionGraph
from models.fusion.path import THRESHOLD
from models.fusion.preparation import Preparation
from models.fusion.training import Plan, Trained

GRAPH, CONTRACT, GOLDEN, IMPORTANCE, PATH = "fusion.onnx", "fusion.json", "golden.npz", "importance.csv", "path.csv"
SCHEMA_VERSION = 1
_GOLDEN_ROWS = 16
_NOTICE = "Research only: no clinical claim, not calibrated, not for patients. Importance is association, not cause."


def write_fusion(folder: Path, trained: Trained, plan: Plan, *, target: str) -> dict[str, Any]:
    """Write every file of the package into a folder and return the contract.

    Raises
    ------
    ValueError
        ONNX Runtime's outputs differ from torch's.
    PackageError
        The node would not load the graph.
    """
    folder.mkdir(parents=True, exist_ok=True)
    graph = FusionGraph(trained.preparation, copy.deepcopy(trained.network))
    values = _golden_values(trained)
    export = export_onnx(graph, folder / GRAPH, examples=[{INPUT: values[:1]}, {INPUT: values}], output_names=OUTPUTS)
    _, outputs = export.golden[1]
    golden: dict[str, Any] = {f"inputs/{INPUT}": values} | {f"outputs/{name}": outputs[name] for name in OUTPUTS}
    np.savez(folder / GOLDEN, **golden)
    contract = _contract(folder, trained, plan, target=target)
    (folder / CONTRACT).write_text(json.dumps(contract, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _write_tables(folder, trained)
    return contract


def _golden_values(trained: Trained) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return rows that hold nobody's values: the means, moved, each column missing once, and words that are unknown."""
    preparation = trained.preparation
    rng = np.random.default_rng(0)
    numbers, words = len(preparation.means), list(preparation.categories.values())
    scales = preparation.scales[:numbers]
    rows = np.zeros((_GOLDEN_ROWS, len(preparation.columns)))
    rows[:, :numbers] = np.array(list(preparation.means.values())) + scales * rng.normal(size=(_GOLDEN_ROWS, numbers))
    for place, each in enumerate(words, start=numbers):
        rows[:, place] = rng.integers(-1, len(each), size=_GOLDEN_ROWS)
    gone = rng.integers(len(preparation.columns), size=_GOLDEN_ROWS)
    rows[np.arange(1, _GOLDEN_ROWS), gone[1:]] = np.nan
    return rows.astype(np.float32)


def _contract(folder: Path, trained: Trained, plan: Plan, *, target: str) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "fusion",
        "status": "research",
        "clinical_use": "prohibited",
        "notice": _NOTICE,
        "target": target,
        "files": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (GRAPH, GOLDEN)},
        "input": {
            "name": INPUT,
            "dtype": "float32",
            "shape": ["batch", len(trained.preparation.columns)],
            "missing": "NaN",
            "columns": _columns(trained.preparation),
        },
        "outputs": {
            "logit": ["batch"],
            "score": ["batch"],
            "weighted": ["batch", len(trained.preparation.inputs)],
            "importance": ["batch", len(trained.preparation.inputs)],
        },
        "inputs": _inputs(trained),
        "training": _training(trained, plan),
        "warnings": list(trained.warnings),
    }


def _columns(preparation: Preparation) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    for name in preparation.columns:
        attribute = ATTRIBUTES.get(name)
        entry: dict[str, Any] = {"name": name, "source": "DICOM attribute" if attribute else "table"}
        if name in preparation.means:
            entry |= {"kind": "number", "unit": attribute.unit if attribute else "", "mean": preparation.means[name]}
        else:
            entry |= {"kind": "words", "words": list(preparation.categories[name])}
        told.append(entry)
    return told


def _inputs(trained: Trained) -> list[dict[str, Any]]:
    weights = trained.network.weight.detach().double().numpy()
    return [
        {
            "name": each.name,
            "column": each.column,
            "kind": each.kind,
            "centre": float(trained.preparation.centres[index]),
            "scale": float(trained.preparation.scales[index]),
            "weight": float(weights[index]),
            "importance": float(trained.importance[index]),
            "selection_frequency": float(trained.stability.frequency[index]),
            "stable": bool(trained.stability.stable[index]),
        }
        for index, each in enumerate(trained.preparation.inputs)
    ]


def _training(trained: Trained, plan: Plan) -> dict[str, Any]:
    return {
        "seed": plan.seed,
        "hidden_units": plan.hidden,
        "penalty": trained.choice.penalty,
        "rows": trained.training_rows,
        "patients": trained.training_patients,
        "stability": {
            "half_samples": plan.half_samples,
            "threshold": THRESHOLD,
            "mean_selected": trained.stability.mean_selected,
            "bound_on_false_selections": trained.stability.false_bound,
        },
        "missing": [
            {"column": each.column, "share": each.share, "p": each.p, "not_at_random": each.suspicious}
            for each in trained.missing
        ],
        "metrics": [
            {
                "name": f"AUC, {where}",
                "value": found.value,
                "interval_95": [found.low, found.high],
                "rows": found.rows,
                "patients": found.patients,
            }
            for where, found in (("held-out patients", trained.auc), ("training patients", trained.training_auc))
        ],
    }


def _write_tables(folder: Path, trained: Trained) -> None:
    with (folder / IMPORTANCE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("input", "importance", "weight", "selection_frequency", "stable"))
        for each in sorted(_inputs(trained), key=lambda each: (-each["importance"], -each["selection_frequency"])):
            numbers = (f"{each[name]:.6f}" for name in ("importance", "weight", "selection_frequency"))
            writer.writerow((each["name"], *numbers, each["stable"]))
    with (folder / PATH).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("penalty", "held_out_log_loss", "standard_error", "chosen"))
        choice = trained.choice
        for index, penalty in enumerate(choice.penalties):
            numbers = (f"{value:.6g}" for value in (penalty, choice.mean[index], choice.error[index]))
            writer.writerow((*numbers, index == choice.chosen))
