"""The cases of a beam size in order of a metric: pages, places and neighbours.

A case is an image at a beam size.
"""

import numpy as np
import pandas as pd
from duckdb import DuckDBPyConnection

from engine.store.queries.case_tables import IMAGE_COLUMNS, case_table, metric_values, photos_of
from engine.store.queries.columns import displayed, ranks, rounded
from engine.store.queries.selection import EVERYTHING, Selection, where_clause


def case_count(cursor: DuckDBPyConnection, run: str, beam_size: int, selection: Selection = EVERYTHING) -> pd.DataFrame:
    """Return one row: selected (cases that `selection` keeps) and total (cases of the beam size)."""
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
    """Return cases in order of a metric as displayed; those without a score come last, equal ones by image.

    Columns image_id, beam_size, caption, logprob, finished, tags, clip_truncated, alarm, one per metric, file_name,
    references, conditions, rank (by `sort`, 1 is the best) and scored (the number of ranked cases). Rank and scored are
    of all cases of the beam size, whatever the selection.

    Args:
        sort: the metric, or "alarm".
        descending: whether the highest value comes first; it is the best only if the metric's higher_is_better.

    Raises:
        ValueError: METRICS does not define `sort`.
    """
    where, bound = where_clause(cursor, run, beam_size, selection)
    table = case_table(cursor, run, beam_size)
    order = f"{displayed(sort)} {'DESC' if descending else 'ASC'} NULLS LAST, image_id"
    page = f"FROM {table} WHERE {where} ORDER BY {order} LIMIT $limit OFFSET $offset"
    bound |= {"limit": limit, "offset": offset}
    photos, named = photos_of(
        cursor, run, lambda: [name for (name,) in cursor.execute(f"SELECT image_id {page}", bound).fetchall()]
    )
    frame = cursor.execute(
        f"""
        WITH shown AS (SELECT * {page})
        SELECT shown.* EXCLUDE draw, {IMAGE_COLUMNS}
        FROM shown LEFT JOIN {photos} photos USING (image_id) ORDER BY {order}
        """,
        bound | named,
    ).df()
    scored = metric_values(cursor, table, [sort])[sort]
    values = rounded(frame[sort].to_numpy(float, na_value=np.nan), sort)
    return frame.assign(rank=ranks(values, rounded(scored, sort), sort), scored=len(scored))


def selected_ids(
    cursor: DuckDBPyConnection, run: str, beam_size: int, sort: str, descending: bool, selection: Selection
) -> pd.DataFrame:
    """Return column image_id: every selected case in the order of `cases`.

    Raises:
        ValueError: METRICS does not define `sort`.
    """
    where, bound = where_clause(cursor, run, beam_size, selection)
    order = f"{displayed(sort)} {'DESC' if descending else 'ASC'} NULLS LAST, image_id"
    return cursor.execute(
        f"SELECT image_id FROM {case_table(cursor, run, beam_size)} WHERE {where} ORDER BY {order}", bound
    ).df()


def neighbours(
    cursor: DuckDBPyConnection,
    run: str,
    beam_size: int,
    sort: str,
    descending: bool,
    selection: Selection,
    image_id: str,
) -> pd.DataFrame:
    """Return the cases before and after one in the order of `cases`; no row if `selection` excludes the case.

    Columns previous, next (image ids, null at the ends), position (1 is the first), selected (cases in that order).

    Raises:
        ValueError: METRICS does not define `sort`.
    """
    where, bound = where_clause(cursor, run, beam_size, selection)
    shown = _ordered(case_table(cursor, run, beam_size), where, sort, descending)
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


def _ordered(table: str, where: str, sort: str, descending: bool) -> str:
    """Return a WITH clause of the cases as `shown`, which are in order of (missing, key, image_id).

    Three places in this order are found without sorting.
    """
    column = displayed(sort)
    return f"""
        WITH shown AS (
            SELECT image_id, {column} IS NULL AS missing, coalesce({"-" if descending else ""}{column}, 0) AS key
            FROM {table} WHERE {where}
        )
    """
