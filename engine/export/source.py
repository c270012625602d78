"""What is exported: the captions of one beam size of a finished run, with scores, tags, references and boxes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import pandas as pd
from duckdb import DuckDBPyConnection

from engine.reading import quoted, some_of
from engine.store import database, queries
from engine.store.errors import Problem
from engine.store.records import read_record, run_folder
from engine.store.schema import MetricDefinition


class ExportError(ValueError):
    """A run that cannot be exported; the message names the value, what was expected and what to do."""


@dataclass(frozen=True)
class Source:
    """The captions of one beam size of a run."""

    run: str
    beam_size: int
    cases: pd.DataFrame
    """The rows of `queries.exported`, one per captioned image, by image id."""
    metrics: tuple[MetricDefinition, ...]
    """The metrics that at least one caption has a value of."""
    corpus: pd.DataFrame
    """The rows of `queries.corpus_scores` of this beam size."""
    record: dict[str, Any] = field(hash=False)

    def text(self, *path: str) -> str:
        """Return the text under nested keys of the run's record, or "" if it is missing or not a text."""
        found: Any = self.record
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return found if isinstance(found, str) else ""

    def photo(self, file_name: object) -> Path | None:
        """Return the path of a photo, or None if the name is missing or leads out of the photo folder of the run."""
        root = self.text("roots", "images")
        if not root or not isinstance(file_name, str) or not file_name or "\0" in file_name:
            return None
        name = PurePath(file_name)
        return None if name.is_absolute() or ".." in name.parts else Path(root) / name

    @property
    def name(self) -> str:
        """Return the run and its beam size as part of a file name; imported captions have no beam size."""
        return f"{self.run}_beam{self.beam_size}" if self.beam_size else self.run


def read(results: Path, run: str, beam_size: int | None = None) -> Source:
    """Read the captions of a run.

    Args:
        beam_size: None takes the best one by CIDEr, or the smallest of a run without CIDEr.

    Raises:
        ExportError: the run or beam size does not exist, or the run has no captions.
        ResultsError: its record is damaged, or `run` is not a name.
    """
    connection, problems = database.connect(results)
    cursor = connection.cursor()
    beam_size = _beam_size(cursor, run, beam_size, problems)
    cases = queries.exported(cursor, run, beam_size)
    corpus = queries.corpus_scores(cursor, run)
    record = read_record(run_folder(results, run)) or {}
    return Source(run, beam_size, cases, _known(cases), corpus[corpus.beam_size == beam_size], record)


def _beam_size(cursor: DuckDBPyConnection, run: str, chosen: int | None, problems: Sequence[Problem]) -> int:
    sizes = [int(size) for size in queries.beam_sizes(cursor, run).beam_size]
    if not sizes:
        known = some_of(sorted(queries.runs(cursor).run)) or "none"
        why = next((f" ({each.reason})" for each in problems if run in (each.path.name, each.path.parent.name)), "")
        raise ExportError(f"run {quoted(run)} has no captions in the results{why}, expected one of: {known}")
    if chosen is not None:
        if chosen not in sizes:
            expected = ", ".join(map(str, sizes))
            raise ExportError(f"run {run!r} has no beam size {chosen}, expected one of {expected}; choose with --beam")
        return chosen
    best = queries.best_scores(cursor)
    mine = best[(best.run == run) & (best.metric == "cider")]
    return int(mine.beam_size.iloc[0]) if len(mine) else sizes[0]


def _known(cases: pd.DataFrame) -> tuple[MetricDefinition, ...]:
    from engine.store.schema import METRICS

    return tuple(each for key, each in METRICS.items() if key in cases and cases[key].notna().any())
