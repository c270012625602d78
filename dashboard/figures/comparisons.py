"""Figures that compare: two settings per image, two prompts per class, labels with predictions.

Like `curves`: DataFrame in, Plotly figure out. Wins and losses differ in mark or hatching as well as in colour, so that
a black-and-white print shows them.
"""

from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard import metrics
from dashboard.theme import (
    COLOURS,
    INK,
    LEGEND,
    LIGHT,
    LINES,
    PAPER,
    blank,
    labels,
    named_axis,
    plain,
    whole,
    whole_ticks,
)
from engine.store.schema import METRICS

_MOST_CLASSES = 50  # in a confusion matrix; more cannot be read
_MATRIX = 620  # pixels; the matrix itself is square
_LONGEST = 30  # rows of a bar chart
_NAME = 24  # characters of a class name on an axis
_ACROSS = 64  # characters of all class names below an axis


def scatter(frame: pd.DataFrame, metric: str, left: str, right: str, template: str = LIGHT) -> go.Figure:
    """Draw a metric of two settings, image by image; the diagonal parts the images on which either one is better.

    Args:
        frame: `queries.paired_scores`: image_id, left, right.
        left, right: names of the settings.
    """
    described = METRICS[metric]
    name_of_metric = plain(described.title)
    title = f"{name_of_metric}, image by image"
    below, beside = (f"{name_of_metric}, {name}" for name in labels([right, left]))
    figure = blank(title, below, beside, template)
    ends = [float(frame[["left", "right"]].min().min()), float(frame[["left", "right"]].max().max())]
    figure.add_scatter(
        x=ends, y=ends, mode="lines", line={"color": INK[template], "width": 1, "dash": "dot"}, hoverinfo="skip",
        showlegend=False,
    )  # fmt: skip
    marks = (("left is better", "triangle-up", 0), ("right is better", "circle-open", 1), ("equal", "x-thin-open", 7))
    for shown, (name, symbol, colour) in zip(_parts(frame, metric), marks, strict=True):
        figure.add_scatter(
            x=shown.right,
            y=shown.left,
            name=f"{name} ({len(shown):,})",
            mode="markers",
            marker={"symbol": symbol, "size": 7, "opacity": 0.75, "color": COLOURS[template][colour]},
            unselected={"marker": {"opacity": 0.75}},  # a clicked point must not hide the others
            customdata=[whole(image) for image in shown.image_id],
            hovertemplate=f"%{{customdata}}<br>left %{{y:.{described.digits}f}}, right %{{x:.{described.digits}f}}"
            "<extra></extra>",
        )
    figure.update_layout(**LEGEND, height=460)
    return figure


def _parts(frame: pd.DataFrame, metric: str) -> list[pd.DataFrame]:
    """Return the images on which left is better, right is better, and both are equal."""
    change, tie = metrics.gain(metric, frame.left - frame.right), METRICS[metric].tie
    return [frame[change >= tie], frame[change <= -tie], frame[change.abs() < tie]]


def image_of(frame: pd.DataFrame, metric: str, curve: int, point: int) -> str:
    """Return the image of a point of `scatter` by its numbers in Plotly, or "" if the numbers belong to no point."""
    parts = dict(enumerate(_parts(frame, metric), 1))  # curve 0 is the diagonal
    return parts[curve].image_id.iloc[point] if curve in parts and 0 <= point < len(parts[curve]) else ""


def outcomes(frame: pd.DataFrame, template: str = LIGHT) -> go.Figure:
    """Draw how often the left setting wins, ties and loses, one bar per metric, from `queries.comparison`."""
    figure = blank("Wins, ties and losses of the left setting", "Share of shared images (%)", "", template)
    names = labels(METRICS[metric].title for metric in frame.metric)[::-1]
    shares = (("wins", COLOURS[template][0], ""), ("ties", LINES[template], ""), ("losses", COLOURS[template][1], "/"))
    for column, colour, hatch in shares:
        counts = frame[column][::-1]
        figure.add_bar(
            y=names,
            x=100 * counts / frame.images[::-1],
            name=column,
            orientation="h",
            marker={"color": colour, "line": {"color": INK[template], "width": 0.5}}
            | {"pattern": {"shape": hatch, "fgcolor": PAPER[template], "fillmode": "overlay"}},
            customdata=counts,
            hovertemplate=f"%{{y}}<br>{column} on %{{customdata}} images (%{{x:.1f}} %)<extra></extra>",
        )
    figure.update_layout(**LEGEND, barmode="stack", legend_traceorder="normal", height=150 + 34 * len(frame))
    figure.update_xaxes(range=[0, 100])
    return figure


