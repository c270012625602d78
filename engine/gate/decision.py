"""Decide whether a metric of new captions is worse than that of old captions by more than a limit.

The rule: the gate fails if the loss is above the limit with 95 % confidence (one-sided, paired by image). Then at most
5 % of comparisons whose true loss is at most the limit fail.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
from scipy.stats import norm, t

from engine.statistics import Pairs

LEVEL = 0.95
POWER = 0.8
_MOST = 10**15
"""A larger number of images is shown as this one."""
RULE = (
    "The gate fails if the loss is above the limit with 95 % confidence (one-sided paired test on the same images); "
    "at most 5 % of comparisons whose true loss is within the limit fail."
)

Pooled = Callable[[np.ndarray], np.ndarray]


class GateError(ValueError):
    """Runs or options that the gate cannot use; the message says what to do."""


class Verdict(Enum):
    """What the data say about the loss."""

    FAILED = "failed"
    PASSED = "passed"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Limit:
    """The largest loss that passes."""

    value: float
    is_relative: bool
    """Whether `value` is a share of the old corpus value."""

    def of(self, old: float) -> float:
        """Return the limit in the metric's unit."""
        return self.value * abs(old) if self.is_relative else self.value

    def __str__(self) -> str:
        return f"{100 * self.value:g} %" if self.is_relative else f"{self.value:g}"


def limit_of(text: str) -> Limit:
    """Return the limit that `text` states: "1%" of the old value, or "0.01" in the metric's unit.

    Raises:
        GateError: it is neither.
    """
    found = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{0,12})?|\.\d{1,12})\s*(%?)\s*", text, re.ASCII)
    if found is None:
        raise GateError(f"--max-loss {text[:60]!r}: expected a share such as 1%, or a number of 0 or more such as 0.01")
    return Limit(float(found[1]) / (100 if found[2] else 1), bool(found[2]))


@dataclass(frozen=True)
class Decision:
    """The loss of a metric on the same images, and whether it is above the limit."""

    old: float
    new: float
    """Corpus values on the shared images."""
    low: float
    """95 % of all samples of images would give a loss above this, one-sided; -inf for a single image."""
    high: float
    """The same from above."""
    limit: float
    """In the metric's unit."""
    verdict: Verdict
    images: int
    differing: int
    """Images whose two sides differ."""
    needed: int | None
    """Images that detect a loss of `change` with 80 % power; None if no image differs."""
    change: float
    """The limit, or 1 % of the old value if the limit is 0."""
    loss: float
    """How much worse the new value is; negative if it is better."""


def decide(
    old: np.ndarray,
    new: np.ndarray,
    limit: Limit,
    is_higher_better: bool = True,
    pooled: Pooled | None = None,
) -> Decision:
    """Compare two settings on the same images.

    Args:
        old, new: float[n], or counts float[n, C] if `pooled` computes the metric from their sums.

    Raises:
        GateError: the limit is relative and the old value is 0.
        ValueError: different shapes, no images, or values that are not finite.
    """
    pairs = Pairs(old, new)
    sign = 1.0 if is_higher_better else -1.0
    score = pooled or (lambda sums: sums[..., 0] / len(pairs.left))
    before, after = (float(score(side)) for side in pairs.sums)
    if limit.is_relative and before == 0:
        raise GateError("the old value is 0, so a relative loss is not defined; give --max-loss as a number")
    share = limit.value if limit.is_relative else 0.0
    absolute = limit.of(before)
    # A share of the old value varies with the images, too: the bound is that of loss - share * old.
    if pooled is None:
        loss, error, quantile = _of_means(pairs, sign, share * np.sign(before))
    else:
        loss, error, quantile = _of_counts(pairs, sign, share * np.sign(before), score)
    excess = loss - absolute
    low, high = (absolute + excess - quantile * error, absolute + excess + quantile * error)
    change = absolute or abs(before) / 100
    return Decision(
        old=before,
        new=after,
        low=low,
        high=high,
        limit=absolute,
        verdict=_verdict(low, high, absolute),
        images=len(pairs.left),
        differing=pairs.differing,
        needed=_needed(pairs, sign, score, pooled is None, change),
        change=change,
        loss=loss,
    )


def _verdict(low: float, high: float, limit: float) -> Verdict:
    if low > limit:
        return Verdict.FAILED
    return Verdict.PASSED if high <= limit else Verdict.UNDECIDED


def _of_means(pairs: Pairs, sign: float, share: float) -> tuple[float, float, float]:
    """Return the loss, the standard error of loss - share * old, and its one-sided quantile."""
    old, new = pairs.left[:, 0], pairs.right[:, 0]
    loss, images = sign * (old - new), len(old)
    if images < 2:
        return float(loss.mean()), math.inf, 1.0
    error = float(np.std(loss - share * old, ddof=1) / math.sqrt(images))
    return float(loss.mean()), error, float(t.ppf(LEVEL, images - 1))


def _of_counts(pairs: Pairs, sign: float, share: float, score: Pooled) -> tuple[float, float, float]:
    """Return the same of a metric of summed counts; the standard error is that of resampled images."""
    loss = sign * pairs.observed(score)
    if len(pairs.left) < 2:
        return loss, math.inf, 1.0
    old, new = (score(side) for side in np.split(pairs.bootstrapped, 2, axis=-1))
    return loss, float(np.std(sign * (old - new) - share * old, ddof=1)), float(t.ppf(LEVEL, len(pairs.left) - 1))


def _needed(pairs: Pairs, sign: float, score: Pooled, is_mean: bool, change: float) -> int | None:
    """Return how many images detect a loss of `change`, from the variance of the paired differences."""
    _, error, _ = _of_means(pairs, sign, 0.0) if is_mean else _of_counts(pairs, sign, 0.0, score)
    if not 0 < error < math.inf or change <= 0:
        return None
    reach = float(norm.ppf(LEVEL) + norm.ppf(POWER))
    share = min(reach * error / change, math.sqrt(_MOST))
    return max(2, math.ceil(min(share**2 * len(pairs.left), _MOST)))
