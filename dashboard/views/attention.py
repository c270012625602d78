"""Attention: where the captioner looked for every word, over the photo."""

from collections.abc import Callable

import pandas as pd
import streamlit as st

from dashboard.components.viewer import Noun, viewer
from dashboard.figures import grounding
from dashboard.figures.heatmaps import AttentionView, read_attention_view
from dashboard.figures.thumbnails import LARGE, photo
from dashboard.items import Figure, Table
from dashboard.report import strips, tables
from dashboard.state import choices, data
from dashboard.text import formatting
from dashboard.widgets import case, export_button, layout, verdict_form
from engine.store import queries
from engine.store.schema import ATTENTION_PASSES

_MOST_LABELS = 12  # rows of the table that show without scrolling
_GROUNDING = (
    "Nouns are matched to the boxes of the objects they name. A patch is inside if boxes cover half of it; if they "
    "cover half of no patch, the patch that they cover most is inside. Chance is the hit rate in the boxes of the same "
    "label in another image: large objects in the middle are hit whatever the word is. A map that points at the object "
    "shows that the model read from there, not that it understood it."
)

_PASSES = {
    ATTENTION_PASSES["standard"]: "The finished caption is read once more, each word seeing only those before it. ",
    ATTENTION_PASSES["study"]: (
        "Every prefix of the finished caption is read by itself without a causal mask, as the study's rule chooses "
        "words. "
    ),
}


def draw() -> None:
    """The whole view."""
    slot = layout.titled("Attention")
    run = layout.current_run()
    sizes = list(data.query(queries.attention_beam_sizes, run.name).beam_size)
    if not sizes:
        layout.missing(
            "No attention was kept for this run: it can only be read from a captioner that runs here, not from a file "
            "of predictions. This command keeps it:",
            layout.EVALUATE,
            run,
        )
        return
    left, middle, right = layout.columns([2, 4, 5], "choice", "image", vertical_alignment="bottom")
    with left:
        beam = choices.one_of("Beam size", "beam", sizes, sizes[0], run.beam)
    said = _captions(run, beam)
    with middle:
        shown = {image: f"{image}: {caption}" for image, caption in said.items()}
        image_id = choices.one_of("Image", "image", list(said), next(iter(said)), shown.get)
    with right, st.container(horizontal=True, vertical_alignment="center"):
        _steps(list(said), image_id)
        layout.case_link(beam, image_id, "Scores of this case")
    _say_replaced(run, beam, image_id)
    _case(run, beam, image_id)
    pointing = _grounding(run, beam)
    with slot:
        export_button.offer(lambda: [*_strip(run, beam, image_id), *pointing()], "attention")


def _strip(run: data.Run, beam: int, image_id: str) -> list[Figure]:
    """All words side by side, as they are looked at."""
    return [strips.strip(run, beam, image_id, data.query, layout.attention_view())]


def _row(run: data.Run, beam: int, image_id: str) -> pd.Series:
    return data.query(queries.attention, run.name, beam, image_id).iloc[0]


def _captions(run: data.Run, beam: int) -> dict[str, str]:
    """Image ids with their captions: the first ones, and the one of the address wherever it stands."""
    captions = data.query(queries.attention_captions, run.name, beam)
    said = dict(zip(captions.image_id, captions.caption.fillna(""), strict=True))
    linked = choices.get("image")
    if linked and linked not in said and not data.query(queries.has_attention, run.name, beam, linked).empty:
        said[linked] = ""
    return said


def _say_replaced(run: data.Run, beam: int, image_id: str) -> None:
    """Says where the address names a case whose maps were not kept, and another one is shown."""
    asked, linked = choices.get("beam"), choices.get("image")
    if asked.isdecimal() and int(asked) != beam:
        st.warning(
            f"No maps were kept of beam size {run.beam(int(asked))}: these are of beam size {run.beam(beam)}.",
            icon="⚠️",
        )
    if linked and linked != image_id:
        st.warning(
            f"No maps were kept of image {formatting.markdown(linked)} at this beam size: these are of "
            f"{formatting.markdown(image_id)}.",
            icon="⚠️",
        )


def _steps(images: list[str], image_id: str) -> None:
    place = images.index(image_id)
    for label, key, by in (("Previous", "P", -1), ("Next", "N", 1)):
        there = 0 <= place + by < len(images)
        target = images[place + by] if there else ""
        st.button(label, key=f"go_{key}", shortcut=key, disabled=not there, on_click=_choose, args=(target,))


