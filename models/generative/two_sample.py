# SPDX-License-Identifier: Apache-2.0
"""Says how far drawn patches are from real ones: a Frechet distance, and a classifier that tries to tell them apart."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Features = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoSample:
    """How drawn patches differ from real ones, beside what two halves of the real ones give.

    The Frechet distance is in the features of a network of our own, not Inception's: it compares with `frechet_real`
    alone. `auc` is that of a linear model that tells drawn from real on cases it has not seen: 0.5 when it cannot,
    1.0 when it always can.
    """

    frechet: float
    frechet_real: float
    auc: float
    auc_real: float


def compare(real: Features, drawn: Features, *, seed: int = 0) -> TwoSample:
    """Compare features (N, D) of real with (M, D) of drawn patches."""
    order = np.random.default_rng([seed, 12]).permutation(len(real))
    first, second = real[order[: len(real) // 2]], real[order[len(real) // 2 :]]
    same = drawn[: len(second)]
    return TwoSample(
        frechet=frechet(first, same),
        frechet_real=frechet(first, second),
        auc=told_apart(first, same, seed=seed),
        auc_real=told_apart(first, second, seed=seed),
    )


def frechet(first: Features, second: Features) -> float:
    """Return the squared Frechet distance of the normal distributions of both.

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)); the last trace by the eigenvalues of S1^(1/2) S2 S1^(1/2). MONAI's
    asks SciPy for an argument that 1.18 takes away.
    """
    means = first.mean(axis=0) - second.mean(axis=0)
    one, two = (np.atleast_2d(np.cov(part, rowvar=False)) for part in (first, second))
    values, vectors = np.linalg.eigh(one)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    common = np.sqrt(np.clip(np.linalg.eigvalsh(root @ two @ root), 0, None)).sum()
    return float(means @ means + np.trace(one) + np.trace(two) - 2 * common)


def told_apart(first: Features, second: Features, *, seed: int = 0, folds: int = 5) -> float:
    """Return the cross-validated AUC of a linear model that tells the second from the first."""
    features = np.concatenate([first, second])
    which = np.repeat([0, 1], [len(first), len(second)])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    scores = cross_val_predict(model, features, which, cv=split, method="predict_proba")[:, 1]
    return float(roc_auc_score(which, scores))
