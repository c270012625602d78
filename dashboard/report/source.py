"""The input of a report (a run, its companion runs, settings), and the form of a chapter.

Knows runs and queries. Contains no chapter.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from dashboard import metrics
from dashboard.items import Figure, Table
from dashboard.state.record import Run
from engine.store import queries

Query = Callable[..., pd.DataFrame]
"""Calls a function of `engine.store.queries` with its arguments, without the cursor."""

ZERO_SHOT, PHOTOS = "zero_shot", "photos"
PARTS = (ZERO_SHOT, PHOTOS)
"""The companion runs that a report can have: one that classified photos, one that captioned a few photos."""


@dataclass(frozen=True)
class Source:
    """The input of a report: a run among all runs, and the settings of the report."""

    run: Run
    runs: Sequence[Run]
    query: Query
    results: Path
    beam: int | None = None  # None: the best
    images: tuple[str, ...] = ()  # with attention maps; empty: `strips.interesting` chooses
    attention: Mapping[str, Any] = field(default_factory=dict)  # URL parameters of the attention view
    parts: Mapping[str, Run] = field(default_factory=dict)  # companion runs by a name of PARTS

    def best(self) -> pd.DataFrame:
        """Return the run's rows of `queries.best_scores`."""
        found = self.query(queries.best_scores)
        return found[found.run == self.run.name]

    def captions_at(self, beam: int) -> int:
        """Return the number of captions of a beam size."""
        sizes = self.query(queries.beam_sizes, self.run.name)
        return int(sizes.captions[sizes.beam_size == beam].sum())

    def setting(self) -> int | None:
        """Return the beam size of the report, or None if the run has no captions."""
        if self.beam is not None:
            return self.beam
        best = self.best()
        if not best.empty:
            by_metric = best.set_index("metric").beam_size
            return int(by_metric[(metrics.ordered(by_metric.index) or by_metric.index)[0]])
        sizes = self.query(queries.beam_sizes, self.run.name).beam_size
        return int(sizes.iloc[0]) if len(sizes) else None

    def classifier(self) -> Run:
        """Return the run whose zero-shot results are reported: the companion if the run has none."""
        return self.run if self.run.zero_shot else self.parts.get(ZERO_SHOT, self.run)


def companions(run: Run, runs: Sequence[Run]) -> dict[str, Run]:
    """Return the companion runs that the record of `run` names under "study"; a missing run is left out."""
    by_name = {each.name: each for each in runs}
    named = {part: run.text("study", part) for part in PARTS}
    return {part: by_name[name] for part, name in named.items() if name in by_name and name != run.name}


def gone(source: Source, part: str) -> str:
    """Return a sentence on a companion that the record names but that is missing, or "" if none is."""
    name = source.run.text("study", part)
    if not name or part in source.parts or name == source.run.name:
        return ""
    return f"The record of this run names run {name}, which is not in the results folder. "


@dataclass(frozen=True)
class Chapter:
    """A part of the report. Without items, `missing` says what the run does not have, and `command` computes it."""

    title: str
    lead: str = ""  # Markdown; untrusted parts are escaped
    items: tuple[Figure | Table, ...] = ()
    missing: str = ""
    command: str = ""


def numbers(items: Sequence[Figure | Table]) -> list[int]:
    """Return the number of each item; figures and tables are counted separately, from 1."""
    counts: dict[type[Figure | Table], int] = {Figure: 0, Table: 0}
    found = []
    for item in items:
        counts[type(item)] += 1
        found.append(counts[type(item)])
    return found


def note(run: Run, *lines: str) -> str:
    """Return the small print of a figure: the run, then how its numbers were computed, one line each."""
    return _note(run, run.described(), lines)


def class_note(run: Run, images: int, *lines: str) -> str:
    """Return the small print of a figure about `images` classified photos."""
    return _note(run, run.classified(images), lines)


def _note(run: Run, described: Sequence[str], lines: Sequence[str]) -> str:
    return "\n".join([f"Run {run.name}: {', '.join(described)}", *filter(None, lines)])


def signature(query: Query, run: Run, metric: str, beam: int | None = None) -> str:
    """Return the signature of a metric at a beam size, or a common one of all beam sizes; "" if it is not known."""
    scores = query(queries.corpus_scores, run.name)
    mine = scores[scores.metric == metric]
    if beam is not None:
        mine = mine[mine.beam_size == beam]
    if mine.empty or not isinstance(mine.signature.iloc[0], str):
        return ""
    first, sizes = mine.signature.iloc[0], ",".join(str(size) for size in mine.beam_size)
    return first.replace(f"|beam:{mine.beam_size.iloc[0]}|", f"|beam:{sizes}|") if len(mine) > 1 else first
