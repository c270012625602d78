"""One case of a run: its captions, its scores and its place among all cases."""

import numpy as np
import pandas as pd
from duckdb import DuckDBPyConnection

from engine.store.queries.case_tables import (
    IMAGE_COLUMNS,
    case_row,
    case_table,
    metric_values,
    photos_of,
    run_table,
)
from engine.store.queries.columns import direction, metric_column, metrics, rounded


def case(cursor: DuckDBPyConnection, run: str, beam_size: int, image_id: str) -> pd.DataFrame:
    """Return the row of `cases` (without rank and scored) of one image, or no row."""
    row, bound = case_row(cursor, run, beam_size, image_id)
    photos, named = photos_of(cursor, run, lambda: [image_id])
    return cursor.execute(
        f"SELECT cases.* EXCLUDE draw, {IMAGE_COLUMNS} FROM ({row}) cases LEFT JOIN {photos} photos USING (image_id)",
        bound | named,
    ).df()


def case_metrics(cursor: DuckDBPyConnection, run: str, beam_size: int, image_id: str) -> pd.DataFrame:
    """Return the place of one case among all cases of its beam size, by every metric that it has.

    Columns metric, value, rank (1 is the best), scored (cases with a value), percentile (percent of the other cases
    that are worse; ties count half; null if there is no other case), in METRICS' order.
    """
    table, names = case_table(cursor, run, beam_size), metrics(cursor)
    columns = ", ".join(map(metric_column, names))
    mine = cursor.execute(f"SELECT {columns} FROM {table} WHERE image_id = ?", [image_id]).fetchone()
    known = {metric: value for metric, value in zip(names, mine or (), strict=False) if value is not None}
    every = metric_values(cursor, table, known)
    rows = [_place(metric, value, every[metric]) for metric, value in known.items()]
    return pd.DataFrame(rows, columns=["metric", "value", "rank", "scored", "percentile"])


def _place(metric: str, value: float, every: np.ndarray) -> tuple[str, float, int, int, float]:
    """Return the row of `case_metrics` of a value; `every` is float64[N], the values of all cases with this one."""
    sign, scored = direction(metric), len(every)
    others, mine = sign * rounded(every, metric), sign * rounded(np.asarray(value), metric)
    better, worse = int((others > mine).sum()), int((others < mine).sum())
    ties = scored - better - worse - 1
    percentile = 100 * (worse + ties / 2) / (scored - 1) if scored > 1 else float("nan")
    return metric, value, better + 1, scored, percentile


def case_captions(cursor: DuckDBPyConnection, run: str, image_id: str) -> pd.DataFrame:
    """Return the captions of an image by beam size: beam_size, caption, logprob, finished, cider, clipscore."""
    columns, table = "beam_size, caption, logprob, finished, cider, clipscore", run_table(cursor, run)
    if table is not None:
        where = "WHERE image_id = ? ORDER BY beam_size"
        return cursor.execute(f"SELECT {columns} FROM {table} {where}", [image_id]).df()
    # Each side is filtered before the join: DuckDB then reads only the row groups that can hold the image.
    return cursor.execute(
        f"""
        SELECT {columns}
        FROM (SELECT beam_size, caption, logprob, finished FROM captions WHERE run = $run AND image_id = $image_id)
        LEFT JOIN (SELECT beam_size, cider, clipscore FROM scores WHERE run = $run AND image_id = $image_id)
            USING (beam_size)
        ORDER BY beam_size
        """,
        {"run": run, "image_id": image_id},
    ).df()
