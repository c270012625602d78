"""Do the maps point at what the words name: figures and words of `queries.grounding_heads` and `grounding_offsets`.

Like `figures`: DataFrame in, Plotly figure out. Layers and heads count from 1 for people, the mean of a layer's heads
stands first. A share of hits says little by itself, for the boxes of a large object are hard to miss: what counts is
how far it lies above that of the same label's boxes in another image.
"""

from statistics import NormalDist

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import find_intermediate_color, hex_to_rgb, label_rgb

from dashboard import text
from dashboard.figures import COLOURS, DASHES, INK, LEGEND, LIGHT, LINES, PAPER, SYMBOLS, blank
from dashboard.record import Run

TITLE = "Do the maps point at what the words name?"
_MEAN = -1
_FEW = 10  # nouns; where two of two are hits, so are those of every resample, and the interval has no width
_ABOVE = 4  # layers whose names find room between the title and the axes


def named(layer: int, head: int) -> str:
    """`layer 3, mean of heads`, as the attention viewer calls it."""
    return f"layer {layer + 1}, " + ("mean of heads" if head == _MEAN else f"head {head + 1}")


def best(heads: pd.DataFrame) -> tuple[int, int]:
    """The layer and head that point best: by hits above chance, or by hits where nothing tells chance."""
    row = _best(heads)
    return int(row.layer), int(row["head"])


def _best(heads: pd.DataFrame) -> pd.Series:
    return heads.sort_values(["gain", "hit"], ascending=False, kind="stable").iloc[0]


def sentence(run: Run, beam: int, heads: pd.DataFrame) -> str:
    """What the best layer and head reach, beside what chance gives."""
    row, where, looked = _best(heads), text.begun(text.of_setting(beam, run.is_sampled)), named(*best(heads))
    share, nouns = (row.hit, row.nouns) if pd.isna(row.own) else (row.own, row.tested)
    said = (
        f"{where}, {looked} points best of {len(heads)}: the brightest patch lies inside a box "
        f"of what the word names for {text.percent(share)} of {text.count(int(nouns), 'noun')}"
    )
    if pd.isna(row.gain):
        return f"{said}. No other image has a box of the same label, so nothing tells what chance gives."
    bounds = text.interval(100 * row.low, 100 * row.high, 1)
    return (
        f"{said}, inside the boxes of the same label in another image for {text.percent(row.chance)}: "
        f"{100 * row.gain:+.1f} points{f' (95 % interval {bounds})' if bounds else ''}.{_doubt(row, len(heads))}"
    )


def _doubt(row: pd.Series, count: int) -> str:
    """Whether chance may have made the best of `count`: of many, one lies above 0 with its whole interval by luck."""
    if not row.low > 0:
        return " That may be chance alone."
    if row.tested < _FEW:
        return " So few nouns tell little."
    wider = NormalDist().inv_cdf(1 - 0.025 / count) / NormalDist().inv_cdf(1 - 0.025)  # Bonferroni
    if row.gain - wider * (row.gain - row.low) > 0:
        return ""
    return " Of so many, the best may lie that high by chance alone."


def by_head(heads: pd.DataFrame, template: str = LIGHT) -> go.Figure:
    """Hits above chance of every layer and head, in points; the share of hits where chance is not known."""
    is_tested = heads.gain.notna().any()
    table = heads.pivot(index="layer", columns="head", values="gain" if is_tested else "hit")
    hits, lifts = (heads.pivot(index="layer", columns="head", values=name).to_numpy() for name in ("hit", "lift"))
    title = "Hits above chance by layer and head (points)" if is_tested else "Hits by layer and head (%)"
    figure = blank(title, "Head", "Layer", template)
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
        "<br>brightest patch in a box: %{customdata[1]:.1f} %<br>lift %{customdata[2]:.2f} (median)<extra></extra>",
    )
    figure.update_xaxes(tickvals=[*range(len(names))], ticktext=names, showgrid=False)
    figure.update_yaxes(tickvals=[*range(len(layers))], ticktext=layers, showgrid=False, autorange="reversed")
    figure.update_layout(height=max(240, 150 + 44 * len(table)))
    return figure


def _points(value: float, is_signed: bool) -> str:
    """Whole points, with their sign; what rounds to nothing has none."""
    if np.isnan(value):
        return ""
    whole = round(value)
    return f"{whole:+d}" if is_signed and whole else str(whole)


def _pale(place: int, template: str) -> str:
    """A colour half way to the paper: ink can be read on it."""
    ends = map(hex_to_rgb, (PAPER[template], COLOURS[template][place]))
    return label_rgb(find_intermediate_color(*ends, 0.55))


def by_offset(offsets: pd.DataFrame, template: str = LIGHT) -> go.Figure:
    """Hits of the maps of words before and after the noun, a line a layer, heads averaged, with 95 % intervals."""
    figure = blank("Hits of the maps around the noun", "Words after the noun", "Brightest patch in a box (%)", template)
    for place, (layer, rows) in enumerate(offsets.groupby("layer")):
        turned = place + place // 8  # where colours come again, with other marks
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
