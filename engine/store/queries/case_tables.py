"""The cases and images of a run as tables in memory, and the values of metrics in them.

A case is an image at a beam size.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from duckdb import DuckDBPyConnection

from engine.store.queries.columns import finite_columns, metric_column
from engine.store.queries.temporary_tables import exists, keep, make, table_name

# The columns to sort and filter by. `draw` depends on the image alone: the lowest are a sample that stays the same.
_CASES = """
    SELECT captions.image_id, captions.beam_size, caption, logprob, finished, coalesce(tags, []) AS tags,
        clip_truncated, md5_number_lower(captions.image_id) AS draw, METRICS
    FROM (SELECT * EXCLUDE run FROM captions WHERE run = $run AND NARROWED) captions
    LEFT JOIN (SELECT * EXCLUDE run FROM scores WHERE run = $run AND NARROWED) scores USING (image_id, beam_size)
"""

_IMAGES = """
    SELECT image_id, file_name, "references", coalesce(conditions, []) AS conditions FROM images WHERE run = $run
"""

IMAGE_COLUMNS = 'file_name, "references", coalesce(conditions, []) AS conditions'
"""The columns of `image_table` that a case is shown with."""

_SMALL = 50_000
"""Captions of a run up to which all its beam sizes are kept together: opening Parquet for each takes longer."""


def case_table(cursor: DuckDBPyConnection, run: str, beam_size: int) -> str:
    """Return the name of a table in memory with the cases of a beam size.

    Columns image_id, beam_size, caption, logprob, finished, tags, clip_truncated, draw (an order at random that stays
    the same) and one per metric, NULL where it is not known or not finite.
    """
    beam = {"beam_size": int(beam_size)}
    read = _select(cursor, "beam_size = $beam_size"), {"run": run} | beam

    def rows() -> tuple[str, dict[str, Any]]:
        if run_table(cursor, run) is None and _caption_count(cursor, run) > _SMALL:
            return read
        return f"SELECT * FROM {keep(cursor, *_all_cases(cursor, run))} WHERE beam_size = $beam_size", beam

    return make(cursor, table_name(*read), rows)


def run_table(cursor: DuckDBPyConnection, run: str) -> str | None:
    """Return the name of the table with the cases of all beam sizes of a run, or None if it was not made yet."""
    name = table_name(*_all_cases(cursor, run))
    return name if exists(cursor, name) else None


def _all_cases(cursor: DuckDBPyConnection, run: str) -> tuple[str, dict[str, Any]]:
    """Return a SELECT of the cases of all beam sizes, and the values bound in it."""
    return _select(cursor, "true"), {"run": run}


def _select(cursor: DuckDBPyConnection, narrowed: str) -> str:
    return _CASES.replace("NARROWED", narrowed).replace("METRICS", finite_columns(cursor))


def _caption_count(cursor: DuckDBPyConnection, run: str) -> int:
    (count,) = cursor.execute("SELECT count(*) FROM captions WHERE run = ?", [run]).fetchall()[0]
    return count


def image_table(cursor: DuckDBPyConnection, run: str) -> str:
    """Return the name of a table in memory with a run's images: image_id, file_name, references, conditions."""
    return keep(cursor, _IMAGES, {"run": run})


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
