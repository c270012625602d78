"""How the values of metrics are distributed over the cases of a beam size."""

import numpy as np
import pandas as pd
from duckdb import DuckDBPyConnection

from engine.store.queries.case_tables import case_table, metric_values
from engine.store.queries.columns import metric_column
from engine.store.queries.selection import EVERYTHING, Selection, where_clause
from engine.store.schema import METRICS


def metric_ranges(cursor: DuckDBPyConnection, run: str, beam_size: int) -> pd.DataFrame:
    """Columns metric, low, high, middle (median), scored: every metric that some case has, in METRICS' order."""
    rows = [
        (metric, values.min(), values.max(), np.median(values), len(values))
        for metric, values in metric_values(cursor, case_table(cursor, run, beam_size), METRICS).items()
        if len(values)
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
    """How the values of metrics lie: columns metric, bin (0 to bins - 1), cases that `selection` leaves.

    Args:
        edges: (metric, lowest, highest), the range that the bins of each metric share equally; empty ones have no row.

    Raises:
        ValueError: a metric that is none.
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
    """int[bins]: how many of `values` lie in each of equal bins; the outer ones take what lies beyond the ends."""
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
    """Columns image_id, x, y, selected: two metrics of cases that `selection` leaves and of others, `limit` of each.

    Of more cases a sample is given that is the same every time; `matching` counts all that have both metrics and are
    selected, or are not.

    Raises:
        ValueError: `x` or `y` is no metric.
    """
    where, bound = where_clause(cursor, run, beam_size, selection)
    first, second, held = metric_column(x), metric_column(y), case_table(cursor, run, beam_size)
    sides = " UNION ALL ".join(
        f"""(SELECT image_id, {first} AS x, {second} AS y, {selected} AS selected, count(*) OVER () AS matching
        FROM {held}
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
    """Columns right, above (whether x and y are over `parted`), cases that `selection` leaves; quadrants with any.

    Raises:
        ValueError: `x` or `y` is no metric.
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
