"""Two settings side by side on the terminal: every metric, its paired tests, and what differs in how it was measured.

Knows queries and plain text. The numbers are those of the dashboard's Compare view, asked by the same query.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from duckdb import DuckDBPyConnection

from engine.metrics.pooling import POOLED
from engine.store import database, queries, signatures
from engine.store.errors import Problem
from engine.store.schema import METRICS


class SettingError(ValueError):
    """A setting that no run has; the message names those that are there."""


def text(results: Path, left: str, right: str) -> str:
    """The comparison of two settings, each `RUN:BEAM` or `RUN`, as lines to print.

    Raises:
        SettingError: no such run or beam size, no shared images, or no shared metric.
    """
    connection, problems = database.connect(results)
    cursor = connection.cursor()
    sides = [_setting(cursor, each, problems) for each in (left, right)]
    overlap = queries.overlap(cursor, *sides[0], *sides[1]).iloc[0]
    if not overlap.shared:
        raise SettingError(f"{left} and {right} have captions of no image in common: compare runs on the same images")
    found = queries.comparison(cursor, *sides[0], *sides[1])
    if found.empty:
        raise SettingError(f"{left} and {right} have no metric in common: score both with the same --metrics")
    names = [f"{run}:{beam}" if beam else run for run, beam in sides]
    head = f"{names[0]} against {names[1]} on {overlap.shared:,} shared images, {overlap.same:,} with the same caption"
    doubt = _doubt(queries.id_collisions(cursor, sides[0][0], sides[1][0]).images.item())
    notes = [*_unpooled(found), *_differing(cursor, sides, found)]
    return "\n".join([head, *doubt, "", *_table(found), "", _READING, *notes])


def _doubt(namesakes: int) -> list[str]:
    if not namesakes:
        return []
    return [f"{namesakes:,} of them have no reference in common: other photos with the same names?"]


_READING = (
    "difference is left - right with its 95 % bootstrap interval;\n"
    "p is of the approximate randomization test, corrected by Holm for the number of metrics"
)


def _setting(cursor: DuckDBPyConnection, named: str, problems: Sequence[Problem]) -> tuple[str, int]:
    run, colon, beam = named.rpartition(":")
    if not colon:
        run = named
    sizes = [int(size) for size in queries.beam_sizes(cursor, run).beam_size]
    if not sizes:
        known = ", ".join(sorted(queries.runs(cursor).run)) or "none"
        why = next((f" ({each.reason})" for each in problems if run in (each.path.name, each.path.parent.name)), "")
        raise SettingError(f"run {run!r} has no captions in the results{why}, expected one of: {known}")
    if not colon:
        return run, _best(cursor, run, sizes)
    if not beam.isdecimal() or int(beam) not in sizes:
        raise SettingError(f"run {run!r} has no beam size {beam!r}, expected one of {', '.join(map(str, sizes))}")
    return run, int(beam)


def _best(cursor: DuckDBPyConnection, run: str, sizes: list[int]) -> int:
    best = queries.best_scores(cursor)
    mine = best[(best.run == run) & (best.metric == "cider")]
    return int(mine.beam_size.iloc[0]) if len(mine) else sizes[0]


def _table(found: pd.DataFrame) -> list[str]:
    columns = f"{'metric':<14}{'left':>8}{'right':>8}{'difference':>12}{'95 % interval':>20}{'p (Holm)':>10}"
    lines = [f"{columns}{'wins':>7}{'ties':>7}{'losses':>7}"]
    for row in found.itertuples():
        digits = METRICS[row.metric].digits
        # One image has no interval.
        bounds = "-" if pd.isna(row.low) else f"{row.low:+.{digits}f} to {row.high:+.{digits}f}"
        values = f"{row.left:>8.{digits}f}{row.right:>8.{digits}f}{row.difference:>+12.{digits}f}{bounds:>20}"
        counts = f"{row.wins:>7,}{row.ties:>7,}{row.losses:>7,}"
        lines.append(f"{METRICS[row.metric].title:<14}{values}{row.p_holm:>10.3f}{counts}")
    return lines


def _unpooled(found: pd.DataFrame) -> list[str]:
    """What to say of corpus metrics whose counts an earlier run did not keep: the table has no corpus value of them."""
    meant = [METRICS[row.metric].title for row in found.itertuples() if row.metric in POOLED and not row.pooled]
    told = "means of per-image values, for the counts that a corpus value is pooled from were not kept"
    return [f"{', '.join(meant)}: {told}"] if meant else []


def _differing(cursor: DuckDBPyConnection, sides: list[tuple[str, int]], found: pd.DataFrame) -> list[str]:
    """What differs in how the numbers came about, beside the captions: such numbers stand on no common ground."""
    both = [queries.corpus_scores(cursor, run).query("beam_size == @beam").set_index("metric") for run, beam in sides]
    lines: dict[str, list[str]] = {}
    for metric in found.metric:
        told = signatures.differences(*(scores.signature.get(metric) or "" for scores in both))
        for each in told:
            lines.setdefault(str(each), []).append(METRICS[metric].title)
    return [f"not measured or searched alike: {line} ({', '.join(titles)})" for line, titles in lines.items()]
