"""A results folder: crash-safe Parquet files, run records, and one DuckDB connection over all runs.

Knows files, names and completeness. Knows nothing of what the numbers mean, and computes none.
"""

import errno
import json
import os
import re
import shutil
import uuid
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from engine.data.files import first_line
from engine.store.schema import (
    ADDED,
    METRICS,
    RENAMED,
    RENAMED_KEYS,
    RENAMED_TABLES,
    RENAMED_TAGS,
    RUN_RECORD,
    TABLES,
    VERSION,
    schema_of,
)

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_ROW_GROUP = {"attention": 16}  # rows; a reader of one caption then decompresses little (blobs are ~ 25 kB each)
_PARTS = ".parts"


class ResultsError(ValueError):
    """Something in a results folder cannot be used; the message names it and says what to do."""


@dataclass(frozen=True)
class Run:
    """A finished run: its name, folder and record (`run.json`)."""

    name: str
    folder: Path
    record: dict[str, Any] = field(hash=False)


@dataclass(frozen=True)
class Problem:
    """A file or folder that was left out, and why, in one sentence."""

    path: Path
    reason: str


def run_folder(results: Path, run: str) -> Path:
    """`results/runs/<run>`.

    Raises:
        ResultsError: `run` is not a plain name.
    """
    if not RUN_NAME.fullmatch(run):
        raise ResultsError(
            f"run name {run!r}: expected letters, digits, '.', '_' and '-', beginning with a letter or digit, "
            "at most 80 of them; choose another with --run"
        )
    return results / "runs" / run


def write_table(folder: Path, table: str, rows: pa.Table) -> Path:
    """Writes `rows` as `folder/<table>.parquet`, whole or not at all; the same rows give the same bytes.

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
    _publish(temporary, target)
    return target


def table_of(table: str, rows: list[dict[str, Any]], metrics: list[str] | None = None) -> pa.Table:
    """A table of the contract from one dict a row; a missing key is a NULL.

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
    """Reads `folder/<table>.parquet`.

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


def _table_name(path: Path) -> str:
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
    table = _table_name(path)
    expected = schema_of(table, found.names)
    added = ADDED.get(table, ())
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


# Parts: what a long stage has finished so far, kept beside the tables until the stage is whole.


def write_part(folder: Path, stage: str, index: int, tables: dict[str, pa.Table]) -> None:
    """Keeps chunk `index` of `stage`: all its tables, or none of them."""
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
    """Deletes the chunks once the tables they made are whole."""
    shutil.rmtree(folder / _PARTS, ignore_errors=True)


def drop_run(folder: Path) -> None:
    """Deletes a run that is not finished; a finished one stays.

    Raises:
        ValueError: the run is finished.
    """
    if read_record(folder) is not None:
        raise ValueError(f"{folder} holds a finished run")
    shutil.rmtree(folder, ignore_errors=True)


def _part_folder(folder: Path, stage: str, index: int) -> Path:
    return folder / _PARTS / stage / f"{index:06d}"


# One writer at a time


def hold(path: Path, what: str, instead: str) -> FileLock:
    """Take an exclusive lock on `path` until it is released or this process ends.

    Two processes that wrote the same temporary files would take them from each other. The same thread may take the lock
    again, as after an error that left it held.

    Raises:
        ResultsError: another process holds `what`; `instead` is what to do other than wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    held = FileLock(path, is_singleton=True)
    try:
        acquire(held, timeout=0)
    except Timeout as error:
        raise ResultsError(
            f"{what} is being written by another process; wait until that one has ended, or {instead}"
        ) from error
    return held


