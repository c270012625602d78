"""Sums over resampled images, for bootstrap intervals and randomization tests; numpy only.

Random draws are seeded: the same call returns the same result.
"""

from functools import lru_cache

import numpy as np

RESAMPLES = 1000
"""Resamples of intervals and tests, unless a caller asks for another number."""

_UNITS = 5_000
"""Above this many images, groups of images are resampled, so that dashboard pages stay fast."""

_CHUNK = 1000 * _UNITS
"""Counts in memory at a time (40 MB as float64); enough for a typical bootstrap in one block."""

_DRAWN = 250_000
"""Random indices in memory at a time."""


def swapped_sums(left: np.ndarray, right: np.ndarray, trials: int, seed: int) -> np.ndarray:
    """Return sums float64[trials, 2C] of left and right [n, C] after swapping the two values of random images."""
    left, right = _units(left), _units(right)
    generator, units = np.random.default_rng([seed, 1]), len(left)
    change, total = right - left, left.sum(0) + right.sum(0)
    rows = max(1, _CHUNK // units)
    sums = np.empty((trials, left.shape[1]))
    for start in range(0, trials, rows):
        stop = min(start + rows, trials)
        coins = generator.integers(0, 2, size=(stop - start, units), dtype=np.int8)
        sums[start:stop] = left.sum(0) + coins.astype(np.float64) @ change
    return np.hstack([sums, total - sums])


def _units(values: np.ndarray) -> np.ndarray:
    """Return values [n, C] as float64[at most _UNITS, C]: unchanged, or summed over random groups of images."""
    if len(values) <= _UNITS:
        return values
    groups = _groups(len(values))
    # Column by column: a copy in random order would take most of the time.
    return np.column_stack([np.bincount(groups, column, _UNITS) for column in values.T])


@lru_cache(maxsize=2)
def _groups(images: int) -> np.ndarray:
    """Return the random group of each image, int64[images]; sizes of groups differ by one image."""
    # Its own seed, so that the groups do not depend on earlier draws.
    shuffled = np.random.default_rng(0).permutation(images)
    ends = np.linspace(0, images, _UNITS + 1).astype(int)
    groups = np.empty(images, np.int64)
    groups[shuffled] = np.repeat(np.arange(_UNITS), np.diff(ends))
    groups.flags.writeable = False
    return groups


def bootstrap_sums(values: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Return sums over resampled images, float64[resamples, C], of values float64[n, C]; groups of images above _UNITS.

    All columns, and all calls with the same n, `resamples` and `seed`, use the same resamples: drawing and counting is
    most of the work, so the counts are shared by all metrics of a setting.
    """
    if len(values) > _UNITS:
        # Group sizes differ by one image. Resampling plain sums would vary the number of images, and intervals would be
        # up to three times as wide, so deviations from the mean are resampled instead.
        mean = values.mean(0)
        return _drawn_sums(_units(values - mean), resamples, seed) + len(values) * mean
    return _drawn_sums(values, resamples, seed)


def _drawn_sums(units: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    rows = max(1, _CHUNK // len(units))
    if resamples <= rows:
        return _resampled_counts(len(units), resamples, seed) @ units
    generator = np.random.default_rng(seed)
    blocks = [min(rows, resamples - start) for start in range(0, resamples, rows)]
    return np.concatenate([_draw_counts(generator, len(units), block) @ units for block in blocks])


@lru_cache(maxsize=2)
def _resampled_counts(images: int, resamples: int, seed: int) -> np.ndarray:
    counts = _draw_counts(np.random.default_rng(seed), images, resamples)
    counts.flags.writeable = False
    return counts


def _draw_counts(generator: np.random.Generator, images: int, resamples: int) -> np.ndarray:
    """Return how often each image is drawn, float64[resamples, images]."""
    counts = np.empty((resamples, images))
    rows = max(1, _DRAWN // images)
    for start in range(0, resamples, rows):  # the same numbers as in one draw, in a fraction of its memory
        drawn = generator.integers(0, images, size=(min(rows, resamples - start), images))
        drawn += np.arange(len(drawn))[:, None] * images
        counts[start : start + rows] = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
    return counts
