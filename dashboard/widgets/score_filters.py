"""Filters by scores: histograms to brush, a scatter plot to select a region, and both in the URL.

Knows the metrics of a beam size and Streamlit. Queries counts for its plots; the views query the cases.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.components.histograms import Histogram, histograms
from dashboard.components.quadrant import MOST_CORNERS, Acts, Axis, Box, Corners, Quarter, quadrant
from dashboard.figures import distributions
from dashboard.items import Figure
from dashboard.state import choices, data
from dashboard.text import formatting
from dashboard.widgets import layout
from engine.store import queries
from engine.store.frames import named_rows
from engine.store.orders import ALARM, definition
from engine.store.queries import Lasso, Selection
from engine.store.schema import METRICS

BINS = 24
_LASSO = "lasso"
_AXES = ("cider", "clipscore")
_MEANINGS = {
    (False, True): "CLIPScore: the caption fits the photo. CIDEr: it differs from the references",
    (True, False): "CIDEr: the caption agrees with the references. CLIPScore: it does not fit the photo",
    (True, True): "Both metrics are high",
    (False, False): "Both metrics are low",
}


def chosen(ranges: pd.DataFrame) -> tuple[tuple[tuple[str, float, float], ...], Lasso | None]:
    """Return the ranges (metric, low, high) and the region in the URL.

    Args:
        ranges: `queries.metric_ranges`.
    """
    bounds = [(row.metric, _span(row)) for row in named_rows(ranges)]
    return tuple((metric, *span) for metric, span in bounds if span is not None), _read_lasso(list(ranges.metric))


def keys() -> Sequence[str]:
    """Return the choices of the URL that these filters are kept in."""
    return [_LASSO, *(_key(metric) for metric in (*METRICS, ALARM.key))]


def _ends(row: Any) -> tuple[float, float]:
    """Return the ends of a metric's range, rounded outwards so that the full range excludes no case."""
    return math.floor(row.low * 100) / 100, math.ceil(row.high * 100) / 100


def _key(metric: str) -> str:
    return f"in_{metric}"


def _span(row: Any) -> tuple[float, float] | None:
    return choices.read_span(_key(row.metric), *_ends(row))


# The lasso in the URL is its two metrics and its corners: cider,clipscore;0.1,0.5;0.3,0.9;0.2,0.4


def _read_lasso(metrics: list[str]) -> Lasso | None:
    """Return the lasso of the URL, or None if it is missing or invalid."""
    found = _parsed_lasso(choices.get(_LASSO), metrics)
    if found is None and choices.get(_LASSO):
        choices.refuse(_LASSO, "Region", "all cases")
    return found


def _parsed_lasso(written: str, metrics: list[str]) -> Lasso | None:
    head, *rest = written.split(";")
    axes = head.split(",")
    if len(axes) != 2 or not set(axes) <= set(metrics) or not 3 <= len(rest) <= MOST_CORNERS:
        return None
    try:
        corners = tuple((float(x), float(y)) for x, y in (corner.split(",") for corner in rest))
    except ValueError:
        return None
    finite = all(math.isfinite(value) for corner in corners for value in corner)
    return Lasso(axes[0], axes[1], corners) if finite else None


def _keep_lasso(x: str, y: str, corners: Corners) -> None:
    written = [f"{x},{y}", *(f"{first:g},{second:g}" for first, second in corners)]
    choices.keep(**{_LASSO: ";".join(written), _key(x): None, _key(y): None})


# Plots


def plots(run: data.Run, beam: int, ranges: pd.DataFrame, selection: Selection, chosen: str) -> None:
    """Draw an expander with histograms and a scatter plot, if scores differ; it queries nothing while it is closed."""
    if not _edges(ranges):
        return
    touched = bool(selection.ranges or selection.lasso)
    label = "Filter by scores: brush a histogram, or select a region of two metrics"
    opened = choices.opened(label, "plots", touched, icon=":material/bar_chart:")
    if not opened.open:
        return
    with opened:
        axes = _axes(list(ranges.metric))
        parts = layout.columns([5, 4], "figure", "plots", gap="medium") if axes else [st.container()]
        with parts[0]:
            _histograms(run, beam, ranges, selection)
            _exactly(ranges)
        if axes:
            with parts[1]:
                _quadrant(run, beam, ranges.set_index("metric"), axes, selection, chosen)


