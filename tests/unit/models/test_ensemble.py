# SPDX-License-Identifier: Apache-2.0
"""The ensemble equals a plain reference, scikit-learn's and SciPy's, and one ONNX graph holds all of it."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the optional extra `train`")
sklearn_ensemble = pytest.importorskip("sklearn.ensemble")

from scipy.spatial.distance import jensenshannon  # noqa: E402
from scipy.stats import entropy  # noqa: E402
from sklearn.tree import DecisionTreeClassifier  # noqa: E402

from models.ensemble import (  # noqa: E402
    OUTPUT_NAMES,
    EnsembleGraph,
    Member,
    combine,
    describe,
    out_of_fold,
    samme_weights,
)
from models.export import export_onnx  # noqa: E402
from models.networks.classifier import build_classifier  # noqa: E402

MEMBERS, CASES, CLASSES = 4, 200, 5


def _probabilities(seed: int = 0) -> Any:
    return np.random.default_rng(seed).dirichlet(np.full(CLASSES, 0.7), size=(MEMBERS, CASES))


def _reference(each: Any, alphas: Any) -> dict[str, Any]:
    """Case by case, as one would write it down."""
    rows: dict[str, list[Any]] = {name: [] for name in OUTPUT_NAMES}
    for case in range(each.shape[1]):
        vote, mean = np.zeros(each.shape[2]), np.zeros(each.shape[2])
        for member, alpha in enumerate(alphas):
            vote[int(np.argmax(each[member, case]))] += alpha / sum(alphas)
            mean += alpha / sum(alphas) * each[member, case]
        ordered = sorted(mean)
        inner = sum(alpha / sum(alphas) * entropy(each[m, case]) for m, alpha in enumerate(alphas))
        for name, value in zip(
            OUTPUT_NAMES, (vote, mean, ordered[-1] - ordered[-2], entropy(mean) - inner), strict=True
        ):
            rows[name].append(value)
    return {name: np.array(values) for name, values in rows.items()}


def _combined(each: Any, alphas: Any, dtype: Any) -> dict[str, Any]:
    weights = torch.tensor(alphas, dtype=torch.float64)
    outputs = combine(torch.from_numpy(each).to(dtype), (weights / weights.sum()).to(dtype))
    return {name: output.numpy() for name, output in zip(OUTPUT_NAMES, outputs, strict=True)}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_equals_the_plain_reference(dtype: Any) -> None:
    each, alphas = _probabilities(), (2.5, 0.4, 1.1, 3.0)
    expected, found = _reference(each, alphas), _combined(each, alphas, dtype)
    for name in OUTPUT_NAMES:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-12 if dtype == torch.float64 else 1e-6)


class _Fixed:
    """A trained classifier, as far as VotingClassifier asks: its row is the case's number."""

    def __init__(self, probabilities: Any) -> None:
        self.probabilities = probabilities

    def predict_proba(self, cases: Any) -> Any:
        return self.probabilities[cases[:, 0]]

    def predict(self, cases: Any) -> Any:
        return self.predict_proba(cases).argmax(axis=1)


def _voting(each: Any, alphas: Any, *, voting: str) -> Any:
    names = [f"member {index}" for index in range(len(each))]
    classifier = sklearn_ensemble.VotingClassifier(
        [(name, None) for name in names], voting=voting, weights=list(alphas)
    )
    classifier.estimators_ = [_Fixed(probabilities) for probabilities in each]
    classifier.le_ = type("Labels", (), {"inverse_transform": staticmethod(lambda labels: labels)})()
    classifier.classes_ = np.arange(CLASSES)
    classifier.estimators = [(name, fixed) for name, fixed in zip(names, classifier.estimators_, strict=True)]
    return classifier


def test_equals_scikit_learns_vote() -> None:
    each, alphas = _probabilities(1), (2.5, 0.4, 1.1, 3.0)
    found, cases = _combined(each, alphas, torch.float64), np.arange(CASES)[:, None]
    hard = _voting(each, alphas, voting="hard").predict(cases)
    soft = _voting(each, alphas, voting="soft")
    np.testing.assert_array_equal(found["vote"].argmax(axis=1), hard)
    np.testing.assert_allclose(found["probability"], soft.predict_proba(cases), atol=1e-12)
    np.testing.assert_array_equal(found["probability"].argmax(axis=1), soft.predict(cases))


def test_divergence_of_two_equal_members_is_scipys() -> None:
    each = _probabilities(2)[:2]
    expected = jensenshannon(each[0], each[1], axis=1) ** 2
    np.testing.assert_allclose(_combined(each, (1.0, 1.0), torch.float64)["divergence"], expected, atol=1e-12)


