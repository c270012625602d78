"""Find the groups of images on which captions are worse: slices by conditions, with control of false discoveries.

A slice is the images that meet one condition, or two. All conditions are tested together: q is the probability that
random scores make any condition look as bad (the largest statistic of permuted scores, Westfall and Young, 1993). This
is stricter than a false discovery rate: fewer than 5 % of all runs without a slice report one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import erfc, sqrt

import numpy as np

ALPHA = 0.03
"""Slices with a q above this are not reported. It is below 5 % because q is estimated from random permutations."""

SMALLEST = 10
"""Images of the smallest slice; in large splits it has SMALLEST_SHARE of the images."""
SMALLEST_SHARE = 0.025
LARGEST_SHARE = 0.5
"""A condition of more images describes the usual image."""

PERMUTATIONS = 999
_PERMUTED_IMAGES = 5_000
"""Images whose scores are permuted; of larger splits a random part, because the distribution hardly changes."""
_BLOCK = 111
"""Permutations in memory at a time."""

_SAME = 0.6
"""Share of the smaller slice in the larger one, from which two slices have the same reason."""
_NEARLY = 0.5
"""Jaccard index from which two conditions have nearly the same images."""
_NAMES = 5
"""Further conditions of the same reason that are named."""
_KEPT = 0.5
"""Share of its effect that a further slice may keep on the images that no slice above it has."""
_FEWEST = 5
"""Images outside of the slices above that show this."""
_PARENTS = 12
"""Significant conditions that are combined with every other one."""


@dataclass(frozen=True)
class Slice:
    """Images that meet a condition and have worse scores than the other images."""

    condition: str
    images: np.ndarray
    """Rows of the images, int64[size], in order."""
    inside: float
    """Mean score of the slice."""
    outside: float
    """Mean score of all other images."""
    low: float
    """The 95 % interval of `effect`, for this slice alone; the worst of many slices looks a little worse than it is."""
    high: float
    p: float
    """One-sided, of this condition alone."""
    q: float
    """Corrected for all conditions; at least 0.001."""
    also: tuple[str, ...] = ()
    """Other significant conditions that share most images with it, at most five."""

    @property
    def size(self) -> int:
        """Return the number of images."""
        return len(self.images)

    @property
    def effect(self) -> float:
        """Return `inside` - `outside`, in the unit of the scores."""
        return self.inside - self.outside


def find(
    values: np.ndarray,
    members: np.ndarray,
    names: Sequence[str],
    is_higher_better: bool = True,
    most: int = 10,
    seed: int = 0,
    preferred: int = 0,
) -> list[Slice]:
    """Return the slices with worse scores, those with the largest certain effect first.

    Conditions are ordered by their effect on the scale of the test less one standard error; pairs of conditions follow.
    A slice is left out if it shares most images with one above it, or is worse only because of their images.

    Args:
        values: float[N], a score per image; NaN if it has none.
        members: bool[N, C], whether an image meets a condition.
        names: C conditions.
        most: slices that are returned.
        preferred: conditions at the beginning, such as those that the dataset names. They are reported instead of
            others with nearly the same images.

    Raises:
        ValueError: shapes do not fit.
    """
    if members.shape != (len(values), len(names)):
        raise ValueError(f"{members.shape} memberships; expected {len(values)} images and {len(names)} conditions")
    known = np.flatnonzero(np.isfinite(values))
    least = max(SMALLEST, int(np.ceil(SMALLEST_SHARE * len(known))))
    sizes = members[known].sum(0)
    usable = np.flatnonzero((sizes >= least) & (sizes <= LARGEST_SHARE * len(known)))
    if not len(usable):
        return []
    sign = 1.0 if is_higher_better else -1.0
    search = _Search(sign * values[known].astype(np.float64), members[np.ix_(known, usable)], least, seed)
    search.preferred = int((usable < preferred).sum())
    labels = [names[column] for column in usable]
    found = [_named(each, labels) for each in search.chosen(most)]
    return [_turned(each, known, sign) for each in found]


@dataclass(frozen=True)
class _Candidate:
    columns: tuple[int, ...]
    rows: np.ndarray
    """bool[N]."""
    inside: float
    outside: float
    low: float
    high: float
    p: float
    q: float
    also: tuple[int, ...] = ()


class _Search:
    """Scores of N images, of which lower ones are worse, and their conditions."""

    def __init__(self, values: np.ndarray, members: np.ndarray, least: int, seed: int) -> None:
        self._values, self._members, self._least = values, members, least
        self._scores = _standard(values)
        self._largest = _largest_statistics(self._scores, members, seed)
        self.preferred = 0

    def chosen(self, most: int) -> list[_Candidate]:
        """Return the slices, worst first, each for another reason."""
        statistics = _statistics(self._scores[:, None], self._members)[:, 0]
        exceeded = np.searchsorted(self._largest, statistics - 1e-9)
        q = (1 + len(self._largest) - exceeded) / (1 + len(self._largest))
        singles = [
            self._candidate((int(column),), self._members[:, column], _tail(statistics[column]), q[column])
            for column in np.argsort(-statistics, kind="stable")
            if q[column] <= ALPHA
        ]
        ranked = sorted([*singles, *self._pairs(singles)], key=self._order)
        return self._different([each for each in ranked if each.inside < each.outside], most)

    def _order(self, each: _Candidate) -> tuple[int, float]:
        """Return what candidates are sorted by: single conditions first, then the certain effect.

        It is the effect on the scale of the test, where complete failures count more, less one standard error.
        """
        inside, outside = self._scores[each.rows], self._scores[~each.rows]
        return len(each.columns), float(inside.mean() - outside.mean() + inside.std() / np.sqrt(len(inside)))

    def _candidate(self, columns: tuple[int, ...], rows: np.ndarray, p: float, q: float) -> _Candidate:
        return _Candidate(columns, rows, *_interval(self._values[rows], self._values[~rows]), p, float(q))

    def _pairs(self, singles: Sequence[_Candidate]) -> list[_Candidate]:
        """Return pairs of conditions that are clearly worse than either condition alone."""
        found: dict[tuple[int, ...], _Candidate] = {}
        tests = max(1, min(len(singles), _PARENTS) * self._members.shape[1])
        for parent in singles[:_PARENTS]:
            (own,) = parent.columns
            within = self._members[parent.rows]
            sizes = within.sum(0)
            usable = np.flatnonzero((sizes >= self._least) & (len(within) - sizes >= self._least))
            statistics = _statistics(_standard(self._values[parent.rows])[:, None], within[:, usable])[:, 0]
            for column, statistic in zip(usable, statistics, strict=True):
                p = max(_tail(statistic), self._further(int(column), own))
                if min(1.0, p * tests) <= ALPHA:
                    columns = tuple(sorted((own, int(column))))
                    rows = parent.rows & self._members[:, column]
                    found[columns] = self._candidate(columns, rows, float(p), max(parent.q, min(1.0, p * tests)))
        return [each for each in found.values() if self._is_better(each, singles)]

    def _further(self, parent: int, column: int) -> float:
        """Return p of the condition `column` among the images that meet `parent`."""
        rows = self._members[:, parent]
        inner = self._members[rows][:, [column]]
        if not 0 < inner.sum() < len(inner):
            return 1.0
        return _tail(_statistics(_standard(self._values[rows])[:, None], inner)[0, 0])

    def _is_better(self, pair: _Candidate, singles: Sequence[_Candidate]) -> bool:
        """Return whether a pair is certainly worse than both of its conditions are on average."""
        return all(pair.high < each.inside - each.outside for each in singles if each.columns[0] in pair.columns)

    def _different(self, ranked: Sequence[_Candidate], most: int) -> list[_Candidate]:
        """Return the candidates that are not explained by those above them, with the names of nearly equal ones."""
        found: list[_Candidate] = []
        taken = np.zeros(len(self._values), bool)
        for each in ranked:
            twin = next((place for place, above in enumerate(found) if _overlap(above.rows, each.rows) >= _SAME), None)
            if twin is not None:
                found[twin] = self._joined(found[twin], each)
            elif len(found) < most and self._is_new(each, taken):
                found.append(each)
                taken |= each.rows
        return found

    def _joined(self, above: _Candidate, each: _Candidate) -> _Candidate:
        """Return a slice with the name of another one for the same reason."""
        if len(each.columns) > 1:
            return above
        is_own = len(above.columns) == 1 and each.columns[0] < self.preferred <= above.columns[0]
        if is_own and _jaccard(above.rows, each.rows) >= _NEARLY:
            return replace(each, also=(*above.columns, *above.also))
        return replace(above, also=(*above.also, *each.columns))

    def _is_new(self, each: _Candidate, taken: np.ndarray) -> bool:
        """Return whether a slice is worse also on the images that no slice above it has."""
        inside, outside = self._values[each.rows & ~taken], self._values[~each.rows & ~taken]
        if len(inside) < _FEWEST or len(outside) < self._least:
            return False
        mean, other, low, _ = _interval(inside, outside)
        return mean < other and low <= _KEPT * (each.inside - each.outside)


def _standard(values: np.ndarray) -> np.ndarray:
    """Return scores with mean 0 and variance 1 whose spread depends less on their size: CIDEr is skewed."""
    rooted = np.sign(values) * np.sqrt(np.abs(values))
    spread = rooted.std()
    return (rooted - rooted.mean()) / spread if spread > 0 else np.zeros(len(values))


def _statistics(scores: np.ndarray, members: np.ndarray) -> np.ndarray:
    """Return how much worse the images of each condition are than chance, float[C, B], in standard deviations.

    Args:
        scores: float[N, B], columns with mean 0 and variance 1.
        members: bool[N, C].
    """
    images, sizes = len(members), members.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 1 / np.sqrt(sizes * (images - sizes) / max(images - 1, 1))
    scale[~np.isfinite(scale)] = 0.0  # all images or none
    return -(members.T.astype(np.float32) @ scores.astype(np.float32)) * scale[:, None]


def _largest_statistics(scores: np.ndarray, members: np.ndarray, seed: int) -> np.ndarray:
    """Return the largest statistic of all conditions under each permutation of the scores, in order."""
    generator = np.random.default_rng(seed)
    if len(scores) > _PERMUTED_IMAGES:
        some = np.sort(generator.choice(len(scores), _PERMUTED_IMAGES, replace=False))
        scores, members = _centred(scores[some]), members[some]
    found = [
        _statistics(_permuted(scores, min(_BLOCK, PERMUTATIONS - start), generator), members).max(0)
        for start in range(0, PERMUTATIONS, _BLOCK)
    ]
    return np.sort(np.concatenate(found))


def _permuted(scores: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    return generator.permuted(np.tile(scores.astype(np.float32), (count, 1)), axis=1).T


def _centred(scores: np.ndarray) -> np.ndarray:
    spread = scores.std()
    return (scores - scores.mean()) / spread if spread > 0 else scores * 0


def _tail(statistic: float) -> float:
    """Return the probability that a standard normal number is larger."""
    return erfc(statistic / sqrt(2)) / 2


def _interval(inside: np.ndarray, outside: np.ndarray) -> tuple[float, float, float, float]:
    """Return both means, and the 95 % interval of their difference (Welch)."""
    from scipy.special import stdtrit  # takes a while to load, and most commands do not need it

    mean, other = float(inside.mean()), float(outside.mean())
    own, rest = inside.var(ddof=1) / len(inside), outside.var(ddof=1) / len(outside)
    if own + rest == 0:
        return mean, other, mean - other, mean - other
    freedom = (own + rest) ** 2 / (own**2 / (len(inside) - 1) + rest**2 / (len(outside) - 1))
    reach = float(stdtrit(freedom, 0.975) * np.sqrt(own + rest))
    return mean, other, mean - other - reach, mean - other + reach


def _jaccard(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max((one | other).sum(), 1))


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Return the share of the smaller slice that is in the larger one."""
    return float((one & other).sum() / max(min(one.sum(), other.sum()), 1))


def _named(each: _Candidate, names: Sequence[str]) -> Slice:
    condition = " and ".join(names[column] for column in each.columns)
    also = tuple(names[column] for column in dict.fromkeys(each.also) if column not in each.columns)[:_NAMES]
    numbers = (each.inside, each.outside, each.low, each.high, each.p, each.q)
    return Slice(condition, np.flatnonzero(each.rows), *numbers, also)


def _turned(each: Slice, known: np.ndarray, sign: float) -> Slice:
    """Return a slice with rows of all images and values in the metric's own direction."""
    low, high = sorted((sign * each.low, sign * each.high))
    return replace(
        each, images=known[each.images], inside=sign * each.inside, outside=sign * each.outside, low=low, high=high
    )
