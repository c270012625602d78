"""Zero-shot: accuracy by prompt template, confusion matrix, and top-5 predictions per photo."""

from typing import Any

import pandas as pd
import streamlit as st

from dashboard.components.gallery import Bar, Card, gallery
from dashboard.figures import comparisons, panels, shares
from dashboard.figures.thumbnails import photo
from dashboard.items import Figure, Table
from dashboard.report import chapters, zeroshot_tables
from dashboard.state import choices, data
from dashboard.text import formatting
from dashboard.widgets import export_button, layout
from engine.store import queries
from engine.store.frames import named_rows

_OUTCOMES = {"all": "All", "right": "Correct", "wrong": "Wrong"}
_PAGE = 24


def draw() -> None:
    """Draw the view."""
    slot = layout.titled("Zero-shot")
    run = layout.current_run()
    accuracy = data.query(queries.zero_shot_accuracy, run.name)
    if accuracy.empty:
        if (other := layout.source(run).classifier()) != run:
            _elsewhere(other)
            return
        layout.missing("This run has no zero-shot predictions. Classify photos with:", layout.ZEROSHOT, run)
        return
    items = _templates(run, accuracy)
    if accuracy.known.any():
        items += _against(run, list(accuracy.template))
    template = _choose_template(accuracy)
    if accuracy.known.any():
        items += _confusion(run, template)
    items += _images(run, template, int(accuracy.images.max()))
    with slot:
        export_button.offer(lambda: items, "zeroshot")


def _elsewhere(other: data.Run) -> None:
    """Link to the run that holds the zero-shot predictions of a study."""
    st.markdown(f"The zero-shot predictions of this study are in run **{formatting.markdown(other.name)}**.")
    st.page_link("views/zeroshot.py", label=f"Open {formatting.markdown(other.name)}", query_params={"run": other.name})


def _templates(run: data.Run, accuracy: pd.DataFrame) -> list[Figure | Table]:
    if run.text("clip", "name"):
        st.caption(f"Classified by {formatting.markdown(run.text('clip', 'name'))}.")
    chapter = chapters.prompts(layout.source(run))
    if accuracy.accuracy.notna().any():
        drawn = shares.zero_shot_accuracy(accuracy, layout.template())
        layout.figure(drawn, "accuracy", "Zero-shot accuracy of each prompt template")
    table = next(item for item in chapter.items if isinstance(item, Table))
    layout.table(table.shown, column_config=layout.long_names(table.shown, "Template", width=260))
    sources = [line for line in table.note.splitlines() if line.startswith("Published, ")]
    st.caption(
        "Wilson intervals. All templates use the same images, so overlapping intervals do not mean that two templates "
        "are equal; use the paired test below. " + "".join(f"{formatting.markdown(line)}. " for line in sources)
    )
    if not accuracy.known.any():
        st.info("The true labels of these photos are not known, so accuracy cannot be computed.")
    return list(chapter.items)


def _against(run: data.Run, templates: list[str]) -> list[Figure | Table]:
    """Draw the comparison of two templates: paired test, and changes by class."""
    if len(templates) < 2:
        return []
    st.subheader("Compare two prompts")
    columns = layout.columns(2, "choice", "pair")
    with columns[0]:
        left = choices.one_of("Left prompt", "zero_left", templates, templates[0])
    with columns[1]:
        others = [template for template in templates if template != left]
        # The best and the worst first, which differ most.
        right = choices.one_of("Right prompt", "zero_right", others, others[-1])
    found = data.query(queries.zero_shot_comparison, run.name, left, right)
    if found.empty:
        st.info("The two templates have no common image with a known label.")
        return []
    _test(found.iloc[0])
    changes = data.query(queries.zero_shot_changes, run.name, left, right)
    figure, tested, listed = chapters.template_items(run, left, right, found, changes)
    if not changes.change.any():
        st.info("The number of correct images changes for no class.")
        return [tested, listed]
    columns = layout.columns([3, 2], "figure", "changes")
    with columns[0]:
        drawn = comparisons.class_changes(changes, left, right, layout.template())
        layout.figure(drawn, "changes", "Classes gained and lost between the two templates")
    with columns[1]:
        shown = listed.shown
        columns = layout.long_names(shown, "Class", width=120)
        st.dataframe(shown, hide_index=True, height=min(640, 36 * (len(changes) + 1) + 2), column_config=columns)
    return [figure, tested, listed]


