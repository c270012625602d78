"""Attention grounding (pointing game): figures and sentences from `queries.grounding_heads` and `grounding_offsets`.

Layers and heads are counted from 1; the mean over a layer's heads comes first. Large boxes are easy to hit, so a hit
rate is compared with chance: the hit rate in the boxes of the same label in another image.
"""

from statistics import NormalDist

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import find_intermediate_color, hex_to_rgb, label_rgb

from dashboard.state.record import Run
from dashboard.text import formatting
from dashboard.theme import COLOURS, DASHES, INK, LEGEND, LIGHT, LINES, PAPER, SYMBOLS, blank
from engine.statistics import ALPHA, smallest_p, too_few
from engine.store.frames import groups

TITLE = "Attention grounding (pointing game)"
_MEAN = -1
_FEW = 10  # nouns; if all of a few nouns are hits, bootstrap intervals have no width
_ABOVE = 4  # layers that fit into the legend between title and axes


def named(layer: int, head: int) -> str:
    """Return `layer 3, mean of heads`, as in the attention viewer."""
    return f"layer {layer + 1}, " + ("mean of heads" if head == _MEAN else f"head {head + 1}")


def best(heads: pd.DataFrame) -> tuple[int, int]:
    """Return the best layer and head: by hit rate minus chance, or by hit rate if chance is not known."""
    row = _best(heads)
    return int(row.layer), int(row["head"])


def _best(heads: pd.DataFrame) -> pd.Series:
    return heads.sort_values(["gain", "hit"], ascending=False, kind="stable").iloc[0]


def sentence(run: Run, beam: int, heads: pd.DataFrame) -> str:
    """Return a sentence on the best layer and head: hit rate, chance and their difference."""
    row, where = _best(heads), formatting.capitalized(formatting.of_setting(beam, run.is_sampled))
    tested = pd.notna(row.own)
    share, nouns = (row.own, row.tested) if tested else (row.hit, row.nouns)
    layer, head = best(heads)
    map_named = f"layer {layer + 1}, " + ("averaged over heads" if head == _MEAN else f"head {head + 1}")
    found = (
        f"{where}, the best of {len(heads)} maps is {map_named}: its brightest patch is inside a box of the named "
        f"object for {round(share * nouns):,} of {formatting.count(int(nouns), 'noun')} ({formatting.percent(share)})"
    )
    if not tested:
        return f"{found}. Chance is not known, because no other image has a box of the same label."
    bounds = formatting.interval(100 * row.low, 100 * row.high, 1)
    gain = f"{100 * row.gain:+.1f} points" + (f" (95 % CI {bounds})" if bounds else "")
    return (
        f"{found}. Chance (the boxes of the same label in another image) is "
        f"{formatting.percent(row.chance)}. Difference: {gain}.{_doubt(row, len(heads))}"
    )


def answer(heads: pd.DataFrame) -> str:
    """Return one sentence: does attention peak inside the boxes of named objects more often than by chance?"""
    row = _best(heads)
    if pd.isna(row.gain):
        return "It is not known whether maps point at the named objects more often than by chance."
    if _doubt(row, len(heads)):
        return "It is not shown that maps point at the named objects more often than by chance."
    return "Maps point at the named objects more often than by chance."


def _doubt(row: pd.Series, count: int) -> str:
    """Return why the best of `count` maps may be a result of chance, or "" if that is unlikely."""
    if count * smallest_p(int(row.differing)) >= ALPHA:
        few = too_few(int(row.compared), int(row.differing))
        return f" {formatting.capitalized(few)} whether that is more than chance."
    if not row.low > 0:
        return " The difference is not significant."
    if row.tested < _FEW:
        return f" Fewer than {_FEW} nouns are weak evidence."
    wider = NormalDist().inv_cdf(1 - 0.025 / count) / NormalDist().inv_cdf(1 - 0.025)  # Bonferroni
    if row.gain - wider * (row.gain - row.low) > 0:
        return ""
    return f" It is not significant after correction for {count} maps."


def heads_title(heads: pd.DataFrame) -> str:
    """Return the title of `by_head`."""
    is_tested = heads.gain.notna().any()
    return "Hit rate minus chance by layer and head (points)" if is_tested else "Hit rate by layer and head (%)"


