"""The stored attention maps of captions."""

import pandas as pd
from duckdb import DuckDBPyConnection

from engine.store.queries.temporary_tables import keep


def attention(cursor: DuckDBPyConnection, run: str, beam_size: int, image_id: str) -> pd.DataFrame:
    """Return the stored maps of one caption, or no row.

    Columns words, shape [words, layers, heads, patches], weights (bytes), scale, grid_height, grid_width, crop (a dict
    with x, y, width, height in pixels of the upright photo), share (one per word, or null), file_name, width, height
    (of the photo; may be null).
    """
    return cursor.execute(
        """
        SELECT attention.words, shape, weights, scale, grid_height, grid_width, crop, share, file_name, width, height
        FROM attention LEFT JOIN images USING (run, image_id)
        WHERE run = ? AND attention.beam_size = ? AND image_id = ?
        """,
        [run, beam_size, image_id],
    ).df()


def has_attention(cursor: DuckDBPyConnection, run: str, beam_size: int, image_id: str) -> pd.DataFrame:
    """Return one row if the maps of a caption are stored, else none; reads no map."""
    kept = keep(cursor, "SELECT image_id, beam_size FROM attention WHERE run = $run", {"run": run})
    where = "WHERE image_id = ? AND beam_size = ?"
    return cursor.execute(f"SELECT image_id FROM {kept} {where}", [image_id, beam_size]).df()


def attention_captions(cursor: DuckDBPyConnection, run: str, beam_size: int, limit: int = 1000) -> pd.DataFrame:
    """Return columns image_id, caption: the first `limit` captions of a beam size with stored maps, by image."""
    return cursor.execute(
        """
        SELECT image_id, caption FROM attention LEFT JOIN captions USING (run, image_id, beam_size)
        WHERE run = ? AND attention.beam_size = ? ORDER BY image_id LIMIT ?
        """,
        [run, beam_size, limit],
    ).df()


def attention_beam_sizes(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Return columns beam_size, captions (how many have stored maps)."""
    return cursor.execute(
        "SELECT beam_size, count(*) AS captions FROM attention WHERE run = ? GROUP BY beam_size ORDER BY beam_size",
        [run],
    ).df()


def attention_parts(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Return one row of layers and heads of the stored maps, which all captions share, or none without maps."""
    return cursor.execute(
        "SELECT shape[2] AS layers, shape[3] AS heads FROM attention WHERE run = ? AND shape[1] > 0 LIMIT 1", [run]
    ).df()
