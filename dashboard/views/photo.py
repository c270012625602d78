"""Try a photo: captions of an uploaded photo by the captioner of a run, with maps and the evidence of every word."""

import pandas as pd
import streamlit as st

from dashboard.components.viewer import viewer
from dashboard.figures.heatmaps import read_attention_view
from dashboard.figures.thumbnails import LARGE, photo
from dashboard.state import choices, data, tried_photos
from dashboard.text import formatting
from dashboard.widgets import layout, word_panel
from engine.store import queries
from engine.store.frames import named_rows

_BEAMS = (1, 3, 5)
_MEGABYTES = 30


def draw() -> None:
    """Draw the view."""
    layout.titled("Try a photo")
    runs = {run.name: run for run in data.runs() if tried_photos.options_of(run)}
    if not runs:
        layout.missing(
            "No run here names a captioner that can be started again. Make one with:",
            layout.EVALUATE,
            layout.current_run(),
        )
        return
    left, right = layout.columns([1, 2], "case", "upload", vertical_alignment="bottom")
    with left:
        current = layout.current_run().name
        first = current if current in runs else next(iter(runs))
        named = lambda name: f"{runs[name].text('captioner', 'name') or 'captioner'} of run {name}"  # noqa: E731
        chosen = choices.one_of("Captioner", "captioner", list(runs), first, named)
    with right:
        uploaded = st.file_uploader(
            "Photo", ["jpg", "jpeg", "png", "webp", "avif", "tif", "tiff", "gif", "bmp"], max_upload_size=_MEGABYTES
        )
    if uploaded is None:
        st.caption("The photo stays on this machine, and its copy is deleted when the dashboard ends.")
        return
    with st.spinner("Captioning; the first photo takes longer, because the model is loaded ..."):
        found, problem = tried_photos.caption(
            runs[chosen], data.results_folder(), uploaded.getvalue(), uploaded.name, _BEAMS
        )
    if problem:
        st.error(formatting.markdown(f"The photo was not captioned: {problem}"))
        return
    with data.reading(found.results):
        _result(next(run for run in data.runs() if run.name == found.run))


def _result(run: data.Run) -> None:
    """Draw the captions of the only image of a run, and the words of one of them."""
    sizes = [int(size) for size in data.query(queries.beam_sizes, run.name).beam_size]
    image_id = data.query(queries.selected_ids, run.name, sizes[0], "cider", False, queries.EVERYTHING).image_id.iloc[0]
    captions = data.query(queries.case_captions, run.name, image_id)
    texts = {int(row.beam_size): row.caption for row in named_rows(captions)}
    shown = lambda size: f"{formatting.capitalized(formatting.setting(size))}: {formatting.caption(texts[size])}"  # noqa: E731
    beam = choices.one_of("Caption", "try_beam", sizes, sizes[0], shown, st.radio)
    left, right = layout.columns([5, 4], "case", "tried", gap="medium")
    words = data.query(queries.case_words, run.name, beam, image_id)
    with left:
        _maps(run, beam, image_id, words)
    with right:
        word = None if words.empty else word_panel.words(run, beam, image_id, words)
    if word is not None:
        word_panel.maps(run, beam, image_id, word, beside_viewer=True)


def _maps(run: data.Run, beam: int, image_id: str, words: pd.DataFrame) -> None:
    """Draw the maps of the caption, or the photo alone if the captioner has none."""
    found = data.query(queries.attention, run.name, beam, image_id)
    case = data.query(queries.case, run.name, beam, image_id).iloc[0]
    shown = photo(run.root("images"), case.file_name, LARGE)
    if found.empty:
        layout.picture(shown, "The photo", "60vh")
        st.caption(formatting.markdown(run.reason_without_maps or "No attention maps are stored for this beam size."))
        return
    sent = {key: value for key, value in layout.attention_view().items() if value}
    first = {"word": str(word_panel.suspicious(words, pd.DataFrame()))}
    view = read_attention_view(first | sent, found.iloc[0])
    name = f"{run.root('images')}/{beam}"
    viewer(name, found.iloc[0], shown, view, "try_viewer", layout.keep_attention_view)


draw()
