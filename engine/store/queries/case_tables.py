"""The cases and images of a run as tables in memory, and the values of metrics in them.

A case is an image at a beam size.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from duckdb import DuckDBPyConnection

from engine.store.queries.columns import finite_columns, metric_column
from engine.store.queries.temporary_tables import exists, keep, make, table_name

# The columns to sort and filter by. `draw` depends on the image alone: the lowest are a sample that stays the same.
# A hash by MD5 would take half of the time of making the table.
_CASES = """
    SELECT captions.image_id, captions.beam_size, caption, logprob, finished, coalesce(tags, []) AS tags,
        clip_truncated, hash(captions.image_id) AS draw, alarm, METRICS
    FROM (SELECT * EXCLUDE run FROM captions WHERE run = $run AND NARROWED) captions
    LEFT JOIN (SELECT * EXCLUDE run FROM scores WHERE run = $run AND NARROWED) scores USING (image_id, beam_size)
    LEFT JOIN (
        SELECT image_id, beam_size, max(alarm)::DOUBLE AS alarm FROM words
        WHERE run = $run AND NARROWED AND label IS NOT NULL AND alarm IS NOT NULL GROUP BY image_id, beam_size
    ) alarms USING (image_id, beam_size)
"""

_IMAGES = """
    SELECT image_id, file_name, "references", coalesce(conditions, []) AS conditions FROM images WHERE run = $run
"""

IMAGE_COLUMNS = 'file_name, "references", coalesce(conditions, []) AS conditions'
"""The columns of `photos_of` that a case is shown with."""

_SMALL = 50_000
"""Captions of a run up to which all its beam sizes are kept together: opening Parquet for each takes longer."""

_FEW_IMAGES = 200_000
"""Images of a run up to which they are kept in memory; of more, those that a page shows are read from the file."""


def case_table(cursor: DuckDBPyConnection, run: str, beam_size: int) -> str:
    """Return the name of a table in memory with the cases of a beam size.

    Columns image_id, beam_size, caption, logprob, finished, tags, clip_truncated, draw (an order at random that stays
    the same), alarm (the highest of the caption's words) and one per metric, NULL where it is not known or not finite.
    """
    beam = {"beam_size": int(beam_size)}
    read = _one_size(cursor, run, beam_size)

    def rows() -> tuple[str, dict[str, Any]]:
        if run_table(cursor, run) is None and _is_large(cursor, run):
            return read
        return f"SELECT * FROM {keep(cursor, *_all_cases(cursor, run))} WHERE beam_size = $beam_size", beam

    return make(cursor, table_name(*read), rows)


def case_row(cursor: DuckDBPyConnection, run: str, beam_size: int, image_id: str) -> tuple[str, dict[str, Any]]:
    """Return a SELECT of the row of `case_table` of one image, and the values bound in it.

    Of a large run it reads the files, unless the cases of the beam size are in memory already.
    """
    if _is_large(cursor, run) and not exists(cursor, table_name(*_one_size(cursor, run, beam_size))):
        bound = {"run": run, "beam_size": int(beam_size), "image_id": image_id}
        return _select(cursor, "beam_size = $beam_size AND image_id = $image_id"), bound
    return f"SELECT * FROM {case_table(cursor, run, beam_size)} WHERE image_id = $image_id", {"image_id": image_id}


def _one_size(cursor: DuckDBPyConnection, run: str, beam_size: int) -> tuple[str, dict[str, Any]]:
    """Return a SELECT of the cases of a beam size, and the values bound in it."""
    return _select(cursor, "beam_size = $beam_size"), {"run": run, "beam_size": int(beam_size)}


def run_table(cursor: DuckDBPyConnection, run: str) -> str | None:
    """Return the name of the table with the cases of all beam sizes of a run, or None if it was not made yet."""
    name = table_name(*_all_cases(cursor, run))
    return name if exists(cursor, name) else None


def _all_cases(cursor: DuckDBPyConnection, run: str) -> tuple[str, dict[str, Any]]:
    """Return a SELECT of the cases of all beam sizes, and the values bound in it."""
    return _select(cursor, "true"), {"run": run}


def _select(cursor: DuckDBPyConnection, narrowed: str) -> str:
    return _CASES.replace("NARROWED", narrowed).replace("METRICS", finite_columns(cursor))


def _is_large(cursor: DuckDBPyConnection, run: str) -> bool:
    return _count(cursor, "captions", run) > _SMALL


def _count(cursor: DuckDBPyConnection, table: str, run: str) -> int:
    (count,) = cursor.execute(f"SELECT count(*) FROM {table} WHERE run = ?", [run]).fetchall()[0]
    return count


def condition_table(cursor: DuckDBPyConnection, run: str) -> str:
    """Return the name of a table in memory with the conditions of a run's images: image_id, conditions."""
    select = "SELECT image_id, coalesce(conditions, []) AS conditions FROM images WHERE run = $run"
    return keep(cursor, select, {"run": run})


def photos_of(
    cursor: DuckDBPyConnection, run: str, image_ids: Callable[[], Sequence[str]]
) -> tuple[str, dict[str, Any]]:
    """Return what to select IMAGE_COLUMNS and image_id of some images from, in SQL, and the values bound in it.

    Args:
        image_ids: returns their ids; called only if the images of the run are not kept in memory.
    """
    if _count(cursor, "images", run) <= _FEW_IMAGES:
        return keep(cursor, _IMAGES, {"run": run}), {}
    among, bound = among_images(image_ids())
    return f"({_IMAGES} AND {among})", {"run": run} | bound


def among_images(image_ids: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return the condition that a row belongs to one of some images, and the values bound in it.

    With single values DuckDB skips the row groups that hold none of them; with a list it reads all.
    """
    bound = {f"image_{place}": image_id for place, image_id in enumerate(image_ids)}
    return f"image_id IN ({', '.join(f'${name}' for name in bound) or 'NULL'})", bound


def metric_values(
    cursor: DuckDBPyConnection,
    table: str,
    metrics: Iterable[str],
    where: str = "true",
    bound: dict[str, Any] | None = None,
) -> dict[str, np.ndarray]:
    """Return metric -> float64[cases], its values in a table of `case_table`, without the missing ones.

    Counting and sorting them in numpy takes less time than planning the statement that would do it in DuckDB.

    Args:
        where, bound: a condition on the cases, and the values bound in it.
    """
    columns = {metric: metric_column(metric) for metric in metrics}
    if not columns:
        return {}
    found = cursor.execute(f"SELECT {', '.join(columns.values())} FROM {table} WHERE {where}", bound or {}).fetchnumpy()
    return {metric: np.ma.compressed(found[metric]) for metric in columns}
