"""Attention: the attention map of each word over the photo."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.components.viewer import Noun, viewer
from dashboard.figures import grounding
from dashboard.figures.heatmaps import SINK_DEFINITION, AttentionView, read_attention_view, read_subtract
from dashboard.figures.thumbnails import LARGE, photo
from dashboard.items import Figure, Table
from dashboard.report import strips, tables
from dashboard.state import choices, data
from dashboard.text import formatting
from dashboard.widgets import case, export_button, layout, second_run, seen_words, verdict_form, word_panel
from engine.store import queries
from engine.store.frames import groups, named_rows
from engine.store.schema import ATTENTION_PASSES

_MOST_LABELS = 12  # rows of the table that are visible without scrolling
_GROUNDING = (
    "Nouns are matched to the boxes of the objects they name. A patch is inside if boxes cover at least half of it; if "
    "there is no such patch, the one with the largest overlap is inside. Chance is the hit rate in the boxes of the "
    "same label in another image, because large central objects are easy to hit. A hit shows where the model read "
    "from, not that it understood the object."
)

_PASSES = {
    ATTENTION_PASSES["standard"]: "The finished caption is decoded once more with a causal mask. ",
    ATTENTION_PASSES["study"]: (
        "Each prefix of the finished caption is decoded without a causal mask, as in the study's search rule. "
    ),
}


def draw() -> None:
    """Draw the view."""
    slot = layout.titled("Attention")
    run = layout.current_run()
    sizes = list(data.query(queries.attention_beam_sizes, run.name).beam_size)
    if not sizes:
        _say_no_maps(run)
        return
    left, middle, right = layout.columns([2, 4, 5], "choice", "image", vertical_alignment="bottom")
    with left:
        beam = choices.one_of("Beam size", "beam", sizes, layout.first_beam(run, sizes), run.beam, says_so=True)
    captions = _captions(run, beam)
    with middle:
        shown = {image: f"{image}: {caption}" for image, caption in captions.items()}
        image_id = choices.one_of(
            "Image", "image", list(captions), _first(run, beam, captions), shown.__getitem__, says_so=True
        )
    with right, st.container(horizontal=True, vertical_alignment="center"):
        _steps(list(captions), image_id)
        layout.case_link(beam, image_id, "Open scores of this case")
    _say_replaced(run, beam, image_id)
    _case(run, beam, image_id)
    pointing = _grounding(run, beam)
    seen = seen_words.draw(run, beam)
    with slot:
        export_button.offer(lambda: [*_strip(run, beam, image_id), *pointing(), *seen()], "attention")


def _say_no_maps(run: data.Run) -> None:
    if reason := run.reason_without_maps:
        layout.missing(f"This run has no attention maps: {formatting.markdown(reason)}.", "", run)
        return
    sentence = (
        "This run has no attention maps. Only captioners that run here can store them, not prediction files. Store "
        "them with:"
    )
    layout.missing(sentence, layout.EVALUATE, run)


def _strip(run: data.Run, beam: int, image_id: str) -> list[Figure]:
    """Return all words side by side, with the current settings of the viewer."""
    found = strips.strip(run, beam, image_id, data.query, layout.attention_view())
    return [] if found is None else [found]


def _row(run: data.Run, beam: int, image_id: str) -> pd.Series:
    return data.query(queries.attention, run.name, beam, image_id).iloc[0]


def _captions(run: data.Run, beam: int) -> dict[str, str]:
    """Return image ids with captions: the first ones, the one in the URL, and the most alarming one."""
    found = data.query(queries.attention_captions, run.name, beam)
    captions = dict(zip(found.image_id, found.caption.fillna(""), strict=True))
    for image_id in filter(None, [choices.get("image"), _worst(run, beam)]):
        if image_id not in captions and not data.query(queries.has_attention, run.name, beam, image_id).empty:
            captions[image_id] = ""
    return captions


def _worst(run: data.Run, beam: int) -> str | None:
    """Return the image with the most alarming noun, or None if no word has an alarm."""
    found = data.query(queries.suspicious_words, run.name, beam, 1)
    return found.image_id.iloc[0] if len(found) else None


def _first(run: data.Run, beam: int, captions: dict[str, str]) -> str:
    """Return the image that is shown first: the most alarming one if its maps are stored."""
    worst = _worst(run, beam)
    return worst if worst in captions else next(iter(captions))


def _say_replaced(run: data.Run, beam: int, image_id: str) -> None:
    """Warn if the URL names a case without maps, so that another one is shown."""
    requested, linked = choices.get("beam"), choices.get("image")
    if requested and requested != str(beam):
        named = formatting.quoted(requested)
        st.warning(f"No maps were stored for beam size {named}; the page shows beam size {run.beam(beam)}.", icon="⚠️")
    if linked and linked != image_id:
        st.warning(
            f"No maps were stored for image {formatting.quoted(linked)} at this beam size; the page shows "
            f"{formatting.markdown(image_id)}.",
            icon="⚠️",
        )
        if run.has_sampled_attention:
            case.attention_command(run, linked)


def _steps(images: list[str], image_id: str) -> None:
    place = images.index(image_id)
    around = [images[at] if 0 <= at < len(images) else None for at in (place - 1, place + 1)]
    layout.steps(*around, "image", _choose)


def _choose(image_id: str) -> None:
    choices.keep(image=image_id, word=None)


def _case(run: data.Run, beam: int, image_id: str) -> None:
    row = _row(run, beam, image_id)
    _viewer(run, beam, image_id, row)
    st.caption(f"Attention maps: {formatting.markdown(run.attention_pass)}.")
    with choices.opened("About these maps", "about"):
        st.markdown(
            f"{_PASSES.get(run.attention_pass, '')}Each map is the attention to the image at the step that predicts "
            "the word; maps of the tokens of a word are averaged. *&lt;end&gt;* is the end token. Each map has its own "
            "scale. In vision transformers a few patches get attention for every word: subtract the mean map to see "
            f"the differences between words, or only the sinks. A sink is {SINK_DEFINITION}. In decoder-only models "
            "words also attend to the prompt and to each other: a map then holds only the image's share of the "
            "attention. A map shows where the decoder read from, not why it chose the word."
        )


def _grounding(run: data.Run, beam: int) -> Callable[[], list[Figure | Table]]:
    """Draw attention grounding of all nouns; return a function that makes its exports."""
    with st.spinner("Comparing the maps of all nouns with boxes ..."):
        heads = data.query(queries.grounding_heads, run.name, beam)
    if heads.empty:
        return list
    st.header(grounding.TITLE, help=_GROUNDING)
    st.markdown(grounding.sentence(run, beam, heads))
    left, right = layout.columns(2, "figure", "grounding")
    with left:
        layout.figure(grounding.by_head(heads, layout.template()), "by_head", "Hit rate by layer and head")
    with right:
        offsets = data.query(queries.grounding_offsets, run.name, beam)
        layout.figure(grounding.by_offset(offsets, layout.template()), "by_offset", "Hit rate around the noun")
    options = {f"{row.layer}.{row.head}": (int(row.layer), int(row.head)) for row in named_rows(heads)}
    first = "{}.{}".format(*grounding.best(heads))
    with layout.columns([4, 8], "choice", "labels")[0]:
        named = {key: grounding.named(*at) for key, at in options.items()}
        at = options[choices.one_of("Layer and head", "pointing", list(options), first, named.__getitem__)]
    source = layout.source(run)
    labels = data.query(queries.grounding_labels, run.name, beam, *at)
    shown = tables.grounding_labels(labels, "", "").shown
    layout.table(
        shown,
        column_config=layout.long_names(shown, "Label", "Worst example", width=160),
        key="pointing_labels",
        height=min(_MOST_LABELS, len(labels)) * 35 + 38,
        on_select=lambda: _choose_label(labels, *at),
        selection_mode="single-cell",
    )
    st.caption("Click a row to show its worst example above.")
    return lambda: strips.grounding_items(source, beam, heads, at)


def _choose_label(labels: pd.DataFrame, layer: int, head: int) -> None:
    """Show the image and word of the clicked row with the layer and head of the table."""
    cells = st.session_state["pointing_labels"]["selection"]["cells"]
    if cells and 0 <= cells[0][0] < len(labels):
        row = labels.iloc[cells[0][0]]
        choices.keep(image=row.image_id, word=int(row.word_index), layer=layer + 1, head=head + 1, subtract=None)


def _viewer(run: data.Run, beam: int, image_id: str, row: pd.Series) -> None:
    _refuse_settings(read_attention_view(layout.attention_view(), row))
    first = {"word": str(word_panel.suspicious_of(run, beam, image_id))}

    @st.fragment
    def drawn() -> None:
        with layout.sentences():
            sent = {key: value for key, value in layout.attention_view().items() if value}
            view = read_attention_view(first | sent, row)
            shown = photo(run.root("images"), row["file_name"], LARGE)
            left, right = layout.columns([5, 4], "case", "case", gap="medium")
            with left:
                name = f"{run.name}/{beam}/{image_id}"
                viewer(name, row, shown, view, "viewer", layout.keep_attention_view, _nouns(run, beam, image_id))
            with right:
                word = _beside(run, beam, image_id)
            if word is not None:
                word_panel.maps(run, beam, image_id, word, beside_viewer=True)
            second_run.draw(run, beam, image_id)

    drawn()  # one fragment: the viewer and the evidence show the same word


def _beside(run: data.Run, beam: int, image_id: str) -> Any | None:
    """Draw what is known about the case; return the row of the chosen word, or None if words are not stored."""
    words = data.query(queries.case_words, run.name, beam, image_id)
    word = None
    if words.empty:
        word_panel.without(run)
    else:
        word = word_panel.words(run, beam, image_id, words)
    for row in data.query(queries.case, run.name, beam, image_id).iloc:
        if words.empty:
            case.caption(row)
        case.tags(row)
        verdict_form.draw(run, beam, image_id, case.caption_of(row))
        case.references(row)
    return word


def _refuse_settings(view: AttentionView) -> None:
    """Note settings in the URL that do not fit the maps."""
    for key, value in layout.attention_view().items():
        shown = getattr(view, key)
        if value and value != str(shown) and not (key == "subtract" and read_subtract(value) != "none"):
            choices.refuse(key, key.capitalize(), str(shown))


def _nouns(run: data.Run, beam: int, image_id: str) -> list[Noun]:
    """Return the words of a caption that name objects with boxes, with lift and hit by layer and head."""
    found = data.query(queries.case_grounding, run.name, beam, image_id)
    boxes = data.query(queries.boxes, run.name, image_id) if len(found) else found
    return [
        Noun(
            int(word),
            label,
            tuple(boxes.loc[boxes.label == label, ["x", "y", "width", "height"]].itertuples(index=False, name=None)),
            {f"{row.layer + 1}/{row.head + 1}": (row.lift, bool(row.hit)) for row in named_rows(rows)},
        )
        for (word, label), rows in groups(found, ["word_index", "label"])
    ]


draw()
