"""Parquet tables of a run: written whole or not at all, and checked against the schema when they are read.

Also keeps the parts that a long stage has finished, next to the tables, until the stage is complete.
"""

import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.data.files import first_line
from engine.store.atomic import publish
from engine.store.errors import Problem, ResultsError
from engine.store.schema import ADDED, METRICS, RENAMED_TABLES, schema_of

_ROW_GROUP = {"attention": 16}  # rows; a reader of one caption then decompresses little (blobs are ~ 25 kB each)


_PARTS = ".parts"


def write_table(folder: Path, table: str, rows: pa.Table) -> Path:
    """Write `rows` as `folder/<table>.parquet`, whole or not at all; the same rows give the same bytes.

    Raises:
        ResultsError: the columns are not those of the contract.
    """
    schema = schema_of(table, rows.column_names)
    if rows.schema.names != schema.names:
        raise ResultsError(f"table {table!r} has columns {rows.schema.names}, expected {schema.names}")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{table}.parquet"
    temporary = target.with_suffix(".parquet.tmp")
    group = _ROW_GROUP.get(table, 65_536)
    pq.write_table(rows.cast(schema), temporary, compression="zstd", row_group_size=group)
    publish(temporary, target)
    return target


def table_of(table: str, rows: list[dict[str, Any]], metrics: list[str] | None = None) -> pa.Table:
    """Return a table of the contract from one dict per row; a missing key becomes NULL.

    Raises:
        ResultsError: a key that the table does not have, or a value of the wrong type.
    """
    schema = schema_of(table, metrics or [])
    for row in rows:
        unknown = sorted(set(row) - set(schema.names))
        if unknown:
            raise ResultsError(f"table {table!r} has no column {unknown[0]!r}, expected {schema.names}")
    try:
        return pa.Table.from_pylist(rows, schema=schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ResultsError(f"table {table!r}: {error}") from error


def read_table(folder: Path, table: str) -> pa.Table:
    """Read `folder/<table>.parquet`.

    Raises:
        ResultsError: the file is missing, half written or not of the contract.
    """
    path = table_path(folder, table)
    problem = check_table(path)
    if problem is not None:
        raise ResultsError(f"{path}: {problem.reason}")
    return pq.read_table(path)


def table_path(folder: Path, table: str) -> Path:
    """Return the file of `table` in a run's folder; in an older run it may have the name of RENAMED_TABLES."""
    path = folder / f"{table}.parquet"
    older = folder / f"{RENAMED_TABLES.get(table, table)}.parquet"
    return older if older.is_file() and not path.is_file() else path


def table_name(path: Path) -> str:
    """Return the table that a file holds, by its name now or before RENAMED."""
    return {older: table for table, older in RENAMED_TABLES.items()}.get(path.stem, path.stem)


def has_table(folder: Path, table: str) -> bool:
    """Whether `folder/<table>.parquet` is there and readable."""
    path = table_path(folder, table)
    return path.is_file() and check_table(path) is None


def check_table(path: Path) -> Problem | None:
    """Why the Parquet file at `path` cannot be used, or None. Reads the footer only."""
    if not path.is_file():
        return Problem(path, "there is no such file")
    try:
        found = pq.read_schema(path)
    except (pa.ArrowInvalid, OSError) as error:
        return Problem(path, f"not a whole Parquet file ({first_line(error)}); run the command again")
    table = table_name(path)
    expected = schema_of(table, found.names)
    added = {*ADDED.get(table, ()), *(METRICS[name].counts for name in found.names if name in METRICS)}
    missing = [name for name in expected.names if name not in found.names and name not in added]
    if missing:
        return Problem(path, f"written by another version: no column {missing[0]!r}; run the command again")
    here = [name for name in expected.names if name in found.names]
    wrong = [name for name in here if found.field(name).type != expected.field(name).type]
    if wrong:
        return Problem(
            path,
            f"column {wrong[0]!r} is {found.field(wrong[0]).type}, expected {expected.field(wrong[0]).type}; "
            "run the command again",
        )
    return None


def write_part(folder: Path, stage: str, index: int, tables: dict[str, pa.Table]) -> None:
    """Keep chunk `index` of `stage`: all its tables, or none of them."""
    target = _part_folder(folder, stage, index)
    temporary = target.with_name(target.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    for table, rows in tables.items():
        write_table(temporary, table, rows)
    shutil.rmtree(target, ignore_errors=True)
    os.replace(temporary, target)


def read_part(folder: Path, stage: str, index: int, tables: list[str]) -> dict[str, pa.Table] | None:
    """Chunk `index` of `stage`, or None where it is not finished."""
    part = _part_folder(folder, stage, index)
    if not all(has_table(part, table) for table in tables):
        return None
    return {table: read_table(part, table) for table in tables}


def drop_parts(folder: Path) -> None:
    """Delete the chunks of a run whose tables are complete."""
    shutil.rmtree(folder / _PARTS, ignore_errors=True)


def _part_folder(folder: Path, stage: str, index: int) -> Path:
    return folder / _PARTS / stage / f"{index:06d}"
