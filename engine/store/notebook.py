"""A finished run in a notebook: its tables as DataFrames, read when they are used. Needs no torch.

from engine import load
run = load("results", "demo")
run.scores.cider.describe()
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from engine.reading import first_line, quoted, some_of
from engine.store import database, remote
from engine.store.answer_schema import ANSWERS
from engine.store.errors import Problem, ResultsError
from engine.store.queries.columns import metric_column
from engine.store.records import read_record, run_folder
from engine.store.schema import METRICS, TABLES

_SCORED = ("scores", "hypotheses")
"""Tables with a column per metric; those without any value are left out."""


class LoadedRun:
    """A finished run. Every table of docs/results.md that it has is an attribute, a DataFrame.

    A table is read at its first use and kept. Changing a DataFrame changes no file.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, name: str, folder: Path, problems: list[Problem]) -> None:
        """Use `load` instead."""
        self.name, self.folder, self.problems = name, folder, problems
        self._connection, self._frames = connection, dict[str, pd.DataFrame]()
        for table in [*TABLES, *ANSWERS]:
            # Temporary views come before the views over all runs, so that a query sees this run only.
            literal = name.replace("'", "''")
            connection.execute(
                f"CREATE TEMP VIEW {table} AS SELECT * EXCLUDE run FROM memory.main.{table} WHERE run = '{literal}'"
            )

    @cached_property
    def record(self) -> dict[str, Any]:
        """The run's record, `run.json`."""
        return read_record(self.folder) or {}

    @cached_property
    def tables(self) -> dict[str, int]:
        """Table -> number of rows, for the tables with rows."""
        counts = {table: self._count(table) for table in [*TABLES, *ANSWERS]}
        return {table: count for table, count in counts.items() if count}

    @cached_property
    def metrics(self) -> list[str]:
        """The metrics with at least one value, in the order of the results."""
        known = [metric for metric in list(METRICS) if metric in self._columns("scores")]
        counts = ", ".join(f"count({metric_column(metric)})" for metric in known)
        found = self._connection.execute(f"SELECT {counts} FROM scores").fetchall()[0] if known else ()
        return [metric for metric, count in zip(known, found, strict=True) if count]

    @property
    def tags(self) -> pd.DataFrame:
        """One row per failure tag of a caption: image_id, beam_size, tag, evidence."""
        return self.sql(
            "SELECT image_id, beam_size, entry.tag AS tag, entry.evidence AS evidence "
            "FROM (SELECT image_id, beam_size, unnest(tags) AS entry FROM scores) ORDER BY beam_size, image_id, tag"
        )

    def sql(self, query: str) -> pd.DataFrame:
        """Return the answer to a query in DuckDB's SQL over the tables of this run.

        Raises:
            ResultsError: the query is not SQL, or does more than read.
        """
        try:
            (statement, *more) = database.readers(self._connection, query)
            if more:
                raise ResultsError(f"the query has {len(more) + 1} statements, expected one")
            answer = self._connection.sql(statement)
            return pd.DataFrame() if answer is None else answer.df()
        except duckdb.Error as error:
            raise ResultsError(f"{quoted(query)}: {first_line(error)}") from error

    def table(self, name: str) -> pd.DataFrame:
        """Return a table of the results contract.

        Raises:
            ResultsError: the table does not exist, or this run has no rows of it.
        """
        if name not in self.tables:
            raise ResultsError(
                f"run {self.name!r} has no table {quoted(name)}, expected one of {', '.join(self.tables)}"
            )
        if name not in self._frames:
            metrics = set(METRICS) - set(self.metrics) if name in _SCORED else set()
            unused = [each for each in self._columns(name) if each in metrics]
            self._frames[name] = self._connection.execute(f"SELECT * FROM {name}").df().drop(columns=unused)
        return self._frames[name]

    def __getattr__(self, name: str) -> pd.DataFrame:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self.table(name)
        except ResultsError as error:
            raise AttributeError(str(error)) from None

    def __dir__(self) -> Iterator[str]:
        return iter(sorted({*super().__dir__(), *self.tables}))

    def __repr__(self) -> str:
        lines = [f"run {self.name}: {self.record.get('kind', 'run')} in {self.folder}"]
        if self.metrics:
            lines.append(f"metrics: {', '.join(self.metrics)}")
        lines += [f"  .{table:<18}{count:>10,} rows" for table, count in self.tables.items()]
        lines += [f"  left out: {each.path.name}: {each.reason}" for each in self.problems]
        return "\n".join([*lines, "  .tags, .record, .sql(query)"])

    def _columns(self, table: str) -> list[str]:
        return [row[0] for row in self._connection.execute(f"DESCRIBE {table}").fetchall()]

    def _count(self, table: str) -> int:
        return self._connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]


def load(results: str | Path = "results", run: str | None = None) -> LoadedRun:
    """Return a finished run.

    Args:
        results: a results folder, or s3://BUCKET/PREFIX.
        run: its name; not needed if there is only one.

    Raises:
        ResultsError: the run does not exist, or there are several and no name was given.
    """
    folder = remote.folder_of(str(results)) if remote.is_address(str(results)) else Path(results)
    place = remote.of(folder)
    if place is not None:
        place.pull()
    connection, problems = database.connect(folder)
    known = [name for (name,) in connection.execute("SELECT run FROM runs ORDER BY run").fetchall()]
    name: str | None = known[0] if run is None and len(known) == 1 else run
    if name is None or name not in known:
        asked = "no run was named" if run is None else f"run {quoted(run)} does not exist or is not finished"
        why = next((f" ({each.reason})" for each in problems if run in (each.path.name, each.path.parent.name)), "")
        raise ResultsError(f"{folder}: {asked}{why}, expected one of: {some_of(known) or 'none'}")
    mine = run_folder(folder, name)
    return LoadedRun(connection, name, mine, [each for each in problems if mine in (each.path, *each.path.parents)])
