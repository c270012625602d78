"""All captions of a beam size with everything that is known about their images, for exports."""

import pandas as pd
from duckdb import DuckDBPyConnection

from engine.store.queries.case_tables import case_table


def exported(cursor: DuckDBPyConnection, run: str, beam_size: int) -> pd.DataFrame:
    """Return one row per captioned image, by image id.

    Columns image_id, beam_size, caption, logprob (nats), finished, tags, clip_truncated, alarm, one per metric,
    file_name, width, height (pixels), references, conditions, objects (boxes in pixels of the upright photo).
    """
    cases = case_table(cursor, run, beam_size)
    return cursor.execute(
        f"""
        SELECT cases.* EXCLUDE draw, file_name, width, height, "references",
            coalesce(conditions, []) AS conditions, coalesce(objects, []) AS objects
        FROM {cases} cases LEFT JOIN (SELECT * FROM images WHERE run = ?) images USING (image_id) ORDER BY image_id
        """,
        [run],
    ).df()
