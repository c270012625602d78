"""What the pages know: the results folder, one connection to it, and every run's record.

Asks `engine.queries` and keeps the answers. Knows no SQL and draws nothing.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import streamlit as st

from engine import queries, store

RESULTS_VARIABLE = "CAPTIONSCOPE_RESULTS"

Fingerprint = tuple[tuple[str, int, int], ...]
"""(path, bytes, time of change in ns) of every results file: equal exactly while nothing was written."""


@dataclass(frozen=True)
class Run:
    """A finished run: its name, how many rows it has of what, and its record.

    The record may come from another program or version: every key may be missing or of another type.
    """

    name: str
    record: dict[str, Any] = field(hash=False)
    captions: int = 0
    images: int = 0
    set_aside: int = 0
    attention: int = 0
    zero_shot: int = 0

    def part(self, *path: str) -> Any:
        """What stands under nested keys of the record, or None."""
        found: Any = self.record
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    def text(self, *path: str, default: str = "") -> str:
        """The same as text; `default` where there is nothing to show."""
        found = self.part(*path)
        return str(found) if isinstance(found, str | int | float) and str(found) else default

    def root(self, kind: str) -> Path | None:
        """The folder that `images` or `zero_shot` file names are relative to, or None."""
        folder = self.text("roots", kind)
        return Path(folder) if folder else None

    @property
    def demo_clip(self) -> bool:
        """Whether CLIPScores come from the demo CLIP."""
        return self.part("clip", "demo") is True


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
    frame = ask(queries.runs)
    counts = ["captions", "images", "set_aside", "attention", "zero_shot"]
    return [
        Run(row.run, json.loads(row.record), **{name: int(getattr(row, name)) for name in counts})
        for row in frame.itertuples()
    ]


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
