"""Metric columns in SQL: quoted names, finite values, values as they are displayed, and which of two is better."""

import numpy as np
import pandas as pd
from duckdb import DuckDBPyConnection
from pandas.api.extensions import ExtensionArray

from engine.metrics.pooling import BLEU_COUNTS, CHAIR_COUNTS, METEOR_COUNTS
from engine.store.orders import ALARM, definition
from engine.store.schema import METRICS


def metrics(cursor: DuckDBPyConnection) -> list[str]:
    """Return the metrics that the views of this connection have a column for, in METRICS' order.

    A metric that was registered after the connection was opened has none.
    """
    known = set(cursor.table("empty_scores").columns)
    return [metric for metric in list(METRICS) if metric in known]


def metric_column(metric: str) -> str:
    """Return the quoted column of `metric`, or of ALARM, in a table of cases: the only way its name gets into SQL.

    Raises:
        ValueError: METRICS does not define it.
    """
    if metric not in METRICS and metric != ALARM.key:
        raise ValueError(f"unknown metric {metric!r}: expected one of {', '.join(METRICS)}")
    return f'"{metric}"'


def finite_columns(cursor: DuckDBPyConnection) -> str:
    """Return the metric columns, separated by commas, with NULL in the place of values that are not finite.

    DuckDB would rank a NaN or an infinity in other users' files above every number.
    """
    columns = map(metric_column, metrics(cursor))
    return ", ".join(f"CASE WHEN isfinite({column}) THEN {column} END AS {column}" for column in columns)


def displayed(metric: str) -> str:
    """Return the SQL of a metric rounded to its displayed digits: values that look equal share a rank."""
    return f"round({metric_column(metric)}, {definition(metric).digits})"


def rounded(values: np.ndarray, metric: str) -> np.ndarray:
    """Return `values` rounded as `displayed` does: halves away from zero, where numpy would round to even."""
    scale = 10 ** definition(metric).digits
    return np.trunc(values * scale + np.copysign(0.5, values)) / scale


def direction(metric: str) -> int:
    """Return 1 if higher values of a metric are better, else -1: of `direction * value` the highest is the best."""
    return 1 if definition(metric).higher_is_better else -1


def lower_is_better() -> list[str]:
    """Return the metrics of which the lowest value is the best."""
    return [key for key, metric in list(METRICS.items()) if not metric.higher_is_better]


def ranks(values: np.ndarray, scored: np.ndarray, metric: str) -> ExtensionArray:
    """Return Int64[cases]: 1 + how many of `scored` are better than each value; null for NaN.

    Args:
        values: float64[cases], displayed values of `metric`; NaN where a case has none.
        scored: float64[N], the displayed values of all cases.
    """
    mine, ordered = direction(metric) * values, np.sort(direction(metric) * scored)
    better = len(ordered) - np.searchsorted(ordered, mine, side="right")
    return pd.array(np.where(np.isnan(values), np.nan, 1 + better), dtype="Int64")


COUNTS = {"bleu_counts": BLEU_COUNTS, "meteor_counts": METEOR_COUNTS, "chair_counts": CHAIR_COUNTS}
"""Column of per-image counts -> how many counts it holds."""
