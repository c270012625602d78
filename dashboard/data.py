"""What the pages know: the results folder, one connection to it, and every run's record.

Asks `engine.queries` and keeps the answers. Knows no SQL and draws nothing.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import streamlit as st

from dashboard.record import Run, runs_of
from engine import queries, store

RESULTS_VARIABLE = "CAPTIONSCOPE_RESULTS"

Fingerprint = tuple[tuple[str, int, int], ...]
"""(path, bytes, time of change in ns) of every results file: equal exactly while nothing was written."""


def results_folder() -> Path:
    """Where results are read from: the variable CAPTIONSCOPE_RESULTS, else `results` beside the dashboard."""
    named = os.environ.get(RESULTS_VARIABLE)
    return Path(named) if named else Path(__file__).resolve().parents[1] / "results"


def fingerprint(results: Path) -> Fingerprint:
    """What changes when a run is written, replaced or deleted."""
    found = []
    for path in sorted([*results.glob("runs/*/*.parquet"), *results.glob("runs/*/*.json"), *results.glob("runs/*")]):
        try:
            stat = path.stat()
        except OSError:
            continue  # deleted since the listing: the next run of the page sees that
        found.append((str(path), stat.st_size, stat.st_mtime_ns))
    return tuple(found)


def runs() -> list[Run]:
    """All finished runs, by name."""
    return runs_of(ask(queries.runs))


def problems() -> list[store.Problem]:
    """What could not be read, and why."""
    results = results_folder()
    return _connection(str(results), fingerprint(results))[1]


def ask(query: Callable[..., pd.DataFrame], *arguments: Any) -> pd.DataFrame:
    """Runs a function of `engine.queries`, or gives the answer it gave while the results were the same."""
    results = results_folder()
    return _answer(query.__name__, arguments, str(results), fingerprint(results))


@st.cache_data(max_entries=256, show_spinner=False)
def _answer(query: str, arguments: tuple[Any, ...], results: str, found: Fingerprint) -> pd.DataFrame:
    connection, _ = _connection(results, found)
    return getattr(queries, query)(connection.cursor(), *arguments)


@st.cache_resource(max_entries=2, show_spinner=False)
def _connection(results: str, found: Fingerprint) -> tuple[duckdb.DuckDBPyConnection, list[store.Problem]]:
    return store.connect(Path(results))
