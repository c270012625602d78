"""Metric columns in SQL: quoted names, finite values, and values as they are displayed."""

import numpy as np
import pandas as pd

from engine.metrics.pooling import BLEU_COUNTS, METEOR_COUNTS
from engine.store.schema import METRICS


def metric_column(metric: str) -> str:
    """The quoted column of `metric` in `scores`: the only way a metric's name gets into SQL.

    Raises:
        ValueError: METRICS does not define it.
    """
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}: expected one of {', '.join(METRICS)}")
    return f'"{metric}"'


# A NaN or an infinity of a foreign file is no score: DuckDB would rank it above every number.
FINITE = ", ".join(
    f"CASE WHEN isfinite({column}) THEN {column} END AS {column}" for column in map(metric_column, METRICS)
)


def displayed(metric: str) -> str:
    """A metric as it is written, to its last digit: values that people read as equal share a rank."""
    return f"round({metric_column(metric)}, {METRICS[metric].digits})"


def rounded(values: np.ndarray, metric: str) -> np.ndarray:
    """As `displayed` rounds: halves away from zero, where numpy would take the even one."""
    scale = 10 ** METRICS[metric].digits
    return np.trunc(values * scale + np.copysign(0.5, values)) / scale


def ranks(values: np.ndarray, scored: np.ndarray) -> pd.array:
    """Int64[cases]: 1 + how many of `scored` (float64[N]) are above each value (float64[cases]); null for NaN."""
    above = len(scored) - np.searchsorted(np.sort(scored), values, side="right")
    return pd.array(np.where(np.isnan(values), np.nan, 1 + above), dtype="Int64")


COUNTS = {"bleu_counts": BLEU_COUNTS, "meteor_counts": METEOR_COUNTS}
"""Column of per-image counts -> how many counts it holds."""


def count_columns(counts: str) -> dict[str, str]:
    """Name -> expression of each of the kept counts: numbers come out of the database faster than lists."""
    return {f"{counts}_{n}": f"{counts}[{n + 1}]" for n in range(COUNTS[counts])}