def by_head(heads: pd.DataFrame, template: str = LIGHT) -> go.Figure:
    """Draw hit rate minus chance by layer and head, in points; the hit rate if chance is not known."""
    is_tested = heads.gain.notna().any()
    table = heads.pivot(index="layer", columns="head", values="gain" if is_tested else "hit")
    hits, lifts = (heads.pivot(index="layer", columns="head", values=name).to_numpy() for name in ("hit", "lift"))
    figure = blank(heads_title(heads), "Head", "Layer", template)
    names = ["mean" if head == _MEAN else str(head + 1) for head in table.columns]
    layers = [str(layer + 1) for layer in table.index]
    figure.add_heatmap(
        z=100 * table.to_numpy(),
        x=[*range(len(names))],
        y=[*range(len(table))],
        customdata=[
            [[name, hit, lift, layer] for name, hit, lift in zip(names, *each, strict=True)]
            for layer, *each in zip(layers, 100 * hits, lifts, strict=True)
        ],
        zmid=0,
        colorscale=[[0, _pale(1, template)], [0.5, PAPER[template]], [1, _pale(0, template)]],
        textfont={"color": INK[template]},
        showscale=False,
        xgap=2,
        ygap=2,
        text=[[_points(value, is_tested) for value in row] for row in 100 * table.to_numpy()],
        texttemplate="%{text}",
        hovertemplate="layer %{customdata[3]}, head %{customdata[0]}<br>%{z:.1f}"
        "<br>hit rate %{customdata[1]:.1f} %<br>lift %{customdata[2]:.2f} (median)<extra></extra>",
    )
    figure.update_xaxes(tickvals=[*range(len(names))], ticktext=names, showgrid=False)
    figure.update_yaxes(tickvals=[*range(len(layers))], ticktext=layers, showgrid=False, autorange="reversed")
    figure.update_layout(height=max(240, 150 + 44 * len(table)))
    return figure


def _points(value: float, is_signed: bool) -> str:
    """Return whole points with their sign; 0 has no sign."""
    if np.isnan(value):
        return ""
    whole = round(value)
    return f"{whole:+d}" if is_signed and whole else str(whole)


def _pale(place: int, template: str) -> str:
    """Return a colour mixed with the paper colour, so that text on it is readable."""
    ends = map(hex_to_rgb, (PAPER[template], COLOURS[template][place]))
    return label_rgb(find_intermediate_color(*ends, 0.55))


def by_offset(offsets: pd.DataFrame, template: str = LIGHT) -> go.Figure:
    """Draw hit rates of the maps of words before and after the noun, one line per layer, with 95 % intervals."""
    figure = blank("Hit rate around the noun", "Position relative to the noun (words)", "Hit rate (%)", template)
    for place, (layer, rows) in enumerate(groups(offsets, "layer")):
        turned = place + place // 8  # colours repeat with other marks
        figure.add_scatter(
            x=rows.offset,
            y=100 * rows.hit,
            name=f"layer {layer + 1}",
            mode="lines+markers",
            line={"color": COLOURS[template][place % 8], "dash": DASHES[turned % 4]},
            marker={"symbol": SYMBOLS[turned % 8], "size": 8},
            error_y={"array": 100 * (rows.high - rows.hit), "arrayminus": 100 * (rows.hit - rows.low)}
            | {"thickness": 1, "width": 3},
            customdata=rows.nouns,
            hovertemplate=f"layer {layer + 1}, %{{x:+d}}<br>%{{y:.1f}} % of %{{customdata}} nouns<extra></extra>",
        )
    figure.add_vline(x=0, line={"color": LINES[template], "width": 1})
    figure.update_xaxes(tickvals=[*range(-3, 4)], ticktext=["-3", "-2", "-1", "the noun", "+1", "+2", "+3"])
    figure.update_yaxes(rangemode="tozero")
    layers = offsets.layer.nunique()
    if layers <= _ABOVE:
        figure.update_layout(**LEGEND)
    else:
        beside = {"orientation": "v", "x": 1.02, "y": 1, "yanchor": "top"}
        figure.update_layout(showlegend=True, legend=beside, height=max(figure.layout.height, 150 + 22 * layers))
    return figure
