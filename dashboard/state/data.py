"""What the pages know: the results folder, one connection to it, and every run's record.

Asks `engine.store.queries` and keeps the answers. Knows no SQL and draws nothing.
"""

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import blake2s
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import streamlit as st

from dashboard.state.record import Run, runs_of
from engine.store import database, queries
from engine.store.errors import Problem

RESULTS_VARIABLE = "CAPTIONSCOPE_RESULTS"

RESULTS = Path(__file__).resolve().parents[2] / "results"
"""Where results are while nothing else is said."""

RUNS = ("runs/*/*.parquet", "runs/*/*.json", "runs/*")
BESIDE = ("verdicts/*.json", "published/*")
"""Which files of a results folder hold the runs, and which hold what is told beside them."""

_LOOKED = "results_state"

State = str
"""Stands for what the results were: equal exactly while no file of them was written."""


def results_folder() -> Path:
    """Where results are read from: the variable CAPTIONSCOPE_RESULTS, else `results` beside the dashboard."""
    named = os.environ.get(RESULTS_VARIABLE)
    return Path(named) if named else RESULTS


def fingerprint(results: Path, patterns: Sequence[str] = RUNS) -> State:
    """What changes when a file is written, replaced or deleted: path, size and time of those that fit `patterns`."""
    found = []
    for path in sorted(path for pattern in patterns for path in results.glob(pattern)):
        try:
            stat = path.stat()
        except OSError:
            continue  # deleted since the listing: the next run of the page sees that
        found.append((str(path), stat.st_size, stat.st_mtime_ns))
    return blake2s(repr((str(results), found)).encode()).hexdigest()


def look() -> None:
    """Looks at the results folder; called once at the start of every run of the page, which then knows one state."""
    st.session_state[_LOOKED] = fingerprint(results_folder())


def state() -> State:
    """What the results were when the page looked."""
    if _LOOKED not in st.session_state:
        look()
    return st.session_state[_LOOKED]


def runs() -> list[Run]:
    """All finished runs, by name."""
    return _runs(state())


def problems() -> list[Problem]:
    """What could not be read, and why."""
    return _connection(str(results_folder()), state())[1]


def ask(query: Callable[..., pd.DataFrame], *arguments: Any) -> pd.DataFrame:
    """Runs a function of `engine.store.queries`, or gives the answer it gave while the results were the same.

    The answer is everybody's: make a new frame, and change nothing in this one.
    """
    return _answer(query, arguments, str(results_folder()), state())


# Not Streamlit's cache: its hashing of the arguments, sixteen times a page, takes longer than a query on a small run.
@lru_cache(maxsize=256)
def _answer(query: Callable[..., pd.DataFrame], arguments: tuple[Any, ...], results: str, found: State) -> pd.DataFrame:
    connection, _ = _connection(results, found)
    try:
        return query(connection.cursor(), *arguments)
    except duckdb.CatalogException:  # a table in memory was let go for another page's between two steps
        return query(connection.cursor(), *arguments)


@st.cache_resource(max_entries=2, show_spinner=False)
def _runs(found: State) -> list[Run]:
    return runs_of(ask(queries.runs))


# One at a time: each holds the scores that were looked at in memory.
@st.cache_resource(max_entries=1, show_spinner=False)
def _connection(results: str, found: State) -> tuple[duckdb.DuckDBPyConnection, list[Problem]]:
    return database.connect(Path(results))
