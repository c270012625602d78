"""Two settings on the same images: names, comparability of their numbers, tests and exports.

Knows runs, beam sizes and queries. Draws no page.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dashboard import metrics
from dashboard.figures import comparisons, panels
from dashboard.figures.panels import Panel
from dashboard.figures.thumbnails import photo, pixels
from dashboard.items import Figure, Table
from dashboard.report.source import Query, signature
from dashboard.state.record import Run
from dashboard.text import formatting
from engine import statistics
from engine.store import queries, signatures
from engine.store.frames import named_rows
from engine.store.schema import METRICS
from engine.store.signatures import Difference


@dataclass(frozen=True)
class Sides:
    """Two settings: the left one is compared with the right one."""

    left: Run
    left_beam: int
    right: Run
    right_beam: int

    @property
    def arguments(self) -> tuple[str, int, str, int]:
        """Return the arguments that the queries of pairs share."""
        return self.left.name, self.left_beam, self.right.name, self.right_beam

    @property
    def names(self) -> tuple[str, str]:
        """Return the shortest names that distinguish the two settings."""
        beams = [_beam(self.left, self.left_beam), _beam(self.right, self.right_beam)]
        if self.left.name == self.right.name:
            return beams[0], beams[1]
        if self.left_beam == self.right_beam:
            return self.left.shown, self.right.shown
        return f"{self.left.shown}, {beams[0]}", f"{self.right.shown}, {beams[1]}"

    @property
    def note(self) -> str:
        """Return the small print, which names both settings."""
        return (
            f"Left: run {self.left.name}, {_beam(self.left, self.left_beam)}. Right: run {self.right.name}, "
            f"{_beam(self.right, self.right_beam)}. Only shared images."
        )

    def signatures(self, query: Query, metrics: Iterable[str]) -> tuple[str, ...]:
        """Return the signatures of `metrics`, each with the prefix "Left: " or "Right: "."""
        settings = (("Left", self.left, self.left_beam), ("Right", self.right, self.right_beam))
        found = [(side, signature(query, run, metric, beam)) for metric in metrics for side, run, beam in settings]
        return tuple(f"{side}: {each}" for side, each in found if each)


def _beam(run: Run, size: int) -> str:
    return "imported" if size == 0 else f"beam size {run.beam(size)}"


def terms(query: Query, sides: Sides) -> dict[str, list[Difference]]:
    """Return by metric how its two numbers were computed differently, apart from the beam size."""
    left, right = (
        _signatures(query, run, beam) for run, beam in ((sides.left, sides.left_beam), (sides.right, sides.right_beam))
    )
    unknown = [Difference("signature", "not kept", "not kept")]
    return {
        metric: _readable(sides, signatures.differences(left.get(metric, ""), right.get(metric, "")))
        if metric in left or metric in right
        else unknown
        for metric in METRICS
    }


def _readable(sides: Sides, found: list[Difference]) -> list[Difference]:
    """Return differences with the prompts of the records in place of their fingerprints."""
    prompts = [run.text("captioner", "prompt", default="none") for run in (sides.left, sides.right)]
    return [Difference("prompt", *prompts, search=True) if each.what == signatures.PROMPT else each for each in found]


def _signatures(query: Query, run: Run, beam: int) -> dict[str, str]:
    scores = query(queries.corpus_scores, run.name)
    mine = scores[(scores.beam_size == beam) & scores.signature.notna() & (scores.signature != "")]
    return dict(zip(mine.metric, mine.signature, strict=True))


def cannot_tell(row: Any) -> bool:
    """Return whether no values of so few differing images could have given a significant result."""
    return row.p_reachable >= statistics.ALPHA


def bootstrapped(row: Any) -> str:
    """Return the p-value of the bootstrap of a row, or a dash where few images make it too small."""
    return "–" if cannot_tell(row) else resampled(row.p_bootstrap)


def verdict(row: Any) -> str:
    """Return the result of the test of a row of `queries.comparison`."""
    if row.differing == 0:
        return "equal on every image"
    if cannot_tell(row):
        return statistics.too_few(int(row.images), int(row.differing), statistics.RESAMPLES)
    if row.p_holm >= statistics.ALPHA:
        return "not significant"
    return "left is better" if metrics.gain(row.metric, row.difference) > 0 else "right is better"


def table(query: Query, sides: Sides, found: pd.DataFrame) -> Table:
    """Return `queries.comparison` as a table."""
    shown = pd.DataFrame(
        {
            "Metric": [formatting.title(metric) for metric in found.metric],
            "Left": [formatting.score(row.metric, row.left) for row in named_rows(found)],
            "Right": [formatting.score(row.metric, row.right) for row in named_rows(found)],
            "Difference": [change(row.metric, row.difference) for row in named_rows(found)],
            "95 % interval": [bounds(row) or "–" for row in named_rows(found)],
            "Wins, ties, losses": [f"{row.wins:,} · {row.ties:,} · {row.losses:,}" for row in named_rows(found)],
            "p Holm": [resampled(p) for p in found.p_holm],
            "Verdict": [verdict(row) for row in named_rows(found)],
            "p randomization": [resampled(p) for p in found.p_randomization],
            "p bootstrap": [bootstrapped(row) for row in named_rows(found)],
        }
    )
    differ = terms(query, sides)
    alike = [_alike(differ[metric]) for metric in found.metric]
    if set(alike) != {"yes"}:
        shown.insert(1, "Measured alike", alike)
    title = f"{sides.names[0]} (left) vs. {sides.names[1]} (right)"
    return Table("comparison", title, shown, found, sides.note, sides.signatures(query, found.metric), _SHORT)


_SHORT = {
    **{"Measured alike": "Alike", "Difference": "Diff.", "95 % interval": "95 % CI", "Wins, ties, losses": "W, T, L"},
    **{"p randomization": "p rand.", "p bootstrap": "p boot."},
}


def _alike(differ: list[Difference]) -> str:
    measured = [found for found in differ if not found.search]
    return "yes" if not measured else "no: " + ", ".join(found.what for found in measured)


def bounds(row: Any) -> str:
    """Return the interval of a row's difference, or "" for a single image."""
    return formatting.interval(row.low, row.high, METRICS[row.metric].digits, "+")