def acquire(lock: FileLock, timeout: float = -1) -> None:
    """Take `lock`, waiting `timeout` seconds (negative: without limit). A disk without locks excludes nobody.

    Raises:
        Timeout: another process has it.
    """
    try:
        lock.acquire(timeout=timeout)
    except NotImplementedError:  # what filelock makes of ENOSYS
        pass
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP) or isinstance(error, Timeout):
            raise


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Alone with a folder outside the results, which stays as it was where nothing is written into it.

    Raises:
        ResultsError: another process is writing there.
    """
    mark = folder / ".held"
    was_there = folder.exists()
    held = hold(mark, str(folder), "choose another --out")
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)
        if not was_there:
            with suppress(OSError):  # not empty
                folder.rmdir()
        held.release(force=True)


# Run records


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Writes `value` as JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    _publish(temporary, path)


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Writes named arrays as a numpy archive (.npz), whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: two runs may keep the same features at the same time.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(temporary, "wb") as handle:
            np.savez(handle, **arrays)
        _publish(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a numpy archive, or None where there is none that can be read."""
    try:
        with np.load(path) as kept:
            return dict(kept)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Writes `run.json`, which makes the run finished: every table must be there before."""
    write_json(folder / RUN_RECORD, {"schema_version": VERSION, **record})


def read_record(folder: Path) -> dict[str, Any] | None:
    """The run's record, or None where the run is unfinished.

    Raises:
        ResultsError: the record is no JSON object.
    """
    path = folder / RUN_RECORD
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ResultsError(f"{path}: not JSON ({error}); run the command again") from error
    if not isinstance(record, dict):
        raise ResultsError(f"{path}: expected a JSON object; run the command again")
    return _renamed(record) if is_older(record) else record


def is_older(record: dict[str, Any]) -> bool:
    """Whether a record is of a version before RENAMED. One without a version is of version 1."""
    version = record.get("schema_version", 1)
    return isinstance(version, int) and version < RENAMED


def _renamed(record: dict[str, Any]) -> dict[str, Any]:
    """Return an older record with the keys and table names of now; its version stays."""
    record = {RENAMED_KEYS.get(key, key): value for key, value in record.items()}
    if isinstance(record.get("tables"), list):
        record["tables"] = [_table_name(Path(str(table))) for table in record["tables"]]
    return record


def drop_record(folder: Path) -> None:
    """Makes a run unfinished: its tables are to be written again."""
    (folder / RUN_RECORD).unlink(missing_ok=True)


def lost_tables(folder: Path, tables: list[str]) -> list[str]:
    """Those of `tables` that are not there, and those that are there and cannot be read."""
    there = [table for path in sorted(folder.glob("*.parquet")) if (table := _table_name(path)) in TABLES]
    return [table for table in dict.fromkeys([*tables, *there]) if not has_table(folder, table)]


def find_runs(results: Path) -> tuple[list[Run], list[Problem]]:
    """All finished runs of `results`, by name, and what could not be used."""
    runs, problems = [], []
    parent = results / "runs"
    for folder in sorted(parent.iterdir()) if parent.is_dir() else []:
        if not folder.is_dir():
            continue
        try:
            record = read_record(folder)
        except ResultsError as error:
            problems.append(Problem(folder / RUN_RECORD, str(error)))
            continue
        if record is None:
            stopped = f"run {folder.name!r} is unfinished; where it was stopped, run its command again to continue"
            problems.append(Problem(folder, stopped))
        else:
            runs.append(Run(folder.name, folder, record))
    return runs, problems


# DuckDB


def connect(results: Path) -> tuple[duckdb.DuckDBPyConnection, list[Problem]]:
    """An in-memory DuckDB with a view per table over all finished runs, each with a `run` column.

    A view exists for every table of the contract, empty where no run has it; those of SCORED have every metric column.
    There is also a table `runs` (run, record as JSON text). A file that cannot be read is left out and reported. The
    connection can reach the results folder and nothing else; `readers` keeps a query from writing there. Use a
    `.cursor()` per thread.

    Returns:
        The connection, and what was left out.
    """
    runs, problems = find_runs(results)
    connection = duckdb.connect(":memory:")
    connection.execute("CREATE TABLE runs (run VARCHAR, record VARCHAR)")
    for run in runs:
        connection.execute("INSERT INTO runs VALUES (?, ?)", [run.name, json.dumps(run.record)])
    linked: list[str] = []
    for table in TABLES:
        paths, broken = _readable(runs, table)
        problems += broken
        _create_view(connection, table, paths, {run.name for run in runs if is_older(run.record)})
        linked += [_literal(str(path.resolve())) for path in paths if path.resolve() != path]
    connection.execute(f"SET allowed_paths = [{', '.join(linked)}]")  # where a linked run's files really are
    connection.execute(f"SET allowed_directories = [{_literal(str(results.resolve()) + os.sep)}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection, problems


_WRITERS = {"COPY", "EXPORT", "ATTACH", "PREPARE"}
"""Statements that write files, or may hold one that does, as DuckDB names them."""
_WRITING = re.compile("copy|export|attach", re.IGNORECASE)


def readers(connection: duckdb.DuckDBPyConnection, query: str) -> list[duckdb.Statement]:
    """The statements of `query`, none of which writes a file: results are made by commands alone.

    The folders that DuckDB may read it may write as well, so a COPY could replace a run's table.

    Raises:
        duckdb.Error: not SQL.
        ResultsError: no statement, or one that writes.
    """
    statements = connection.extract_statements(query)
    if not statements:
        raise ResultsError(f"the query is {query!r}, expected SQL such as SELECT run, beam_size FROM scores")
    for statement in statements:
        kind = statement.type.name
        if kind in _WRITERS or (kind == "EXPLAIN" and _WRITING.search(statement.query)):  # EXPLAIN ANALYZE runs it
            raise ResultsError(
                f"a query of the kind {kind} may write files, expected one that only reads; "
                "print the answer into a file instead, with --csv where a program reads it"
            )
    return statements


def _readable(runs: list[Run], table: str) -> tuple[list[Path], list[Problem]]:
    paths, problems = [], []
    for run in runs:
        path = table_path(run.folder, table)
        if not path.exists():
            continue
        problem = check_table(path)
        if problem is None:
            # The folder as it stands in the results, a link or not: its name is the run's.
            paths.append(run.folder.parent.resolve() / run.name / path.name)
        else:
            problems.append(problem)
    return paths, problems


def _create_view(connection: duckdb.DuckDBPyConnection, table: str, paths: list[Path], older: set[str]) -> None:
    # An empty table of the full width stands first, so that a metric no run has is a NULL column and not an error.
    schema = schema_of(table, list(METRICS))
    # A table and not a registered object: those are not seen by the connection's cursors.
    connection.register("shape", pa.schema([pa.field("run", pa.string()), *schema]).empty_table())
    connection.execute(f"CREATE TABLE empty_{table} AS SELECT * FROM shape")
    connection.unregister("shape")
    select = f"SELECT * FROM empty_{table}"
    has_tags = "tags" in schema.names
    before = [path for path in paths if has_tags and path.parent.name in older]
    for some, columns in (([path for path in paths if path not in before], ""), (before, f" REPLACE ({_TAGS_NOW})")):
        if some:
            files = ", ".join(_literal(str(path)) for path in some)
            select += (
                " UNION ALL BY NAME "
                f"SELECT parse_filename(parse_dirpath(filename)) AS run, * EXCLUDE (filename){columns} "
                f"FROM read_parquet([{files}], union_by_name=true, filename=true)"
            )
    connection.execute(f"CREATE VIEW {table} AS {select}")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


_TAGS_NOW = (
    "list_transform(tags, lambda entry: struct_pack(tag := CASE entry.tag "
    + " ".join(f"WHEN {_literal(before)} THEN {_literal(now)}" for before, now in RENAMED_TAGS.items())
    + " ELSE entry.tag END, evidence := entry.evidence)) AS tags"
)
"""The tags of a run of a version before RENAMED, by their names now."""


def _publish(temporary: Path, target: Path) -> None:
    """Makes a written file visible under its name, so that a reader never sees half of it."""
    with open(temporary, "rb+") as handle:
        os.fsync(handle.fileno())
    os.replace(temporary, target)
