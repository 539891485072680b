# SPDX-License-Identifier: Apache-2.0
"""Rows of the table of hostile packages on calibration, sets and limits of distribution; importing it adds them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hostile_packages import GOLDEN, hostile, npz
from onnx import TensorProto, helper
from tiny_package import IMAGE, edit_manifest, replace_file, replace_model, scale_model

DEPTHS = ("distance_shallow", "distance_deep")
PLATT = {
    "target": "film",
    "method": "platt",
    "parameters": {"slope": 1.0, "intercept": 0.0},
    "n": 400,
    "positives": 200,
    "prevalence": 0.5,
}
CURVE = {"scores": [0.1, 0.9], "probabilities": [0.2, 0.8]}
SETS = {"target": "zone", "method": "ordinal", "level": 0.8, "quantile": 0.7, "n": 100}


def limits_of(**changes: Any) -> list[dict[str, Any]]:
    usual = {"graph": "zones", "threshold": 0.5, "quantile": 0.99, "n": 100}
    return [{**usual, "output": name, **changes} for name in DEPTHS]


def add_distances(folder: Path, limits: list[dict[str, Any]], *, offset: float = 0.0) -> None:
    """Give the graph two outputs (N,): how far apart an item's darkest and brightest pixel are, plus an offset.

    The golden image is scaled down to a hundredth, so that noise over the whole range of values is unlike it.
    """
    axes = helper.make_tensor("axes", TensorProto.INT64, [3], [1, 2, 3])
    model = scale_model()
    shift = helper.make_tensor("offset", TensorProto.FLOAT, [1], [offset])
    model.graph.initializer.extend([axes, shift])
    for operator in ("ReduceMax", "ReduceMin"):
        model.graph.node.append(helper.make_node(operator, ["image", "axes"], [operator], keepdims=0))
    model.graph.node.append(helper.make_node("Sub", ["ReduceMax", "ReduceMin"], ["range"]))
    for name in DEPTHS:
        model.graph.node.append(helper.make_node("Add", ["range", "offset"], [name]))
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch"]))
    replace_model(folder, model)
    image = IMAGE / 100
    apart = (np.ptp(image.reshape(len(image), -1), axis=1) + offset).astype(np.float32)
    outputs = {f"outputs__{name}": apart for name in DEPTHS}
    replace_file(folder, GOLDEN, npz(inputs__image=image, outputs__scaled=image * 2, **outputs))

    def say(manifest: dict[str, Any]) -> None:
        for name in DEPTHS:
            manifest["graphs"]["zones"]["outputs"][name] = {"dtype": "float32", "shape": ["batch"]}
        manifest["out_of_distribution"] = limits

    edit_manifest(folder, say)


def _declare(key: str, *entries: dict[str, Any]) -> Callable[[dict[str, Any]], object]:
    return lambda manifest: manifest.update({key: [dict(entry) for entry in entries]})


@hostile("with noise in place of its image the graph stays within the limits of out_of_distribution")
def _distances_that_take_noise_for_usual(folder: Path) -> None:
    add_distances(folder, limits_of(threshold=1.5))


@hostile("with noise in place of its image the graph stays within the limits of out_of_distribution")
def _distances_that_never_rise(folder: Path) -> None:
    add_distances(folder, limits_of(threshold=5.0), offset=4.0)


@hostile(
    "out_of_distribution output feature is not among those of graph zones: distance_deep, distance_shallow, scaled"
)
def _limit_of_an_output_that_is_not_there(folder: Path) -> None:
    add_distances(folder, [limits_of()[0], limits_of(output="feature")[0]])


@hostile("out_of_distribution graph lungseg is not among zones")
def _limit_of_a_graph_that_is_not_there(folder: Path) -> None:
    add_distances(folder, limits_of(graph="lungseg"))


@hostile("out_of_distribution of graph lungs is not judged by pipeline pneumoconiosis, which judges lungseg, zones")
def _limit_that_nobody_looks_at(folder: Path) -> None:
    add_distances(folder, limits_of(graph="lungs"))


@hostile("disagreement of graph lungseg is not judged by pipeline pneumoconiosis, which judges zones")
def _disagreement_that_nobody_looks_at(folder: Path) -> None:
    edit_manifest(folder, _declare("disagreement", limits_of(graph="lungseg")[0]))


@hostile("calibration target film is unknown to pipeline other, which has nothing")
def _calibration_for_a_pipeline_that_knows_none(folder: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest.update(pipeline="other", calibration=[PLATT])

    edit_manifest(folder, change)


@hostile("output scaled of graph zones is not one float32 for each item of a batch")
def _limit_of_a_whole_map(folder: Path) -> None:
    add_distances(folder, [limits_of()[0], limits_of(output="scaled")[0]])


@hostile("out_of_distribution has output distance_deep of graph zones twice")
def _limit_given_twice(folder: Path) -> None:
    add_distances(folder, limits_of(output="distance_deep"))


@hostile("out_of_distribution has one output; distances at 2 depths are needed at least")
def _distance_at_one_depth_alone(folder: Path) -> None:
    add_distances(folder, limits_of()[:1])


@hostile("threshold is 0; it must be finite and above 0")
def _limit_that_refuses_everything(folder: Path) -> None:
    add_distances(folder, limits_of(threshold=0.0))


@hostile("quantile is 1; it must be at least 0.5 and below 1")
def _limit_above_everything(folder: Path) -> None:
    add_distances(folder, limits_of(quantile=1.0))


@hostile("n 99 is too few for a quantile of 0.99")
def _limit_of_too_few_cases(folder: Path) -> None:
    add_distances(folder, limits_of(n=99))


@hostile("Unexpected keyword argument")
def _limit_with_an_unknown_key(folder: Path) -> None:
    add_distances(folder, limits_of(file="ood.npz"))


@hostile("Input should be a valid number")
def _limit_as_text(folder: Path) -> None:
    add_distances(folder, limits_of(threshold="0.5"))


@hostile("disagreement output scaled of graph zones is not one float32 for each item")
def _disagreement_of_a_whole_map(folder: Path) -> None:
    edit_manifest(folder, _declare("disagreement", limits_of(output="scaled")[0]))


@hostile("calibration target exam is unknown to pipeline pneumoconiosis, which has film, zone")
def _calibration_of_a_score_that_is_not_there(folder: Path) -> None:
    edit_manifest(folder, _declare("calibration", {**PLATT, "target": "exam"}))


@hostile("calibration has target film twice")
def _calibration_given_twice(folder: Path) -> None:
    second = {**PLATT, "parameters": {"slope": 2.0, "intercept": 0.0}}
    edit_manifest(folder, _declare("calibration", PLATT, second))


@hostile("method temperature has parameters temperature, not intercept, slope")
def _parameters_of_another_method(folder: Path) -> None:
    edit_manifest(folder, _declare("calibration", {**PLATT, "method": "temperature"}))


@hostile("Input should be 'temperature', 'platt' or 'isotonic'")
def _unknown_method(folder: Path) -> None:
    edit_manifest(folder, _declare("calibration", {**PLATT, "method": "histogram"}))


@hostile("slope is -1; it must be finite and above 0")
def _curve_upside_down(folder: Path) -> None:
    edit_manifest(folder, _declare("calibration", {**PLATT, "parameters": {"slope": -1.0, "intercept": 0.0}}))


@hostile("temperature is 0; it must be finite and above 0")
def _temperature_of_nothing(folder: Path) -> None:
    entry = {**PLATT, "method": "temperature", "parameters": {"temperature": 0.0}}
    edit_manifest(folder, _declare("calibration", entry))


@hostile("parameter slope is a number, not a list")
def _list_for_a_number(folder: Path) -> None:
    edit_manifest(folder, _declare("calibration", {**PLATT, "parameters": {"slope": [1.0], "intercept": 0.0}}))


@hostile("parameter scores is a list of numbers, not one")
def _number_for_a_list(folder: Path) -> None:
    entry = {**PLATT, "method": "isotonic", "parameters": {**CURVE, "scores": 0.5}}
    edit_manifest(folder, _declare("calibration", entry))


@hostile("isotonic has as many scores as probabilities, two at least")
def _curve_without_an_end(folder: Path) -> None:
    entry = {**PLATT, "method": "isotonic", "parameters": {**CURVE, "probabilities": [0.2]}}
    edit_manifest(folder, _declare("calibration", entry))


@hostile("isotonic scores must rise and be finite")
def _curve_that_turns_back(folder: Path) -> None:
    entry = {**PLATT, "method": "isotonic", "parameters": {**CURVE, "scores": [0.9, 0.9]}}
    edit_manifest(folder, _declare("calibration", entry))


@hostile("isotonic probabilities must lie between 0 and 1 and never fall")
def _curve_that_falls(folder: Path) -> None:
    entry = {**PLATT, "method": "isotonic", "parameters": {**CURVE, "probabilities": [0.8, 0.2]}}
    edit_manifest(folder, _declare("calibration", entry))


@hostile("isotonic probabilities must lie between 0 and 1 and never fall")
def _curve_above_certainty(folder: Path) -> None:
    entry = {**PLATT, "method": "isotonic", "parameters": {**CURVE, "probabilities": [0.2, 1.5]}}
    edit_manifest(folder, _declare("calibration", entry))


@hostile("isotonic needs 200 positives, not 199; use platt")
def _curve_through_too_few_cases(folder: Path) -> None:
    entry = {**PLATT, "method": "isotonic", "parameters": CURVE, "positives": 199}
    edit_manifest(folder, _declare("calibration", entry))


@hostile("400 of 400 cases are positive; both kinds are needed")
def _calibration_without_healthy_cases(folder: Path) -> None:
    edit_manifest(folder, _declare("calibration", {**PLATT, "positives": 400}))


@hostile("prevalence is 0.1, but 200 of 400 cases are positive")
def _prevalence_that_is_not_that_of_the_cases(folder: Path) -> None:
    edit_manifest(folder, _declare("calibration", {**PLATT, "prevalence": 0.1}))


@hostile("site_prevalence is 1; it must be above 0 and below 1")
def _site_where_everybody_is_ill(folder: Path) -> None:
    edit_manifest(folder, _declare("calibration", {**PLATT, "site_prevalence": 1.0}))


@hostile("conformal target exam is unknown to pipeline pneumoconiosis, which has film, zone")
def _sets_of_an_answer_that_is_not_there(folder: Path) -> None:
    edit_manifest(folder, _declare("conformal", {**SETS, "target": "exam"}))


@hostile("level is 1; it must be at least 0.5 and below 1")
def _sets_that_are_always_right(folder: Path) -> None:
    edit_manifest(folder, _declare("conformal", {**SETS, "level": 1.0}))


@hostile("quantile is 1.5; conformity scores lie between 0 and 1")
def _sets_of_a_score_that_cannot_be(folder: Path) -> None:
    edit_manifest(folder, _declare("conformal", {**SETS, "quantile": 1.5}))


@hostile("n 3 is too few for sets of level 0.8")
def _sets_of_too_few_cases(folder: Path) -> None:
    edit_manifest(folder, _declare("conformal", {**SETS, "n": 3}))
