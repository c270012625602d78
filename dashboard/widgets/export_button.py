"""The Export button of a view: its figures and tables as files.

Knows Streamlit and `exports`. A file is made only when it is downloaded.
"""

from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from dashboard.items import Figure, Table
from dashboard.report import exports
from dashboard.text import formatting
from dashboard.widgets import layout

_LABELS = {"png": "PNG", "svg": "SVG", "pdf": "PDF", "html": "HTML", "csv": "CSV", "tex": "LaTeX", "md": "Markdown"}


def offer(items: Callable[[], Sequence[Figure | Table]], key: str, others: Callable[[], None] = lambda: None) -> None:
    """Draw a button that opens a list of `items()` with their file formats; `items` is called when it opens.

    Args:
        others: draws below the list what is neither a figure nor a table.
    """
    opened = st.popover("Export", icon=":material/download:", key=f"export_{key}", on_change="rerun", width="content")
    if opened.open:
        with opened, layout.sentences():
            rows(items(), key)
            others()


def rows(items: Sequence[Figure | Table], key: str) -> None:
    """Draw one line per item: its title and one button per file format."""
    missing = exports.browser_missing()
    if missing and any(isinstance(item, Figure) for item in items):
        st.warning(f"{missing} Until then, figures are exported as HTML pages.", icon="⚠️")
    for place, item in enumerate(items):
        _row(item, f"{key}_{place}", bool(missing))


def _row(item: Figure | Table, key: str, missing: bool) -> None:
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(formatting.quoted(item.title, 200), width="stretch")
        with st.container(horizontal=True, width="content", gap="xsmall"):
            for kind, made, mime in _kinds(item, missing):
                st.download_button(
                    _LABELS[kind],
                    made,
                    exports.file_name(item.name, kind),
                    mime,
                    key=f"file_{key}_{kind}",
                    help=f"{_LABELS[kind]} of: {formatting.quoted(item.title, 200)}",
                    on_click="ignore",
                )


def _kinds(item: Figure | Table, missing: bool) -> list[tuple]:
    if isinstance(item, Table):
        return [(kind, partial(exports.table, item, kind), mime) for kind, mime in exports.TABLES.items()]
    if missing:
        return [("html", partial(exports.page, item), "text/html")]
    return [(kind, partial(exports.picture, item, kind), mime) for kind, mime in exports.PICTURES.items()]