def class_changes(frame: pd.DataFrame, left: str, right: str, template: str = LIGHT) -> go.Figure:
    """Draw the change in correct images per class from the right prompt to the left one; only the largest changes.

    Args:
        frame: `queries.zero_shot_changes`: label, images, change.
    """
    changed = frame[frame.change != 0]
    strongest = _strongest(changed)
    cut = f": the {len(strongest)} largest of {len(changed):,} changes" if len(strongest) < len(changed) else ""
    axis = "Change in correct images (left - right)"
    figure = blank(f"Classes gained and lost{cut}", axis, "", template)
    ordered = strongest.sort_values(["change", "label"], ignore_index=True)
    for gained, name, colour, hatch in ((True, "gained", 0, ""), (False, "lost", 1, "/")):
        rows = ordered[(ordered.change > 0) == gained]
        figure.add_bar(
            y=rows.index,
            x=rows.change,
            name=name,
            orientation="h",
            marker={"color": COLOURS[template][colour], "line": {"color": INK[template], "width": 0.5}}
            | {"pattern": {"shape": hatch, "fgcolor": PAPER[template], "fillmode": "overlay"}},
            customdata=[*zip(map(whole, rows.label), rows.left, rows.right, rows.images, strict=True)],
            hovertemplate="%{customdata[0]}<br>left %{customdata[1]}, right %{customdata[2]} of %{customdata[3]}"
            "<extra></extra>",
        )
    figure.update_yaxes(**named_axis([*ordered.label], _NAME))
    figure.update_layout(
        **LEGEND, barmode="relative", bargap=0.25, height=170 + 22 * max(len(ordered), 1),
    )  # fmt: skip
    figure.update_xaxes(**whole_ticks(changed.change.abs().max()))
    return figure


def _strongest(changed: pd.DataFrame) -> pd.DataFrame:
    """Return the largest changes; among equally large ones, gains and losses keep their proportion."""
    alike = changed.groupby("change").change
    turn = (alike.cumcount() + 0.5) / alike.transform("size")
    ranked = changed.assign(size=changed.change.abs(), turn=turn)
    return ranked.sort_values(["size", "turn"], ascending=[False, True], kind="stable").head(_LONGEST)


def confusion(frame: pd.DataFrame, template: str = LIGHT) -> go.Figure:
    """Draw the confusion matrix in percent of the true class; the diagonal is correct.

    Of more than fifty classes only the most confused ones are drawn. The second trace has a point per cell with
    images, whose customdata is its true and its predicted label.

    Args:
        frame: `queries.zero_shot_confusion`: label, predicted, images.
    """
    classes = sorted(most_confused(frame), key=lambda name: (len(name), name) if name.isdigit() else (0, name))
    table = frame.pivot_table(index="label", columns="predicted", values="images", aggfunc="sum", fill_value=0)
    totals = table.sum(axis=1)
    counts = table.reindex(index=classes, columns=classes, fill_value=0)
    shares = 100 * counts.div(totals.reindex(classes).where(lambda total: total > 0, 1), axis=0)
    full = [whole(name) for name in classes]
    hover = [
        [[row, column, count] for column, count in zip(full, line, strict=True)]
        for row, line in zip(full, counts.to_numpy(), strict=True)
    ]
    figure = blank("Confusion matrix (% of true class)", "Predicted", "True label", template)
    figure.add_heatmap(
        z=shares.to_numpy(),
        customdata=hover,
        zmin=0,
        zmax=100,
        colorscale=_ramp(template),
        # Narrow: fifty names need the room.
        colorbar={"title": {"text": "%", "font": {"size": 12}}, "tickfont": {"size": 10}}
        | {"thickness": 8, "len": 0.6, "xpad": 4, "outlinewidth": 0},
        xgap=1,
        ygap=1,
        hovertemplate="%{customdata[0]}<br>predicted %{customdata[1]}: %{customdata[2]} (%{z:.1f} %)<extra></extra>",
    )
    places = [(row, column) for row in range(len(classes)) for column in range(len(classes)) if counts.iat[row, column]]
    figure.add_scatter(  # cells of a heatmap cannot be clicked; points without colour above them can
        x=[column for _, column in places],
        y=[row for row, _ in places],
        mode="markers",
        marker={"symbol": "square", "size": 12, "opacity": 0},
        customdata=[[classes[row], classes[column]] for row, column in places],
        hoverinfo="skip",
    )
    size = 8 if len(classes) > 30 else 11
    axis: dict[str, Any] = named_axis(classes, _NAME) | {"tickfont": {"size": size}, "showgrid": False}
    figure.update_xaxes(**axis, tickangle=-90 if _wide(axis["ticktext"]) else 0)
    figure.update_yaxes(**axis | {"range": axis["range"][::-1]}, scaleanchor="x", constrain="domain")
    figure.update_xaxes(constrain="domain")
    figure.update_layout(height=_MATRIX)
    return figure


def confusion_part(frame: pd.DataFrame) -> str:
    """Return which classes `confusion` draws, or "" if it draws all of them."""
    classes = frame.melt(value_vars=["label", "predicted"]).value.nunique()
    if classes <= _MOST_CLASSES:
        return ""
    return f"Shown: the {_MOST_CLASSES} most confused of {classes:,} classes, without the other classes"


def _wide(names: list[str]) -> bool:
    """Return whether names side by side would overlap."""
    return len(names) > 8 or len(names) * max(map(len, names), default=0) > _ACROSS


def most_confused(frame: pd.DataFrame) -> list[str]:
    """Return all classes, or the fifty with the most images confused with another class."""
    wrong = frame[frame.label != frame.predicted]
    missed = pd.concat([wrong.groupby("label").images.sum(), wrong.groupby("predicted").images.sum()])
    everybody = pd.Series(0, index=pd.unique(pd.concat([frame.label, frame.predicted])))
    ranked = missed.groupby(level=0).sum().add(everybody, fill_value=0).sort_values(ascending=False, kind="stable")
    return list(ranked.index[:_MOST_CLASSES])


def _ramp(template: str) -> list[list]:
    """Return a colour scale from paper to ink, ordered by brightness alone; a few percent are visible already."""
    return [[0, PAPER[template]], [0.02, LINES[template]], [0.35, COLOURS[template][0]], [1, INK[template]]]
