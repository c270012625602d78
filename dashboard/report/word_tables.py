"""Tables of certificates and alarms, and all that a page or a report exports on which words were seen.

Knows column names of `engine.store.queries`. Knows no page.
"""

from functools import partial
from typing import Any

import pandas as pd

from dashboard.figures import alarms
from dashboard.items import Figure, Table
from dashboard.report.source import Query, note
from dashboard.state.record import Run
from dashboard.text import evidence, formatting
from engine.store import queries
from engine.store.frames import named_rows


def certificates(found: pd.DataFrame, small: str) -> Table:
    """Return `queries.certificates` as a table."""
    rows = list(named_rows(found))
    shown = pd.DataFrame(
        {
            "Method": [row.method for row in rows],
            "Result": [_result(row) for row in rows],
            "Hit rate (95 % CI)": [_percent(row.hit, row.hit_low, row.hit_high) for row in rows],
            "Chance": [formatting.percent(row.chance) for row in rows],
            "Deletion (95 % CI)": [_bounded(row, "deletion") for row in rows],
            "Insertion (95 % CI)": [_bounded(row, "insertion") for row in rows],
            "Hit rate - attention": [_points(row) for row in rows],
            "Deletion - attention": [_bounded(row, "deletion_gain", "+") for row in rows],
            "Insertion - attention": [_bounded(row, "insertion_gain", "+") for row in rows],
            "s per noun": [_seconds(row.seconds) for row in rows],
        }
    )
    return Table("certificates", "Certificates of explanation methods", shown, found, small)


def _result(row: Any) -> str:
    if row.recommended:
        return "recommended"
    return "certified" if row.certified else "not certified"


def _seconds(value: float) -> str:
    return "< 0.001" if 0 < value < 0.001 else formatting.number(value, 3)


def _percent(value: float, low: float, high: float) -> str:
    bounds = formatting.interval(100 * low, 100 * high, 1)
    return formatting.percent(value) + (f" ({bounds})" if bounds else "")


def _points(row: Any) -> str:
    """Return a difference of hit rates in points with its interval."""
    bounds = formatting.interval(100 * row.hit_gain_low, 100 * row.hit_gain_high, 1, "+")
    return "–" if pd.isna(row.hit_gain) else f"{100 * row.hit_gain:+z.1f} points ({bounds})"


def _bounded(row: Any, name: str, sign: str = "") -> str:
    value, low, high = (getattr(row, f"{name}{end}") for end in ("", "_low", "_high"))
    bounds = formatting.interval(low, high, 3, sign)
    return "–" if pd.isna(value) else f"{value:{sign}z.3f}" + (f" ({bounds})" if bounds else "")


def alarm_quality(found: pd.DataFrame, run: Run, small: str) -> Table:
    """Return `queries.alarms` as a table."""
    shown = pd.DataFrame(
        {
            "Beam size": [run.beam(size) for size in found.beam_size],
            "Claim": list(found.kind),
            "Words": [f"{count:,}" for count in found.words],
            "Wrong": [f"{count:,}" for count in found.wrong],
            "AUROC": [formatting.number(value) for value in found.auroc],
            "95 % CI": [formatting.interval(row.low, row.high) or "–" for row in named_rows(found)],
        }
    )
    return Table("alarms", "How well the alarm separates wrong words from correct ones", shown, found, small)


def items(run: Run, beam: int, query: Query) -> list[Figure | Table]:
    """Return what can be exported on which words were seen; nothing of runs without these tables."""
    found: list[Figure | Table] = []
    certified, quality = query(queries.certificates, run.name), query(queries.alarms, run.name)
    if len(certified):
        found.append(certificates(certified, note(run, f"Beam size {run.beam(_beam(certified))}", alarms.MEASURES)))
    if len(quality):
        found.append(alarm_quality(quality, run, note(run, evidence.ALARM, "95 % intervals: images resampled")))
    small = note(run, f"Beam size {run.beam(beam)}. 95 % intervals: Wilson", evidence.ALARM)
    for kind in alarms.KINDS:
        groups = query(queries.alarm_bins, run.name, beam, kind)
        if len(groups):
            name = "alarm_bins" if kind == "object" else f"alarm_bins_{kind}"
            found.append(Figure(name, alarms.bins_title(kind), partial(alarms.bins, groups, kind), small))
    return found


def _beam(certified: pd.DataFrame) -> int:
    return int(certified.beam_size.iloc[0])