def _test(row: pd.Series) -> None:
    columns = layout.columns(4, "number", "test")
    shown = (
        ("Correct with both prompts", f"{int(row.both):,}", f"of {formatting.count(int(row.images), 'image')}"),
        (
            "Correct with the left prompt only",
            f"{int(row.only_left):,}",
            formatting.percent(row.only_left / row.images),
        ),
        (
            "Correct with the right prompt only",
            f"{int(row.only_right):,}",
            formatting.percent(row.only_right / row.images),
        ),
        ("p, exact McNemar test", formatting.probability(row.p), zeroshot_tables.outcome(row, row.p, row.p_reachable)),
    )
    for column, (label, value, caption) in zip(columns, shown, strict=True):
        with column:
            st.metric(label, value)
            st.caption(caption)


def _choose_template(accuracy: pd.DataFrame) -> str:
    st.subheader("One template")
    return choices.one_of("Template", "template", list(accuracy.template), accuracy.template.iloc[0])


def _confusion(run: data.Run, template: str) -> list[Figure | Table]:
    found = data.query(queries.zero_shot_confusion, run.name, template)
    matrix, confusions = chapters.confusion_items(run, template, found)
    left, right = layout.columns([3, 2], "figure", "confusion")
    with left:
        drawn = comparisons.confusion(found, layout.template())
        layout.figure(drawn, "confusion", "Confusion matrix (% of true class)")
        part = comparisons.confusion_part(found)
        if part:
            st.caption(f"{part}.")
    with right:
        st.markdown("**Most confused classes**")
        shown = confusions.shown.head(50)
        columns = layout.long_names(shown, "True label", "Predicted", width=95)
        st.dataframe(shown, hide_index=True, height=min(640, 36 * (len(shown) + 1) + 2), column_config=columns)
    return [matrix, confusions]


def _images(run: data.Run, template: str, images: int) -> list[Figure | Table]:
    st.markdown("**Images**")
    columns = layout.columns([3, 3, 2], "choice", "images", vertical_alignment="bottom")
    with columns[0]:
        outcome = choices.one_of(
            "Predictions", "outcome", list(_OUTCOMES), "all", _OUTCOMES.__getitem__, st.segmented_control, required=True
        )
    with columns[1]:
        labels = ["", *data.query(queries.zero_shot_labels, run.name).label]
        label = choices.one_of("True label", "label", labels, "", lambda name: name or "Any")
    found = data.query(queries.zero_shot_cases, run.name, template, outcome, label, _PAGE, 0)
    total = int(found.matching.iloc[0]) if len(found) else 0
    with columns[2]:
        pages = max(1, -(-total // _PAGE))
        page = choices.number(f"Page (of {pages})", "zero_page", 1, pages, 1)
    if page > 1:
        found = data.query(queries.zero_shot_cases, run.name, template, outcome, label, _PAGE, _PAGE * (page - 1))
    if found.empty:
        st.info("No image matches these filters.")
        return []
    has_shares = any(guess["probability"] is not None for top in found.top for guess in top)
    order = "most confident first. ✓ marks the true label." if has_shares else "imported predictions."
    st.caption(f"{formatting.count(total, 'image')}, {order}")
    rows = list(named_rows(found))
    gallery([_card(run, row) for row in rows], "zero_gallery")
    title = f"{_OUTCOMES[outcome]} predictions: top-5 labels"
    listed = [f"Listed: {len(rows):,} of {total:,}", f"true label {label}" if label else ""]
    listed.append(f"page {page} of {pages}" if pages > 1 else "")
    small = chapters.class_note(run, images, f'Template: "{template}"', ", ".join(filter(None, listed)))
    return [
        Figure("images", title, lambda: panels.panels(title, [chapters.class_panel(run, row) for row in rows]), small)
    ]


def _card(run: data.Run, row: Any) -> Card:
    shown = photo(run.root("zero_shot") or run.root("images"), row.file_name)
    known = isinstance(row.label, str)
    # Imported predictions have no probabilities, so bars cannot be drawn.
    sure = [guess for guess in row.top[:5] if guess["probability"] is not None]
    bars = tuple(Bar(str(g["label"]), float(g["probability"]), known and g["label"] == row.label) for g in sure)
    return Card(
        id=row.image_id,
        photo=shown.uri,
        missing=shown.missing,
        badge=("✓ correct" if row.correct else "✗ wrong") if known else "",
        title=row.image_id,
        note=_note(row, known, bars),
        mark=("right" if row.correct else "wrong") if known else "",
        bars=bars,
    )


def _note(row: Any, known: bool, bars: tuple[Bar, ...]) -> str:
    if not bars:
        return f"predicted {row.predicted}" + (f", true label: {row.label}" if known and not row.correct else "")
    return f"true label: {row.label}, not in the top 5" if known and not any(bar.right for bar in bars) else ""


draw()
