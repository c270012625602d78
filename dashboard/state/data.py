"""The results folder as the pages see it: one connection, and the record of every run.

Calls `engine.store.queries` and caches the answers. Knows no SQL and draws nothing.
"""

import os
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import lru_cache, partial
from hashlib import blake2s
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import streamlit as st

from dashboard.state.answers import Function, answer
from dashboard.state.record import Run, runs_of
from engine.store import database, queries, remote
from engine.store.errors import Problem, ResultsError

RESULTS_VARIABLE = "CAPTIONSCOPE_RESULTS"

RESULTS = Path(__file__).resolve().parents[2] / "results"
"""The results folder if the environment names no other."""

RUNS = ("runs/*/*.parquet", "runs/*/*/*.parquet", "runs/*/*.json", "runs/*")
BESIDE = ("verdicts/*.json", "published/*", "run_labels.json")
"""Patterns of the files that hold runs, and of those that belong to runs: verdicts, published figures, titles."""

_STATE, _LABELS = "results_state", "run_labels"

MEMORY = "1500MB"
"""The most memory of the connection: with the answers of a run of a million images the server stays below 3 GB."""

State = str
"""A fingerprint of the results: equal as long as no file of theirs was written."""


_READ_INSTEAD: ContextVar[Path | None] = ContextVar("read_instead", default=None)


@contextmanager
def reading(results: Path) -> Generator[None]:
    """Read another results folder in the block, such as that of a photo that was just captioned."""
    token = _READ_INSTEAD.set(results)
    try:
        yield
    finally:
        _READ_INSTEAD.reset(token)


def results_folder() -> Path:
    """Return the folder in the variable CAPTIONSCOPE_RESULTS, else `results` beside the dashboard.

    Of an address of object storage, return the folder that mirrors it. In a block of `reading`, return that folder.
    """
    instead = _READ_INSTEAD.get()
    if instead is not None:
        return instead
    named = os.environ.get(RESULTS_VARIABLE)
    if not named:
        return RESULTS
    return remote.folder_of(named) if remote.is_address(named) else Path(named)


@st.cache_resource(ttl=30, max_entries=1, show_spinner="Looking for new runs")
def _pulled(results: str) -> list[Problem]:
    """Copy new runs from object storage, and return what went wrong."""
    place = remote.of(Path(results))
    try:
        if place is not None:
            place.pull()
    except ResultsError as error:
        return [Problem(Path(results), str(error))]
    return []


def fingerprint(results: Path, patterns: Sequence[str] = RUNS) -> State:
    """Return a hash of path, size and time of each file that matches `patterns`: it changes with every written file."""
    found = []
    for path in sorted(path for pattern in patterns for path in results.glob(pattern)):
        try:
            stat = path.stat()
        except OSError:
            continue  # deleted since the listing: the next run of the page notices it
        found.append((str(path), stat.st_size, stat.st_mtime_ns))
    return blake2s(repr((str(results), found)).encode()).hexdigest()


def refresh() -> None:
    """Read the state of the results folder; called once per run of the page, which then shows one state."""
    _pulled(str(results_folder()))
    st.session_state[_STATE] = fingerprint(results_folder())


def state() -> State:
    """Return the state of the results that the page shows."""
    if _READ_INSTEAD.get() is not None:
        return fingerprint(results_folder())
    if _STATE not in st.session_state:
        refresh()
    return st.session_state[_STATE]


def label(titles: Mapping[str, str], hidden: Collection[str]) -> None:
    """Keep for this run of the page the titles that users gave to runs, and the runs that lists hide."""
    st.session_state[_LABELS] = (dict(titles), frozenset(hidden))


def runs() -> list[Run]:
    """Return all finished runs, by name, with the titles of `label`; hidden ones are marked."""
    found = _runs(state())
    titles, hidden = ({}, frozenset()) if _READ_INSTEAD.get() else st.session_state.get(_LABELS, ({}, frozenset()))
    if not titles and not hidden:
        return found
    return [replace(run, title=titles.get(run.name, ""), is_hidden=run.name in hidden) for run in found]


def problems() -> list[Problem]:
    """Return what could not be read, and why."""
    results = str(results_folder())
    return [*_pulled(results), *_connection(results, state())[1]]


def query(function: Function, *arguments: Any) -> pd.DataFrame:
    """Return the answer of a function of `engine.store.queries`, from the cache if the results have not changed.

    All sessions share the answer: copy the frame instead of changing it.

    Raises:
        ResultsError: a file of the results cannot be read.
    """
    return _answer(function, arguments, str(results_folder()), state())


def later(function: Function, *arguments: Any) -> Callable[[], pd.DataFrame]:
    """Return what answers a query when it is called, perhaps outside of the page, and keeps no answer in memory.

    For files with all rows; calling it raises what `query` raises.
    """
    connection, _ = _connection(str(results_folder()), state())
    return partial(answer, connection, function, *arguments)


# Not Streamlit's cache: it hashes the arguments, 16 times per page, which takes longer than a query on a small run.
@lru_cache(maxsize=256)
def _answer(function: Function, arguments: tuple[Any, ...], results: str, found: State) -> pd.DataFrame:
    return answer(_connection(results, found)[0], function, *arguments)


@st.cache_resource(max_entries=2, show_spinner=False)
def _runs(found: State) -> list[Run]:
    return runs_of(query(queries.runs))


# Few at a time, because each connection keeps the scores of the shown runs in memory: the results, and a tried photo.
@st.cache_resource(max_entries=2, show_spinner=False)
def _connection(results: str, found: State) -> tuple[duckdb.DuckDBPyConnection, list[Problem]]:
    return database.connect(Path(results), MEMORY)
