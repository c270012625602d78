"""One case of a run: its captions, its scores and its place among all cases."""

import numpy as np
import pandas as pd
from duckdb import DuckDBPyConnection

from engine.store.queries.case_tables import IMAGE_COLUMNS, case_table, image_table, metric_values, run_table
from engine.store.queries.columns import metric_column, rounded
from engine.store.schema import METRICS


def case(cursor: DuckDBPyConnection, run: str, beam_size: int, image_id: str) -> pd.DataFrame:
    """The one row of `cases` (without rank and scored) for an image, or none."""
    return cursor.execute(
        f"""
        SELECT cases.* EXCLUDE draw, {IMAGE_COLUMNS} FROM {case_table(cursor, run, beam_size)} cases
        LEFT JOIN (SELECT * FROM {image_table(cursor, run)} WHERE image_id = $image_id) photos USING (image_id)
        WHERE cases.image_id = $image_id
        """,
        {"image_id": image_id},
    ).df()


def case_metrics(cursor: DuckDBPyConnection, run: str, beam_size: int, image_id: str) -> pd.DataFrame:
    """How one case stands among all of its beam size, a row a metric that it has.

    Columns metric, value, rank (1 is the best), scored (cases with a value), percentile (percent of the other cases
    with a lower value; ties count half; null where there is no other case), in METRICS' order.
    """
    held, columns = case_table(cursor, run, beam_size), ", ".join(map(metric_column, METRICS))
    mine = cursor.execute(f"SELECT {columns} FROM {held} WHERE image_id = ?", [image_id]).fetchone()
    known = {metric: value for metric, value in zip(METRICS, mine or (), strict=False) if value is not None}
    everybody = metric_values(cursor, held, known)
    rows = [_place(metric, value, everybody[metric]) for metric, value in known.items()]
    return pd.DataFrame(rows, columns=["metric", "value", "rank", "scored", "percentile"])


def _place(metric: str, value: float, everybody: np.ndarray) -> tuple[str, float, int, int, float]:
    written, mine, scored = rounded(everybody, metric), rounded(np.float64(value), metric), len(everybody)
    above, below = int((written > mine).sum()), int((written < mine).sum())
    ties = scored - above - below - 1
    percentile = 100 * (below + ties / 2) / (scored - 1) if scored > 1 else float("nan")
    return metric, value, above + 1, scored, percentile


def case_captions(cursor: DuckDBPyConnection, run: str, image_id: str) -> pd.DataFrame:
    """What every beam size said about an image: columns beam_size, caption, logprob, finished, cider, clipscore."""
    columns, whole = "beam_size, caption, logprob, finished, cider, clipscore", run_table(cursor, run)
    if whole is not None:
        where = "WHERE image_id = ? ORDER BY beam_size"
        return cursor.execute(f"SELECT {columns} FROM {whole} {where}", [image_id]).df()
    # Each side is narrowed before the join: DuckDB then reads the few row groups that can hold the image.
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
