"""What all figures share: colours, the two templates, and text in labels.

Knows Plotly and strings. Knows no column name and no run. Text may come from untrusted files: Plotly reads a little
HTML in labels, so every function here that makes a label escapes it.
"""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import plotly.graph_objects as go
import plotly.io as pio

LIGHT, DARK = "captionscope_light", "captionscope_dark"


# Okabe and Ito's colours, ordered so that the first ones differ most from each other and from the background.
COLOURS = {
    LIGHT: ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#777777"],
    DARK: ["#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#FFFFFF", "#AAAAAA"],
}
INK = {LIGHT: "#1B1F24", DARK: "#E8ECF0"}
LINES = {LIGHT: "#DDE2E7", DARK: "#353D47"}
PAPER = {LIGHT: "#FFFFFF", DARK: "#12161B"}
DASHES = ["solid", "dash", "dot", "dashdot"]
SYMBOLS = ["circle", "square", "diamond", "triangle-up", "x", "cross", "star", "hexagon"]
TITLE_LINE = 22  # pixels per further line of a title
HEIGHT = 340  # pixels of a figure that needs no other height
_WHOLE = 4  # an axis of counts has a tick per step up to this range
LEGEND: dict[str, Any] = {"showlegend": True, "margin": {"t": 84}}  # the legend is between title and axes


def template_of(theme: str | None) -> str:
    """Return the name of the template for a page theme, "light" or "dark"."""
    return DARK if theme == "dark" else LIGHT


def whole_ticks(span: float) -> dict[str, Any]:
    """Return settings of an axis of counts; Plotly would put ticks between few whole numbers."""
    return {"tickformat": "d", "dtick": 1 if span <= _WHOLE else None}


def blank(title: str, x_title: str, y_title: str, template: str) -> go.Figure:
    """Return a figure without marks, with a title and titles of both axes."""
    figure = go.Figure()
    figure.update_layout(template=template, title={"text": title}, height=HEIGHT, showlegend=False)
    figure.update_xaxes(title={"text": x_title})
    figure.update_yaxes(title={"text": y_title})
    return figure


def plain(text: str, longest: int = 60) -> str:
    """Return untrusted text for a label, shortened and escaped: Plotly interprets a little HTML there."""
    return _entities(_shortened(_line(text), longest))


def wrapped(text: str, columns: int) -> str:
    """Return a whole text in lines of at most `columns` characters; only a word longer than a line is broken."""
    return _broken(_line(text), columns)


def whole(text: str) -> str:
    """Return a whole text for a hover label, in lines that fit on the page."""
    return wrapped(text, 70)


def labels(names: Iterable[str], longest: int = 60, columns: int = 0) -> list[str]:
    """Return names for an axis, at most `longest` characters each; different names get different labels.

    Place marks at numbers and use the labels as tick texts: two names may be equal once they are shortened.

    Args:
        columns: characters per line; 0 breaks no line.
    """
    every, written = [*map(str, names)], {}
    for name in dict.fromkeys(every):
        short, number, taken = _shortened(_line(name), longest), 1, set(written.values())
        while short in taken:
            number += 1
            mark = f" ({number})"
            short = _shortened(_line(name), longest - len(mark)) + mark
        written[name] = short
    return [_broken(written[name], columns) if columns else _entities(written[name]) for name in every]


def named_axis(names: Sequence[str], longest: int, columns: int = 0) -> dict[str, Any]:
    """Return settings of an axis with names at 0, 1, 2, ..."""
    return {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": labels(names, longest, columns),
        "range": [-0.5, len(names) - 0.5],
        "zeroline": False,
    }


def _line(text: str) -> str:
    return " ".join(str(text).split())


def _shortened(line: str, longest: int) -> str:
    """Return a line that is cut in the middle, so that names with the same beginning keep their different ends."""
    if len(line) <= longest:
        return line
    kept = max(longest - 1, 2)
    return line[: kept - kept // 2].rstrip() + "…" + line[-(kept // 2) :].lstrip()


def _broken(line: str, columns: int) -> str:
    return "<br>".join(map(_entities, textwrap.wrap(line, columns) or [line]))


def _entities(line: str) -> str:
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _template(name: str) -> go.layout.Template:
    ink, lines = INK[name], LINES[name]
    axis = {
        "gridcolor": lines,
        "linecolor": lines,
        "zerolinecolor": lines,
        "tickcolor": lines,
        "ticks": "outside",
        "automargin": True,
        "title": {"standoff": 10, "font": {"size": 14}},
    }
    return go.layout.Template(
        layout={
            "colorway": COLOURS[name],
            "paper_bgcolor": PAPER[name],
            "plot_bgcolor": PAPER[name],
            "font": {"color": ink, "family": "Source Sans, Helvetica, Arial, sans-serif", "size": 14},
            "title": {
                "font": {"size": 17, "weight": 600},
                "x": 0,
                "y": 1,
                "yanchor": "top",
                "pad": {"l": 12, "t": 14},
            },
            "margin": {"l": 64, "r": 24, "t": 56, "b": 56},
            "hoverlabel": {"bgcolor": PAPER[name], "bordercolor": lines, "font": {"color": ink}},
            "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
            "xaxis": axis,
            "yaxis": axis,
        }
    )


for _name in (LIGHT, DARK):
    pio.templates[_name] = _template(_name)
