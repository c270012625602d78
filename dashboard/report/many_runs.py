"""Any number of settings: their values and tests, their settings, and one figure of their curves.

Knows runs, beam sizes and queries. Draws no page.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dashboard import metrics
from dashboard.figures import curves
from dashboard.items import Figure, Table
from dashboard.report import comparison
from dashboard.report.source import Query, signature
from dashboard.state.record import Run
from dashboard.text import formatting
from engine import statistics
from engine.store import queries, run_settings, signatures
from engine.store.frames import named_rows
from engine.store.schema import METRICS

TITLE = "Settings in which the runs differ"
CURVES = "Values of the whole split. Band: 95 % bootstrap interval over images."
_FEW = 3  # names of settings in a cell
_LONGEST = 120  # characters of a setting's value


@dataclass(frozen=True)
class Setting:
    """A run at a beam size."""

    run: Run
    beam: int

    @property
    def pair(self) -> tuple[str, int]:
        """Return the arguments of queries."""
        return self.run.name, self.beam

    @property
    def key(self) -> str:
        """Return `demo:3`, as in the URL and on the command line."""
        return f"{self.run.name}:{self.beam}"

    @property
    def name(self) -> str:
        """Return `demo, beam size 3`."""
        return f"{self.run.shown}, {formatting.setting(self.beam, self.run.is_sampled)}"

    @property
    def values(self) -> dict[str, str]:
        """Return the settings of the run's record by name, with the beam size first."""
        size = self.run.beam(self.beam)
        return {"beam size": size} | run_settings.settings_of(self.run.record)


def ordered(settings: Sequence[Setting], found: pd.DataFrame, metric: str) -> list[tuple[Setting, Any]]:
    """Return the settings with their rows of `queries.many_settings`: best first, not comparable ones last."""
    pairs = list(zip(settings, named_rows(found), strict=True))
    return sorted(pairs, key=lambda pair: (pair[1].reason != "", -_gain(metric, pair[1].value)))


def _gain(metric: str, value: float) -> float:
    return 0.0 if pd.isna(value) else metrics.gain(metric, value)


def reference(settings: Sequence[Setting], found: pd.DataFrame) -> Setting:
    """Return the setting that the others are tested against; the first one if there is none."""
    return next((each for each, row in zip(settings, named_rows(found), strict=True) if row.is_reference), settings[0])


def table(query: Query, settings: Sequence[Setting], found: pd.DataFrame, metric: str) -> Table:
    """Return one row per setting: value, mean rank, paired test against the reference, and what differs."""
    theirs, rows = reference(settings, found), ordered(settings, found, metric)
    title = formatting.title(metric)
    shown = pd.DataFrame(
        {
            "Setting": [each.name for each, _ in rows],
            f"{title} (95 % CI)": [_value(row, metric) for _, row in rows],
            "Mean rank": [formatting.number(row.mean_rank, 2) for _, row in rows],
            "Difference (95 % CI)": [_difference(row, metric) for _, row in rows],
            "p Holm": ["–" if pd.isna(row.p_holm) else comparison.resampled(row.p_holm) for _, row in rows],
            "Result": [verdict(row, metric) for _, row in rows],
            "Differs in": [differs(each, theirs) for each, _ in rows],
        }
    )
    signed = dict.fromkeys(signature(query, each.run, metric, each.beam) for each, row in rows if not row.reason)
    small = [f"{formatting.count(images(found), 'image')} that all comparable settings have", tested(found)]
    short = {"Difference (95 % CI)": "Diff.", "Differs in": "Differs"}
    name, heading = f"settings_{metric}", f"{title} of {formatting.count(len(settings), 'setting')}"
    return Table(name, heading, shown, found, ". ".join(small), tuple(filter(None, signed)), short)


def images(found: pd.DataFrame) -> int:
    """Return how many images all comparable settings have."""
    return int(found.images.max())


def tested(found: pd.DataFrame) -> str:
    """Return how the tests were made, and how ranks were averaged."""
    count = int(found.p_holm.notna().sum())
    tests = (
        "Paired with the reference: approximate randomization, 1,000 resamples, two-sided; Holm's correction is over "
        f"{formatting.count(count, 'test')}. "
    )
    ranks = "Mean rank: rank of a setting on an image, averaged over images; 1 is the best, ties share their ranks."
    return tests * (count > 0) + ranks


