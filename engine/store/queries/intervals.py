"""Means and shares with their 95 % intervals, as columns of an answer."""

from collections.abc import Iterable

import numpy as np

from engine import statistics
from engine.statistics import bootstrap_mean_interval, wilson_interval

UNKNOWN = (float("nan"), float("nan"))
"""The interval of nothing."""


def share_interval(count: float, total: float) -> tuple[float, float]:
    """Return the Wilson interval (low, high) of `count` of `total`; UNKNOWN if `total` is 0 or NaN."""
    return wilson_interval(int(count), int(total)) if total > 0 else UNKNOWN


def unzip(bounds: Iterable[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Return the lower and the upper ends of intervals."""
    pairs = list(bounds)
    return [low for low, _ in pairs], [high for _, high in pairs]


def mean_intervals(values: np.ndarray) -> list[tuple[float, float, float, int]]:
    """Return (mean, low, high, cases) of each column of float64[cases, metrics]; NaN marks a missing value."""
    known = np.isfinite(values)
    whole = np.flatnonzero(known.all(0)) if len(values) else []
    bounds: dict[int, np.ndarray] = {}
    if len(whole) and len(values) > 1:  # all at once: drawing the resamples takes most of the time
        resampled = statistics.bootstrap_sums(values[:, whole]) / len(values)
        bounds = dict(zip(whole, np.quantile(resampled, [0.025, 0.975], axis=0).T, strict=True))
    found = []
    for place in range(values.shape[1]):
        mine = values[known[:, place], place]
        low, high = bounds[place] if place in bounds else bootstrap_mean_interval(mine)
        found.append((float(mine.mean()) if len(mine) else float("nan"), float(low), float(high), len(mine)))
    return found
