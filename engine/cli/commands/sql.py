"""The command `sql`: query all runs with SQL."""

import argparse
import sys
from typing import TYPE_CHECKING

from engine.cli import parser
from engine.reading import message

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation


def add(commands: parser.Commands) -> None:
    """Add the command."""
    command = parser.add_command(
        commands,
        "sql",
        run,
        "query all runs with SQL (DuckDB)",
        'python -m engine sql "SELECT run, beam_size, avg(cider) FROM scores GROUP BY ALL ORDER BY ALL"',
    )
    command.add_argument("query", help="views: images, captions, scores, corpus_scores, attention, zero_shot, ...")
    command.add_argument("--csv", action="store_true", help="print CSV instead of a table")


def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    import duckdb

    from engine.store import database

    connection, problems = database.connect(options.results)
    for problem in problems:
        print(message(f"left out: {problem.path}: {problem.reason}"), file=sys.stderr)
    try:
        for statement in database.readers(connection, options.query):
            answer = connection.sql(statement)
            if answer is not None:
                _print_csv(answer) if options.csv else answer.show(max_width=200)
    except duckdb.Error as error:
        print(message(f"error: {error}"), file=sys.stderr)
        return 2
    return 0


def _print_csv(answer: "DuckDBPyRelation") -> None:
    """Print a DuckDB answer as CSV: NULL is an empty field, a list or a struct is JSON.

    Texts that a spreadsheet or a terminal would act on are made harmless; see csv_safety.
    """
    import csv

    from engine.store.csv_safety import safe_cell

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([safe_cell(name) for name in answer.columns])
    writer.writerows([safe_cell(_field(value)) for value in row] for row in answer.fetchall())


def _field(value: object) -> object:
    import json
    import math

    if isinstance(value, list | tuple | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    is_nan = isinstance(value, float) and math.isnan(value)
    return "" if is_nan else value  # CSV has no other sign for NaN