def _value(row: Any, metric: str) -> str:
    bounds = formatting.interval(row.low, row.high, METRICS[metric].digits)
    return formatting.score(metric, row.value) + (f" ({bounds})" if bounds else "")


def _difference(row: Any, metric: str) -> str:
    if pd.isna(row.difference):
        return "–"
    bounds = formatting.interval(row.difference_low, row.difference_high, METRICS[metric].digits, "+")
    return comparison.change(metric, row.difference) + (f" ({bounds})" if bounds else "")


def verdict(row: Any, metric: str) -> str:
    """Return the result of the test of a row of `queries.many_settings`."""
    if row.reason:
        return f"not comparable: {row.reason}"
    if pd.isna(row.p_holm):
        return "reference" if row.is_reference else "no shared image"
    return "equal on every image" if row.differing == 0 else _tested_verdict(row, metric)


def _tested_verdict(row: Any, metric: str) -> str:
    if row.p_reachable >= statistics.ALPHA:
        return statistics.too_few(int(row.images), int(row.differing), statistics.RESAMPLES)
    if row.p_holm >= statistics.ALPHA:
        return "not significant"
    return "better" if metrics.gain(metric, row.difference) > 0 else "worse"


def differs(setting: Setting, theirs: Setting) -> str:
    """Return the names of the settings that differ from the reference, at most three; a dash if none does."""
    names = [*run_settings.aligned([theirs.values, setting.values])[0]]
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more or "–"


def settings_table(settings: Sequence[Setting]) -> tuple[Table, dict[str, str]]:
    """Return the settings that differ, a row each and a column per run and beam size, and the equal ones by name."""
    differing, equal = run_settings.aligned([each.values for each in settings])
    columns = [each.name for each in settings]
    rows = [[name, *(formatting.shortened(value, _LONGEST) for value in differing[name])] for name in differing]
    shown = pd.DataFrame(rows, columns=["Setting", *columns])
    whole = pd.DataFrame([[name, *differing[name]] for name in differing], columns=["Setting", *columns])
    return Table("settings", TITLE, shown, whole, "Settings of the records; equal ones are left out."), equal


def by_run(
    query: Query, settings: Sequence[Setting], metric: str
) -> tuple[dict[str, pd.DataFrame], dict[str, str], str]:
    """Return the rows of `queries.corpus_scores` of each run, the runs that are left out with the reason, a signature.

    A curve has the values of a run's whole split, so a run with another split or another measurement is left out.
    """
    runs = list(dict.fromkeys(each.run for each in settings))
    frames: dict[str, pd.DataFrame] = {}
    left_out: dict[str, str] = {}
    first = ""
    for run in runs:
        scores = query(queries.corpus_scores, run.name)
        mine = scores[(scores.metric == metric) & scores.value.notna()]
        signed = "" if mine.empty else mine.signature.iloc[0] or ""
        found = [str(each) for each in signatures.differences(first, signed) if not each.search] if first else []
        if mine.empty:
            left_out[run.shown] = f"it has no {formatting.title(metric)}"
        elif found:
            left_out[run.shown] = "; ".join(found)
        else:
            first = first or signed
            frames[run.shown] = mine
    return frames, left_out, first


def items(query: Query, settings: Sequence[Setting], found: pd.DataFrame, metric: str) -> list[Figure | Table]:
    """Return the exports: values with tests, differing settings, and the curves."""
    exported: list[Figure | Table] = [table(query, settings, found, metric)]
    differing, _ = settings_table(settings)
    exported += [differing] if len(differing.shown) else []
    frames, _, signed = by_run(query, settings, metric)
    if frames:
        drawn = lambda: curves.metric_by_run(frames, metric)  # noqa: E731
        title = f"{formatting.title(metric)} by beam size"
        exported.append(Figure(f"{metric}_by_run", title, drawn, CURVES, tuple(filter(None, [signed]))))
    return exported
