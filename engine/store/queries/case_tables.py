"""The cases and images of a run as tables in memory."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from duckdb import DuckDBPyConnection

from engine.store.queries.columns import FINITE, metric_column
from engine.store.queries.temporary_tables import exists, keep, make, table_name

# What is sorted and filtered by. `draw` is a number of the image alone: the lowest are a sample that stays the same.
_CASES = f"""
    SELECT captions.image_id, captions.beam_size, caption, logprob, finished, coalesce(tags, []) AS tags,
        clip_truncated, md5_number_lower(captions.image_id) AS draw, {FINITE}
    FROM (SELECT * EXCLUDE run FROM captions WHERE run = $run AND NARROWED) captions
    LEFT JOIN (SELECT * EXCLUDE run FROM scores WHERE run = $run AND NARROWED) scores USING (image_id, beam_size)
"""


_IMAGES = """
    SELECT image_id, file_name, "references", coalesce(conditions, []) AS conditions FROM images WHERE run = $run
"""


_SMALL = 50_000
"""Captions of a run up to which all its beam sizes are held together: opening Parquet for each takes longer."""


def case_table(cursor: DuckDBPyConnection, run: str, beam_size: int) -> str:
    """The name of a table in memory with the narrow columns of a beam size: sorting Parquet takes ten times as long."""
    beam = {"beam_size": int(beam_size)}
    read = _CASES.replace("NARROWED", "beam_size = $beam_size"), {"run": run} | beam

    def rows() -> tuple[str, dict[str, Any]]:
        if run_table(cursor, run) is None and _caption_count(cursor, run) > _SMALL:
            return read
        return f"SELECT * FROM {keep(cursor, *_all_cases(run))} WHERE beam_size = $beam_size", beam

    return make(cursor, table_name(*read), rows)


def run_table(cursor: DuckDBPyConnection, run: str) -> str | None:
    """Return the name of the table with the cases of all beam sizes of a run, or None where it was not made yet."""
    name = table_name(*_all_cases(run))
    return name if exists(cursor, name) else None


def _caption_count(cursor: DuckDBPyConnection, run: str) -> int:
    return cursor.execute("SELECT count(*) FROM captions WHERE run = ?", [run]).fetchone()[0]


def _all_cases(run: str) -> tuple[str, dict[str, Any]]:
    """Return a SELECT of the cases of all beam sizes, and the values bound in it."""
    return _CASES.replace("NARROWED", "true"), {"run": run}


def image_table(cursor: DuckDBPyConnection, run: str) -> str:
    """The name of a table in memory with a run's images: image_id, file_name, references, conditions."""
    return keep(cursor, _IMAGES, {"run": run})


def metric_values(
    cursor: DuckDBPyConnection,
    held: str,
    metrics: Iterable[str],
    where: str = "true",
    bound: dict[str, Any] | None = None,
) -> dict[str, np.ndarray]:
    """float64[cases] of each metric: its values in a table of `case_table`, those that are missing left out.

    Counting and sorting columns here takes less time than planning the statement that would do it there.
    """
    asked = {metric: metric_column(metric) for metric in metrics}
    if not asked:
        return {}
    found = cursor.execute(f"SELECT {', '.join(asked.values())} FROM {held} WHERE {where}", bound or {}).fetchnumpy()
    return {metric: np.ma.compressed(found[metric]) for metric in asked}


IMAGE_COLUMNS = 'file_name, "references", coalesce(conditions, []) AS conditions'
