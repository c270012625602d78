"""Zero-shot: wrong predictions and confused classes first, then accuracy by prompt template and two prompts."""

from typing import Any

import pandas as pd
import plotly.graph_objects as go
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
_HEIGHT = 640  # pixels of the list of images


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
    is_known = bool(accuracy.known.any())
    template = _choose_template(run, accuracy)
    confused = data.query(queries.zero_shot_confusion, run.name, template) if is_known else pd.DataFrame()
    left, right = layout.columns([3, 2], "figure", "opening", gap="medium") if is_known else (st.container(), None)
    with left:
        items = _images(run, template, accuracy)
    if right is not None:
        with right:
            _confused(confused)
        items += _confusion(run, template, confused)
    items += _templates(run, accuracy)
    if is_known:
        items += _against(run, list(accuracy.template))
    with slot:
        export_button.offer(lambda: items, "zeroshot")


def _elsewhere(other: data.Run) -> None:
    """Link to the run that holds the zero-shot predictions of a study."""
    st.markdown(f"The zero-shot predictions of this study are in run **{formatting.markdown(other.name)}**.")
    st.page_link("views/zeroshot.py", label=f"Open {formatting.markdown(other.name)}", query_params={"run": other.name})


def _templates(run: data.Run, accuracy: pd.DataFrame) -> list[Figure | Table]:
    st.header("Accuracy of the templates")
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
    st.header("Compare two prompts")
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
    differs = (changes.change != 0).to_numpy()
    with columns[1]:
        _classes(listed.shown[differs])
        if not differs.all():
            opened = choices.opened(f"Classes without a change: {(~differs).sum():,}", "unchanged")
            if opened.open:
                with opened:
                    _classes(listed.shown[~differs])
    return [figure, tested, listed]


def _classes(shown: pd.DataFrame) -> None:
    columns = layout.long_names(shown, "Class", width=120)
    st.dataframe(shown, hide_index=True, height=min(640, 36 * (len(shown) + 1) + 2), column_config=columns)


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


def _choose_template(run: data.Run, accuracy: pd.DataFrame) -> str:
    classifier = run.text("clip", "name")
    shown = {row.template: _described(row) for row in named_rows(accuracy)}
    label = f"Template, classified by {formatting.markdown(classifier)}" if classifier else "Template"
    return choices.one_of(label, "template", list(shown), accuracy.template.iloc[0], shown.__getitem__)


def _described(row: Any) -> str:
    known = pd.notna(row.accuracy)
    return f"{row.template} ({formatting.percent(row.accuracy)} correct)" if known else row.template


def _confused(found: pd.DataFrame) -> None:
    """Draw the pairs of classes that are confused most; a click lists their images.

    Args:
        found: `queries.zero_shot_confusion`.
    """
    st.markdown("**Most confused classes**")
    pairs = zeroshot_tables.confusions(found, "")
    if pairs.shown.empty:
        st.caption("No image is classified wrongly.")
        return
    shown = pairs.shown.head(50)
    columns = layout.long_names(shown, "True label", "Predicted", width=95)
    key = f"confused_{hash(tuple(shown.itertuples(index=False, name=None)))}"
    st.dataframe(
        shown,
        key=key,
        hide_index=True,
        height=min(640, 36 * (len(shown) + 1) + 2),
        column_config=columns,
        on_select=lambda: _choose_row(key, shown),
        selection_mode="single-cell",
    )
    st.caption("Click a row to list its images.")


def _choose_row(key: str, shown: pd.DataFrame) -> None:
    cells = st.session_state[key]["selection"]["cells"]
    if cells and 0 <= cells[0][0] < len(shown):
        row = shown.iloc[cells[0][0]]
        _list_images(row["True label"], row["Predicted"])


def _list_images(label: str, predicted: str) -> None:
    choices.keep(label=label, predicted=predicted, outcome="all" if label == predicted else "wrong")


def _confusion(run: data.Run, template: str, found: pd.DataFrame) -> list[Figure | Table]:
    """Draw the confusion matrix; a click on a cell lists its images."""
    drawn = comparisons.confusion(found, layout.template())
    layout.figure(drawn, "confusion", "Confusion matrix (% of true class)", lambda _, at: _choose_cell(drawn, at))
    part = comparisons.confusion_part(found)
    st.caption(f"{part + '. ' if part else ''}Click a cell to list its images above.")
    return list(chapters.confusion_items(run, template, found))


def _choose_cell(drawn: go.Figure, at: int) -> None:
    cells = drawn.data[1].customdata
    if 0 <= at < len(cells):
        _list_images(*map(str, cells[at]))


def _filters(run: data.Run, template: str, first: str) -> tuple[tuple[str, str, str], int, int]:
    """Draw the filters of the images; return outcome, true and predicted label, how many match, and the page."""
    columns = layout.columns([4, 3, 3, 3], "choice", "images", vertical_alignment="bottom")
    with columns[0]:
        outcome = choices.one_of(
            "Predictions", "outcome", list(_OUTCOMES), first, _OUTCOMES.__getitem__, st.segmented_control, required=True
        )
    labels = ["", *data.query(queries.zero_shot_labels, run.name).label]
    with columns[1]:
        label = choices.one_of("True label", "label", labels, "", _any)
    with columns[2]:
        predicted = choices.one_of("Predicted", "predicted", labels, "", _any)
    chosen = (outcome, label, predicted)
    found = _cases(run, template, chosen, 1)
    total = int(found.matching.iloc[0]) if len(found) else 0
    with columns[3]:
        pages = max(1, -(-total // _PAGE))
        page = choices.number(f"Page (of {pages})", "zero_page", 1, pages, 1)
    return chosen, total, page


def _any(name: str) -> str:
    return name or "Any"


def _cases(run: data.Run, template: str, chosen: tuple[str, str, str], page: int) -> pd.DataFrame:
    outcome, label, predicted = chosen
    start = _PAGE * (page - 1)
    return data.query(queries.zero_shot_cases, run.name, template, outcome, label, _PAGE, start, predicted)


def _images(run: data.Run, template: str, accuracy: pd.DataFrame) -> list[Figure | Table]:
    mine = accuracy[accuracy.template == template].iloc[0]
    has_wrong = pd.notna(mine.accuracy) and mine.accuracy < 1
    chosen, total, page = _filters(run, template, "wrong" if has_wrong else "all")
    outcome, label, predicted = chosen
    found, pages = _cases(run, template, chosen, page), max(1, -(-total // _PAGE))
    if found.empty:
        st.info("No image matches these filters.")
        return []
    has_shares = any(guess["probability"] is not None for top in found.top for guess in top)
    order = "most confident first. ✓ marks the true label." if has_shares else "imported predictions."
    st.caption(f"{formatting.count(total, 'image')}, {order}")
    rows = list(named_rows(found))
    gallery([_card(run, row) for row in rows], "zero_gallery", height=_HEIGHT)  # the matrix below stays near
    title = f"{_OUTCOMES[outcome]} predictions: top-5 labels"
    listed = [f"Listed: {len(rows):,} of {total:,}", f"true label {label}" if label else ""]
    listed.append(f"predicted {predicted}" if predicted else "")
    listed.append(f"page {page} of {pages}" if pages > 1 else "")
    small = chapters.class_note(
        run, int(accuracy.images.max()), f'Template: "{template}"', ", ".join(filter(None, listed))
    )
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
