"""Shares with their intervals, one row per name: failure tags and prompt templates.

Like `curves`: DataFrame in, Plotly figure out.
"""

import pandas as pd
import plotly.graph_objects as go

from dashboard.theme import COLOURS, INK, LIGHT, blank, named_axis, whole
from engine.statistics import wilson_interval

_TEMPLATE, _COLUMNS = 60, 28  # characters of a prompt template on an axis, and per line of it
_TAG = 30  # characters of a failure tag on an axis


def tag_shares(frame: pd.DataFrame, total: int, template: str = LIGHT) -> go.Figure:
    """Draw the share of captions with each failure tag, with 95 % Wilson intervals, most frequent on top.

    Args:
        frame: `queries.tag_examples`: tag, images.
        total: captions, tagged or not.
    """
    rows = frame.iloc[::-1]
    figure = blank("Failure tags", "Share of captions (%)", "", template)
    shares = 100 * rows.images / total
    bounds = [wilson_interval(int(count), total) for count in rows.images]
    figure.add_bar(
        x=shares,
        y=[*range(len(rows))],
        orientation="h",
        marker={"color": COLOURS[template][0]},
        error_x={
            "array": [100 * high - share for share, (_, high) in zip(shares, bounds, strict=True)],
            "arrayminus": [share - 100 * low for share, (low, _) in zip(shares, bounds, strict=True)],
            "color": INK[template],
            "thickness": 1.5,
            "width": 5,
        },
        customdata=rows.images,
        hovertemplate=f"%{{customdata}} of {total:,} captions (%{{x:.1f}} %)<extra></extra>",
    )
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(**named_axis([*rows.tag], _TAG), showgrid=False)
    figure.update_layout(height=130 + 36 * max(len(rows), 1))
    return figure


def zero_shot_accuracy(frame: pd.DataFrame, template: str = LIGHT) -> go.Figure:
    """Draw the accuracy of each prompt template with its 95 % interval, best on top, from `zero_shot_accuracy`."""
    known = frame[frame.accuracy.notna()].iloc[::-1]
    figure = blank("Zero-shot accuracy by template", "Accuracy (%)", "", template)
    figure.add_scatter(
        x=100 * known.accuracy,
        y=[*range(len(known))],
        mode="markers",
        marker={"size": 11, "color": COLOURS[template][0]},
        cliponaxis=False,  # a mark at 0 % is at the end of the axis
        error_x={
            "type": "data",
            "array": 100 * (known.high - known.accuracy),
            "arrayminus": 100 * (known.accuracy - known.low),
            "thickness": 2,
            "width": 6,
        },
        customdata=[*zip(known.right, known.known, map(whole, known.template), strict=True)],
        hovertemplate="%{customdata[2]}<br>%{x:.2f} %, %{customdata[0]} of %{customdata[1]} correct<extra></extra>",
    )
    # Marks instead of bars: from an axis that starts at 0, differences of one point could not be seen.
    room = 2 + 10 * (known.high.max() - known.low.min())
    figure.update_xaxes(range=[max(0, 100 * known.low.min() - room), min(100.5, 100 * known.high.max() + room)])
    axis = named_axis([*known.template], _TEMPLATE, _COLUMNS)
    figure.update_yaxes(**axis)
    lines = max((name.count("<br>") + 1 for name in axis["ticktext"]), default=1)
    figure.update_layout(height=120 + max(48, 20 * lines + 6) * max(len(known), 1))
    return figure
