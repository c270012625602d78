"""The words of one photo in two runs, side by side, each with the map of its chosen word.

Knows an image at a beam size of a run. The second run and its word are choices in the URL.
"""

from typing import Any

import pandas as pd
import streamlit as st

from dashboard.state import choices, data
from dashboard.text import formatting
from dashboard.widgets import layout, word_panel
from engine.store import queries
from engine.store.frames import named_rows

_RUN, _WORD = "second", "word2"


def draw(run: data.Run, beam: int, image_id: str) -> None:
    """Draw the choice of a second run with this photo, and both captions; nothing if no other run has it."""
    runs = {each.name: each for each in data.runs()}
    others = {name: _size(runs[name], beam, image_id) for name in _partners(run) if name in runs}
    others = {name: size for name, size in others.items() if size}
    if not others:
        return
    with layout.columns([4, 8], "choice", "second")[0]:
        named = lambda name: name or "None"  # noqa: E731
        chosen = choices.one_of("Compare with the words of run", _RUN, ["", *others], "", named)
    if not chosen:
        return
    sides = [(run, beam, "word"), (runs[chosen], others[chosen], _WORD)]
    for column, (each, size, key) in zip(layout.columns(2, "case", "runs", gap="medium"), sides, strict=True):
        with column:
            _side(each, size, image_id, key)


def _partners(run: data.Run) -> list[str]:
    return [name for name in data.query(queries.partners, run.name).run if name != run.name]


def _size(run: data.Run, beam: int, image_id: str) -> int:
    """Return the beam size to show of a run: `beam` if it has words of the photo, else the first that has; else 0."""
    sizes = list(data.query(queries.beam_sizes, run.name).beam_size)
    wanted = sorted(sizes, key=lambda size: size != beam)
    return next((int(size) for size in wanted if len(data.query(queries.case_words, run.name, size, image_id))), 0)


def _side(run: data.Run, beam: int, image_id: str, key: str) -> None:
    """Draw the words of a run with the map of the word in the URL, else of its most suspicious noun."""
    found = data.query(queries.case_words, run.name, beam, image_id)
    word = _chosen(found, key) or _chosen(found, "", word_panel.suspicious_of(run, beam, image_id))
    st.markdown(f"**{formatting.markdown(run.name)}**, {formatting.setting(beam, run.is_sampled)}")
    if word is None:
        return
    place = int(word.word_index)
    word_panel.row(found, place, f"chips_{key}", lambda index: choices.keep(**{key: index}))
    word_panel.map_of(run, beam, image_id, word)


def _chosen(found: pd.DataFrame, key: str, place: int | None = None) -> Any | None:
    linked = choices.get(key) if key else str(place)
    return next((row for row in named_rows(found) if str(row.word_index) == linked), None)