def resampled(p: float) -> str:
    """Return a p-value of 1,000 resamples, whose smallest value is 1 / 1001."""
    return "≤ 0.001" if p < 0.00105 else formatting.probability(p)


def items(query: Query, sides: Sides, metric: str, found: pd.DataFrame, changes: dict[str, pd.DataFrame]) -> list:
    """Return the exports of the page: scatter plot, outcomes, tests, and the largest changes as cards and as a table.

    Args:
        found: `queries.comparison`.
        changes: rows of `queries.paired_cases` under "gains" and "losses".
    """
    signed, shared = sides.signatures(query, [metric]), query(queries.paired_scores, *sides.arguments, metric)
    scatter = Figure(
        f"scatter_{metric}",
        f"{formatting.title(metric)}, image by image",
        lambda: comparisons.scatter(shared, metric, *sides.names),
        sides.note,
        signed,
    )
    made: list[Figure | Table] = [scatter, outcomes(query, sides, found), table(query, sides, found)]
    for name, rows in changes.items():
        if len(rows):
            made += _changes(sides, metric, name, rows, signed)
    return made


def outcomes(query: Query, sides: Sides, found: pd.DataFrame) -> Figure:
    """Return the figure of wins, ties and losses by metric."""
    signed = sides.signatures(query, found.metric)
    return Figure("outcomes", "Wins, ties and losses", lambda: comparisons.outcomes(found), sides.note, signed)


def _changes(sides: Sides, metric: str, name: str, rows: pd.DataFrame, signed: tuple[str, ...]) -> list[Figure | Table]:
    title = f"Largest {name} of the left setting in {formatting.title(metric)}"
    shown = pd.DataFrame(
        {
            "Image": rows.image_id,
            "Left": [formatting.score(metric, value) for value in rows.left],
            "Right": [formatting.score(metric, value) for value in rows.right],
            "Change": [change(metric, value) for value in rows.change],
            "Left caption": rows.left_caption,
            "Right caption": rows.right_caption,
        }
    )
    drawn = lambda: panels.panels(title, [_panel(sides, metric, row) for row in named_rows(rows)])  # noqa: E731
    return [
        Figure(f"{name}_{metric}", title, drawn, sides.note, signed),
        Table(f"{name}_{metric}", title, shown, rows.drop(columns=["file_name", "matching"]), sides.note, signed),
    ]


def complete(sides: Sides, metric: str, name: str, rows: pd.DataFrame) -> Table:
    """Return all gains or all losses as a table for a CSV file with full numbers.

    Args:
        name: "gains" or "losses" of the left setting.
        rows: `queries.all_paired_cases`.
    """
    return Table(f"all_{name}_{metric}", f"All {name} in {formatting.title(metric)}", rows, rows, sides.note)


def _panel(sides: Sides, metric: str, row: Any) -> Panel:
    root = sides.left.root("images")
    return Panel(
        pixels(root, row.file_name),
        photo(root, row.file_name).missing,
        change(metric, row.change),
        f"Left ({formatting.score(metric, row.left)}): {formatting.caption(row.left_caption)}",
        f"Right ({formatting.score(metric, row.right)}): {formatting.caption(row.right_caption)}",
    )


def change(metric: str, value: float) -> str:
    """Return a difference with its sign."""
    return f"{value:+z.{METRICS[metric].digits}f}"
