"""An in-memory DuckDB over all finished runs of a results folder: one view per table, read-only."""

import json
import os
import re
import tempfile
import weakref
from functools import lru_cache
from pathlib import Path

import duckdb
import pyarrow as pa

from engine.reading import quoted
from engine.store import metric_definitions, shards
from engine.store.answer_schema import ANSWERS
from engine.store.errors import Problem, ResultsError
from engine.store.records import FinishedRun, find_runs, is_older
from engine.store.schema import METRICS, RENAMED_TAGS, TABLES, schema_of
from engine.store.tables import check_run_content, check_table


def connect(results: Path, memory: str | None = None) -> tuple[duckdb.DuckDBPyConnection, list[Problem]]:
    """Return an in-memory DuckDB with a view per table over all finished runs, each with a `run` column.

    A view exists for every table of the contract, empty if no run has it; those of SCORED have a column for every
    metric. The metrics that run records define are registered first, so that no plugin is needed to read a run. There
    are also tables `runs` (run, record as JSON text) and `readable` (run, name, path: the files of each table). A file
    that cannot be read is left out and reported. The connection can only access the results folder; `readers` prevents
    queries that write there. Use a `.cursor()` per thread.

    Args:
        memory: the most memory that DuckDB uses, such as "2GB"; what does not fit goes to a temporary folder.

    Returns:
        The connection, and what was left out or refused.
    """
    runs, problems = find_runs(results)
    problems += metric_definitions.register_all(runs)
    connection, broken = _with_views(runs, [*TABLES, *ANSWERS], memory)
    connection.execute(f"SET allowed_directories = [{_literal(str(results.resolve()) + os.sep)}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection, problems + broken


def connect_unfinished(folder: Path, memory: str) -> duckdb.DuckDBPyConnection:
    """Return the same over the tables of one run that is not finished, without its stored answers.

    Args:
        folder: the run's; its name is the run's.

    Raises:
        ResultsError: a table is damaged.
    """
    run = FinishedRun(folder.name, folder, {})
    connection, problems = _with_views([run], list(TABLES), memory)
    if problems:
        raise ResultsError(f"{problems[0].path}: {problems[0].reason}")
    return connection


def _with_views(
    runs: list[FinishedRun], names: list[str], memory: str | None
) -> tuple[duckdb.DuckDBPyConnection, list[Problem]]:
    connection, problems = duckdb.connect(":memory:"), []
    if memory is not None:
        _limit(connection, memory)
    connection.execute("CREATE TABLE runs (run VARCHAR, record VARCHAR)")
    connection.execute("CREATE TABLE readable (run VARCHAR, name VARCHAR, path VARCHAR)")
    for run in runs:
        connection.execute("INSERT INTO runs VALUES (?, ?)", [run.name, json.dumps(run.record)])
    linked: list[str] = []
    older = {run.name for run in runs if run.record and is_older(run.record)}
    for table in [*TABLES, *ANSWERS]:
        paths, broken = _readable(runs, table) if table in names else ([], [])
        problems += broken
        _create_view(connection, table, paths, older)
        for path in paths:
            connection.execute("INSERT INTO readable VALUES (?, ?, ?)", [_run_of(path), table, str(path)])
        linked += [_literal(str(path.resolve())) for path in paths if path.resolve() != path]
    connection.execute(f"SET allowed_paths = [{', '.join(linked)}]")  # where a linked run's files really are
    return connection, problems


def _limit(connection: duckdb.DuckDBPyConnection, memory: str) -> None:
    """Limit the memory of a connection; a temporary folder of its own takes what does not fit."""
    folder = tempfile.TemporaryDirectory(prefix="captionscope-", ignore_cleanup_errors=True)
    weakref.finalize(connection, folder.cleanup)
    connection.execute(f"SET memory_limit = {_literal(memory)}")
    connection.execute(f"SET temp_directory = {_literal(folder.name)}")


_EXPLAIN = re.compile(r"\s*EXPLAIN\s+(ANALYZE\s+)?(\([^()]*\)\s*)?", re.IGNORECASE)
_PIVOT = re.compile(r"\s*(PIVOT|SELECT|FROM)\b", re.IGNORECASE)


def readers(connection: duckdb.DuckDBPyConnection, query: str) -> list[duckdb.Statement]:
    """Return the statements of `query`, each of which only reads: only commands write results.

    DuckDB can write to every folder that it can read, so that a COPY could replace a run's table, and some of its
    statements do so under other names. Therefore only SELECT and EXPLAIN of a SELECT are accepted.

    Raises:
        duckdb.Error: `query` is not SQL.
        ResultsError: the query is empty, or one of its statements is of another kind.
    """
    statements = connection.extract_statements(query)
    if not statements:
        raise ResultsError(f"the query is {quoted(query)}, expected SQL such as SELECT run, beam_size FROM scores")
    for statement in statements:
        if not _reads(connection, statement):
            raise ResultsError(
                f"{quoted(statement.query.strip())} may write files, expected only SELECT or EXPLAIN of a SELECT; "
                "use WITH for intermediate tables, and redirect the output to write it into a file"
            )
    return statements


def _reads(connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement) -> bool:
    """Return whether a statement only reads, by DuckDB's own parser."""
    kind = _kind(statement)
    if kind == "EXPLAIN":  # with ANALYZE, the statement is executed
        start = _EXPLAIN.match(statement.query)
        if start is None:
            return False
        try:
            inner = connection.extract_statements(statement.query[start.end() :])
        except duckdb.Error:
            return False
        return [_kind(each) for each in inner] == ["SELECT"]
    # A PIVOT without the list of values is several statements, and so is every statement that contains one.
    return kind == "SELECT" or (kind == "MULTI" and _PIVOT.match(statement.query) is not None)


def _kind(statement: duckdb.Statement) -> str:
    try:
        return statement.type.name
    except ValueError:  # a kind that the Python package does not know
        return ""


def _readable(runs: list[FinishedRun], table: str) -> tuple[list[Path], list[Problem]]:
    paths, problems = [], []
    for run in runs:
        files = shards.files_of(run.folder, table)
        if not files[0].exists():
            if table in _recorded(run):
                problems.append(Problem(files[0], "the table is missing; restore the file, or run the command again"))
            continue
        problem = check_table(run.folder, table) or _content_problem(run.folder, table, files)
        if problem is None:
            # The folder in the results, even if it is a link: its name is the run's.
            here = run.folder.parent.resolve() / run.name
            paths += [here / path.relative_to(run.folder) for path in files]
        else:
            problems.append(problem)
    return paths, problems


def _recorded(run: FinishedRun) -> list[str]:
    """Return the tables that a run's record names."""
    found = run.record.get("tables")
    return found if isinstance(found, list) else []


def _content_problem(folder: Path, table: str, files: list[Path]) -> Problem | None:
    """Return why the pages of a table cannot be read; files that were not changed are read once per process."""
    return _checked(folder, table, tuple((found.st_size, found.st_mtime_ns) for found in map(os.stat, files)))


@lru_cache(maxsize=10_000)
def _checked(folder: Path, table: str, state: tuple[tuple[int, int], ...]) -> Problem | None:
    # Attention weights are most of a run's bytes, and only queries of single captions read them.
    return check_run_content(folder, table, "* EXCLUDE (weights)" if table == "attention" else "*")


def _create_view(connection: duckdb.DuckDBPyConnection, table: str, paths: list[Path], older: set[str]) -> None:
    # An empty table with all columns comes first, so that a metric that no run has is a NULL column and not an error.
    schema = schema_of(table, list(METRICS))
    # A table and not a registered object, because cursors of the connection do not see those.
    connection.register("shape", pa.schema([pa.field("run", pa.string()), *schema]).empty_table())
    connection.execute(f"CREATE TABLE empty_{table} AS SELECT * FROM shape")
    connection.unregister("shape")
    select = f"SELECT * FROM empty_{table}"
    has_tags = "tags" in schema.names
    before = [path for path in paths if has_tags and _run_of(path) in older]
    for some, columns in (([path for path in paths if path not in before], ""), (before, f" REPLACE ({_TAGS_NOW})")):
        if some:
            files = ", ".join(_literal(str(path)) for path in some)
            select += (
                " UNION ALL BY NAME "
                f"SELECT {_RUN} AS run, * EXCLUDE (filename){columns} "
                f"FROM read_parquet([{files}], union_by_name=true, filename=true)"
            )
    connection.execute(f"CREATE VIEW {table} AS {select}")


_RUN = r"regexp_extract(filename, '.*[/\\]runs[/\\]([^/\\]+)[/\\]', 1)"
"""The run of a file, by its path."""


def _run_of(path: Path) -> str:
    return path.parent.name if path.parent.parent.name == "runs" else path.parent.parent.name


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


_TAGS_NOW = (
    "list_transform(tags, lambda _entry: struct_pack(tag := CASE _entry.tag "
    + " ".join(f"WHEN {_literal(before)} THEN {_literal(now)}" for before, now in RENAMED_TAGS.items())
    + " ELSE _entry.tag END, evidence := _entry.evidence)) AS tags"
)
"""The tags of a run written before RENAMED, with their present names."""
