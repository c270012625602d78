"""Two settings on the same images: shared images and the values of both."""

from typing import Any

import pandas as pd
from duckdb import DuckDBPyConnection

from engine.store.queries.columns import FINITE, metric_column
from engine.store.schema import METRICS

_SETTING = f"""
    SELECT image_id, caption, {FINITE}, bleu_counts, meteor_counts
    FROM captions LEFT JOIN scores USING (run, image_id, beam_size)
    WHERE run = $SIDE_run AND beam_size = $SIDE_beam
"""


PAIR = f"WITH a AS ({_SETTING.replace('SIDE', 'left')}), b AS ({_SETTING.replace('SIDE', 'right')})"


def partners(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Columns run, shared: captioned runs with images of `run` (itself among them), most shared images first."""
    return cursor.execute(
        """
        SELECT b.run AS run, count(*) AS shared FROM images a JOIN images b USING (image_id)
        WHERE a.run = $run AND b.run IN (SELECT DISTINCT run FROM captions)
        GROUP BY b.run ORDER BY b.run <> $run, shared DESC, b.run
        """,
        {"run": run},
    ).df()


def overlap(cursor: DuckDBPyConnection, run: str, beam: int, other: str, other_beam: int) -> pd.DataFrame:
    """One row: left, right (images of each setting), shared, same (shared images with the same caption)."""
    return cursor.execute(
        f"""
        {PAIR}
        SELECT (SELECT count(*) FROM a) AS left, (SELECT count(*) FROM b) AS right, count(*) AS shared,
            count(*) FILTER (a.caption = b.caption) AS same
        FROM a JOIN b USING (image_id)
        """,
        sides(run, beam, other, other_beam),
    ).df()


def namesakes(cursor: DuckDBPyConnection, run: str, other: str) -> pd.DataFrame:
    """One row: images, how many of two runs have one id and references on both sides, but none in common.

    Two datasets may give the same id to different photos.
    """
    return cursor.execute(
        """
        SELECT count(*) AS images FROM images a JOIN images b USING (image_id) WHERE a.run = $run AND b.run = $other
            AND len(a."references") > 0 AND len(b."references") > 0 AND NOT list_has_any(a."references", b."references")
        """,
        {"run": run, "other": other},
    ).df()


def paired_scores(
    cursor: DuckDBPyConnection, run: str, beam: int, other: str, other_beam: int, metric: str, limit: int = 4000
) -> pd.DataFrame:
    """Columns image_id, left, right, shared: a metric's two values on images that have both, at most `limit` of them.

    Of more images a sample is given that is the same every time; `shared` counts all of them.

    Raises:
        ValueError: `metric` is no metric.
    """
    column = metric_column(metric)
    return cursor.execute(
        f"""
        {PAIR}
        SELECT image_id, a.{column} AS left, b.{column} AS right, count(*) OVER () AS shared
        FROM a JOIN b USING (image_id) WHERE a.{column} IS NOT NULL AND b.{column} IS NOT NULL
        ORDER BY md5(image_id), image_id LIMIT $limit
        """,
        sides(run, beam, other, other_beam) | {"limit": limit},
    ).df()


def paired_cases(
    cursor: DuckDBPyConnection,
    run: str,
    beam: int,
    other: str,
    other_beam: int,
    metric: str,
    descending: bool,
    limit: int = 6,
) -> pd.DataFrame:
    """Shared images with the largest change of a metric, only those that changed in that direction by more than a tie.

    Columns image_id, file_name (in the left run), left, right, change (left - right), left_caption, right_caption.

    Raises:
        ValueError: `metric` is no metric.
    """
    column, direction = metric_column(metric), "DESC" if descending else "ASC"
    return cursor.execute(
        f"""
        {PAIR}
        SELECT image_id, file_name, a.{column} AS left, b.{column} AS right, a.{column} - b.{column} AS change,
            a.caption AS left_caption, b.caption AS right_caption
        FROM a JOIN b USING (image_id) LEFT JOIN images ON images.run = $left_run AND images.image_id = a.image_id
        WHERE {f"a.{column} - b.{column}" if descending else f"b.{column} - a.{column}"} >= {METRICS[metric].tie}
        ORDER BY change {direction}, a.image_id LIMIT $limit
        """,
        sides(run, beam, other, other_beam) | {"limit": limit},
    ).df()


def sides(run: str, beam: int, other: str, other_beam: int) -> dict[str, Any]:
    return {"left_run": run, "left_beam": beam, "right_run": other, "right_beam": other_beam}
