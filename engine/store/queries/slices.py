"""Slices of a run: the conditions that make its captions worse, and the images that meet them.

Runs without these tables give empty frames.
"""

import pandas as pd
from duckdb import DuckDBPyConnection


def slices(
    cursor: DuckDBPyConnection, run: str, beam_size: int | None = None, metric: str | None = None
) -> pd.DataFrame:
    """Return the slices of a run, or those of one beam size or metric, worst first.

    Columns beam_size, metric, rank, condition, also (other conditions that share most images with it), size, inside,
    outside, effect (all three in the metric's unit), low, high (95 % interval of the effect), p, q.
    """
    return cursor.execute(
        """
        SELECT * EXCLUDE run FROM slices
        WHERE run = $run AND ($beam IS NULL OR beam_size = $beam) AND ($metric IS NULL OR metric = $metric)
        ORDER BY metric, beam_size, rank
        """,
        {"run": run, "beam": None if beam_size is None else int(beam_size), "metric": metric},
    ).df()


def slice_images(cursor: DuckDBPyConnection, run: str, beam_size: int, metric: str, rank: int) -> pd.DataFrame:
    """Return the images of a slice with their captions and scores: columns image_id, caption, score; worst first."""
    if metric not in [name for name, *_ in cursor.execute("DESCRIBE scores").fetchall()]:
        return pd.DataFrame(columns=["image_id", "caption", "score"])
    return cursor.execute(
        f"""
        SELECT image_id, caption, scores."{metric}" AS score
        FROM slice_images JOIN captions USING (run, beam_size, image_id) JOIN scores USING (run, beam_size, image_id)
        WHERE run = $run AND beam_size = $beam AND metric = $metric AND rank = $rank
        ORDER BY score, image_id
        """,
        {"run": run, "beam": int(beam_size), "metric": metric, "rank": int(rank)},
    ).df()
