"""Figures made of photos: attention strips, and panels with captions, scores and bars.

Knows pixels, strings and Plotly. Knows no run and no query. Photos are images and text is text, so that an SVG or a PDF
stays sharp and searchable. Positions are pixels from the top left of one canvas.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from PIL import Image

from dashboard.figures import heatmaps
from dashboard.figures.heatmaps import AttentionView
from dashboard.figures.thumbnails import uri
from dashboard.theme import COLOURS, INK, LIGHT, LINES, PAPER, TITLE_LINE, labels, plain, wrapped

_WIDTH = 1000  # pixels of a whole figure
_EDGE = 14  # pixels around everything, and between neighbours
_TOP = 50  # pixels for a title of one line
_WIDE = 0.58  # of a letter, in font sizes: what a line of text needs at most
_BOLD = 0.66  # the same of a bold letter
_FONT = 13
_LEADING = 1.35  # font sizes from line to line
_COLUMNS = 88  # letters in a line of the title
_ACROSS = 6  # pictures in a row of a strip
_BAR = 34  # pixels of a bar with its label
_GROUND = "#C9CED4"


@dataclass(frozen=True)
class Panel:
    """A photo with the text below it. Without a photo, `missing` says why."""

    photo: Image.Image | None
    missing: str = ""
    badge: str = ""
    title: str = ""
    note: str = ""
    bars: tuple[tuple[str, float, bool], ...] = ()  # label, probability (0 to 1), whether it is the true one


def attention_strip(
    title: str, row: pd.Series, photo: Image.Image | None, view: AttentionView, template: str = LIGHT
) -> go.Figure:
    """Draw the clean photo and all words of a caption side by side, each word with its map over the photo.

    ≈ marks a word whose map is nearly the mean map (`heatmaps.near_mean`).

    Args:
        row: a row of `queries.attention`.
    """
    tiles = [heatmaps.clean(row, photo), *heatmaps.tiles(row, photo, view)]
    across = min(_ACROSS, len(tiles))
    width = min(240.0, (_WIDTH - _EDGE * (across + 1)) / across)
    height = width * tiles[0].height / tiles[0].width
    names = ["<i>photo</i>" if photo is not None else "<i>photo missing</i>"]
    for word, near in zip(row["words"], heatmaps.near_mean(row, view), strict=True):
        names.append("<br>".join(map(_whole, _lines(word, width + 16))) + (" ≈" if near else ""))
    canvas, top = _Canvas(title, template), 0.0
    for start in range(0, len(tiles), across):
        shown = [*zip(tiles, names, strict=True)][start : start + across]
        for place, (tile, name) in enumerate(shown):
            x = _EDGE + place * (width + _EDGE)
            canvas.image(tile, x, top, width, height)
            canvas.text(name, x + width / 2, top + height + 3, anchor="center")
        top += height + (1 + max(name.count("<br>") + 1 for _, name in shown)) * _FONT * _LEADING
    return canvas.figure(top + _EDGE)


def panels(title: str, shown: Sequence[Panel], template: str = LIGHT, across: int = 3) -> go.Figure:
    """Draw panels in rows of `across` (2 or more); each row is as high as its highest panel."""
    across = max(2, min(across, len(shown)))  # a single photo takes half of the page
    width = (_WIDTH - _EDGE * (across + 1)) / across
    rows = [shown[start : start + across] for start in range(0, len(shown), across)]
    heights = [max(_panel_height(panel, width) for panel in row) for row in rows]
    canvas, top = _Canvas(title, template), 0.0
    for row, height in zip(rows, heights, strict=True):
        for place, panel in enumerate(row):
            _draw_panel(canvas, panel, _EDGE + place * (width + _EDGE), top, width, height)
        top += height + _EDGE
    return canvas.figure(top)


def _photo_height(panel: Panel, width: float) -> float:
    """Return the height of the photo, at most its width."""
    if panel.photo is None:
        return width * 0.6
    return min(width, width * panel.photo.height / panel.photo.width)


def _lines(text: str, width: float, size: int = _FONT) -> list[str]:
    return textwrap.wrap(" ".join(text.split()), max(8, int((width - 16) / (size * _WIDE))))


def _panel_height(panel: Panel, width: float) -> float:
    lines = len(_lines(panel.title, width)) + len(_lines(panel.note, width, _FONT - 1))
    return _photo_height(panel, width) + 14 + lines * _FONT * _LEADING + _BAR * len(panel.bars)


def _draw_panel(canvas: "_Canvas", panel: Panel, x: float, y: float, width: float, height: float) -> None:
    high = _photo_height(panel, width)
    canvas.box(x, y, width, height, fill=canvas.paper, line=canvas.line)
    canvas.box(x, y, width, high, fill=_GROUND)
    if panel.photo is not None:
        fitted = min(width, high * panel.photo.width / panel.photo.height)
        canvas.image(panel.photo, x + (width - fitted) / 2, y, fitted, high)
    else:
        canvas.text("<br>".join(map(_whole, _lines(panel.missing, width))), x + width / 2, y + high / 3, "center")
    if panel.badge:
        canvas.text(f"<b>{_whole(panel.badge)}</b>", x + 6, y + 6, size=12, bgcolor=canvas.paper, borderpad=3)
    below = y + high + 6
    for text, size in ((panel.title, _FONT), (panel.note, _FONT - 1)):
        lines = _lines(text, width, size)
        if lines:
            canvas.text("<br>".join(map(_whole, lines)), x + 8, below, size=size)
            below += len(lines) * _FONT * _LEADING
    names = labels([label for label, _, _ in panel.bars], int((width - 86) / (12 * _BOLD)))
    for name, (_, share, right) in zip(names, panel.bars, strict=True):
        _draw_bar(canvas, name, share, right, x + 8, below, width - 16)
        below += _BAR


def _draw_bar(canvas: "_Canvas", name: str, share: float, right: bool, x: float, y: float, width: float) -> None:
    """Draw a bar: the true label is dark with a tick, the others are light with an edge, also in black and white."""
    canvas.text(f"<b>✓ {name}</b>" if right else name, x, y + 2, size=12)
    canvas.text(f"{100 * share:.1f} %", x + width, y + 2, anchor="right", size=12)
    canvas.box(x, y + 21, width, 7, fill=canvas.paper, line=canvas.line)
    filled = max(0.0, min(1.0, share)) * width
    canvas.box(x, y + 21, filled, 7, fill=canvas.ink if right else canvas.light, line=canvas.ink)


def _whole(text: str) -> str:
    return plain(text, max(len(text), 4))


class _Canvas:
    """A figure without axes: images, boxes and texts, in pixels from the top left below the title."""

    def __init__(self, title: str, template: str) -> None:
        self.ink, self.line, self.paper = INK[template], LINES[template], PAPER[template]
        self.light = COLOURS[template][4]
        self._title, self._template = wrapped(title, _COLUMNS), template
        # Collected first, because Plotly copies all elements whenever one is added.
        self._images: list[dict[str, Any]] = []
        self._boxes: list[dict[str, Any]] = []
        self._texts: list[dict[str, Any]] = []

    def figure(self, height: float) -> go.Figure:
        """Return a figure of everything that was drawn, with `height` pixels below its title."""
        breaks = self._title.count("<br>")
        top = _TOP + TITLE_LINE * breaks
        figure = go.Figure()
        # Plotly puts the first of several lines 0.7 font sizes higher than a single line, which would cut its top.
        figure.update_layout(
            template=self._template,
            title={"text": self._title, "pad": {"l": 12, "t": 26 if breaks else 14}},
            showlegend=False,
            width=_WIDTH,
            height=round(height + top),
            margin={"l": 0, "r": 0, "t": top, "b": 0},
            images=self._images,
            shapes=self._boxes,
            annotations=self._texts,
        )
        hidden = {"visible": False, "fixedrange": True, "automargin": False}
        figure.update_xaxes(range=[0, _WIDTH], **hidden)
        figure.update_yaxes(range=[height, 0], **hidden)
        return figure

    def image(self, picture: Image.Image, x: float, y: float, width: float, height: float) -> None:
        place = {"x": x, "y": y, "sizex": width, "sizey": height, "xanchor": "left", "yanchor": "top"}
        self._images.append({"source": uri(picture), "xref": "x", "yref": "y", "sizing": "stretch", **place})

    def box(self, x: float, y: float, width: float, height: float, fill: str, line: str = "") -> None:
        edge = {"color": line or fill, "width": 1 if line else 0}
        place = {"x0": x, "y0": y, "x1": x + width, "y1": y + height}
        self._boxes.append({"type": "rect", "fillcolor": fill, "line": edge, "layer": "below", **place})

    def text(self, marked: str, x: float, y: float, anchor: str = "left", size: int = _FONT, **settings: Any) -> None:
        """Draw a text in Plotly's HTML subset; callers have escaped untrusted parts."""
        place = {"x": x, "y": y, "xref": "x", "yref": "y", "xanchor": anchor, "yanchor": "top", "align": anchor}
        font = {"size": size, "color": self.ink}
        self._texts.append({"text": marked, "showarrow": False, "font": font, "borderpad": 0, **place, **settings})
