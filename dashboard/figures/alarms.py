"""The alarm of words and the certificates of explanation methods: sentences and a figure.

Knows `queries.alarms`, `alarm_bins`, `certificates` and `best_attention_head`. Knows no page.
"""

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard.figures.grounding import named
from dashboard.text import formatting
from dashboard.theme import COLOURS, INK, LEGEND, LIGHT, blank
from engine.statistics import wilson_interval
from engine.store.frames import named_rows

KINDS = ("object", "colour", "count", "relation")
"""Kinds of claims that have an alarm."""

MEASURES = (
    "Hit rate: the map peaks inside the object's box. Chance: the box's share of the cells. Deletion: area under "
    "p(word) while cells are covered, most important first; lower is better. Insertion: the same while cells are shown "
    "on an empty picture; higher is better. A method is certified if it points better than chance and is more faithful "
    "(insertion minus deletion) than a random order of cells."
)


def certificate_sentence(found: pd.DataFrame) -> str:
    """Return which method `queries.certificates` recommends, with its hit rate and chance."""
    best = next((row for row in named_rows(found) if row.recommended), None)
    if best is None:
        return (
            "No method beats chance: none points at objects better than chance and is more faithful than a random "
            "order of cells. Do not explain words of this captioner with these maps."
        )
    bounds = formatting.interval(100 * best.hit_low, 100 * best.hit_high, 1)
    return (
        f"Recommended: **{formatting.markdown(best.method)}**. Its map peaks inside the object's box for "
        f"{formatting.percent(best.hit)} of {formatting.count(best.nouns, 'noun')} in "
        f"{formatting.count(best.images, 'image')} (95 % CI {bounds}); chance is {formatting.percent(best.chance)}."
    )


def head_sentence(found: pd.DataFrame) -> str:
    """Return what `queries.best_attention_head` found, or "" without enough images."""
    if found.empty:
        return ""
    row = found.iloc[0]
    bounds = formatting.interval(100 * row.low, 100 * row.high, 1)
    return (
        f"The attention map that points best is {named(int(row.layer), int(row['head']))}: chosen on half of the "
        f"images ({formatting.percent(row.chosen_hit)} of {formatting.count(int(row.chosen_nouns), 'noun')}), it hits "
        f"for {formatting.percent(row.hit)} of {formatting.count(int(row.nouns), 'noun')} on the other half"
        + (f" (95 % CI {bounds})." if bounds else ".")
    )


def alarm_sentence(row: Any) -> str:
    """Return how good the alarm is, from a row of `queries.alarms`."""
    bounds = formatting.interval(row.low, row.high, 2)
    named = _named(row.kind)
    return (
        f"A wrong {named} has a higher alarm than a correct one with probability {formatting.number(row.auroc, 2)} "
        f"(AUROC{f', 95 % CI {bounds}' * bool(bounds)}; 0.5 is chance). Measured on "
        f"{formatting.count(int(row.words), named)}, {int(row.wrong):,} of them wrong; no image was judged by an "
        "alarm that was fitted to it."
    )


def _named(kind: str) -> str:
    return "noun" if kind == "object" else f"{kind} word"


def bins_title(kind: str = "object") -> str:
    """Return the title of `bins`."""
    return f"Alarm and share of wrong {_named(kind)}s"


def bins(found: pd.DataFrame, kind: str = "object", template: str = LIGHT) -> go.Figure:
    """Draw the mean alarm and the share of wrong words of groups of words of equal size, lowest alarms first.

    Args:
        found: `queries.alarm_bins` of a kind of claim.
    """
    words = f"{_named(kind)}s"
    figure = blank(bins_title(kind), f"Group of {words}, by alarm", "Percent", template)
    names = [f"{row.bin}: {row.words:,} {words}" for row in named_rows(found)]
    wrong = [round(row.wrong * row.words) for row in named_rows(found)]
    ends = [wilson_interval(count, row.words) for count, row in zip(wrong, named_rows(found), strict=True)]
    error = {
        "array": [100 * (high - share) for share, (_, high) in zip(found.wrong, ends, strict=True)],
        "arrayminus": [100 * (share - low) for share, (low, _) in zip(found.wrong, ends, strict=True)],
        "thickness": 1.5,
        "color": INK[template],
    }
    was = f"wrong (share of {words}, 95 % CI)"
    drawn = (("alarm (mean)", found.said, {"pattern": {"shape": "/"}}, None), (was, found.wrong, {}, error))
    for colour, (name, values, marker, bounds) in enumerate(drawn):
        figure.add_bar(
            x=names,
            y=100 * values,
            name=name,
            marker={"color": COLOURS[template][colour], **marker},
            error_y=bounds,
            hovertemplate="%{x}<br>%{y:.1f} %<extra></extra>",
        )
    figure.update_yaxes(rangemode="tozero")
    figure.update_layout(barmode="group", **LEGEND)
    return figure
