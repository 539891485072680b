# SPDX-License-Identifier: Apache-2.0
"""Fits calibration curves to held-out scores: temperature, Platt, isotonic; the manifest takes them to the node."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.special import logit as logits_of
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from service.domain.reliability import LEAST_POSITIVES, LEAST_SCORE, CalibrationMethod, ScoreCalibration

Scores = NDArray[np.floating]
_TEMPERATURES = (np.log(0.02), np.log(50.0))
_DIGITS = 6


def class_temperature(logits: Scores, truth: NDArray[np.integer]) -> float:
    """Return the temperature that minimises the negative log-likelihood of held-out logits (N, K) (Guo 2017).

    It belongs into the graph: see `models.calibration.graph.Tempered`.

    Raises
    ------
    ValueError
        The minimum lies at the edge of 0.02 to 50: the logits carry no information on the classes, or all of it.
    """
    wide = logits.astype(np.float64)
    cases = np.arange(len(truth))
    return _best_temperature(lambda t: -float(log_softmax(wide / t, axis=1)[cases, truth].mean()))


def score_temperature(scores: Scores, truth: NDArray[np.bool_]) -> float:
    """Return the temperature of scores (N,) in [0, 1] of one class; raises as `class_temperature`."""
    logits, sign = _logits(scores), np.where(truth, -1.0, 1.0)
    return _best_temperature(lambda t: float(np.logaddexp(0, sign * logits / t).mean()))


def _best_temperature(loss: Callable[[float], float]) -> float:
    found = minimize_scalar(lambda log_t: loss(float(np.exp(log_t))), bounds=_TEMPERATURES, options={"xatol": 1e-8})
    if min(loss(float(np.exp(edge))) for edge in _TEMPERATURES) <= found.fun + 1e-9:
        raise ValueError(
            f"no temperature between 0.02 and 50 fits (best is {np.exp(found.x):.3g}); the logits say nothing of the "
            "classes, or separate all cases: hold out more cases"
        )
    return float(np.exp(found.x))


def calibrate_scores(
    scores: Scores,
    truth: NDArray[np.bool_],
    *,
    target: str,
    method: CalibrationMethod | None = None,
    site_prevalence: float | None = None,
) -> ScoreCalibration:
    """Fit a curve to held-out scores (N,) in [0, 1]; isotonic from 200 positives on, else Platt, unless told.

    Raises
    ------
    ValueError
        A kind of case is missing, or the scores fall with the disease.
    """
    truth = np.asarray(truth, dtype=np.bool_)
    positives = int(truth.sum())
    if not 0 < positives < len(truth):
        raise ValueError(f"{positives} of {len(truth)} cases are positive; hold out cases of both kinds")
    chosen = method or (CalibrationMethod.ISOTONIC if positives >= LEAST_POSITIVES else CalibrationMethod.PLATT)
    return ScoreCalibration(
        target=target,
        method=chosen,
        parameters=_FITS[chosen](np.asarray(scores, dtype=np.float64), truth),
        n=len(truth),
        positives=positives,
        prevalence=round(positives / len(truth), _DIGITS),
        site_prevalence=site_prevalence,
    )


Parameters = dict[str, float | tuple[float, ...]]


def _temperature(scores: Scores, truth: NDArray[np.bool_]) -> Parameters:
    return {"temperature": round(score_temperature(scores, truth), _DIGITS)}


def _platt(scores: Scores, truth: NDArray[np.bool_]) -> Parameters:
    """Fit a logistic regression on the score's logit, without a penalty but Platt's own on sure answers."""
    positives, negatives = truth.sum(), (~truth).sum()
    sick, healthy = (positives + 1) / (positives + 2), 1 / (negatives + 2)  # Platt 1999, section 2.2
    share = np.where(truth, sick, healthy)
    logits = _logits(scores)[:, None]
    model = LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
    model.fit(
        np.concatenate([logits, logits]),
        np.repeat([True, False], len(truth)),
        sample_weight=np.concatenate([share, 1 - share]),
    )
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    if slope <= 0:
        raise ValueError(f"scores fall with the disease (Platt's slope is {slope:.3g}); nothing can be calibrated")
    return {"slope": round(slope, _DIGITS), "intercept": round(intercept, _DIGITS)}


def _isotonic(scores: Scores, truth: NDArray[np.bool_]) -> Parameters:
    """Fit scikit-learn's isotonic curve; the points are those that carry it."""
    model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, truth)
    if len(model.X_thresholds_) < 2:
        raise ValueError("all scores are the same; nothing can be calibrated")
    return {"scores": tuple(model.X_thresholds_.tolist()), "probabilities": tuple(model.y_thresholds_.tolist())}


_FITS: dict[CalibrationMethod, Callable[[Scores, NDArray[np.bool_]], Parameters]] = {
    CalibrationMethod.TEMPERATURE: _temperature,
    CalibrationMethod.PLATT: _platt,
    CalibrationMethod.ISOTONIC: _isotonic,
}


def _logits(scores: Scores) -> NDArray[np.float64]:
    return np.asarray(logits_of(np.clip(np.asarray(scores, dtype=np.float64), LEAST_SCORE, 1 - LEAST_SCORE)))
