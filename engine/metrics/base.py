"""Scores and their aggregation, shared by all metrics: statistics per image first, aggregation last.

The corpus value of a metric is computed from the sum of its statistics over images, its 95 % interval from sums over
resampled images. A mean is the simplest case, with the statistics value and 1.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.statistics import bootstrap_mean_interval, bootstrap_sums, percentiles

if TYPE_CHECKING:
    from engine.data.split import Split
    from engine.protocols import Metric, Need

RESAMPLES = 1000
_SEED = 0


class MetricError(RuntimeError):
    """A metric could not be computed; the message says what failed and what to do."""


@dataclass(frozen=True)
class CorpusScore:
    """A metric over the split with its 95 % bootstrap interval; the bounds are None for fewer than two images."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Scores:
    """One setting's scores: per image float64[N], and over the split."""

    per_image: dict[str, np.ndarray] = field(default_factory=dict)
    corpus: dict[str, CorpusScore] = field(default_factory=dict)
    counts: dict[str, np.ndarray] = field(default_factory=dict)
    """Column -> statistics [N, C] from which corpus values are pooled, for paired tests; see `counts_column`."""

    def update(self, other: "Scores") -> None:
        """Add the metrics of `other`, computed for the same captions."""
        for name in ("per_image", "corpus", "counts"):
            getattr(self, name).update(getattr(other, name))

    def add(self, metric: "Metric", statistics: np.ndarray, resampled: "Resampled") -> None:
        """Add a metric from its statistics float64[N, C]; rows with a NaN have no value."""
        known = np.asarray(np.isfinite(statistics).all(axis=1))
        values = np.full(len(statistics), np.nan)
        values[known] = metric.value(statistics[known])
        self.per_image[metric.key] = values
        if is_mean(metric):
            self.corpus[metric.key] = mean_with_interval(values)
            return
        self.counts[counts_column(metric)] = statistics
        self.corpus[metric.key] = _pooled(metric, statistics[known], resampled.sums(statistics, known))


class Resampled:
    """Bootstrapped sums of statistics, computed once for all metrics that share them, such as BLEU-1 to BLEU-4."""

    def __init__(self) -> None:
        self._sums: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def sums(self, statistics: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Return float64[RESAMPLES, C], sums over resampled images of the `known` rows bool[N]."""
        kept = self._sums.get(id(statistics))
        if kept is None:
            kept = (statistics, bootstrap_sums(statistics[known], RESAMPLES, _SEED))  # kept alive, so that ids differ
            self._sums[id(statistics)] = kept
        return kept[1]


class PerImage:
    """Base of metrics whose corpus value is the mean over images. A subclass defines `scores`."""

    is_mean = True
    higher_is_better: bool = True
    needs: "Collection[Need]" = frozenset({"references"})

    def scores(self, captions: Sequence[str], split: "Split") -> np.ndarray:
        """Return float64[N], one value per caption."""
        raise NotImplementedError

    def statistics(self, captions: Sequence[str], split: "Split") -> np.ndarray:
        """Return float64[N, 2]: the value and 1."""
        return with_ones(self.scores(captions, split))

    def value(self, sums: np.ndarray) -> np.ndarray:
        """Return the mean of summed values float64[..., 2] -> float64[...]."""
        return mean_of(sums)


class Described:
    """Base of built-in metrics, whose names and units are defined in `schema.METRICS`."""

    key: str
    higher_is_better = True

    @cached_property
    def _info(self):
        from engine.store.schema import METRICS

        return METRICS[self.key]

    @property
    def title(self) -> str:
        """Return the metric's usual name."""
        return self._info.title

    @property
    def unit(self) -> str:
        """Return the range of values."""
        return self._info.unit

    @property
    def digits(self) -> int:
        """Return how many decimals are shown."""
        return self._info.digits

    @property
    def definition(self) -> str:
        """Return what is computed, in one line."""
        return self._info.definition


def with_ones(values: np.ndarray) -> np.ndarray:
    """Return the statistics of a mean, float64[N, 2], of values float64[N]; rows without a value are NaN."""
    values = np.asarray(values, dtype=np.float64)
    return np.column_stack([values, np.where(np.isfinite(values), 1.0, np.nan)])


def mean_of(sums: np.ndarray) -> np.ndarray:
    """Return summed values over the number of images: float64[..., 2] -> float64[...]."""
    return sums[..., 0] / sums[..., 1]


def is_mean(metric: "Metric") -> bool:
    """Return whether the corpus value of a metric is the mean over images: what `PerImage` is, and a metric may say.

    Means need no counts for paired tests and have a shorter way to their interval.
    """
    return getattr(metric, "is_mean", False)


def counts_column(metric: "Metric") -> str:
    """Return the column of `scores` that stores a pooled metric's statistics."""
    return getattr(metric, "counts", f"{metric.key}_counts")


def mean_with_interval(values: np.ndarray) -> CorpusScore:
    """Return the mean of per-image values; images without one (NaN) are left out."""
    known = values[np.isfinite(values)]
    if known.size == 0:
        return CorpusScore(float("nan"), None, None)
    return _corpus(known.mean(), *bootstrap_mean_interval(known, RESAMPLES, _SEED))


def _pooled(metric: "Metric", statistics: np.ndarray, sums: np.ndarray) -> CorpusScore:
    """Return a corpus value of statistics [N, C]; its interval comes from the resampled sums."""
    if not len(statistics):
        return CorpusScore(float("nan"), None, None)
    return _corpus(metric.value(statistics.sum(axis=0)), *percentiles(metric.value(sums), len(statistics)))


def _corpus(value: Any, low: float, high: float) -> CorpusScore:
    known = np.isfinite(low)
    return CorpusScore(float(value), low if known else None, high if known else None)
