"""The cases of a beam size in order of a metric: pages, places and neighbours.

A case is an image at a beam size.
"""

import numpy as np
import pandas as pd
from duckdb import DuckDBPyConnection

from engine.store.queries.case_tables import IMAGE_COLUMNS, case_table, image_table, metric_values
from engine.store.queries.columns import displayed, ranks, rounded
from engine.store.queries.selection import EVERYTHING, Selection, where_clause


def case_count(cursor: DuckDBPyConnection, run: str, beam_size: int, selection: Selection = EVERYTHING) -> pd.DataFrame:
    """One row with the columns selected and total: cases that `selection` leaves, and all of the beam size."""
    where, bound = where_clause(cursor, run, beam_size, selection)
    return cursor.execute(
        f"SELECT count(*) FILTER ({where}) AS selected, count(*) AS total FROM {case_table(cursor, run, beam_size)}",
        bound,
    ).df()


def cases(
    cursor: DuckDBPyConnection,
    run: str,
    beam_size: int,
    sort: str,
    descending: bool,
    selection: Selection = EVERYTHING,
    limit: int = 50,
    offset: int = 0,
) -> pd.DataFrame:
    """Cases in order of a metric as it is written; those without a score come last, those alike by image.

    Columns image_id, beam_size, caption, logprob, finished, tags, clip_truncated, a column a metric, file_name,
    references, conditions, and rank and scored: the place by `sort` (1 is the best) among the scored cases of the beam
    size, whatever the selection.

    Raises:
        ValueError: `sort` is no metric.
    """
    direction = "DESC" if descending else "ASC"
    where, bound = where_clause(cursor, run, beam_size, selection)
    held = case_table(cursor, run, beam_size)
    order = f"{displayed(sort)} {direction} NULLS LAST, image_id"
    frame = cursor.execute(
        f"""
        WITH shown AS (SELECT * FROM {held} WHERE {where} ORDER BY {order} LIMIT $limit OFFSET $offset)
        SELECT shown.* EXCLUDE draw, {IMAGE_COLUMNS}
        FROM shown LEFT JOIN {image_table(cursor, run)} photos USING (image_id) ORDER BY {order}
        """,
        {"limit": limit, "offset": offset, **bound},
    ).df()
    scored = metric_values(cursor, held, [sort])[sort]
    values = rounded(frame[sort].to_numpy(float, na_value=np.nan), sort)
    return frame.assign(rank=ranks(values, rounded(scored, sort)), scored=len(scored))


def neighbours(
    cursor: DuckDBPyConnection,
    run: str,
    beam_size: int,
    sort: str,
    descending: bool,
    selection: Selection,
    image_id: str,
) -> pd.DataFrame:
    """The cases before and after one in the order of `cases`, or no row where `selection` leaves it out.

    Columns previous, next (image ids, null at the ends), position (1 is the first), selected (cases in that order).

    Raises:
        ValueError: `sort` is no metric.
    """
    column = displayed(sort)
    where, bound = where_clause(cursor, run, beam_size, selection)
    # Ascending in (missing, key, image_id) is the order of the list: no sorting to find three places in it.
    shown = f"""
        WITH shown AS (
            SELECT image_id, {column} IS NULL AS missing, coalesce({"-" if descending else ""}{column}, 0) AS key
            FROM {case_table(cursor, run, beam_size)} WHERE {where}
        )
    """
    mine = cursor.execute(
        f"{shown} SELECT missing, key FROM shown WHERE image_id = $image_id", bound | {"image_id": image_id}
    )
    place = mine.fetchone()
    if place is None:
        return pd.DataFrame(columns=["previous", "next", "position", "selected"])
    before, after = (f"(missing, key, image_id) {sign} ($missing, $key, $image_id)" for sign in "<>")
    return cursor.execute(
        f"""
        {shown}
        SELECT (SELECT image_id FROM shown WHERE {before} ORDER BY missing DESC, key DESC, image_id DESC LIMIT 1)
                AS previous,
            (SELECT image_id FROM shown WHERE {after} ORDER BY missing, key, image_id LIMIT 1) AS next,
            count(*) FILTER ({before}) + 1 AS position, count(*) AS selected
        FROM shown
        """,
        bound | {"image_id": image_id, "missing": place[0], "key": place[1]},
    ).df()
