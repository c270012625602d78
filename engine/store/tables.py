"""Parquet tables of a run: written whole or not at all, and checked against the schema when they are read."""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine.reading import first_line, quoted
from engine.store import shards
from engine.store.errors import Problem, ResultsError
from engine.store.schema import ADDED, KEYS, METRICS, schema_of
from engine.store.shards import ShardWriter
from engine.writing import replacing

_GROUP_ROWS = 65_536
_GROUP_BYTES = {"attention": ("weights", 4 * 2**20)}
"""Table -> its largest column and the bytes of it in a row group.

A reader of one caption reads a group, and a reader of the file the descriptions of all groups.
"""


CHECKED = 64 * 2**20
"""Bytes of a table up to which its pages are read before it is used."""


def write_table(folder: Path, table: str, rows: pa.Table) -> None:
    """Write a table, whole or not at all; the same rows give the same bytes.

    Raises:
        ResultsError: the columns are not those of the contract.
    """
    schema = schema_of(table, rows.column_names)
    if rows.schema.names != schema.names:
        raise ResultsError(f"table {table!r} has columns {rows.schema.names}, expected {schema.names}")
    write_rows(folder, table, [rows.cast(schema)], len(rows))


def write_rows(folder: Path, table: str, parts: Iterable[pa.Table], rows: int | None = None) -> None:
    """Write a table from parts that are made one after the other, whole or not at all.

    The same rows give the same bytes, however they are divided into parts. A large table becomes several files, see
    `shards`.

    Args:
        rows: how many rows will come, if known.
    """
    found = iter(parts)
    first = next(found, None)
    schema = schema_of(table, []) if first is None else first.schema
    with ShardWriter(folder, table, schema, rows) as writer:
        for group in _groups(table, chain([] if first is None else [first], found)):
            writer.write(group)


def add_rows(folder: Path, table: str, rows: pa.Table) -> None:
    """Add rows to a table of a finished run, in a file of their own; the same rows are added once."""
    digest = hashlib.sha256(repr(rows.select(KEYS[table]).to_pylist()).encode()).hexdigest()[:16]
    with replacing(shards.added_file(folder, table, digest)) as temporary:
        pq.write_table(rows, temporary, compression="zstd")


def read_images(folder: Path, table: str, image_ids: Collection[str], columns: list[str]) -> pa.Table:
    """Return the rows of some images; reads only the row groups that may hold them.

    Raises:
        ResultsError: the table is missing or damaged.
    """
    problem = check_table(folder, table)
    if problem is not None:
        raise ResultsError(f"{problem.path}: {problem.reason}")
    ids, column = sorted(image_ids), pc.field("image_id")
    # The bounds let the reader skip row groups, which it does not do for a list of values.
    chosen = column.isin(ids) & (column >= ids[0]) & (column <= ids[-1]) if ids else column.isin(ids)
    try:
        return pa.concat_tables(
            [pq.read_table(path, columns=columns, filters=chosen) for path in shards.files_of(folder, table)]
        )
    except (pa.ArrowException, OSError) as error:
        raise ResultsError(f"{folder / table}: {_damaged(error)}") from error


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
    """Read a whole table.

    Raises:
        ResultsError: a file is missing, damaged or not of the contract.
    """
    paths = shards.files_of(folder, table)
    problem = check_table(folder, table)
    if problem is not None:
        raise ResultsError(f"{problem.path}: {problem.reason}")
    return pa.concat_tables([_read(path) for path in paths])


def _read(path: Path) -> pa.Table:
    try:
        found = pq.read_table(path, use_threads=False)
        found.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise ResultsError(f"{path}: {_damaged(error)}") from error
    return found


def count_rows(folder: Path, table: str) -> int:
    """Return the number of rows of a table that can be read, from the descriptions of its files."""
    return sum(pq.read_metadata(path).num_rows for path in shards.files_of(folder, table))


def has_table(folder: Path, table: str) -> bool:
    """Whether a table is there and readable, by the descriptions of its files."""
    return check_table(folder, table) is None


def check_table(folder: Path, table: str) -> Problem | None:
    """Why a table cannot be used, or None. Reads the descriptions of its files only."""
    paths = shards.files_of(folder, table)
    if lost := shards.missing(paths):
        return Problem(folder / table / lost, "the file is missing; restore it, or run the command again")
    return next((problem for path in paths if (problem := check_file(path))), None)


def check_file(path: Path) -> Problem | None:
    """Why the Parquet file at `path` cannot be used, or None. Reads the footer only."""
    if not path.is_file():
        return Problem(path, "there is no such file")
    try:
        found = pq.read_schema(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        return Problem(path, f"not a whole Parquet file ({first_line(error)}); run the command again")
    table = shards.table_of(path)
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


def check_run_content(folder: Path, table: str, columns: str = "*") -> Problem | None:
    """Why the pages of a table cannot be used, or None; see `check_content`.

    A table above CHECKED bytes is not read: that takes minutes and gigabytes. The run that wrote it made each row once,
    and a query that meets a damaged page says so.
    """
    paths = shards.files_of(folder, table)
    if sum(path.stat().st_size for path in paths) > CHECKED:
        return None
    return next((problem for path in paths if (problem := check_content(path, columns))), None)


def check_content(path: Path, columns: str = "*") -> Problem | None:
    """Why the pages of the Parquet file at `path` cannot be used, or None; the footer is correct.

    Reads the file with DuckDB, as queries do: it also refuses text that is not UTF-8.

    Args:
        columns: what to read, in SQL.
    """
    keys = KEYS.get(shards.table_of(path))
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
