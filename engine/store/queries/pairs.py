"""Two settings on the same images: shared images and the values of both."""

from typing import Any

import pandas as pd
from duckdb import DuckDBPyConnection

from engine.store.queries.columns import direction, finite_columns, metric_column
from engine.store.schema import METRICS

_SETTING = """
    SELECT image_id, caption, METRICS, bleu_counts, meteor_counts
    FROM captions LEFT JOIN scores USING (run, image_id, beam_size)
    WHERE run = $SIDE_run AND beam_size = $SIDE_beam
"""


def pair(cursor: DuckDBPyConnection) -> str:
    """Return a WITH clause: the cases of two settings as a (left) and b (right), bound by `sides`."""
    setting = _SETTING.replace("METRICS", finite_columns(cursor))
    return f"WITH a AS ({setting.replace('SIDE', 'left')}), b AS ({setting.replace('SIDE', 'right')})"


def sides(run: str, beam: int, other: str, other_beam: int) -> dict[str, Any]:
    """Return the values bound in `pair`."""
    return {"left_run": run, "left_beam": beam, "right_run": other, "right_beam": other_beam}


def partners(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Return columns run, shared (images): captioned runs with images of `run`; itself, then most shared first."""
    return cursor.execute(
        """
        SELECT b.run AS run, count(*) AS shared FROM images a JOIN images b USING (image_id)
        WHERE a.run = $run AND b.run IN (SELECT DISTINCT run FROM captions)
        GROUP BY b.run ORDER BY b.run <> $run, shared DESC, b.run
        """,
        {"run": run},
    ).df()


def overlap(cursor: DuckDBPyConnection, run: str, beam: int, other: str, other_beam: int) -> pd.DataFrame:
    """Return one row: left, right (images of each setting), shared, same (shared images with the same caption)."""
    return cursor.execute(
        f"""
        {pair(cursor)}
        SELECT (SELECT count(*) FROM a) AS left, (SELECT count(*) FROM b) AS right, count(*) AS shared,
            count(*) FILTER (a.caption = b.caption) AS same
        FROM a JOIN b USING (image_id)
        """,
        sides(run, beam, other, other_beam),
    ).df()


def id_collisions(cursor: DuckDBPyConnection, run: str, other: str) -> pd.DataFrame:
    """Return one row: images, how many ids of two runs have references in both, but none in common.

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
    """Return columns image_id, left, right, shared: a metric's two values on at most `limit` images that have both.

    Of more images it returns a sample that is always the same; `shared` counts all of them.

    Raises:
        ValueError: METRICS does not define `metric`.
    """
    column = metric_column(metric)
    return cursor.execute(
        f"""
        {pair(cursor)}
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
    left_better: bool,
    limit: int = 6,
    offset: int = 0,
) -> pd.DataFrame:
    """Return the shared images on which one side is better by a metric, the largest difference first; no ties.

    Columns image_id, file_name (in the left run), left, right, change (left - right), left_caption, right_caption,
    matching (the number of such images, whatever the limit).

    Args:
        left_better: whether the images are those on which left is better, else right.

    Raises:
        ValueError: METRICS does not define `metric`.
    """
    column = metric_column(metric)
    is_left_higher = left_better == (direction(metric) > 0)
    gain = f"a.{column} - b.{column}" if is_left_higher else f"b.{column} - a.{column}"
    return cursor.execute(
        f"""
        {pair(cursor)}
        SELECT image_id, file_name, a.{column} AS left, b.{column} AS right, a.{column} - b.{column} AS change,
            a.caption AS left_caption, b.caption AS right_caption, count(*) OVER () AS matching
        FROM a JOIN b USING (image_id) LEFT JOIN images ON images.run = $left_run AND images.image_id = a.image_id
        WHERE {gain} >= {METRICS[metric].tie} ORDER BY {gain} DESC, a.image_id
        LIMIT $limit OFFSET $offset
        """,
        sides(run, beam, other, other_beam) | {"limit": limit, "offset": offset},
    ).df()
