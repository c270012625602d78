"""Failure tags and conditions of a run, with their frequencies."""

import pandas as pd
from duckdb import DuckDBPyConnection

from engine.store.queries.case_tables import case_table
from engine.store.queries.stored import answer, is_stored


def tags(cursor: DuckDBPyConnection, run: str, beam_size: int) -> pd.DataFrame:
    """Return columns tag, images (how many have the failure tag); most frequent first."""
    if is_stored(cursor, "failure_tags", run):
        return tag_examples(cursor, run, beam_size)[["tag", "images"]]
    return cursor.execute(
        f"""
        SELECT unnest(list_distinct(list_transform(tags, lambda _entry: _entry.tag))) AS tag, count(*) AS images
        FROM {case_table(cursor, run, beam_size)} WHERE len(tags) > 0 GROUP BY tag ORDER BY images DESC, tag
        """
    ).df()


def conditions(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Return columns condition, images: what makes photos hard, if the dataset says so; most frequent first."""
    return cursor.execute(
        """
        SELECT condition, sum(images)::BIGINT AS images FROM (
            SELECT unnest(list_distinct(conditions)) AS condition, images
            FROM (SELECT conditions, count(*) AS images FROM images WHERE run = ? GROUP BY conditions)
        ) GROUP BY condition ORDER BY images DESC, condition
        """,
        [run],
    ).df()


def tag_examples(cursor: DuckDBPyConnection, run: str, beam_size: int) -> pd.DataFrame:
    """Return columns tag, images, image_id, caption, evidence: each tag with its first case; most frequent first."""
    size = int(beam_size)
    compute = lambda: _tag_examples(cursor, run, size)  # noqa: E731
    return answer(cursor, "failure_tags", run, {"beam_size": size}, compute, "images DESC, tag")


def _tag_examples(cursor: DuckDBPyConnection, run: str, beam_size: int) -> pd.DataFrame:
    return cursor.execute(
        """
        WITH tagged AS (
            SELECT entry.tag AS tag, count(DISTINCT image_id) AS images, min(image_id) AS image_id,
                arg_min(entry.evidence, image_id) AS evidence
            FROM (SELECT image_id, unnest(tags) AS entry FROM scores WHERE run = $run AND beam_size = $beam)
            GROUP BY entry.tag
        )
        SELECT tag, images, image_id, caption, evidence
        FROM tagged LEFT JOIN (SELECT image_id, caption FROM captions WHERE run = $run AND beam_size = $beam)
            USING (image_id)
        ORDER BY images DESC, tag
        """,
        {"run": run, "beam": beam_size},
    ).df()
