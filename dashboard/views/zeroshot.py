"""Zero-shot: what the wording of a prompt changes, and what CLIP thought of each photo."""

import pandas as pd
import streamlit as st

from dashboard import choices, data, figures, parts, text
from dashboard.components.gallery import Bar, Card, gallery
from dashboard.previews import photo
from engine import queries

_OUTCOMES = {"all": "All", "right": "Right", "wrong": "Wrong"}
_PAGE = 24


def draw() -> None:
    """The whole view."""
    st.title("Zero-shot")
    run = parts.current_run()
    accuracy = data.ask(queries.zero_shot_accuracy, run.name)
    if accuracy.empty:
        parts.missing("No photos of this run were classified by prompts. This command does it:", parts.ZEROSHOT, run)
        return
    _templates(run, accuracy)
    _images(run, accuracy)


def _templates(run: data.Run, accuracy: pd.DataFrame) -> None:
    if run.text("clip", "name"):
        st.caption(f"Classified by {text.markdown(run.text('clip', 'name'))}.")
    left, right = st.columns([1, 1])
    with left:
        if accuracy.accuracy.notna().any():
            drawn = figures.zero_shot_accuracy(accuracy, parts.template())
            parts.figure(drawn, "accuracy", "Zero-shot accuracy of each prompt template")
    with right:
        table = pd.DataFrame(
            {
                "Template": accuracy.template,
                "Accuracy": [text.percent(value, 2) for value in accuracy.accuracy],
                "Right": [f"{row.right} of {row.known}" for row in accuracy.itertuples()],
                "95 % interval": [
                    f"{text.percent(low)} to {text.percent(high)}" if pd.notna(low) else "–"
                    for low, high in zip(accuracy.low, accuracy.high, strict=True)
                ],
            }
        )
        st.dataframe(table, hide_index=True)
        st.caption(
            "Wilson intervals. All templates see the same images, so intervals that overlap do not mean that two "
            "templates are equal."
        )
    if not accuracy.known.any():
        st.info("The true labels of these photos are not known: there is no accuracy, only predictions.")


def _images(run: data.Run, accuracy: pd.DataFrame) -> None:
    st.subheader("Images")
    columns = st.columns([4, 3, 3, 2], vertical_alignment="bottom")
    with columns[0]:
        template = choices.one_of("Template", "template", list(accuracy.template), accuracy.template.iloc[0])
    with columns[1]:
        outcome = choices.one_of(
            "Predictions", "outcome", list(_OUTCOMES), "all", _OUTCOMES.get, st.segmented_control, required=True
        )
    with columns[2]:
        labels = ["", *data.ask(queries.zero_shot_labels, run.name).label]
        label = choices.one_of("True label", "label", labels, "", lambda name: name or "Any")
    found = data.ask(queries.zero_shot_cases, run.name, template, outcome, label, _PAGE, 0)
    total = int(found.matching.iloc[0]) if len(found) else 0
    with columns[3]:
        page = choices.number("Page", "zero_page", 1, max(1, -(-total // _PAGE)), 1)
    if page > 1:
        found = data.ask(queries.zero_shot_cases, run.name, template, outcome, label, _PAGE, _PAGE * (page - 1))
    if found.empty:
        st.info("No image matches this choice.")
        return
    has_shares = any(guess["probability"] is not None for top in found.top for guess in top)
    order = "the surest prediction first. ✓ marks the right label." if has_shares else "predicted elsewhere."
    st.caption(f"{text.count(total, 'image')}, {order}")
    gallery([_card(run, row) for row in found.itertuples()], "zero_gallery")


def _card(run: data.Run, row: tuple) -> Card:
    shown = photo(run.root("zero_shot") or run.root("images"), row.file_name)
    known = isinstance(row.label, str)
    # Predictions made elsewhere come without probabilities: there is nothing to draw a bar of.
    sure = [guess for guess in row.top[:5] if guess["probability"] is not None]
    bars = tuple(Bar(str(g["label"]), float(g["probability"]), known and g["label"] == row.label) for g in sure)
    return Card(
        id=row.image_id,
        photo=shown.uri,
        missing=shown.missing,
        badge=("✓ right" if row.correct else "✗ wrong") if known else "",
        title=row.image_id,
        note=_note(row, known, bars),
        mark=("right" if row.correct else "wrong") if known else "",
        bars=bars,
    )


def _note(row: tuple, known: bool, bars: tuple[Bar, ...]) -> str:
    if not bars:
        return f"predicted {row.predicted}" + (f", right is {row.label}" if known and not row.correct else "")
    return f"right label: {row.label}, not among these" if known and not any(bar.right for bar in bars) else ""


draw()
