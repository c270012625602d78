"""Figures and tables as files: PNG, SVG and PDF, CSV, LaTeX and Markdown, ready for print.

Knows Plotly figures, DataFrames and file formats. Knows no page and no run, and asks no query: what a figure shows and
what stands in its small print is handed in. Text in a table may be a stranger's and is escaped in every format.
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

PICTURES = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf"}
"""Kinds of figure files, and what a browser calls them."""

TABLES = {"csv": "text/csv", "tex": "application/x-tex", "md": "text/markdown"}
"""Kinds of table files."""

INSTALL = "install Chromium (apt-get install chromium) or Google Chrome, or run: kaleido_get_chrome"
"""What brings PNG, SVG and PDF where no browser was found."""

_SCALE = 2  # pixels of a PNG for each of the figure's
_WIDTH, _HEIGHT = 900, 340  # pixels of a figure that does not say
_SMALL = 9  # pixels of the small print
_LINE = 13  # pixels between its lines
_GOODBYE = 5  # seconds for the browser to end
_SECONDS = 60  # a figure takes 0.3; a browser that does not answer must not hold a page for ever


class NoBrowser(RuntimeError):
    """There is no browser to draw with; the message says how to get one."""


def file_name(name: str, kind: str) -> str:
    """`name` as a file name that means the same on every system and stays in its folder."""
    slug = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:60].strip("_")
    return f"{slug or 'unnamed'}.{kind}"


# Figures


def picture(figure: Figure, kind: str) -> bytes:
    """`figure` as a PNG at twice its size, an SVG, or a vector PDF.

    Raises:
        NoBrowser: nothing is there to draw with.
    """
    ready = printed(figure)
    size = {"width": ready.layout.width, "height": ready.layout.height}
    options = {"format": kind, "scale": _SCALE if kind == "png" else 1, **size}
    try:
        return _browser().draw(ready, options)
    except NoBrowser:
        raise
    except Exception:  # the browser was ended from outside, or does not answer: a fresh one gets one try
        close_browser()
        return _browser().draw(ready, options)


def page(figure: Figure, plotly: bool | str = True) -> bytes:
    """`figure` as an HTML page that asks nothing of the network.

    Args:
        plotly: True holds Plotly itself (4.7 MB); "directory" expects `plotly.min.js` beside the page.
    """
    config = {"displaylogo": False, "modeBarButtonsToRemove": ["sendChartToCloud"]}
    # A fixed id: Plotly's own is drawn at random, and the same figure would give other bytes.
    html = printed(figure).to_html(include_plotlyjs=plotly, include_mathjax=False, config=config, div_id="figure")
    return html.encode("utf-8")


def printed(figure: Figure) -> go.Figure:
    """The figure as it is printed: of a fixed size, with its small print below."""
    ready = go.Figure(figure.draw())
    width, height = ready.layout.width or _WIDTH, ready.layout.height or _HEIGHT
    lines = _wrapped(figure.small_print, int(width / (_SMALL * 0.56)))
    ready.update_layout(width=width, height=height)
    if lines:
        _small_print(ready, lines)
        ready.update_layout(height=height + _LINE * len(lines) + 24)
    return ready


def browser_missing() -> str:
    """Why figures cannot be drawn, or "" where they can; answered without starting anything."""
    return "" if _browser_path() else f"No browser was found to draw PNG, SVG and PDF with: {INSTALL}."


def _small_print(figure: go.Figure, lines: list[str]) -> None:
    """Writes below everything else. A legend's title is the only text that Plotly keeps clear of long axis labels."""
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


def plain_line(stranger: str) -> str:
    """A whole line of a stranger's text in a figure."""
    return plain(stranger, len(stranger))


def _wrapped(note: str, columns: int) -> list[str]:
    """Lines of at most `columns`; a signature breaks at its bars, which are no spaces."""
    lines = []
    for line in note.splitlines():
        spaced = " ".join(line.split()).replace("|", "| ")
        lines += [part.replace("| ", "|") for part in textwrap.wrap(spaced, columns)]
    return lines


class _Browser:
    """One browser for the whole process, in a thread with a loop of its own. Starting it costs two seconds."""

    def __init__(self) -> None:
        from kaleido import Kaleido

        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="figures", daemon=True).start()
        self._kaleido = Kaleido(mathjax=False)  # it would come from another host
        self._wait(self._kaleido.open())
        atexit.register(self.close)

    def draw(self, figure: go.Figure, options: dict[str, Any]) -> bytes:
        return self._wait(self._kaleido.calc_fig(figure, opts=options))

    def close(self) -> None:
        atexit.unregister(self.close)
        with suppress(Exception):  # one that is gone already is closed
            self._wait(self._kaleido.close(), _GOODBYE)
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _wait(self, work: Coroutine, seconds: float = _SECONDS) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=seconds)


_LOCK = threading.Lock()
_started: list[_Browser] = []


def close_browser() -> None:
    """Ends the browser, where one was started: a command that has drawn its figures is done with it."""
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
            except Exception as error:  # a browser that is there and does not start: whatever it says, we say
                raise NoBrowser(f"The browser at {_browser_path()} does not start ({error}); {INSTALL}.") from error
        return _started[0]


def _browser_path() -> str | None:
    from choreographer.browsers.chromium import Chromium

    found = Chromium.find_browser(skip_local=False)
    return found if found and Path(found).exists() else None  # BROWSER_PATH may name what is not there


# Tables


def table(content: Table, kind: str) -> bytes:
    """`content` as CSV (numbers in full), LaTeX or Markdown."""
    return {"csv": csv, "tex": _tex, "md": markdown}[kind](content).encode("utf-8")


def csv(content: Table) -> str:
    """Comma-separated values with a header. A text that a spreadsheet would take for a formula begins with a quote."""
    frame = content.shown if content.values is None else content.values
    safe = frame.copy()
    for column in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[column]):
            safe[column] = [_no_formula(value) for value in safe[column]]
    return safe.to_csv(index=False, lineterminator="\n")


def _tex(content: Table) -> str:
    return latex.table(content.title, content.shown, content.small_print, content.heads)


def markdown(content: Table) -> str:
    """A GitHub-flavoured table, its title above and its note below."""
    columns = list(content.shown.columns)
    rules = ["---:" if formatting.are_numbers(content.shown[column]) else "---" for column in columns]
    rows = [columns, *content.shown.itertuples(index=False)]
    lines = ["| " + " | ".join(map(markdown_text, row)) + " |" for row in rows]
    lines.insert(1, "| " + " | ".join(rules) + " |")
    small = "\\\n".join(map(markdown_text, content.small_print.splitlines()))  # a backslash breaks a line
    note = f"\n{small}\n" if small else ""
    return f"**{markdown_text(content.title)}**\n\n" + "\n".join(lines) + "\n" + note


_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|~$&]|^[#+=.-])")


def markdown_text(stranger: Any) -> str:
    """Text that Markdown shows as it stands, also in a cell of a table; a number keeps its dot."""
    line = formatting.line(stranger)
    return line if formatting.is_number(line) else _MARKDOWN.sub(r"\\\1", line)


def _no_formula(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return value
    return value if formatting.is_number(value) else "'" + value
