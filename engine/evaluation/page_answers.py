"""Stage: what pages show of all captions, computed once so that a page over millions of captions opens at once.

The functions of `store.queries` compute it, as they do for pages of older runs.
"""

from collections.abc import Callable, Iterator
from itertools import combinations

import duckdb
import pandas as pd
import pyarrow as pa

from engine.evaluation import slices
from engine.evaluation.run import RunInProgress
from engine.store import database, queries
from engine.store.answer_schema import ANSWERS
from engine.store.queries.stored import as_table

_MEMORY = "2GB"
"""The most memory that DuckDB uses; more captions go to a temporary folder."""


def write(run: RunInProgress) -> None:
    """Write the tables ANSWERS and the slices of a run whose captions and scores are written.

    Raises:
        ResultsError: a table of the run is damaged.
    """
    with run.watch.measure("answers of the pages"):
        connection = database.connect_unfinished(run.folder, _MEMORY)
        try:
            for table, rows in _ROWS.items():
                schema = ANSWERS[table]
                made = [as_table(frame, schema) for frame in rows(connection.cursor(), run.name)]
                run.write(table, pa.concat_tables(made) if made else schema.empty_table())
        finally:
            connection.close()
    slices.write(run)


def _statistics(cursor: duckdb.DuckDBPyConnection, run: str) -> Iterator[pd.DataFrame]:
    yield queries.beam_statistics(cursor, run)


def _choices(cursor: duckdb.DuckDBPyConnection, run: str) -> Iterator[pd.DataFrame]:
    for metric in dict.fromkeys(queries.corpus_scores(cursor, run).metric):
        yield queries.smallest_beam(cursor, run, metric).assign(metric=metric)


def _comparisons(cursor: duckdb.DuckDBPyConnection, run: str) -> Iterator[pd.DataFrame]:
    for smaller, larger in combinations(_sizes(cursor, run), 2):
        yield queries.comparison(cursor, run, smaller, run, larger).assign(beam_size=smaller, other_beam_size=larger)


def _overlaps(cursor: duckdb.DuckDBPyConnection, run: str) -> Iterator[pd.DataFrame]:
    for smaller, larger in combinations(_sizes(cursor, run), 2):
        yield queries.overlap(cursor, run, smaller, run, larger).assign(beam_size=smaller, other_beam_size=larger)


def _tags(cursor: duckdb.DuckDBPyConnection, run: str) -> Iterator[pd.DataFrame]:
    for size in _sizes(cursor, run):
        yield queries.tag_examples(cursor, run, size).assign(beam_size=size)


def _hallucinations(cursor: duckdb.DuckDBPyConnection, run: str) -> Iterator[pd.DataFrame]:
    yield queries.hallucinations(cursor, run)


def _oracle(cursor: duckdb.DuckDBPyConnection, run: str) -> Iterator[pd.DataFrame]:
    yield queries.oracle(cursor, run)


def _sizes(cursor: duckdb.DuckDBPyConnection, run: str) -> list[int]:
    return [int(size) for size in queries.beam_sizes(cursor, run).beam_size]


_ROWS: dict[str, Callable[[duckdb.DuckDBPyConnection, str], Iterator[pd.DataFrame]]] = {
    "beam_statistics": _statistics,
    "beam_choices": _choices,
    "beam_comparisons": _comparisons,
    "beam_overlaps": _overlaps,
    "failure_tags": _tags,
    "hallucinations": _hallucinations,
    "oracle": _oracle,
}
"""Table -> the answers that it consists of."""
