"""Figures and tables as files: PNG, SVG and PDF, CSV, LaTeX and Markdown, ready for print.

Knows Plotly figures, DataFrames and file formats. Knows no page and no run and runs no query: callers pass the figure
and its small print. Text in a table may be untrusted and is escaped in every format.
"""

import asyncio
import atexit
import re
import textwrap
import threading
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from dashboard.items import Figure, Table
from dashboard.report import latex
from dashboard.text import formatting
from dashboard.theme import INK, LIGHT, plain
from engine.store.csv_safety import safe_cell

PICTURES = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf"}
"""File formats of figures, with their MIME types."""

TABLES = {"csv": "text/csv", "tex": "application/x-tex", "md": "text/markdown"}
"""File formats of tables, with their MIME types."""

INSTALL = "install Chromium (apt-get install chromium) or Google Chrome, or run: kaleido_get_chrome"
"""What to do if no browser was found for PNG, SVG and PDF."""

_SCALE = 2  # pixels of a PNG per pixel of the figure
_WIDTH, _HEIGHT = 900, 340  # pixels of a figure without a size
_SMALL = 9  # pixels of the small print
_LINE = 13  # pixels between its lines
_GOODBYE = 5  # seconds for the browser to end
_SECONDS = 60  # a figure takes 0.3; a browser that does not answer must not block a page forever


class NoBrowser(RuntimeError):
    """No browser was found for drawing; the message says how to install one."""


def file_name(name: str, kind: str) -> str:
    """Return `name` as a file name that is valid on every system and stays in its folder."""
    slug = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:60].strip("_")
    return f"{slug or 'unnamed'}.{kind}"


# Figures


def picture(figure: Figure, kind: str) -> bytes:
    """Return `figure` as a PNG at twice its size, an SVG, or a vector PDF.

    Raises:
        NoBrowser: no browser was found, or it does not start.
    """
    ready = printed(figure)
    size = {"width": ready.layout.width, "height": ready.layout.height}
    options = {"format": kind, "scale": _SCALE if kind == "png" else 1, **size}
    try:
        return _browser().draw(ready, options)
    except NoBrowser:
        raise
    except Exception:  # the browser was killed or does not answer: try once with a new one
        close_browser()
        return _browser().draw(ready, options)


def page(figure: Figure, plotly: bool | str = True) -> bytes:
    """Return `figure` as an HTML page that makes no network request.

    Args:
        plotly: True includes Plotly (4.7 MB); "directory" expects `plotly.min.js` in the folder of the page.
    """
    config = {"displaylogo": False, "modeBarButtonsToRemove": ["sendChartToCloud"]}
    # A fixed id: Plotly's random one would give different bytes for equal figures.
    html = printed(figure).to_html(include_plotlyjs=plotly, include_mathjax=False, config=config, div_id="figure")
    return html.encode("utf-8")


def printed(figure: Figure) -> go.Figure:
    """Return the figure for print: with a fixed size and its small print below."""
    ready = go.Figure(figure.draw())
    width, height = ready.layout.width or _WIDTH, ready.layout.height or _HEIGHT
    lines = _wrapped(figure.small_print, int(width / (_SMALL * 0.56)))
    ready.update_layout(width=width, height=height)
    if lines:
        _small_print(ready, lines)
        ready.update_layout(height=height + _LINE * len(lines) + 24)
    return ready


def browser_missing() -> str:
    """Return why figures cannot be drawn, or "" if they can; starts no browser."""
    return "" if browser_path() else f"No browser was found for PNG, SVG and PDF; {INSTALL}."


def browser_path() -> str | None:
    """Return the path of the browser that draws figures, or None if none was found."""
    from choreographer.browsers.chromium import Chromium

    found = Chromium.find_browser(skip_local=False)
    return found if found and Path(found).exists() else None  # BROWSER_PATH may name a missing file


def _small_print(figure: go.Figure, lines: list[str]) -> None:
    """Write lines at the bottom, as a legend title: the only text that Plotly keeps clear of long axis labels."""
    shown = figure.layout.showlegend is not False
    figure.add_scatter(
        x=[None],
        y=[None],
        name=" ",
        mode="lines",
        line={"color": "rgba(0,0,0,0)"},
        hoverinfo="skip",
        showlegend=True,
        legend="legend9",
    )
    figure.update_layout(
        showlegend=True,
        legend={"visible": shown},
        legend9={
            "xref": "container",
            "yref": "container",
            "x": 0.012,
            "y": 0,
            "xanchor": "left",
            "yanchor": "bottom",
            "orientation": "h",
            "bgcolor": "rgba(0,0,0,0)",
            "font": {"size": 1},
            "title": {"text": "<br>".join(map(plain_line, lines)), "side": "top", "font": {"size": _SMALL}},
        },
    )
    figure.layout.legend9.title.font.color = INK[LIGHT]


