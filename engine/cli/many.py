"""The comparison of any number of settings on the terminal, by one metric.

The numbers come from the query of the dashboard's Compare view.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from duckdb import DuckDBPyConnection

from engine import statistics
from engine.cli.compare import SettingError, setting
from engine.store import database, queries, run_settings
from engine.store.frames import named_rows
from engine.store.schema import METRICS

_READING = (
    "difference is the setting - the reference; p is of the paired approximate randomization test, corrected by Holm\n"
    "for the number of tests; mean rank: 1 is the best on every image, ties share their ranks"
)


def text(results: Path, named: Sequence[str], metric: str | None = None) -> str:
    """Return the comparison of settings, each `RUN:BEAM` or `RUN`, as lines to print; the reference is the best one.

    Args:
        metric: None for the first metric that a setting has.

    Raises:
        SettingError: no such run, beam size or metric, or no two settings that are comparable.
    """
    connection, problems = database.connect(results)
    cursor = connection.cursor()
    settings = list(dict.fromkeys(setting(cursor, each, problems) for each in named))
    chosen = _metric(cursor, settings, metric)
    found = queries.many_settings(cursor, settings, chosen)
    known = found[found.reason == ""]
    reasons = [f"{_name(row)} is not comparable with the first setting: {row.reason}" for row in _refused(found)]
    if len(known) < 2 or not known.images.max():
        why = reasons[0] if reasons else "the settings have no image in common"
        raise SettingError(f"nothing to compare by {METRICS[chosen].title}: {why}; choose other settings or --metric")
    title = METRICS[chosen].title
    head = f"{title} of {len(known)} settings on {known.images.max():,} images that all of them have"
    return "\n".join([head, "", *_table(known, chosen), "", _READING, *reasons, *_differing(cursor, settings, known)])


def _refused(found: pd.DataFrame) -> list[Any]:
    return list(named_rows(found[found.reason != ""]))


def _metric(cursor: DuckDBPyConnection, settings: Sequence[tuple[str, int]], metric: str | None) -> str:
    scored = {name for run, _ in settings for name in queries.corpus_scores(cursor, run).metric}
    known = [name for name in METRICS if name in scored]
    if metric is None and known:
        return known[0]
    if metric not in known:
        raise SettingError(f"metric {metric or ''!r} has no scores, expected one of: {', '.join(known) or 'none'}")
    return metric


def _name(row: Any) -> str:
    return f"{row.run}:{row.beam_size}" if row.beam_size else row.run


def _table(known: pd.DataFrame, metric: str) -> list[str]:
    """Return a line per setting, the best first."""
    digits = METRICS[metric].digits
    width = max(10, *(len(_name(row)) for row in named_rows(known))) + 2
    columns = f"{'value':>8}{'95 % interval':>18}{'mean rank':>11}{'difference':>12}{'p (Holm)':>10}  result"
    lines = [f"{'setting':<{width}}{columns}"]
    for row in named_rows(known.sort_values("value", ascending=not METRICS[metric].higher_is_better, kind="stable")):
        bounds = "-" if pd.isna(row.low) else f"{row.low:.{digits}f} to {row.high:.{digits}f}"
        change = "-" if pd.isna(row.difference) else f"{row.difference:+.{digits}f}"
        p = "-" if pd.isna(row.p_holm) else f"{row.p_holm:.3f}"
        numbers = f"{row.value:>8.{digits}f}{bounds:>18}{row.mean_rank:>11.2f}{change:>12}{p:>10}"
        lines.append(f"{_name(row):<{width}}{numbers}  {_result(row)}")
    return lines


def _result(row: Any) -> str:
    if row.is_reference:
        return "reference"
    if row.differing == 0:
        return "equal on every image"
    if row.p_reachable >= statistics.ALPHA:
        return statistics.too_few(int(row.images), int(row.differing), statistics.RESAMPLES)
    return "worse" if row.p_holm < statistics.ALPHA else "not significant"


def _differing(cursor: DuckDBPyConnection, settings: Sequence[tuple[str, int]], known: pd.DataFrame) -> list[str]:
    """Return a line per setting in which the comparable runs differ."""
    records = {row.run: json.loads(row.record) for row in named_rows(queries.runs(cursor))}
    runs = list(dict.fromkeys(run for run, _ in settings if run in set(known.run)))
    differing, _ = run_settings.aligned([run_settings.settings_of(records[run]) for run in runs])
    return [
        f"differs: {name}: {', '.join(f'{run} {value}' for run, value in zip(runs, values, strict=True))}"
        for name, values in differing.items()
    ]
