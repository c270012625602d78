"""The alarm: a calibrated probability that a word is made up, from what the model itself says.

It is a logistic regression over a few signals, none of which needs references or boxes. It is fitted where the truth is
known, with the images in folds so that no image judges itself, and can be carried over to data without annotations.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

FOLDS = 5
"""Groups of images. The words of a group are judged by a fit to the other groups."""

CLIPPED = 0.5
"""Percent of the values of a signal at each end that are moved to the limit, so that one outlier decides nothing."""


@dataclass(frozen=True)
class Alarm:
    """A fitted alarm over S signals."""

    signals: tuple[str, ...]
    low: np.ndarray
    """float64[S]: values below are moved here."""
    high: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    """float64[S], per standard deviation."""
    bias: float

    def probability(self, values: np.ndarray) -> np.ndarray:
        """Return the probability that each of N words is made up, float64[N], of signals float64[N, S]."""
        return expit((np.clip(values, self.low, self.high) - self.mean) / self.scale @ self.weights + self.bias)

    def as_json(self) -> dict[str, Any]:
        """Return the alarm as JSON values."""
        arrays = ("low", "high", "mean", "scale", "weights")
        return {
            "signals": list(self.signals),
            **{name: getattr(self, name).tolist() for name in arrays},
            "bias": self.bias,
        }


def from_json(found: Mapping[str, Any]) -> Alarm:
    """Return the alarm of `Alarm.as_json`.

    Raises:
        ValueError: a part is missing or has the wrong length.
    """
    signals = found.get("signals")
    if not isinstance(signals, list) or not all(isinstance(each, str) for each in signals):
        raise ValueError("expected 'signals', a list of names")
    parts = []
    for name in ("low", "high", "mean", "scale", "weights"):
        numbers = found.get(name)
        is_right = isinstance(numbers, list) and len(numbers) == len(signals)
        if not is_right or not all(isinstance(each, int | float) and math.isfinite(each) for each in numbers):
            raise ValueError(f"expected {name!r}, a list of {len(signals)} numbers")
        parts.append(np.array(numbers, dtype=np.float64))
    bias = found.get("bias")
    if not isinstance(bias, int | float) or not math.isfinite(bias):
        raise ValueError("expected 'bias', a number")
    return Alarm(tuple(signals), *parts, float(bias))


def fit(signals: Sequence[str], values: np.ndarray, wrong: np.ndarray, penalty: float = 1.0) -> Alarm:
    """Fit an alarm.

    Args:
        signals: S names.
        values: float64[N, S].
        wrong: bool[N].
        penalty: of the squared weights, in units of words; the bias has none, so that the mean probability is the
            share of wrong words.

    Raises:
        ValueError: all words are right, or all are wrong.
    """
    if wrong.all() or not wrong.any():
        raise ValueError("an alarm needs both right and wrong words")
    low, high = np.percentile(values, [CLIPPED, 100 - CLIPPED], axis=0)
    clipped = np.clip(values, low, high)
    mean, scale = clipped.mean(0), clipped.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    weights = _logistic((clipped - mean) / scale, wrong, penalty)
    return Alarm(tuple(signals), low, high, mean, scale, weights[1:], float(weights[0]))


def _logistic(values: np.ndarray, wrong: np.ndarray, penalty: float) -> np.ndarray:
    """Return bias and weights, float64[1 + S], of a logistic regression."""
    design = np.column_stack([np.ones(len(values)), values])
    sign = np.where(wrong, 1.0, -1.0)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margins = sign * (design @ weights)
        gradient = -(design.T @ (sign * expit(-margins)))
        gradient[1:] += penalty * weights[1:]
        return float(np.logaddexp(0, -margins).sum() + penalty / 2 * (weights[1:] ** 2).sum()), gradient

    start = np.zeros(design.shape[1])
    return minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x


def cross_fitted(
    signals: Sequence[str], values: np.ndarray, wrong: np.ndarray, folds: np.ndarray, penalty: float = 1.0
) -> dict[int, Alarm]:
    """Return an alarm for each fold that is fitted to the other folds; none if those lack right or wrong words.

    Args:
        folds: int[N], the fold of each word; words of an image have the same one.
    """
    found = {}
    for fold in range(FOLDS):
        others = folds != fold
        if wrong[others].any() and not wrong[others].all():
            found[fold] = fit(signals, values[others], wrong[others], penalty)
    return found


def auroc(values: np.ndarray, wrong: np.ndarray) -> float:
    """Return the probability that a wrong word has a higher value than a right one, ties half; NaN if undefined."""
    if wrong.all() or not wrong.any():
        return math.nan
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    positive = int(wrong.sum())
    return float((ranks[wrong].sum() - positive * (positive + 1) / 2) / (positive * (len(wrong) - positive)))