def items(run: data.Run, beam: int, ranges: pd.DataFrame, selection: Selection, small: str) -> list[Figure]:
    """Return the histograms and the scatter plot of the page for export."""
    edges, axes = _edges(ranges), _axes(list(ranges.metric))
    whole = data.query(queries.histograms, run.name, beam, edges, queries.EVERYTHING, BINS)
    part = data.query(queries.histograms, run.name, beam, edges, selection, BINS)
    title = "Scores: selection and all cases"
    drawn = partial(distributions.histograms, edges, whole, part, BINS)
    found = [Figure("histograms", title, drawn, small)] if edges else []
    if axes:
        points = data.query(queries.scattered, run.name, beam, *axes, selection)
        across, up = (_middle(row) for row in named_rows(ranges) if row.metric in axes)
        corners = selection.lasso.corners if selection.lasso else ()
        plot = partial(distributions.quadrant, points, *axes, (across, up), corners)
        found.append(Figure("quadrant", f"{formatting.title(axes[1])} vs. {formatting.title(axes[0])}", plot, small))
    return found


def _edges(ranges: pd.DataFrame) -> tuple[tuple[str, float, float], ...]:
    return tuple((row.metric, float(row.low), float(row.high)) for row in named_rows(ranges) if _differs(row))


def _differs(row: Any) -> bool:
    """Return whether a metric's values differ in the digits shown; BLEU-4 does not if no 4-gram matches."""
    return row.high - row.low >= definition(row.metric).tie


def _axes(metrics: list[str]) -> tuple[str, str] | None:
    """Return CIDEr and CLIPScore, or the first and the last metric."""
    if set(_AXES) <= set(metrics):
        return _AXES
    return (metrics[0], metrics[-1]) if len(metrics) > 1 else None


def _histograms(run: data.Run, beam: int, ranges: pd.DataFrame, selection: Selection) -> None:
    edges = _edges(ranges)
    whole = data.query(queries.histograms, run.name, beam, edges, queries.EVERYTHING, BINS)
    part = data.query(queries.histograms, run.name, beam, edges, selection, BINS)
    counts = {"whole": _counts(whole), "part": _counts(part)}
    drawn = [
        Histogram(
            row.metric,
            formatting.title(row.metric),
            row.low,
            row.high,
            **{
                side: tuple(found.get((row.metric, place), 0) for place in range(BINS))
                for side, found in counts.items()
            },
            range=_span(row),
        )
        for row in named_rows(ranges)
        if _differs(row)
    ]
    histograms(drawn, "histograms", lambda metric, span: choices.keep_span(_key(metric), span))


def _counts(found: pd.DataFrame) -> dict[tuple[str, int], int]:
    return dict(zip(zip(found.metric, found.bin, strict=True), found.cases.tolist(), strict=True))


def _exactly(ranges: pd.DataFrame) -> None:
    """Draw the same ranges as sliders, for exact values and for the keyboard."""
    opened = choices.opened("Exact ranges", "exact", widget=st.popover, icon=":material/tune:")
    if not opened.open:
        return
    with opened:
        for row in named_rows(ranges):
            if _differs(row):
                choices.span(formatting.markdown_title(row.metric), _key(row.metric), *_ends(row), 0.01, format="%.2f")


