"""How the values of metrics are distributed over the cases of a beam size."""

import numpy as np
import pandas as pd
from duckdb import DuckDBPyConnection

from engine.store.orders import ALARM
from engine.store.queries.case_tables import case_table, metric_values
from engine.store.queries.columns import metric_column, metrics
from engine.store.queries.selection import EVERYTHING, Selection, where_clause


def metric_ranges(cursor: DuckDBPyConnection, run: str, beam_size: int) -> pd.DataFrame:
    """Return columns metric, low, high, middle (median), scored (cases): metrics with values, in METRICS' order.

    "alarm" comes last, if words have alarms.
    """
    values = metric_values(cursor, case_table(cursor, run, beam_size), [*metrics(cursor), ALARM.key])
    rows = [
        (metric, known.min(), known.max(), np.median(known), len(known))
        for metric, known in values.items()
        if len(known)
    ]
    return pd.DataFrame(rows, columns=["metric", "low", "high", "middle", "scored"])


def histograms(
    cursor: DuckDBPyConnection,
    run: str,
    beam_size: int,
    edges: tuple[tuple[str, float, float], ...],
    selection: Selection = EVERYTHING,
    bins: int = 24,
) -> pd.DataFrame:
    """Return columns metric, bin (0 to bins - 1), cases (that `selection` keeps); empty bins have no row.

    Args:
        edges: (metric, lowest, highest): the range of values that is divided into equal bins.

    Raises:
        ValueError: METRICS does not define a metric.
    """
    if not edges:
        return pd.DataFrame(columns=["metric", "bin", "cases"])
    where, bound = where_clause(cursor, run, beam_size, selection)
    values = metric_values(cursor, case_table(cursor, run, beam_size), [metric for metric, _, _ in edges], where, bound)
    rows = [
        (metric, place, int(count))
        for metric, low, high in sorted(edges)
        for place, count in enumerate(_binned(values[metric], low, high, bins))
        if count
    ]
    return pd.DataFrame(rows, columns=["metric", "bin", "cases"])


def _binned(values: np.ndarray, low: float, high: float, bins: int) -> np.ndarray:
    """Return int64[bins], the number of `values` in each of equal bins; the outer bins include what lies beyond."""
    places = np.clip((values - low) * (bins / (high - low)), 0, bins - 1).astype(int)
    return np.bincount(places, minlength=bins)


def scattered(
    cursor: DuckDBPyConnection,
    run: str,
    beam_size: int,
    x: str,
    y: str,
    selection: Selection = EVERYTHING,
    limit: int = 1200,
) -> pd.DataFrame:
    """Return two metrics of selected cases and of the others, at most `limit` of each.

    Columns image_id, x, y, selected, matching (all selected, or all other, cases with both metrics). Of more cases than
    `limit` it returns a sample that is always the same.

    Raises:
        ValueError: METRICS does not define `x` or `y`.
    """
    where, bound = where_clause(cursor, run, beam_size, selection)
    first, second, table = metric_column(x), metric_column(y), case_table(cursor, run, beam_size)
    sides = " UNION ALL ".join(
        f"""(SELECT image_id, {first} AS x, {second} AS y, {selected} AS selected, count(*) OVER () AS matching
        FROM {table}
        WHERE {first} IS NOT NULL AND {second} IS NOT NULL AND ({where}) IS {"" if selected else "NOT"} TRUE
        ORDER BY draw, image_id LIMIT $limit)"""
        for selected in (False, True)
    )
    return cursor.execute(f"SELECT * FROM ({sides}) ORDER BY selected, image_id", bound | {"limit": limit}).df()


def quadrants(
    cursor: DuckDBPyConnection,
    run: str,
    beam_size: int,
    x: str,
    y: str,
    parted: tuple[float, float],
    selection: Selection = EVERYTHING,
) -> pd.DataFrame:
    """Return columns right, above (whether x and y exceed `parted`), cases (that `selection` keeps); no empty ones.

    Raises:
        ValueError: METRICS does not define `x` or `y`.
    """
    where, bound = where_clause(cursor, run, beam_size, selection)
    first, second = metric_column(x), metric_column(y)
    return cursor.execute(
        f"""
        SELECT {first} > $part_x AS right, {second} > $part_y AS above, count(*) AS cases
        FROM {case_table(cursor, run, beam_size)} WHERE {first} IS NOT NULL AND {second} IS NOT NULL AND {where}
        GROUP BY ALL ORDER BY ALL
        """,
        bound | {"part_x": parted[0], "part_y": parted[1]},
    ).df()
