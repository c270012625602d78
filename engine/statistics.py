"""Intervals and paired tests for means and shares: numpy only.

Knows arrays of per-image values. Knows nothing of what was measured, and reads no results. What is drawn is drawn from
a seed: the same call gives the same answer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

_UNITS = 5_000
"""Above so many images, groups of images are drawn: a page waits for what is drawn."""

_CHUNK = 1000 * _UNITS
"""Random indices held at a time (40 MB as int64): all of a usual bootstrap."""


def bootstrap_mean_interval(
    values: ArrayLike, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """The percentile bootstrap interval of a mean; the same arguments give the same interval.

    Args:
        values: float[n], one value an image.
        resamples: how many times n values are drawn with replacement.
        level: the share of resampled means that lies inside.

    Returns:
        (low, high) in the unit of `values`; (nan, nan) where there are fewer than two.

    Raises:
        ValueError: a value is not finite, or `level` is not between 0 and 1.
    """
    _check_level(level)
    sample = np.asarray(values, dtype=np.float64).ravel()
    if sample.size == 0:
        return float("nan"), float("nan")
    if not np.isfinite(sample).all():
        raise ValueError("values must be finite: leave out images without a score before asking for an interval")
    means = bootstrap_sums(sample[:, None], resamples, seed)[:, 0] / sample.size
    return percentiles(means, sample.size, level)


def bootstrap_ratio_interval(
    over: ArrayLike, under: ArrayLike, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """The percentile bootstrap interval of sum(over) / sum(under), such as hits over nouns: images are drawn, and with
    an image all that it holds, for what stands in one image is not independent.

    Args:
        over, under: float[n], one pair an image; `under` is above 0.

    Returns:
        (low, high); (nan, nan) where there are fewer than two images.

    Raises:
        ValueError: a value of `under` is not above 0, or `level` is not between 0 and 1.
    """
    _check_level(level)
    pairs = np.column_stack([np.asarray(over, dtype=np.float64), np.asarray(under, dtype=np.float64)])
    if not (pairs[:, 1] > 0).all():
        raise ValueError("under must be above 0: leave out images that hold nothing")
    if len(pairs) < 2:
        return float("nan"), float("nan")
    sums = bootstrap_sums(pairs, resamples, seed)
    return percentiles(sums[:, 0] / sums[:, 1], len(pairs), level)


def percentiles(resampled: ArrayLike, images: int, level: float = 0.95) -> tuple[float, float]:
    """The interval (low, high) that holds the share `level` of a metric's resampled values float[resamples].

    (nan, nan) for fewer than two `images`: drawn again and again, one image only ever gives itself.
    """
    if images < 2:
        return float("nan"), float("nan")
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
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
    """Two-sided; never 0: an observed difference is one of its own resamples. Of one image, interval and bootstrap are
    nan."""
    wins: int
    ties: int
    losses: int
    """Images on which left is better, as good, worse."""


Pooled = Callable[[np.ndarray], np.ndarray]
"""Sums of counts over images float64[..., C] -> the corpus metric float64[...], as BLEU's and METEOR's."""


def compare(
    left: ArrayLike,
    right: ArrayLike,
    resamples: int = 1000,
    seed: int = 0,
    pooled: Pooled | None = None,
    tie: float = 0.0,
) -> Comparison:
    """Compares two settings image by image, by paired bootstrap and by approximate randomization.

    The bootstrap (Koehn, EMNLP 2004) asks how often a resampled difference lies as far from the observed one as that
    lies from 0; the randomization (Noreen, 1989) how often a difference is as large when each image's two values are
    swapped at random. Of more than 5,000 images, random groups of about equal size are drawn and swapped in
    their place: the randomization stays exact (swapping groups is a part of all the ways to swap), the interval is as
    wide on average.

    Args:
        left, right: float[n], values of the same images in the same order; or counts float[n, C] where `pooled` makes
            the metric of their sums.
        tie: images whose values are at least as far apart are won or lost; closer ones, and equal ones, are ties.

    Raises:
        ValueError: different shapes, no images, or a value that is not finite.
    """
    own = pooled or (lambda values: values[:, 0])  # an image's value: the metric of its own counts, or what is given
    first, second, pooled = _sides(left, right, pooled)
    change = own(first) - own(second)
    differs = (np.abs(change) >= tie) & (change != 0)
    resampled = _difference(pooled, bootstrap_sums(np.hstack([first, second]), resamples, seed))
    low, high = percentiles(resampled, len(first))
    observed = float(pooled(first.sum(0)) - pooled(second.sum(0)))
    return Comparison(
        difference=observed,
        low=low,
        high=high,
        # One image, drawn again and again, only ever gives itself: as far as from 0 it never lies.
        p_bootstrap=_share_at_least(np.abs(resampled - observed), abs(observed)) if len(first) > 1 else float("nan"),
        p_randomization=_randomization(first, second, pooled, resamples, seed),
        wins=int((differs & (change > 0)).sum()),
        ties=int((~differs).sum()),
        losses=int((differs & (change < 0)).sum()),
    )


def _sides(left: ArrayLike, right: ArrayLike, pooled: Pooled | None) -> tuple[np.ndarray, np.ndarray, Pooled]:
    """Both sides as float64[n, C] and what makes a corpus value of their sums: the mean, unless `pooled` is given."""
    first, second = (np.asarray(values, dtype=np.float64) for values in (left, right))
    if first.shape != second.shape or len(first) == 0:
        raise ValueError(f"{len(first)} values against {len(second)}: expected the same images, at least one")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("values must be finite: compare images that both settings have a score for")
    if pooled is not None:
        return first, second, pooled
    images = len(first)
    return first[:, None], second[:, None], lambda sums: sums[..., 0] / images


def _difference(pooled: Pooled, sums: np.ndarray) -> np.ndarray:
    """The metric of the left half of the columns minus that of the right half."""
    left, right = np.split(sums, 2, axis=-1)
    return pooled(left) - pooled(right)


def _randomization(left: np.ndarray, right: np.ndarray, pooled: Pooled, trials: int, seed: int) -> float:
    """p of approximate randomization; draws of its own, so that it is the same with and without a bootstrap."""
    observed = abs(float(pooled(left.sum(0)) - pooled(right.sum(0))))
    return _share_at_least(np.abs(_difference(pooled, _swapped_sums(left, right, trials, seed))), observed)


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


def smallest_not_worse(
    values: Mapping[int, ArrayLike], alpha: float = 0.05, resamples: int = 1000, pooled: Pooled | None = None
) -> tuple[int, int]:
    """The best beam size, and the smallest one that is not significantly worse.

    Each smaller size is compared with the best by approximate randomization, corrected by Holm for their number.

    Args:
        values: beam size -> float[n], or counts float[n, C] where `pooled` makes the metric of their sums; the same
            images in the same order.

    Returns:
        (smallest not worse, best); of equal ones the smaller size is the best.
    """
    sides = {size: _sides(found, found, pooled) for size, found in values.items()}
    corpus = {size: float(score(found.sum(0))) for size, (found, _, score) in sides.items()}
    best = max(corpus, key=lambda size: (corpus[size], -size))
    smaller = sorted(size for size in values if size < best)
    found = [_randomization(sides[size][0], sides[best][0], sides[best][2], resamples, seed=0) for size in smaller]
    for size, p_value in zip(smaller, holm(found), strict=True):
        if p_value >= alpha:
            return size, best
    return best, best


def _share_at_least(drawn: np.ndarray, observed: float) -> float:
    # A hair of slack: sums in another order differ in the last digit, and a tie counts against significance.
    return float((np.count_nonzero(drawn >= observed * (1 - 1e-12)) + 1) / (drawn.size + 1))


def _swapped_sums(left: np.ndarray, right: np.ndarray, trials: int, seed: int) -> np.ndarray:
    """Sums float64[trials, 2C] of left and right [n, C] after a coin for each image swapped its two values."""
    left, right = np.split(_units(np.hstack([left, right])), 2, axis=1)
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
    """Sums float64[at most _UNITS, C] of values [n, C]: the values, or those of images joined to groups at random."""
    if len(values) <= _UNITS:
        return values
    # A seed of its own: how images are joined must not depend on how often somebody drew before.
    shuffled = values[np.random.default_rng(0).permutation(len(values))]
    return np.add.reduceat(shuffled, np.linspace(0, len(values), _UNITS, endpoint=False).astype(int))


def bootstrap_sums(values: np.ndarray, resamples: int = 1000, seed: int = 0) -> np.ndarray:
    """Sums over resampled images, float64[resamples, C] of values float64[n, C]; groups of images above _UNITS.

    All columns see the same resamples, and so do all calls with the same n, `resamples` and `seed`: drawing and
    counting is most of the work, and one product with the counts then serves every metric of a setting.
    """
    if len(values) > _UNITS:
        # Groups differ by an image. Were their sums drawn as they are, so would the number of images of a resample, and
        # an interval be up to three times as wide; what is drawn is how far they lie from the mean of as many images.
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
    """How often each image is drawn, float64[resamples, images]."""
    drawn = generator.integers(0, images, size=(resamples, images))
    drawn += np.arange(resamples)[:, None] * images
    return np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, expected a share between 0 and 1, such as 0.95")