def _quadrant(
    run: data.Run, beam: int, ranges: pd.DataFrame, axes: tuple[str, str], selection: Selection, chosen: str
) -> None:
    x, y = axes
    points = data.query(queries.scattered, run.name, beam, x, y, selection)
    ends = [_axis(ranges, metric) for metric in axes]
    acts = Acts(
        lasso=lambda corners: _keep_lasso(x, y, corners),
        box=lambda box: _keep_box(x, y, box),
        clear=lambda: choices.keep(**{_LASSO: None, _key(x): None, _key(y): None}),
        case=lambda image_id: choices.keep(image=image_id, word=None),
    )
    lasso = selection.lasso if selection.lasso and (selection.lasso.x, selection.lasso.y) == axes else None
    found = _quarters(run, beam, ranges, axes, selection)
    corners = lasso.corners if lasso else None
    quadrant(points, *ends, found, "quadrant", acts, corners, _box(selection, axes, ends), chosen)
    _say_drawn(points, axes, max(int(ranges.scored[metric]) for metric in axes))


def _say_drawn(points: pd.DataFrame, axes: tuple[str, str], scored: int) -> None:
    """Say which cases are not drawn: those outside a sample, and those without both metrics.

    Args:
        points: `queries.scattered`.
        scored: number of cases with the more frequent of both metrics.
    """
    known = int(points.drop_duplicates("selected").matching.sum())
    if len(points) < known:
        st.caption(f"A random sample of {len(points):,} of {known:,} cases is drawn; a region selects from all cases.")
    if known < scored:
        both = " and ".join(map(formatting.markdown_title, axes))
        st.caption(
            f"{formatting.count(scored - known, 'case')} without both {both} "
            f"{'is' if scored - known == 1 else 'are'} not drawn and cannot be selected by a region."
        )


def _axis(ranges: pd.DataFrame, metric: str) -> Axis:
    row = ranges.loc[metric]
    room = 0.03 * (row.high - row.low) or 0.5
    return Axis(formatting.title(metric), float(row.low - room), float(row.high + room), _middle(row))


def _keep_box(x: str, y: str, box: Box) -> None:
    spans = {_key(x): box[:2], _key(y): box[2:]}
    choices.keep(**{_LASSO: None}, **{key: f"{low:g}:{high:g}" for key, (low, high) in spans.items()})


def _box(selection: Selection, axes: tuple[str, str], ends: list[Axis]) -> Box | None:
    """Return the ranges of both axes as a box, or None if neither is set."""
    known = {metric: (low, high) for metric, low, high in selection.ranges}
    if not known.keys() & set(axes):
        return None
    spans = [known.get(metric, (axis.low, axis.high)) for metric, axis in zip(axes, ends, strict=True)]
    return *spans[0], *spans[1]


def _quarters(
    run: data.Run, beam: int, ranges: pd.DataFrame, axes: tuple[str, str], selection: Selection
) -> list[Quarter]:
    """Return the four quarters, high y and low x first, with their cases before a region is selected."""
    others = tuple(each for each in selection.ranges if each[0] not in axes)
    selection = replace(selection, ranges=others, lasso=None)
    parted = tuple(_middle(ranges.loc[metric]) for metric in axes)
    found = data.query(queries.quadrants, run.name, beam, *axes, parted, selection)
    counts = {(bool(row.right), bool(row.above)): int(row.cases) for row in named_rows(found)}
    titles = [formatting.title(metric) for metric in axes]
    quarters = []
    for above in (True, False):
        for right in (False, True):
            name = f"{'High' if above else 'Low'} {titles[1]}, {'high' if right else 'low'} {titles[0]}"
            meaning = _MEANINGS[right, above] if axes == _AXES else name
            box = (*_half(ranges.loc[axes[0]], right), *_half(ranges.loc[axes[1]], above))
            quarters.append(Quarter(name, meaning, counts.get((right, above), 0), box))
    return quarters


def _half(row: pd.Series, upper: bool) -> tuple[float, float]:
    """Return the half of a metric's range below or above its median."""
    low, high = _ends(row)
    return (_middle(row), high) if upper else (low, _middle(row))


def _middle(row: pd.Series) -> float:
    """Return a value just above the median that no case has, so that each case is in exactly one half.

    It has four digits, which the URL keeps, and ends with 3, as no fraction of small counts such as 1/16 does.
    """
    return round(math.ceil(row.middle * 1000) / 1000 + 0.0003, 4)