def _choose(image_id: str) -> None:
    choices.keep(image=image_id, word=None)


def _case(run: data.Run, beam: int, image_id: str) -> None:
    row = _row(run, beam, image_id)
    found = data.query(queries.case, run.name, beam, image_id)
    _viewer(run, beam, image_id, row)
    st.caption(f"Cross-attention maps: {formatting.markdown(run.attention_pass)}.")
    if not found.empty:
        left, right = layout.columns([3, 2], "case", "case", gap="medium")
        with left:
            case.words(found.iloc[0])
        with right:
            verdict_form.draw(run, beam, image_id, case.said(found.iloc[0]))
    with choices.opened("What these maps are, and are not", "about"):
        st.markdown(
            f"{_PASSES.get(run.attention_pass, '')}The decoder's cross-attention is read at the step that predicts "
            "each word; parts of a word are joined. *&lt;end&gt;* is where the model looked when it decided to stop. "
            "Every map is drawn on its own scale. Vision transformers have a few patches that draw attention whatever "
            "the word is: take the mean map away to see what is particular to a word. A map shows where the decoder "
            "read from, not why it chose the word."
        )


def _grounding(run: data.Run, beam: int) -> Callable[[], list[Figure | Table]]:
    """Whether the maps of all nouns point at what they name; gives what can be exported of it."""
    with st.spinner("Comparing the maps of all nouns with the boxes ..."):
        heads = data.query(queries.grounding_heads, run.name, beam)
    if heads.empty:
        return list
    st.subheader(grounding.TITLE, help=_GROUNDING)
    st.markdown(grounding.sentence(run, beam, heads))
    left, right = layout.columns(2, "figure", "grounding")
    with left:
        layout.figure(grounding.by_head(heads, layout.template()), "by_head", "Hit rate by layer and head")
    with right:
        offsets = data.query(queries.grounding_offsets, run.name, beam)
        layout.figure(grounding.by_offset(offsets, layout.template()), "by_offset", "Hit rate around the noun")
    options = {f"{row.layer}.{row.head}": (int(row.layer), int(row.head)) for row in heads.itertuples()}
    first = "{}.{}".format(*grounding.best(heads))
    with layout.columns([4, 8], "choice", "labels")[0]:
        named = {key: grounding.named(*at) for key, at in options.items()}
        at = options[choices.one_of("Layer and head", "pointing", list(options), first, named.get)]
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
    """The image and the word of the row that was clicked, under the layer and head that the row is about."""
    cells = st.session_state["pointing_labels"]["selection"]["cells"]
    if cells and 0 <= cells[0][0] < len(labels):
        row = labels.iloc[cells[0][0]]
        choices.keep(image=row.image_id, word=int(row.word_index), layer=layer + 1, head=head + 1, subtract=None)


def _viewer(run: data.Run, beam: int, image_id: str, row: pd.Series) -> None:
    @st.fragment
    def drawn() -> None:
        view = read_attention_view(layout.attention_view(), row)
        shown = photo(run.root("images"), row["file_name"], LARGE)
        viewer(f"{run.name}/{beam}/{image_id}", row, shown, view, "viewer", _keep, _nouns(run, beam, image_id))

    drawn()


def _nouns(run: data.Run, beam: int, image_id: str) -> list[Noun]:
    """The words of a caption that name something with boxes, and how each layer and head points at those."""
    found = data.query(queries.case_grounding, run.name, beam, image_id)
    boxes = data.query(queries.boxes, run.name, image_id) if len(found) else found
    return [
        Noun(
            int(word),
            label,
            tuple(boxes.loc[boxes.label == label, ["x", "y", "width", "height"]].itertuples(index=False, name=None)),
            {f"{row.layer + 1}/{row.head + 1}": (row.lift, bool(row.hit)) for row in rows.itertuples()},
        )
        for (word, label), rows in found.groupby(["word_index", "label"])
    ]


def _keep(view: AttentionView) -> None:
    choices.keep(
        word=view.word,
        layer=view.layer,
        head=view.head,
        subtract="1" if view.subtract else None,
        opacity=view.opacity if view.opacity != AttentionView.opacity else None,
        scale=view.scale if view.scale != AttentionView.scale else None,
    )


draw()
