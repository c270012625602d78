"""Confidence intervals and paired tests for means, ratios and shares of per-image values; numpy only.

Random draws are seeded: the same call returns the same result.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import comb, lgamma
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from engine.resampling import RESAMPLES, bootstrap_sums, swapped_sums

ALPHA = 0.05
"""A p-value below this is called significant."""


def bootstrap_mean_interval(
    values: ArrayLike, resamples: int = RESAMPLES, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a mean; the same arguments give the same interval.

    Args:
        values: float[n], one value per image.
        resamples: number of resamples, each n values drawn with replacement.
        level: share of resampled means inside the interval.

    Returns:
        (low, high) in the unit of `values`; (nan, nan) for fewer than two values.

    Raises:
        ValueError: a value is not finite, or `level` is not between 0 and 1.
    """
    _check_level(level)
    sample = np.asarray(values, dtype=np.float64).ravel()
    if sample.size == 0:
        return float("nan"), float("nan")
    if not np.isfinite(sample).all():
        raise ValueError("values must be finite; leave out images without a score")
    means = bootstrap_sums(sample[:, None], resamples, seed)[:, 0] / sample.size
    return percentiles(means, sample.size, level)


def bootstrap_ratio_interval(
    over: ArrayLike, under: ArrayLike, resamples: int = RESAMPLES, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of sum(over) / sum(under), such as hits over nouns.

    Whole images are drawn, because observations within an image are not independent.

    Args:
        over, under: float[n], one pair per image; `under` is above 0.

    Returns:
        (low, high); (nan, nan) for fewer than two images.

    Raises:
        ValueError: a value of `under` is not above 0, or `level` is not between 0 and 1.
    """
    _check_level(level)
    pairs = np.column_stack([np.asarray(over, dtype=np.float64), np.asarray(under, dtype=np.float64)])
    if not (pairs[:, 1] > 0).all():
        raise ValueError("under must be above 0; leave out images without observations")
    if len(pairs) < 2:
        return float("nan"), float("nan")
    sums = bootstrap_sums(pairs, resamples, seed)
    return percentiles(sums[:, 0] / sums[:, 1], len(pairs), level)


def percentiles(resampled: ArrayLike, images: int, level: float = 0.95) -> tuple[float, float]:
    """Return the interval (low, high) that contains the share `level` of a metric's resampled values float[resamples].

    (nan, nan) for fewer than two `images`, because resamples of a single image do not vary.
    """
    if images < 2:
        return float("nan"), float("nan")
    low, high = np.quantile(np.asarray(resampled), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def wilson_interval(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of a share; it stays inside [0, 1] and is valid for few images.

    Returns:
        (low, high) as shares; (nan, nan) if n is 0.

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
    # At 0 and n successes the bounds are exactly 0 and 1; rounding would be off by 1e-17.
    low = 0.0 if successes == 0 else float(centre - reach)
    high = 1.0 if successes == n else float(centre + reach)
    return low, high


@dataclass(frozen=True)
class Comparison:
    """The paired comparison of two settings on the same images."""

    difference: float
    """Mean of left - right."""
    low: float
    high: float
    """The 95 % bootstrap interval of the difference."""
    p_bootstrap: float
    p_randomization: float
    """Two-sided; never 0, because the observed difference counts as one of the resamples. The interval and p_bootstrap
    are nan for a single image."""
    wins: int
    ties: int
    losses: int
    """Number of images on which left is better, equal, worse."""
    differing: int
    """Number of images whose two sides differ at all; only these can decide the randomization test."""


Pooled = Callable[[np.ndarray], np.ndarray]
"""Sums of counts over images float64[..., C] -> the corpus metric float64[...], as for BLEU and METEOR."""


def compare(
    left: ArrayLike,
    right: ArrayLike,
    resamples: int = RESAMPLES,
    seed: int = 0,
    pooled: Pooled | None = None,
    tie: float = 0.0,
) -> Comparison:
    """Compare two settings image by image, by paired bootstrap and by approximate randomization.

    The bootstrap p-value (Koehn, EMNLP 2004) is the share of resampled differences that are at least as far from the
    observed difference as that is from 0. The randomization p-value (Noreen, 1989) is the share of differences at least
    as large as the observed one when the two values of each image are swapped at random. For more than 5,000 images,
    random groups of about equal size are drawn and swapped instead: the randomization test stays exact (swaps of groups
    are a subset of all swaps), and the interval is equally wide on average.

    Args:
        left, right: float[n], values of the same images in the same order; or counts float[n, C] if `pooled` computes
            the metric from their sums.
        tie: images whose values differ by at least `tie` are wins or losses; smaller differences and 0 are ties.

    Raises:
        ValueError: different shapes, no images, or a value that is not finite.
    """
    return compare_pairs(Pairs(left, right, resamples, seed), pooled, tie)


class Pairs:
    """Two settings on the same images, with the resampled sums that all metrics of their values share."""

    def __init__(self, left: ArrayLike, right: ArrayLike, resamples: int = RESAMPLES, seed: int = 0) -> None:
        """Take the arguments of `compare`; the columns of float[n, C] may also be the values of C metrics.

        Raises:
            ValueError: different shapes, no images, or a value that is not finite.
        """
        self.left, self.right = _sides(left, right)
        self._resamples, self._seed = resamples, seed

    @cached_property
    def bootstrapped(self) -> np.ndarray:
        """The sums of both sides over resampled images, float64[resamples, 2C]."""
        both = [bootstrap_sums(side, self._resamples, self._seed) for side in (self.left, self.right)]
        return np.hstack(both)

    @cached_property
    def swapped(self) -> np.ndarray:
        """The sums of both sides after swapping the two values of random images, float64[resamples, 2C]."""
        return swapped_sums(self.left, self.right, self._resamples, self._seed)

    @cached_property
    def differing(self) -> int:
        """The number of images whose two sides differ at all."""
        differs = [left != right for left, right in zip(self.left.T, self.right.T, strict=True)]
        return int(np.logical_or.reduce(differs).sum())

    @cached_property
    def sums(self) -> tuple[np.ndarray, np.ndarray]:
        """The sums of both sides over the images, float64[C] each."""
        return self.left.sum(0), self.right.sum(0)

    def observed(self, score: Pooled) -> float:
        """Return the difference of the corpus values, left - right."""
        left, right = self.sums
        return float(score(left) - score(right))

    def column(self, place: int) -> "Pairs":
        """Return one column, with its share of the resampled sums."""
        found = Pairs(self.left[:, place], self.right[:, place], self._resamples, self._seed)
        both = [place, place + self.left.shape[1]]
        found.bootstrapped, found.swapped = self.bootstrapped[:, both], self.swapped[:, both]
        return found


def compare_pairs(pairs: Pairs, pooled: Pooled | None = None, tie: float = 0.0) -> Comparison:
    """Return the comparison of two settings by one metric; see `compare`."""
    first, second = pairs.left, pairs.right
    own = pooled or (lambda values: values[:, 0])  # the metric of an image's counts, or its value
    score = pooled or _mean(len(first))
    change = own(first) - own(second)
    differs = (np.abs(change) >= tie) & (change != 0)
    resampled = _difference(score, pairs.bootstrapped)
    low, high = percentiles(resampled, len(first))
    observed = pairs.observed(score)
    return Comparison(
        difference=observed,
        low=low,
        high=high,
        # Resamples of a single image do not vary, so the test is undefined.
        p_bootstrap=_share_at_least(np.abs(resampled - observed), abs(observed)) if len(first) > 1 else float("nan"),
        p_randomization=_randomization(pairs, score),
        wins=int((differs & (change > 0)).sum()),
        ties=int((~differs).sum()),
        losses=int((differs & (change < 0)).sum()),
        differing=pairs.differing,
    )


def _sides(left: ArrayLike, right: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return both sides as float64[n, C]."""
    first, second = (np.asarray(values, dtype=np.float64) for values in (left, right))
    if first.shape != second.shape or len(first) == 0:
        raise ValueError(f"{len(first)} and {len(second)} values; expected values of the same images, at least one")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("values must be finite; compare only images that have a score in both settings")
    return (first, second) if first.ndim > 1 else (first[:, None], second[:, None])


def _mean(images: int) -> Pooled:
    """Return what makes the corpus value of sums float64[..., 1]: the mean over the images."""
    return lambda sums: sums[..., 0] / images


def _difference(pooled: Pooled, sums: np.ndarray) -> np.ndarray:
    """Return the metric of the left half of the columns minus that of the right half."""
    left, right = np.split(sums, 2, axis=-1)
    return pooled(left) - pooled(right)


def _randomization(pairs: Pairs, score: Pooled) -> float:
    """Return the p-value of approximate randomization; its seed is independent of the bootstrap's."""
    observed = abs(pairs.observed(score))
    drawn = _share_at_least(np.abs(_difference(score, pairs.swapped)), observed)
    return max(drawn, smallest_p(pairs.differing))  # a drawn share may be smaller by luck


def smallest_p(differing: int, resamples: int | None = None) -> float:
    """Return the smallest p-value that a two-sided paired test can reach.

    Of the 2^n ways to swap the sides of n differing pairs, at least the observed one and its mirror image are as
    extreme as the observed one: 5 pairs give at least 0.0625, whatever their values. This also holds for the exact
    McNemar test.

    Args:
        differing: pairs whose two sides differ.
        resamples: random swaps that are drawn instead of all; None if all count.
    """
    swaps = min(1.0, 2.0 ** (1 - differing))
    return swaps if resamples is None else max(swaps, 1 / (resamples + 1))


def too_few(images: int, differing: int, resamples: int | None = None) -> str:
    """Return what to say where `smallest_p`, perhaps after a correction, is not below ALPHA."""
    if resamples is not None and smallest_p(differing) < 1 / (resamples + 1):
        return "too few resamples to tell"
    if differing == images or smallest_p(images) >= ALPHA:
        return "too few images to tell"
    return "too few images differ to tell"


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's adjusted p-values (1979), in the given order; they control the family-wise error rate."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(np.asarray(p_values, dtype=np.float64)[order] * factors), 1)
    return adjusted.tolist()


def mcnemar(left_right: ArrayLike, right_right: ArrayLike) -> float:
    """Return the p-value of the exact two-sided McNemar test of two classifiers on the same images.

    Args:
        left_right, right_right: bool[n], whether each classifier is correct.
    """
    left, right = np.asarray(left_right, dtype=bool), np.asarray(right_right, dtype=bool)
    if left.shape != right.shape:
        raise ValueError(f"{left.size} and {right.size} predictions; expected predictions for the same images")
    only_left, only_right = int((left & ~right).sum()), int((right & ~left).sum())
    differ, fewer = only_left + only_right, min(only_left, only_right)
    if differ == 0:
        return 1.0
    if differ > _EXACT:
        return min(1.0, 2 * float(np.exp(_log_tail(differ, fewer) - differ * np.log(2))))
    # In integers, so that the binomial tail is exact.
    tail = sum(comb(differ, count) for count in range(fewer + 1))
    return min(1.0, 2 * tail / 2**differ)


_EXACT = 1000
"""Differing pairs up to which binomial sums are computed in integers; beyond it that takes minutes."""


def _log_tail(n: int, k: int) -> float:
    """Return the logarithm of the sum of comb(n, i) over i = 0 to k, to a relative error of about 1e-9."""
    largest = lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
    counts = np.arange(k, 0, -1)
    return largest + float(np.log1p(np.cumprod(counts / (n - counts + 1)).sum()))


@dataclass(frozen=True)
class EnoughBeams:
    """Which beam size is enough."""

    smallest: int
    """The smallest size that is not significantly worse than the best one."""
    best: int
    """The size with the highest corpus value; of equal sizes the smaller one."""
    too_few: str
    """Why the test could not have found `smallest` to be worse, or "" if it could."""


def smallest_not_worse(
    values: Mapping[int, ArrayLike], alpha: float = ALPHA, resamples: int = RESAMPLES, pooled: Pooled | None = None
) -> EnoughBeams:
    """Return the smallest beam size that is not significantly worse than the best one.

    Each smaller size is compared with the best by approximate randomization, with Holm's correction.

    Args:
        values: beam size -> float[n], or counts float[n, C] if `pooled` computes the metric from their sums; the same
            images in the same order. A mapping may read them when they are taken: at most two are used at a time.
    """
    corpus = {size: _corpus(values[size], pooled) for size in values}
    best = max(corpus, key=lambda size: (corpus[size], -size))
    most = values[best]
    smaller = {size: _tested(values[size], most, resamples, pooled) for size in sorted(values) if size < best}
    adjusted = holm([p_value for p_value, *_ in smaller.values()])
    enough = next((size for size, p in zip(smaller, adjusted, strict=True) if p >= alpha), best)
    reachable = holm([smallest_p(differing, resamples) for _, differing, _ in smaller.values()])
    if dict(zip(smaller, reachable, strict=True)).get(enough, 0.0) < ALPHA:
        return EnoughBeams(enough, best, "")
    _, differing, images = smaller[enough]
    return EnoughBeams(enough, best, too_few(images, differing, resamples))


def _corpus(values: ArrayLike, pooled: Pooled | None) -> float:
    """Return the corpus value of one setting."""
    found, _ = _sides(values, values)
    return float((pooled or _mean(len(found)))(found.sum(0)))


def _tested(values: ArrayLike, best: ArrayLike, resamples: int, pooled: Pooled | None) -> tuple[float, int, int]:
    """Return the p-value of one setting against the best one, how many images differ, and how many there are."""
    pairs = Pairs(values, best, resamples)
    return _randomization(pairs, pooled or _mean(len(pairs.left))), pairs.differing, len(pairs.left)


def _share_at_least(drawn: np.ndarray, observed: float) -> float:
    # A small tolerance: sums in another order differ in the last digit, and ties count against significance. So do
    # resamples without a value, such as CHAIRi of captions that mention no object.
    return float((np.count_nonzero(~(drawn < observed * (1 - 1e-12))) + 1) / (drawn.size + 1))


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, expected a share between 0 and 1, such as 0.95")
