"""The stored attention maps of captions.

Maps are most of a run's bytes, in many files of many row groups. Which file holds which caption is read once; a page
then opens one file.
"""

import pandas as pd
from duckdb import DuckDBPyConnection

from engine.store.queries.stored import files_of
from engine.store.queries.temporary_tables import keep


def attention(cursor: DuckDBPyConnection, run: str, beam_size: int, image_id: str) -> pd.DataFrame:
    """Return the stored maps of one caption, or no row.

    Columns words, shape [words, layers, heads, patches], weights (bytes), scale, grid_height, grid_width, crop (a dict
    with x, y, width, height in pixels of the upright photo), share (one per word, or null), file_name, width, height
    (of the photo; may be null).
    """
    bound = {"image_id": image_id, "beam_size": int(beam_size)}
    select = f"SELECT file FROM {_stored(cursor, run)} WHERE image_id = $image_id AND beam_size = $beam_size"
    places = [place for (place,) in cursor.execute(select, bound).fetchall()]
    return cursor.execute(
        f"""
        SELECT words, shape, weights, scale, grid_height, grid_width, crop, share, file_name, width, height
        FROM (SELECT * FROM {_rows(cursor, run, places)} WHERE beam_size = $beam_size AND image_id = $image_id)
        LEFT JOIN (SELECT image_id, file_name, width, height FROM images WHERE run = $run AND image_id = $image_id)
            USING (image_id)
        """,
        bound | {"run": run},
    ).df()


def has_attention(cursor: DuckDBPyConnection, run: str, beam_size: int, image_id: str) -> pd.DataFrame:
    """Return one row if the maps of a caption are stored, else none; reads no map."""
    where = "WHERE image_id = ? AND beam_size = ?"
    return cursor.execute(f"SELECT image_id FROM {_stored(cursor, run)} {where}", [image_id, beam_size]).df()


def attention_captions(cursor: DuckDBPyConnection, run: str, beam_size: int, limit: int = 1000) -> pd.DataFrame:
    """Return columns image_id, caption: the first `limit` captions of a beam size with stored maps, by image."""
    first = f"SELECT image_id FROM {_stored(cursor, run)} WHERE beam_size = $beam ORDER BY image_id LIMIT $limit"
    bound = {"beam": int(beam_size), "limit": limit}
    ends = f"SELECT min(image_id), max(image_id) FROM ({first})"
    low, high = cursor.execute(ends, bound).fetchall()[0]
    # Between the first and the last of them DuckDB skips row groups; it reads all to join a list of images.
    return cursor.execute(
        f"""
        SELECT image_id, caption FROM ({first}) LEFT JOIN (
            SELECT image_id, caption FROM captions
            WHERE run = $run AND beam_size = $beam AND image_id BETWEEN $low AND $high
        ) USING (image_id) ORDER BY image_id
        """,
        bound | {"run": run, "low": low, "high": high},
    ).df()


def attention_beam_sizes(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Return columns beam_size, captions (how many have stored maps)."""
    return cursor.execute(
        f"SELECT beam_size, count(*) AS captions FROM {_stored(cursor, run)} GROUP BY beam_size ORDER BY beam_size"
    ).df()


def attention_parts(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Return one row of layers and heads of the stored maps, which all captions share, or none without maps."""
    found = pd.DataFrame()
    for place in range(max(len(files_of(cursor, "attention", run)), 1)):
        rows = f"{_rows(cursor, run, [place])} WHERE shape[1] > 0"
        found = cursor.execute(f"SELECT shape[2] AS layers, shape[3] AS heads FROM {rows} LIMIT 1").df()
        if len(found):
            break
    return found


def _stored(cursor: DuckDBPyConnection, run: str) -> str:
    """Return the name of a table in memory with image_id, beam_size, file (its place): captions with stored maps."""
    files = files_of(cursor, "attention", run)
    if not files:
        return keep(cursor, "SELECT image_id, beam_size, 0 AS file FROM attention WHERE run = $run", {"run": run})
    listed = ", ".join(files)
    select = f"""
        SELECT image_id, beam_size, (list_position([{listed}], filename) - 1)::SMALLINT AS file
        FROM read_parquet([{listed}], filename=true)
    """
    return keep(cursor, select, {})


def _rows(cursor: DuckDBPyConnection, run: str, places: list[int]) -> str:
    """Return what to select rows of `attention` from that are in the files at some places, in SQL."""
    files = files_of(cursor, "attention", run)
    listed = ", ".join(files[place] for place in places if place < len(files))
    if not listed:
        return "empty_attention"
    return (
        f"(SELECT * FROM empty_attention UNION ALL BY NAME SELECT * FROM read_parquet([{listed}], union_by_name=true))"
    )
