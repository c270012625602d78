"""Parquet tables of a run: written whole or not at all, and checked against the schema when they are read."""

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine.reading import first_line, quoted
from engine.store.errors import Problem, ResultsError
from engine.store.schema import ADDED, KEYS, METRICS, RENAMED_TABLES, schema_of
from engine.writing import replacing

_GROUP_ROWS = 65_536
_GROUP_BYTES = {"attention": ("weights", 4 * 2**20)}
"""Table -> its largest column and the bytes of it in a row group.

A reader of one caption reads a group, and a reader of the file the descriptions of all groups.
"""


def write_table(folder: Path, table: str, rows: pa.Table) -> Path:
    """Write `rows` as `folder/<table>.parquet`, whole or not at all; the same rows give the same bytes.

    Raises:
        ResultsError: the columns are not those of the contract.
    """
    schema = schema_of(table, rows.column_names)
    if rows.schema.names != schema.names:
        raise ResultsError(f"table {table!r} has columns {rows.schema.names}, expected {schema.names}")
    return write_rows(folder, table, [rows.cast(schema)])


def write_rows(folder: Path, table: str, parts: Iterable[pa.Table]) -> Path:
    """Write `folder/<table>.parquet` from parts that are made one after the other, whole or not at all.

    The same rows give the same bytes, however they are divided into parts.
    """
    target, found = folder / f"{table}.parquet", iter(parts)
    first = next(found, None)
    schema = schema_of(table, []) if first is None else first.schema
    with (
        replacing(target) as temporary,
        temporary.open("wb") as handle,
        pq.ParquetWriter(handle, schema, compression="zstd") as writer,
    ):
        for group in _groups(table, chain([] if first is None else [first], found)):
            # In one piece, because the pages of a file follow the pieces.
            writer.write_table(group.combine_chunks(), row_group_size=len(group))
    return target


def _groups(table: str, parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield the row groups of a table."""
    waiting: pa.Table | None = None
    for part in parts:
        waiting = part if waiting is None else pa.concat_tables([waiting, part])
        while (rows := _full_group(table, waiting)) is not None:
            yield waiting.slice(0, rows)
            waiting = waiting.slice(rows)
    if waiting is not None and len(waiting):
        yield waiting


def _full_group(table: str, rows: pa.Table) -> int | None:
    """Return the number of rows of the next row group, or None if there are too few for one."""
    if table not in _GROUP_BYTES:
        return _GROUP_ROWS if len(rows) >= _GROUP_ROWS else None
    column, size = _GROUP_BYTES[table]
    ends = pc.call_function("binary_length", [rows[column]]).to_numpy().cumsum(dtype="int64")
    first = int(ends.searchsorted(size))
    return first + 1 if first < len(ends) else None


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
        ResultsError: the file is missing, damaged or not of the contract.
    """
    path = table_path(folder, table)
    problem = check_table(path)
    if problem is not None:
        raise ResultsError(f"{path}: {problem.reason}")
    try:
        found = pq.read_table(path)
        found.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise ResultsError(f"{path}: {_damaged(error)}") from error
    return found


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
    except (pa.ArrowException, OSError, ValueError) as error:
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


def check_content(path: Path, columns: str = "*") -> Problem | None:
    """Why the pages of the Parquet file at `path` cannot be used, or None; the footer is correct.

    Reads the file with DuckDB, as queries do: it also refuses text that is not UTF-8.

    Args:
        columns: what to read, in SQL.
    """
    keys = KEYS.get(table_name(path))
    names = ", ".join(keys or ())
    duplicates = f"SELECT {names}, count(*) FROM read_parquet(?) GROUP BY {names} HAVING count(*) > 1 LIMIT 1"
    try:
        cursor = _reader().cursor()
        cursor.execute(f"SELECT bit_xor(hash(COLUMNS({columns}))) FROM read_parquet(?)", [str(path)]).fetchall()
        twice = cursor.execute(duplicates, [str(path)]).fetchone() if keys else None
    except duckdb.Error as error:
        return Problem(path, _damaged(error))
    if keys is None or twice is None:
        return None
    row = ", ".join(f"{name} {quoted(value)}" for name, value in zip(keys, twice[:-1], strict=True))
    return Problem(path, f"{twice[-1]:,} rows for {row}, expected one; run the command again")


@cache
def _reader() -> duckdb.DuckDBPyConnection:
    """Return a connection for checks, one per process because opening one takes longer than most checks."""
    return duckdb.connect(":memory:")


def _damaged(error: Exception) -> str:
    return f"damaged ({first_line(error)[:200]}); restore the file, or delete it and run the command again"
