"""Failure tags and conditions of a run, with their frequencies."""

import pandas as pd
from duckdb import DuckDBPyConnection

from engine.store.queries.case_tables import case_table, image_table


def tags(cursor: DuckDBPyConnection, run: str, beam_size: int) -> pd.DataFrame:
    """Return columns tag, images (how many have the failure tag); most frequent first."""
    return cursor.execute(
        f"""
        SELECT unnest(list_distinct(list_transform(tags, lambda _entry: _entry.tag))) AS tag, count(*) AS images
        FROM {case_table(cursor, run, beam_size)} WHERE len(tags) > 0 GROUP BY tag ORDER BY images DESC, tag
        """
    ).df()


def conditions(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Return columns condition, images: what makes photos hard, if the dataset says so; most frequent first."""
    return cursor.execute(
        f"""
        SELECT unnest(list_distinct(conditions)) AS condition, count(*) AS images
        FROM {image_table(cursor, run)} GROUP BY condition ORDER BY images DESC, condition
        """
    ).df()


def tag_examples(cursor: DuckDBPyConnection, run: str, beam_size: int) -> pd.DataFrame:
    """Return columns tag, images, image_id, caption, evidence: each tag with its first case; most frequent first."""
    return cursor.execute(
        """
        SELECT entry.tag AS tag, count(DISTINCT image_id) AS images, min(image_id) AS image_id,
            arg_min(caption, image_id) AS caption, arg_min(entry.evidence, image_id) AS evidence
        FROM (SELECT run, beam_size, image_id, unnest(tags) AS entry FROM scores WHERE run = $run AND beam_size = $beam)
        LEFT JOIN captions USING (run, beam_size, image_id)
        GROUP BY entry.tag ORDER BY images DESC, tag
        """,
        {"run": run, "beam": beam_size},
    ).df()
