"""The image ids of a selection: as text, as JSON, and as the command that evaluates only these images.

Knows a listing. The ids are queried when the list of exports is open.
"""

import json
from collections.abc import Callable

import streamlit as st

from dashboard.state import data
from dashboard.state.listing import Listing
from dashboard.text import commands, formatting
from engine.store import queries


def draw(listing: Listing) -> None:
    """Draw the buttons and the command."""
    ids = data.query(queries.selected_ids, *listing.arguments).image_id.tolist()
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(f"Ids of {formatting.count(len(ids), 'selected image')}", width="stretch")
        with st.container(horizontal=True, width="content", gap="xsmall"):
            _file("Text", lambda: "".join(f"{name}\n" for name in ids), "ids.txt", "text/plain")
            _file("JSON", lambda: json.dumps(ids, ensure_ascii=False), "ids.json", "application/json")
    command = listing.run.text("command")
    if command:
        st.caption("Evaluate only these images, as a run of its own:")
        st.code(commands.only(command, ids), language="bash", wrap_lines=True)


def _file(label: str, content: Callable[[], str], name: str, mime: str) -> None:
    st.download_button(
        label,
        content,
        name,
        mime,
        key=f"ids_{name}",
        help=f"Image ids as {name}, in the order shown",
        on_click="ignore",
    )
