"""Rows of one setting as arrays in the order of images, so that settings are compared without a join.

A setting is a run at a beam size.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from duckdb import DuckDBPyConnection

from engine.store.queries.columns import COUNTS, metric_column


def in_order(cursor: DuckDBPyConnection, select: str, bound: dict[str, Any]) -> pa.Table:
    """Return the rows of a SELECT in the order of its column `image_id`."""
    found = cursor.sql(select, params=bound).to_arrow_table().combine_chunks()
    ids = found["image_id"]
    # Files are mostly in this order; sorting a million of them takes a second.
    if len(ids) > 1 and not pc.call_function("all", [pc.call_function("less", [ids[:-1], ids[1:]])]).as_py():
        found = found.take(pc.call_function("sort_indices", [ids]))
    return found.combine_chunks()


def scores(
    cursor: DuckDBPyConnection, run: str, beam_size: int, metrics: Iterable[str], counts: Iterable[str] = ()
) -> pa.Table:
    """Return image_id, metrics and columns of counts of one setting, in the order of images."""
    columns = ", ".join(["image_id", *map(metric_column, metrics), *counts])
    return in_order(
        cursor,
        f"SELECT {columns} FROM scores WHERE run = $run AND beam_size = $beam",
        {"run": run, "beam": int(beam_size)},
    )


def images(cursor: DuckDBPyConnection, run: str) -> pa.Table:
    """Return the rows of `images` of a run, in the order of images."""
    return in_order(cursor, "SELECT * EXCLUDE run FROM images WHERE run = $run", {"run": run})


def captions(cursor: DuckDBPyConnection, run: str, beam_size: int) -> pa.Table:
    """Return image_id and caption of one setting, in the order of images."""
    select = "SELECT image_id, caption FROM captions WHERE run = $run AND beam_size = $beam"
    return in_order(cursor, select, {"run": run, "beam": int(beam_size)})


def on_shared(left: pa.Table, right: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the rows of both tables whose images are in both, so that rows at equal places belong together."""
    if left["image_id"].equals(right["image_id"]):
        return left, right
    return only(left, right["image_id"]), only(right, left["image_id"])


def only(rows: pa.Table, image_ids: pa.ChunkedArray) -> pa.Table:
    """Return the rows whose images are among `image_ids`."""
    return rows.filter(pc.call_function("is_in", [rows["image_id"]], pc.SetLookupOptions(image_ids)))


def numbers(rows: pa.Table, column: str) -> np.ndarray:
    """Return a column as float64[rows], NaN where the value is missing or not finite."""
    found = rows[column].to_numpy().astype(np.float64)
    return np.where(np.isfinite(found), found, np.nan)


def counts_of(rows: pa.Table, column: str) -> np.ndarray:
    """Return a column of counts as float64[rows, C], rows of NaN where one of them is missing."""
    lists, width = rows[column].combine_chunks(), COUNTS[column]
    if isinstance(lists, pa.ChunkedArray):
        lists = lists.chunk(0) if lists.num_chunks else pa.array([], rows.schema.field(column).type)
    whole = pc.call_function("equal", [pc.call_function("list_value_length", [lists]), width])
    known = whole.fill_null(False).to_numpy(zero_copy_only=False)
    values = (lists if known.all() else lists.filter(pa.array(known))).flatten()
    numbers = values.to_numpy(zero_copy_only=False).astype(np.float64).reshape(-1, width)
    if values.null_count:
        numbers[np.isnan(numbers).any(1)] = np.nan
    if known.all():
        return numbers
    found = np.full((len(lists), width), np.nan)
    found[known] = numbers
    return found
