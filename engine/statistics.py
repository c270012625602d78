"""Intervals for means and shares: numpy only.

Knows arrays of per-image values. Knows nothing of what was measured, and reads no results.
"""

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

_CHUNK = 4_000_000
"""Random indices held at a time (32 MB as int64), so that a split of 100,000 images fits in memory."""


def bootstrap_mean_interval(
    values: ArrayLike, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """The percentile bootstrap interval of a mean; the same arguments give the same interval.

    Args:
        values: float[n], one value an image.
        resamples: how many times n values are drawn with replacement.
        level: the share of resampled means that lies inside.

    Returns:
        (low, high) in the unit of `values`; (nan, nan) where there are none.

    Raises:
        ValueError: a value is not finite, or `level` is not between 0 and 1.
    """
    _check_level(level)
    sample = np.asarray(values, dtype=np.float64).ravel()
    if sample.size == 0:
        return float("nan"), float("nan")
    if not np.isfinite(sample).all():
        raise ValueError("values must be finite: leave out images without a score before asking for an interval")
    means = _resampled_means(sample, resamples, np.random.default_rng(seed))
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def wilson_interval(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of a share: it stays inside [0, 1] and is sound for few images.

    Returns:
        (low, high) as shares; (nan, nan) where n is 0.

    Raises:
        ValueError: `successes` is not between 0 and `n`, or `level` is not between 0 and 1.
    """
    _check_level(level)
    if not 0 <= successes <= n:
        raise ValueError(f"successes is {successes}, expected 0 to n = {n}")
    if n == 0:
        return float("nan"), float("nan")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    # At 0 and n successes the bound is exactly 0 and 1; rounding would leave it 1e-17 beside.
    low = 0.0 if successes == 0 else float(centre - reach)
    high = 1.0 if successes == n else float(centre + reach)
    return low, high


def _resampled_means(sample: np.ndarray, resamples: int, generator: np.random.Generator) -> np.ndarray:
    """float64[resamples]: means of as many draws with replacement."""
    rows = max(1, _CHUNK // sample.size)
    means = np.empty(resamples)
    for start in range(0, resamples, rows):
        stop = min(start + rows, resamples)
        drawn = generator.integers(0, sample.size, size=(stop - start, sample.size))
        means[start:stop] = sample[drawn].mean(axis=1)
    return means


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, expected a share between 0 and 1, such as 0.95")
