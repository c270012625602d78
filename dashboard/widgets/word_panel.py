"""The words of one caption: the words as chips, and what is known about the chosen one, with its maps.

Knows an image at a beam size of a run. The chosen word is a choice in the URL, and the attention viewer shares it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st
from PIL import Image

from dashboard.components.chips import Chip, chips
from dashboard.figures import word_maps
from dashboard.figures.thumbnails import LARGE, pixels, uri
from dashboard.state import choices, data
from dashboard.text import commands, evidence, formatting
from dashboard.widgets import layout
from engine.store import queries
from engine.store.frames import named_rows

TITLE = "Which words did the model see?"
_LISTED = 4  # captions that disagree
_ATTENTION = "attention"
_STYLE = """<style>
.word-facts table { border-collapse: collapse; width: 100%; font-size: 0.9rem; line-height: 1.45; }
.word-facts th, .word-facts td { text-align: left; vertical-align: top; padding: 0.15rem 0.6rem 0.15rem 0; }
.word-facts th { font-weight: 400; opacity: 0.8; width: 42%; }
.word-facts td { overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.word-facts ul { margin: 0.2rem 0 0.4rem; padding-left: 1.1rem; font-size: 0.9rem; line-height: 1.45; }
.word-maps { display: flex; flex-wrap: wrap; gap: 0.6rem; }
.word-maps figure { margin: 0; flex: 1 1 9rem; max-width: 26rem; min-width: 0; }
.word-maps img, .head-maps img { width: 100%; display: block; }
.word-maps figcaption { font-size: 0.8rem; line-height: 1.4; }
.head-maps { display: grid; gap: 0.25rem; align-items: center; overflow-x: auto; font-size: 0.8rem; }
</style>"""


def draw(run: data.Run, beam: int, image_id: str) -> None:
    """Draw the words of a caption; without stored words, draw the command that adds them."""
    found = data.query(queries.case_words, run.name, beam, image_id)
    if found.empty:
        without(run)
        return
    left, right = layout.columns([1, 1], "case", "word", gap="medium")
    with left:
        word = words(run, beam, image_id, found)
    if word is not None:
        with right:
            maps(run, beam, image_id, word)


def words(run: data.Run, beam: int, image_id: str, found: pd.DataFrame) -> Any | None:
    """Draw the words of a caption and the facts of the chosen one; return its row, or None for the end token.

    Args:
        found: `queries.case_words`.
    """
    chosen = chosen_word(run, beam, image_id)
    st.markdown(f"**{TITLE}**", help=evidence.ALARM)
    row(found, chosen, "word_chips", lambda word: choices.keep(word=word))
    word = next((row for row in named_rows(found) if row.word_index == chosen), None)
    if word is not None:  # the end token, which only the attention viewer has
        _facts(run, beam, image_id, word)
    return word


def row(found: pd.DataFrame, chosen: int, key: str, choose: Callable[[int], None]) -> None:
    """Draw the words of `queries.case_words` as chips; a click calls `choose` with the place of a word."""
    chips([_chip(each) for each in named_rows(found)], chosen, key, choose)


def chosen_word(run: data.Run, beam: int, image_id: str) -> int:
    """Return the place of the word in the URL, else of the most suspicious noun of the caption."""
    linked = choices.get("word")
    if linked.isdecimal() and len(linked) < 6:
        return int(linked)
    return suspicious_of(run, beam, image_id)


def suspicious_of(run: data.Run, beam: int, image_id: str) -> int:
    """Return the place of the most suspicious noun of a caption, see `suspicious`."""
    return suspicious(
        data.query(queries.case_words, run.name, beam, image_id),
        data.query(queries.case_grounding, run.name, beam, image_id),
    )


def suspicious(words: pd.DataFrame, nouns: pd.DataFrame) -> int:
    """Return the place of the word with the highest alarm, else of the noun with the highest entropy, else of a noun.

    Args:
        words: `queries.case_words`; may be empty.
        nouns: `queries.case_grounding`, for runs without words; may be empty, then the place is 0.
    """
    named = words[words.label.notna()]
    for column in ("alarm", "entropy"):
        known = named[named[column].notna()]
        if len(known):
            return int(known.loc[known[column].idxmax()].word_index)
    return int(nouns.word_index.min()) if len(nouns) else 0


def without(run: data.Run) -> None:
    """Draw the command that makes a run with the table of words, if this run was made by an older version."""
    if run.text("kind") != "captioner":  # captions from a file: the model is not here
        return
    with st.expander(TITLE):
        st.caption("This run has no table of words: it was made by an older version. Make it again with:")
        st.code(run.text("command") or commands.EVALUATE, language="bash", wrap_lines=True)


def _chip(row: Any) -> Chip:
    known = [None if pd.isna(value) else float(value) for value in (row.alarm, row.gain_grey)]
    return Chip(int(row.word_index), str(row.word), *known)


def _facts(run: data.Run, beam: int, image_id: str, word: Any) -> None:
    """Draw what is known about a word, and the captions that do not say it."""
    agreement = data.query(queries.word_agreement, run.name, beam, image_id, word.word, _label(word))
    rows = "".join(
        f"<tr><th>{formatting.escaped(name)}</th><td>{formatting.escaped(value)}</td></tr>"
        for name, value in evidence.facts(word, agreement)
    )
    lines = [f"<strong>{formatting.escaped(formatting.shortened(word.word, 60))}</strong><table>{rows}</table>"]
    others = evidence.disagreeing(agreement)
    if others:
        listed = "".join(f"<li>{formatting.escaped(line)}</li>" for line in others[:_LISTED])
        more = f" (first {_LISTED} of {len(others)})" if len(others) > _LISTED else ""
        lines.append(f"<strong>Captions that disagree{more}</strong><ul>{listed}</ul>")
    st.html(f'{_STYLE}<div class="word-facts">{"".join(lines)}</div>')
    if pd.notna(word.region_effect):
        st.caption(evidence.COVERED)


def _label(word: Any) -> str | None:
    return word.label if isinstance(word.label, str) else None


# Maps


@dataclass(frozen=True)
class _Stored:
    """The stored maps of a caption, its photo, and the maps of one word by method."""

    attention: pd.Series
    photo: Image.Image | None
    methods: pd.DataFrame
    word: int

    def picture(self, method: str) -> Image.Image:
        rows = self.methods[self.methods["method"] == method]
        if len(rows):
            return word_maps.of_method(self.attention, self.photo, rows.iloc[0])
        return word_maps.of_attention(self.attention, self.photo, self.word)


def maps(run: data.Run, beam: int, image_id: str, word: Any, beside_viewer: bool = False) -> None:
    """Draw the map of the recommended method, of a second one beside it, and of every layer and head.

    Args:
        beside_viewer: whether the page shows the map of attention anyway.
    """
    stored = _stored(run, beam, image_id, word)
    if stored is None:
        return
    if len(stored.methods) or not beside_viewer:
        shown = list(_chosen_methods(run, beam, stored))
        figures = "".join(_figure(stored, method, word.word, recommended) for method, recommended in shown)
        st.html(f'{_STYLE}<div class="word-maps">{figures}</div>')
    opened = choices.opened("All layers and heads", "heads", icon=":material/grid_view:")
    if opened.open:
        with opened:
            st.html(_STYLE + _heads(stored, word.word))


def map_of(run: data.Run, beam: int, image_id: str, word: Any) -> None:
    """Draw the map of a word by the recommended method, or by attention if that was not measured for it."""
    stored = _stored(run, beam, image_id, word)
    if stored is None:
        st.caption("This run stores no map of this caption.")
        return
    best = _recommended(run, beam)
    method = best if best in set(stored.methods["method"]) else _ATTENTION
    st.html(f'{_STYLE}<div class="word-maps">{_figure(stored, method, word.word, method == best)}</div>')


def _stored(run: data.Run, beam: int, image_id: str, word: Any) -> _Stored | None:
    found = data.query(queries.attention, run.name, beam, image_id)
    place = int(word.word_index)
    if found.empty or place >= int(found.iloc[0]["shape"][0]):
        return None
    photo = pixels(run.root("images"), found.iloc[0]["file_name"], LARGE)
    return _Stored(found.iloc[0], photo, data.query(queries.word_maps, run.name, beam, image_id, place), place)


def _chosen_methods(run: data.Run, beam: int, stored: _Stored) -> Iterator[tuple[str, bool]]:
    """Draw the choice of one or two methods; yield each with whether it is the recommended one."""
    known = list(dict.fromkeys([*stored.methods["method"], _ATTENTION]))
    best = _recommended(run, beam)
    first = best if best in known else _ATTENTION
    if len(known) == 1:
        yield first, first == best
        return
    left, right = layout.columns(2, "choice", "methods")
    named = lambda name: name or "None"  # noqa: E731
    with left:
        one = choices.one_of("Method", "method", known, first, named)
    with right:
        two = choices.one_of("Second method", "method2", ["", *known], "", named)
    for name in dict.fromkeys(filter(None, [one, two])):
        yield name, name == best


def _recommended(run: data.Run, beam: int) -> str:
    """Return the method that the certificate recommends, of this beam size if it was measured, or ""."""
    found = data.query(queries.certificates, run.name)
    found = found[found.recommended.fillna(False).astype(bool)]
    own = found[found.beam_size == beam]
    return str((own if len(own) else found)["method"].iloc[0]) if len(found) else ""


def _figure(stored: _Stored, method: str, word: str, recommended: bool) -> str:
    name = "attention, last layer" if method == _ATTENTION else method
    title = formatting.capitalized(f"{name}{', recommended' * recommended}")
    rows = stored.methods[stored.methods["method"] == method]
    if len(rows) and pd.notna(rows.iloc[0].hit):
        title += ": peaks inside the object's box" if rows.iloc[0].hit else ": peaks outside the object's box"
    described = formatting.escaped(f"{title}, map of the word {formatting.shortened(word, 60)}")
    source = uri(stored.picture(method))
    return (
        f'<figure><img src="{source}" alt="{described}"><figcaption>{formatting.escaped(title)}</figcaption></figure>'
    )


def _heads(stored: _Stored, word: str) -> str:
    """Return a grid of small maps, layers from top to bottom, heads from left to right."""
    rows = word_maps.heads(stored.attention, stored.photo, stored.word)
    heads = len(rows[0])
    cells = ["<span></span>", *(f"<span>head {head}</span>" for head in range(1, heads + 1))]
    for layer, pictures in enumerate(rows, 1):
        cells.append(f"<span>layer {layer}</span>")
        for head, each in enumerate(pictures, 1):
            named = formatting.escaped(f"layer {layer}, head {head}: {formatting.shortened(word, 60)}")
            cells.append(f'<img src="{uri(each)}" alt="{named}" title="{named}">')
    columns = f"grid-template-columns: auto repeat({heads}, minmax(3.5rem, 9rem))"
    return f'<div class="head-maps" style="{columns}">{"".join(cells)}</div>'