def test_members_that_agree_do_not_diverge_and_opposites_do_by_ln_2() -> None:
    certain = np.eye(CLASSES)[None, :2]
    same = _combined(np.concatenate([certain, certain]), (1.0, 3.0), torch.float32)
    assert same["divergence"].max() < 1e-7
    opposite = _combined(np.concatenate([certain, certain[:, ::-1]]), (1.0, 1.0), torch.float32)
    np.testing.assert_allclose(opposite["divergence"], math.log(2), atol=1e-6)


def test_alpha_is_scikit_learns_samme() -> None:
    rng = np.random.default_rng(3)
    cases, truth = rng.normal(size=(300, 3)), rng.integers(CLASSES, size=300)
    boosted = sklearn_ensemble.AdaBoostClassifier(DecisionTreeClassifier(max_depth=3, random_state=0), n_estimators=1)
    boosted.fit(cases, truth)
    probability = boosted.estimators_[0].predict_proba(cases)
    (member,) = samme_weights({"tree": probability}, truth, classes=CLASSES)
    assert member.error == pytest.approx(boosted.estimator_errors_[0], abs=1e-12)
    assert member.alpha == pytest.approx(boosted.estimator_weights_[0], abs=1e-9)


def _of_error(error: float, truth: Any) -> Any:
    wrong = np.arange(len(truth)) < error * len(truth)
    return np.eye(CLASSES)[np.where(wrong, (truth + 1) % CLASSES, truth)]


def test_useless_members_are_dropped_and_said() -> None:
    truth = np.random.default_rng(4).integers(CLASSES, size=100)
    found = samme_weights({"good": _of_error(0.1, truth), "guess": _of_error(0.9, truth)}, truth, classes=CLASSES)
    assert [(member.name, member.kept) for member in found] == [("good", True), ("guess", False)]
    assert found[0].alpha == pytest.approx(math.log(9) + math.log(4))
    assert "guess: out-of-fold error 0.9000, alpha -0.8109 (dropped: not better than guessing)" in describe(found)
    graph = EnsembleGraph({"good": torch.nn.Identity(), "guess": torch.nn.Identity()}, found)
    assert graph.names == ("good",)
    with pytest.raises(ValueError, match="no member is better than guessing among 5 classes: guess"):
        samme_weights({"guess": _of_error(0.9, truth)}, truth, classes=CLASSES)


def test_no_error_at_all_counts_as_half_a_case() -> None:
    truth = np.arange(50) % CLASSES
    (member,) = samme_weights({"perfect": _of_error(0, truth)}, truth, classes=CLASSES)
    assert member.error == 0
    assert member.alpha == pytest.approx(math.log(99) + math.log(4))


def test_nobody_is_judged_on_patients_that_trained_it() -> None:
    truth = np.arange(60) % 3
    patients = np.repeat(np.arange(20), 3)
    seen: list[int] = []

    def fit(trained: Any) -> Any:
        def predict(held_out: Any) -> Any:
            assert not set(patients[trained]) & set(patients[held_out])
            seen.extend(held_out)
            return np.eye(3)[truth[held_out]]

        return predict

    result = out_of_fold(fit, truth, patients, classes=3, folds=4)
    assert sorted(seen) == list(range(60))
    np.testing.assert_array_equal(result, np.eye(3)[truth])


def test_weights_of_other_members_are_refused() -> None:
    with pytest.raises(ValueError, match=r"weights are for a: .*, networks are b"):
        EnsembleGraph({"b": torch.nn.Identity()}, [Member(name="a", error=0.1, alpha=2.0)])


def test_one_graph_holds_four_families(tmp_path: Path) -> None:
    torch.manual_seed(6)
    names = ("vgg16-small", "vgg19-small", "resnet50-small", "densenet121-small")
    networks = {name: build_classifier(name, CLASSES).eval() for name in names}
    members = [
        Member(name=name, error=0.2, alpha=alpha) for name, alpha in zip(names, (3.0, 2.0, 1.5, 0.7), strict=True)
    ]
    patches = np.random.default_rng(1).random((3, 1, 48, 48), dtype=np.float32)
    examples = [{"patches": patches[:1]}, {"patches": patches}]
    graph = EnsembleGraph(networks, members)
    export = export_onnx(
        graph, tmp_path / "ensemble.onnx", examples=examples, output_names=OUTPUT_NAMES, tolerance=1e-6
    )
    with torch.no_grad():
        each = torch.stack([networks[name](torch.from_numpy(patches)).softmax(1) for name in names]).double().numpy()
    expected = _reference(each, [member.alpha for member in members])
    for name, output in export.golden[1][1].items():
        np.testing.assert_allclose(output, expected[name], atol=1e-6, err_msg=name)
