"""Intervals and paired tests for means and shares: numpy only.

Knows arrays of per-image values. Knows nothing of what was measured, and reads no results. What is drawn is drawn from
a seed: the same call gives the same answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

_CHUNK = 4_000_000
"""Random indices held at a time (32 MB as int64), so that a split of 100,000 images fits in memory."""

_UNITS = 5_000
"""Above so many images, groups of images are drawn: a page waits for what is drawn."""


def bootstrap_mean_interval(
    values: ArrayLike, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """The percentile bootstrap interval of a mean; the same arguments give the same interval.

    Of more than 5,000 images, random groups of equal size are drawn in their place: the interval is as wide on average.

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
    means = _resampled_means(_units(sample), resamples, np.random.default_rng(seed))
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


@dataclass(frozen=True)
class Comparison:
    """Two settings on the same images."""

    difference: float
    """Mean of left - right."""
    low: float
    high: float
    """The 95 % bootstrap interval of the difference."""
    p_bootstrap: float
    p_randomization: float
    """Two-sided; never 0: an observed difference is one of its own resamples."""
    wins: int
    ties: int
    losses: int
    """Images on which left is better, equal, worse."""


def compare(left: ArrayLike, right: ArrayLike, resamples: int = 1000, seed: int = 0) -> Comparison:
    """Compares two settings image by image, by paired bootstrap and by approximate randomization.

    The bootstrap (Koehn, EMNLP 2004) asks how often a resampled difference lies as far from the observed one as that
    lies from 0; the randomization (Noreen, 1989) how often a difference is as large when each image's two values are
    swapped at random. Of more than 5,000 images, random groups of equal size are drawn and swapped in their place: the
    randomization stays exact (swapping groups is a part of all the ways to swap), the interval is as wide on average.

    Args:
        left, right: float[n], values of the same images in the same order.

    Raises:
        ValueError: different lengths, no images, or a value that is not finite.
    """
    change = _change(left, right)
    means = _resampled_means(_units(change), resamples, np.random.default_rng(seed))
    low, high = np.quantile(means, [0.025, 0.975])
    observed = float(change.mean())
    return Comparison(
        difference=observed,
        low=float(low),
        high=float(high),
        p_bootstrap=_share_at_least(np.abs(means - observed), abs(observed)),
        p_randomization=_randomization(change, resamples, seed),
        wins=int((change > 0).sum()),
        ties=int((change == 0).sum()),
        losses=int((change < 0).sum()),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values (1979), in the order given: below alpha they keep the family's error below alpha."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(np.asarray(p_values, dtype=np.float64)[order] * factors), 1)
    return adjusted.tolist()


def mcnemar(left_right: ArrayLike, right_right: ArrayLike) -> float:
    """The exact two-sided McNemar test of two classifiers on the same images: p of their disagreements.

    Args:
        left_right, right_right: bool[n], whether each classifier was right.
    """
    left, right = np.asarray(left_right, dtype=bool), np.asarray(right_right, dtype=bool)
    if left.shape != right.shape:
        raise ValueError(f"{left.size} answers against {right.size}: expected the same images")
    only_left, only_right = int((left & ~right).sum()), int((right & ~left).sum())
    differ, fewer = only_left + only_right, min(only_left, only_right)
    if differ == 0:
        return 1.0
    # Whole numbers: the tail of a fair coin, exactly, whatever the number of images.
    tail = sum(comb(differ, count) for count in range(fewer + 1))
    return min(1.0, 2 * tail / 2**differ)


def smallest_not_worse(values: Mapping[int, ArrayLike], alpha: float = 0.05, resamples: int = 1000) -> tuple[int, int]:
    """The best beam size by mean, and the smallest one that is not significantly worse.

    Each smaller size is compared with the best by approximate randomization, corrected by Holm for their number.

    Args:
        values: beam size -> float[n], the same images in the same order.

    Returns:
        (smallest not worse, best); of equal means the smaller size is the best.
    """
    best = max(values, key=lambda size: (float(np.mean(values[size])), -size))
    smaller = sorted(size for size in values if size < best)
    found = [_randomization(_change(values[size], values[best]), resamples, seed=0) for size in smaller]
    for size, p_value in zip(smaller, holm(found), strict=True):
        if p_value >= alpha:
            return size, best
    return best, best


def _change(left: ArrayLike, right: ArrayLike) -> np.ndarray:
    """float64[n]: left - right, image by image."""
    first, second = np.asarray(left, dtype=np.float64).ravel(), np.asarray(right, dtype=np.float64).ravel()
    if first.size != second.size or first.size == 0:
        raise ValueError(f"{first.size} values against {second.size}: expected the same images, at least one")
    change = first - second
    if not np.isfinite(change).all():
        raise ValueError("values must be finite: compare images that both settings have a score for")
    return change


def _randomization(change: np.ndarray, resamples: int, seed: int) -> float:
    """p of approximate randomization; draws of its own, so that it is the same with and without a bootstrap."""
    swapped = _swapped_means(_units(change), resamples, np.random.default_rng([seed, 1]))
    return _share_at_least(np.abs(swapped), abs(float(change.mean())))


def _share_at_least(drawn: np.ndarray, observed: float) -> float:
    # A hair of slack: sums in another order differ in the last digit, and a tie counts against significance.
    return float((np.count_nonzero(drawn >= observed * (1 - 1e-12)) + 1) / (drawn.size + 1))


def _units(change: np.ndarray) -> np.ndarray:
    """float64[at most _UNITS] with the mean of `change`: itself, or groups of its images joined at random."""
    if change.size <= _UNITS:
        return change
    # A seed of its own: how images are joined must not depend on how often somebody drew before.
    shuffled = np.random.default_rng(0).permutation(change)
    starts = np.linspace(0, change.size, _UNITS, endpoint=False).astype(int)
    return np.add.reduceat(shuffled, starts) * (_UNITS / change.size)


def _swapped_means(change: np.ndarray, trials: int, generator: np.random.Generator) -> np.ndarray:
    """float64[trials]: means with the sign of each difference drawn by a coin."""
    rows = max(1, _CHUNK // change.size)
    means = np.empty(trials)
    for start in range(0, trials, rows):
        stop = min(start + rows, trials)
        signs = generator.integers(0, 2, size=(stop - start, change.size), dtype=np.int8)
        means[start:stop] = (2.0 * signs - 1.0) @ change / change.size
    return means


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