def plain_line(text: str) -> str:
    """Return a whole line of untrusted text for a figure."""
    return plain(text, len(text))


def _wrapped(note: str, columns: int) -> list[str]:
    """Return lines of at most `columns` characters; a signature breaks at its bars."""
    lines = []
    for line in note.splitlines():
        spaced = " ".join(line.split()).replace("|", "| ")
        lines += [part.replace("| ", "|") for part in textwrap.wrap(spaced, columns)]
    return lines


class _Browser:
    """One browser for the whole process, in a thread with its own event loop. Starting takes two seconds."""

    def __init__(self) -> None:
        from kaleido import Kaleido

        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="figures", daemon=True).start()
        self._kaleido = Kaleido(mathjax=False)  # MathJax would be loaded from another host
        self._wait(self._kaleido.open())
        atexit.register(self.close)

    def draw(self, figure: go.Figure, options: dict[str, Any]) -> bytes:
        # The type of the options is in a private module of kaleido.
        return self._wait(self._kaleido.calc_fig(figure, opts=options))  # ty: ignore[invalid-argument-type]

    def close(self) -> None:
        atexit.unregister(self.close)
        with suppress(Exception):  # it may have ended already
            self._wait(self._kaleido.close(), _GOODBYE)
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _wait(self, work: Coroutine, seconds: float = _SECONDS) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=seconds)


_LOCK = threading.Lock()
_started: list[_Browser] = []


def close_browser() -> None:
    """End the browser, if one was started."""
    with _LOCK:
        while _started:
            _started.pop().close()


def _browser() -> _Browser:
    if browser_missing():
        raise NoBrowser(browser_missing())
    with _LOCK:
        if not _started:
            try:
                _started.append(_Browser())
            except Exception as error:  # any reason why an existing browser does not start is passed on
                raise NoBrowser(f"The browser at {browser_path()} does not start ({error}); {INSTALL}.") from error
        return _started[0]


# Tables


def table(content: Table, kind: str) -> bytes:
    """Return `content` as CSV (with full numbers), LaTeX or Markdown."""
    return {"csv": csv, "tex": _tex, "md": markdown}[kind](content).encode("utf-8")


def csv(content: Table) -> str:
    """Return CSV with a header and full values, each made safe for spreadsheets and terminals."""
    frame = content.shown if content.values is None else content.values
    safe = frame.rename(columns=safe_cell)
    for place, name in enumerate(frame.columns):
        if not pd.api.types.is_numeric_dtype(frame[name]):
            safe.isetitem(place, [safe_cell(value) for value in frame[name]])
    return safe.to_csv(index=False, lineterminator="\n")


def _tex(content: Table) -> str:
    return latex.table(content.title, content.shown, content.small_print, content.heads)


def markdown(content: Table) -> str:
    """Return a GitHub-flavoured table with its title above and its note below."""
    columns = list(content.shown.columns)
    rules = ["---:" if formatting.are_numbers(content.shown[column]) else "---" for column in columns]
    rows = [columns, *content.shown.itertuples(index=False)]
    lines = ["| " + " | ".join(map(markdown_text, row)) + " |" for row in rows]
    lines.insert(1, "| " + " | ".join(rules) + " |")
    small = "\\\n".join(map(markdown_text, content.small_print.splitlines()))  # a backslash breaks a line
    note = f"\n{small}\n" if small else ""
    return f"**{markdown_text(content.title)}**\n\n" + "\n".join(lines) + "\n" + note


_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|~$&]|^[#+=.-])")
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")  # `1. ` begins a list


def markdown_text(text: Any) -> str:
    """Return text that Markdown shows literally, also in a table cell; a number keeps its decimal point."""
    line = formatting.line(text)
    if formatting.is_number(line):
        return line
    return _NUMBERED.sub(r"\1\\\2", _MARKDOWN.sub(r"\\\1", line))
