"""Distributions of scores for print: histograms of every metric, and a scatter plot of two metrics.

DataFrame in, Plotly figure out. The pages draw the same plots in the browser. Knows column names of
`engine.store.queries`, and no page.
"""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard.text import formatting
from dashboard.theme import COLOURS, INK, LEGEND, LIGHT, LINES, blank, labels

_ACROSS = 3
_HIGH = 104  # pixels of a row of histograms
_BETWEEN = 64  # pixels between two rows: numbers of the upper one, title of the lower one
_TITLE = 24  # pixels of a row's titles


def histograms(
    edges: Sequence[tuple[str, float, float]],
    whole: pd.DataFrame,
    part: pd.DataFrame,
    bins: int,
    template: str = LIGHT,
) -> go.Figure:
    """Draw one histogram per metric, from `queries.histograms` of all cases (`whole`) and of the selection (`part`)."""
    rows = -(-len(edges) // _ACROSS)
    drawn = rows * _HIGH + (rows - 1) * _BETWEEN  # pixels from the first row's top to the last one's bottom
    titles = labels(formatting.title(metric) for metric, _, _ in edges)
    figure = make_subplots(
        rows, _ACROSS, subplot_titles=titles, vertical_spacing=_BETWEEN / drawn, horizontal_spacing=0.06
    )
    for place, (metric, low, high) in enumerate(edges):
        width = (high - low) / bins
        sides = ((whole, "all cases", LINES[template]), (part, "selected", COLOURS[template][0]))
        for frame, name, colour in sides:
            mine = frame[frame.metric == metric]
            figure.add_bar(
                x=low + (mine.bin + 0.5) * width,
                y=mine.cases,
                width=width,
                name=name,
                marker={"color": colour, "line": {"color": INK[template], "width": 0.4}},
                showlegend=place == 0,
                row=place // _ACROSS + 1,
                col=place % _ACROSS + 1,
            )
    figure.update_yaxes(title={"text": "Cases"}, col=1)
    figure.update_layout(template=template, title={"text": "Scores: selection and all cases"}, barmode="overlay")
    margin = {"t": LEGEND["margin"]["t"] + _TITLE, "b": 40}
    figure.update_layout(height=drawn + sum(margin.values()), margin=margin, showlegend=True)
    figure.update_layout(legend={"y": 1 + _TITLE / drawn})  # above the titles of the first row
    return figure


def quadrant(
    points: pd.DataFrame,
    x: str,
    y: str,
    middle: tuple[float, float],
    corners: Sequence[tuple[float, float]] = (),
    template: str = LIGHT,
) -> go.Figure:
    """Draw `queries.scattered` of two metrics with their medians and the selected region, if any."""
    across, up = labels(map(formatting.title, (x, y)))
    figure = blank(f"{up} vs. {across}", across, up, template)
    for selected, name in ((False, "not selected"), (True, "selected")):
        mine = points[points.selected == selected]
        colour = COLOURS[template][0] if selected else INK[template]
        figure.add_scatter(
            x=mine.x,
            y=mine.y,
            mode="markers",
            name=name,
            opacity=0.6 if selected else 0.35,
            marker={"size": 5, "color": colour, "symbol": "circle" if selected else "circle-open"},
        )
    figure.add_vline(x=middle[0], line={"dash": "dash", "width": 1, "color": INK[template]})
    figure.add_hline(y=middle[1], line={"dash": "dash", "width": 1, "color": INK[template]})
    if corners:
        closed = [*corners, corners[0]]
        figure.add_scatter(
            x=[corner[0] for corner in closed],
            y=[corner[1] for corner in closed],
            mode="lines",
            name="selected region",
            line={"color": COLOURS[template][0], "width": 2},
        )
    figure.update_layout(height=460, **LEGEND)
    return figure
