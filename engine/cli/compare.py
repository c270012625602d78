"""The comparison of two settings on the terminal: every metric with its paired tests, and why numbers may differ.

The numbers come from the query of the dashboard's Compare view.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from duckdb import DuckDBPyConnection

from engine import statistics
from engine.store import database, queries, signatures
from engine.store.errors import Problem
from engine.store.frames import named_rows
from engine.store.schema import METRICS


class SettingError(ValueError):
    """A setting that no run has, or two that cannot be compared; the message names the alternatives."""


def text(results: Path, left: str, right: str) -> str:
    """Return the comparison of two settings, each `RUN:BEAM` or `RUN`, as lines to print.

    Raises:
        SettingError: no such run or beam size, no shared images, or no shared metric.
    """
    connection, problems = database.connect(results)
    cursor = connection.cursor()
    sides = [setting(cursor, each, problems) for each in (left, right)]
    overlap = queries.overlap(cursor, *sides[0], *sides[1]).iloc[0]
    if not overlap.shared:
        raise SettingError(f"{left} and {right} have no captioned image in common: compare runs on the same images")
    found = queries.comparison(cursor, *sides[0], *sides[1])
    if found.empty:
        raise SettingError(f"{left} and {right} have no metric in common: score both with the same --metrics")
    names = [f"{run}:{beam}" if beam else run for run, beam in sides]
    head = f"{names[0]} and {names[1]} on {overlap.shared:,} shared images, {overlap.same:,} with the same caption"
    warning = _id_warning(queries.id_collisions(cursor, sides[0][0], sides[1][0]).images.item())
    notes = [*_too_few(found), *_unpooled(found), *_differing(cursor, sides, found)]
    return "\n".join([head, *warning, "", *_table(found), "", _READING, *notes])


def _id_warning(collisions: int) -> list[str]:
    if not collisions:
        return []
    return [f"{collisions:,} of them have no reference in common: different photos with the same ids?"]


_READING = (
    "difference is left - right with its 95 % bootstrap interval; wins: images on which left is better;\n"
    "p is of the approximate randomization test, corrected by Holm for the number of metrics"
)


def setting(cursor: DuckDBPyConnection, named: str, problems: Sequence[Problem]) -> tuple[str, int]:
    """Return the run and the beam size that a user names as `RUN:BEAM`, or as `RUN` for its best beam size.

    Raises:
        SettingError: no such run or beam size.
    """
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
    for row in named_rows(found):
        digits = METRICS[row.metric].digits
        # One image has no interval.
        bounds = "-" if pd.isna(row.low) else f"{row.low:+.{digits}f} to {row.high:+.{digits}f}"
        values = f"{row.left:>8.{digits}f}{row.right:>8.{digits}f}{row.difference:>+12.{digits}f}{bounds:>20}"
        counts = f"{row.wins:>7,}{row.ties:>7,}{row.losses:>7,}"
        lines.append(f"{METRICS[row.metric].title:<14}{values}{row.p_holm:>10.3f}{counts}")
    return lines


def _too_few(found: pd.DataFrame) -> list[str]:
    """Return a line on the metrics whose p-value could not have been below 5 %, whatever the captions."""
    lines: dict[str, list[str]] = {}
    for row in named_rows(found[found.p_reachable >= statistics.ALPHA]):
        why = statistics.too_few(int(row.images), int(row.differing), statistics.RESAMPLES)
        lines.setdefault(why, []).append(METRICS[row.metric].title)
    return [f"{', '.join(titles)}: {why} (no result could give a p below 5 %)" for why, titles in lines.items()]


def _unpooled(found: pd.DataFrame) -> list[str]:
    """Return a note on pooled metrics without stored counts: the table has their means, not their corpus values."""
    rows = [METRICS[row.metric] for row in named_rows(found) if not row.pooled]
    titles = [metric.title for metric in rows if metric.corpus == "pooled"]
    note = "means of per-image values, because the counts for the corpus value are not stored or need a plugin"
    return [f"{', '.join(titles)}: {note}"] if titles else []


def _differing(cursor: DuckDBPyConnection, sides: list[tuple[str, int]], found: pd.DataFrame) -> list[str]:
    """Return what differs in how the numbers were made, apart from the captions: such numbers are not comparable."""
    both = [queries.corpus_scores(cursor, run).query("beam_size == @beam").set_index("metric") for run, beam in sides]
    lines: dict[str, list[str]] = {}
    for metric in found.metric:
        for each in signatures.differences(*(scores.signature.get(metric) or "" for scores in both)):
            lines.setdefault(str(each), []).append(METRICS[metric].title)
    return [f"measured or decoded differently: {line} ({', '.join(titles)})" for line, titles in lines.items()]
