"""Compute metrics of captions, for any number of settings such as beam sizes. Needs no run and no results folder."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.data.split import Split
from engine.metrics import registry
from engine.metrics.base import MetricError, Resampled, Scores, is_mean
from engine.metrics.coco import CAPTION_METRICS
from engine.metrics.exec_metric import ExecMetric
from engine.protocols import Metric
from engine.store.schema import BUILT_IN


def measure(settings: Mapping[int, Sequence[str]], split: Split, metrics: Sequence[Metric]) -> dict[int, Scores]:
    """Compute metrics of the captions of several settings, such as beam sizes.

    Args:
        settings: setting -> N captions of the images of `split`.

    Returns:
        Setting -> scores; NaN if an image lacks what a metric needs. A metric that no image can have is left out.

    Raises:
        MetricError: captions do not match the split, a tool failed, or a metric returned the wrong shape.
    """
    for setting, captions in settings.items():
        if len(captions) != len(split):
            raise MetricError(
                f"setting {setting}: {len(captions)} captions for {len(split)} images; expected one per image"
            )
    found = {setting: Scores() for setting in settings}
    resampled = Resampled()
    for metric, by_setting in _statistics(settings, split, metrics):
        for setting, statistics in by_setting.items():
            found[setting].add(metric, statistics, resampled)
    return found


def score_captions(
    settings: Mapping[int, Sequence[str]],
    references: Sequence[Sequence[str]],
    metrics: Sequence[str] = CAPTION_METRICS,
) -> dict[int, Scores]:
    """Score captions against references, for example in a notebook.

    Args:
        settings: setting -> N captions.
        references: N non-empty lists of references.
        metrics: keys of metrics that need references only.

    Returns:
        Setting -> its scores.

    Raises:
        MetricError: an image has no references, the numbers of captions and images differ, or a tool failed.
    """
    if not all(references):
        raise MetricError(f"image number {[*map(bool, references)].index(False)} has no references")
    return measure(settings, Split.of_references(references), registry.named(metrics))


def _statistics(
    settings: Mapping[int, Sequence[str]], split: Split, metrics: Sequence[Metric]
) -> list[tuple[Metric, dict[int, np.ndarray]]]:
    """Return each metric with its statistics float64[N, C] of every setting; a family is computed together."""
    families, others = grouped(metrics)
    found = [(metric, each) for metric in others if (each := alone(metric, settings, split))]
    for family, members in families:
        every = family.statistics([metric.key for metric in members], settings, split)
        found += [(metric, every[metric.key]) for metric in members if metric.key in every]
    return found


def grouped(metrics: Sequence[Metric]) -> tuple[list[tuple[Any, list[Metric]]], list[Metric]]:
    """Return the families with the metrics that they compute together, and the metrics without a family."""
    families: dict[int, tuple[Any, list[Metric]]] = {}
    others = []
    for metric in metrics:
        family = getattr(metric, "family", None) if metric.key in BUILT_IN else None
        if family is None:
            others.append(metric)
        else:
            families.setdefault(id(family), (family, []))[1].append(metric)
    return list(families.values()), others


def alone(metric: Metric, settings: Mapping[int, Sequence[str]], split: Split) -> dict[int, np.ndarray]:
    """Return the statistics float64[N, C] of a metric without a family, for every setting.

    It sees the whole split in one call. Empty: no image has what the metric needs.

    Raises:
        MetricError: the metric returned the wrong shape.
    """
    rows = split.having(metric.needs)
    return _of_one(metric, settings, split, rows) if rows else {}


def _of_one(
    metric: Metric, settings: Mapping[int, Sequence[str]], split: Split, rows: Sequence[int]
) -> dict[int, np.ndarray]:
    """Return the statistics of a metric without a family, checked because it may be a plugin."""
    part = split.take(rows)
    chosen = {setting: [captions[row] for row in rows] for setting, captions in settings.items()}
    every = {}
    for setting, statistics in _computed(metric, chosen, part).items():
        some = _checked(metric, statistics, len(rows))
        every[setting] = np.full((len(split), some.shape[1]), np.nan)
        every[setting][rows] = some
    return every


def _computed(metric: Metric, settings: Mapping[int, Sequence[str]], split: Split) -> Mapping[int, Any]:
    """Return the statistics of every setting; a command is started once for all of them."""
    if isinstance(metric, ExecMetric):
        return metric.together(settings, split)
    return {setting: metric.statistics(captions, split) for setting, captions in settings.items()}


def _checked(metric: Metric, returned: object, images: int) -> np.ndarray:
    """Return statistics float64[images, C] of a plugin if they and their values have the right shapes."""
    statistics = _numbers(metric, "statistics", returned)
    expected = f"({images}, {2 if is_mean(metric) else 'columns'})"
    if statistics.ndim != 2 or len(statistics) != images or statistics.shape[1] < (2 if is_mean(metric) else 1):
        raise MetricError(f"metric {metric.key!r} returned statistics of shape {statistics.shape}, expected {expected}")
    values = _numbers(metric, "values", metric.value(statistics))
    if values.shape != (images,):
        raise MetricError(f"metric {metric.key!r} returned values of shape {values.shape}, expected ({images},)")
    return statistics


def _numbers(metric: Metric, what: str, returned: object) -> np.ndarray:
    try:
        found = np.asarray(returned)
        return found.astype(np.float64, casting="same_kind" if found.dtype.kind in "fiub" else "safe")
    except (TypeError, ValueError) as error:
        raise MetricError(f"metric {metric.key!r} returned {what} that are not an array of numbers") from error
