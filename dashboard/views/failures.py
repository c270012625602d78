"""Failures: which cases went wrong, by any metric, and one of them in full."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import choices, data, parts, text
from dashboard.components.gallery import Card, gallery
from dashboard.previews import LARGE, photo
from engine import queries
from engine.schema import METRICS

_VIEWS = {"pairs": "Best and worst", "gallery": "Gallery", "table": "Table"}
_ORDERS = {"asc": "Lowest", "desc": "Highest"}
_PAGE = 24
_ROWS = 500
# The chosen case stays in sight while a long gallery scrolls past it.
_STICKY = """<style>
[data-testid="stColumn"]:has(.st-key-case) {
  position: sticky; top: 4rem; align-self: flex-start; max-height: calc(100vh - 5rem); overflow-y: auto;
}
</style>"""


def draw() -> None:
    """The whole view."""
    st.title("Failures")
    run = parts.current_run()
    sizes = list(data.ask(queries.beam_sizes, run.name).beam_size)
    if not sizes:
        parts.missing("This run has no captions. These commands make some, or score those you have:", _commands(), run)
        return
    beam, metrics, sort, descending = _controls(run, sizes)
    if not metrics:
        parts.missing("The captions of this run have no scores. This command scores them:", parts.SCORE, run)
        return
    selection = _filters(run, beam)
    counted = data.ask(queries.case_count, run.name, beam, selection).iloc[0]
    if not counted.selected:
        st.info(
            f"None of the {text.count(counted.total, 'case')} match these filters: widen a range or clear the text."
        )
        return
    if counted.selected < counted.total:
        st.caption(f"{counted.selected:,} of {text.count(counted.total, 'case')} match the filters.")
    if "clipscore" in metrics:
        parts.clip_note(run)
    left, right = st.columns([5, 4], gap="medium")
    with left:
        shown = _list(run, beam, metrics, sort, descending, selection, int(counted.selected))
    with right, st.container(key="case"):
        st.html(_STICKY)
        _case(run, beam, sort, descending, selection, shown)


def _commands() -> str:
    return f"{parts.EVALUATE}\n{parts.SCORE}"


# Choosing


def _controls(run: data.Run, sizes: list[int]) -> tuple[int, list[str], str, bool]:
    columns = st.columns([2, 3, 3, 4], vertical_alignment="bottom")
    with columns[0]:
        beam = choices.one_of("Beam size", "beam", sizes, sizes[0], text.beam)
    metrics = list(data.ask(queries.metric_ranges, run.name, beam).metric)
    if not metrics:
        return beam, [], "", False
    with columns[1]:
        sort = choices.one_of("Sort by", "sort", metrics, _pair_metric(metrics), text.title)
    with columns[2]:
        order = choices.one_of(
            "First", "order", list(_ORDERS), "asc", _ORDERS.get, st.segmented_control, required=True, width="stretch"
        )
    with columns[3]:
        choices.one_of(
            "Show", "show", list(_VIEWS), "pairs", _VIEWS.get, st.segmented_control, required=True, width="stretch"
        )
    return beam, metrics, sort, order == "desc"


def _pair_metric(metrics: list[str]) -> str:
    """CLIPScore as in the study, else the first metric there is."""
    return "clipscore" if "clipscore" in metrics else metrics[0]


def _filters(run: data.Run, beam: int) -> queries.Selection:
    ranges = data.ask(queries.metric_ranges, run.name, beam)
    with st.expander("Filters", expanded=_filtered(list(ranges.metric)), icon=":material/filter_alt:"):
        columns = st.columns([4, 3, 3])
        with columns[0]:
            searched = choices.text("Words in the caption or a reference", "text", placeholder="a dog")
        with columns[1]:
            tags = list(data.ask(queries.tags, run.name, beam).tag)
            tag = choices.one_of("Failure tag", "tag", ["", *tags], "", lambda name: name or "Any", disabled=not tags)
        with columns[2]:
            known = list(data.ask(queries.conditions, run.name).condition)
            condition = choices.one_of(
                "Condition", "condition", ["", *known], "", lambda name: name or "Any", disabled=not known
            )
        columns = st.columns(4)
        spans = []
        for place, row in enumerate(ranges.itertuples()):
            with columns[place % 4]:
                spans.append((row.metric, _span(row)))
    bounds = tuple((metric, *span) for metric, span in spans if span is not None)
    return queries.Selection(bounds, searched, tag, condition)


def _filtered(metrics: list[str]) -> bool:
    return any(choices.get(key) for key in ["text", "tag", "condition", *(f"in_{metric}" for metric in metrics)])


def _span(row: tuple) -> tuple[float, float] | None:
    """A range of one metric; its ends are rounded outwards, so that the widest range leaves nobody out."""
    low, high = math.floor(row.low * 100) / 100, math.ceil(row.high * 100) / 100
    if low == high:
        return None
    return choices.span(text.title(row.metric), f"in_{row.metric}", low, high, 0.01, format="%.2f")


# Showing many


def _list(
    run: data.Run,
    beam: int,
    metrics: list[str],
    sort: str,
    descending: bool,
    selection: queries.Selection,
    selected: int,
) -> list[str]:
    """Draws the chosen form of the list, and gives the image ids that stand in it."""
    view = choices.get("show", "pairs")
    if view == "table":
        return _table(run, beam, metrics, sort, descending, selection, selected)
    if view == "gallery":
        return _gallery(run, beam, sort, descending, selection, selected)
    return _pairs(run, beam, _pair_metric(metrics), selection)


def _pairs(run: data.Run, beam: int, metric: str, selection: queries.Selection) -> list[str]:
    k = choices.number("Pairs a side", "k", 1, 20, 3, width=140)
    best = data.ask(queries.cases, run.name, beam, metric, True, selection, k)
    worst = data.ask(queries.cases, run.name, beam, metric, False, selection, k)
    columns = st.columns(2)
    sides = (("Highest", best, "best"), ("Lowest", worst, "worst"))
    chosen = choices.get("image") or _first([*worst.image_id])
    for column, (word, frame, key) in zip(columns, sides, strict=True):
        with column:
            st.markdown(f"**{word} {text.title(metric)}**")
            gallery([_card(run, row, metric) for row in frame.itertuples()], f"pairs_{key}", chosen, _choose)
    return [*worst.image_id, *best.image_id]


def _gallery(
    run: data.Run, beam: int, sort: str, descending: bool, selection: queries.Selection, selected: int
) -> list[str]:
    pages = max(1, -(-selected // _PAGE))
    page = choices.number(f"Page (of {pages})", "page", 1, pages, 1, width=140) if pages > 1 else 1
    frame = data.ask(queries.cases, run.name, beam, sort, descending, selection, _PAGE, _PAGE * (page - 1))
    chosen = choices.get("image") or _first([*frame.image_id])
    gallery([_card(run, row, sort) for row in frame.itertuples()], "gallery", chosen, _choose)
    return [*frame.image_id]


def _card(run: data.Run, row: tuple, metric: str) -> Card:
    shown = photo(run.root("images"), row.file_name)
    ranked = pd.notna(row.rank)
    return Card(
        id=row.image_id,
        photo=shown.uri,
        missing=shown.missing,
        badge=f"#{int(row.rank)} of {int(row.scored)}" if ranked else "no score",
        title=row.caption,
        note=f"{text.title(metric)} {text.score(metric, getattr(row, metric))}",
    )


def _table(
    run: data.Run,
    beam: int,
    metrics: list[str],
    sort: str,
    descending: bool,
    selection: queries.Selection,
    selected: int,
) -> list[str]:
    frame = data.ask(queries.cases, run.name, beam, sort, descending, selection, _ROWS)
    # A new order or filter gets a new table: a selection is kept by position, and would point at another case.
    key = f"table_{hash((run.name, beam, sort, descending, selection))}"
    ids = [*frame.image_id]
    ordered = [sort, *(metric for metric in metrics if metric != sort)]
    shown = frame[["image_id", "caption", *ordered]].rename(
        columns={"image_id": "Image", "caption": "Caption", **{metric: text.title(metric) for metric in metrics}}
    )
    st.dataframe(
        shown,
        key=key,
        hide_index=True,
        height=min(620, 36 * (len(frame) + 1) + 2),
        on_select=lambda: _choose_cell(key, ids),
        selection_mode="single-cell",
        column_config={
            "Caption": st.column_config.TextColumn(width=230),
            **{
                text.title(metric): st.column_config.NumberColumn(format=f"%.{METRICS[metric].digits}f")
                for metric in metrics
            },
        },
    )
    if selected > _ROWS:
        st.caption(f"The first {_ROWS} of {selected:,}: narrow the filters, or turn the order round, to see others.")
    st.caption("Click anywhere in a row to see the case.")
    return ids


def _choose_cell(key: str, ids: list[str]) -> None:
    cells = st.session_state[key]["selection"]["cells"]
    if cells and 0 <= cells[0][0] < len(ids):
        _choose(ids[cells[0][0]])


def _choose(image_id: str) -> None:
    choices.keep(image=image_id)


def _first(ids: list[str]) -> str:
    return ids[0] if ids else ""


# Showing one


def _case(
    run: data.Run, beam: int, sort: str, descending: bool, selection: queries.Selection, shown: list[str]
) -> None:
    image_id = choices.get("image") or _first(shown)
    found = data.ask(queries.case, run.name, beam, image_id)
    if found.empty:
        image_id = _first(shown)
        found = data.ask(queries.case, run.name, beam, image_id)
    case = found.iloc[0]
    _steps(run, beam, sort, descending, selection, image_id)
    parts.picture(photo(run.root("images"), case.file_name, LARGE), f"Photo {image_id}: {case.caption}", "45vh")
    st.markdown(f"#### {text.markdown(case.caption) if case.caption else '*(an empty caption)*'}")
    st.caption(text.markdown(image_id) + _facts(case))
    _tags(case)
    _attention_link(run, beam, image_id)
    if isinstance(case.references, Sequence | np.ndarray) and len(case.references):
        st.markdown("**References**\n\n" + "\n".join(f"- {text.markdown(line)}" for line in case.references))
    _metrics(run, beam, image_id)
    _other_beams(run, beam, image_id)


def _steps(run: data.Run, beam: int, sort: str, descending: bool, selection: queries.Selection, image_id: str) -> None:
    found = data.ask(queries.neighbours, run.name, beam, sort, descending, selection, image_id)
    if found.empty:
        st.caption("This case is not among those that match the filters.")
        return
    row = found.iloc[0]
    with st.container(horizontal=True, vertical_alignment="center"):
        for label, target, key in (("Previous", row.previous, "Left"), ("Next", row.next, "Right")):
            known = isinstance(target, str)
            st.button(label, key=f"go_{key}", shortcut=key, disabled=not known, on_click=_choose, args=(target,))
        st.caption(f"{int(row.position):,} of {int(row.selected):,} by {text.title(sort)}")


def _facts(case: pd.Series) -> str:
    facts = []
    if pd.notna(case.logprob):
        facts.append(f"log-probability {text.number(case.logprob, 2)} nats")
    if pd.notna(case.finished) and not case.finished:
        facts.append("cut at the maximum length")
    if pd.notna(case.clip_truncated) and case.clip_truncated:
        facts.append("longer than CLIP reads")
    facts += [text.markdown(condition) for condition in case.conditions]
    return "".join(f" · {fact}" for fact in facts)


def _tags(case: pd.Series) -> None:
    for entry in case.tags:
        evidence = text.markdown(entry["evidence"] or "")
        st.markdown(f":orange-badge[{text.markdown(entry['tag'])}] {evidence}")


def _attention_link(run: data.Run, beam: int, image_id: str) -> None:
    if data.ask(queries.attention, run.name, beam, image_id).empty:
        return
    st.page_link(
        "views/attention.py",
        label="Where did the model look?",
        icon=":material/visibility:",
        query_params={"image": image_id, "beam": str(beam)},
    )


def _metrics(run: data.Run, beam: int, image_id: str) -> None:
    found = data.ask(queries.case_metrics, run.name, beam, image_id)
    if found.empty:
        st.caption("This case has no score.")
        return
    table = pd.DataFrame(
        {
            "Metric": [text.title(metric) for metric in found.metric],
            "Value": [text.score(row.metric, row.value) for row in found.itertuples()],
            "Rank": [f"{row.rank} of {row.scored}" for row in found.itertuples()],
            "Percentile": found.percentile,
        }
    )
    percentile = st.column_config.ProgressColumn(
        "Percentile",
        width="small",
        min_value=0,
        max_value=100,
        format="%.0f",
        help="Percent of the other cases with a lower value.",
    )
    st.dataframe(
        table, hide_index=True, column_config={"Percentile": percentile, "Rank": st.column_config.Column(width="small")}
    )


def _other_beams(run: data.Run, beam: int, image_id: str) -> None:
    found = data.ask(queries.case_captions, run.name, image_id)
    if len(found) < 2:
        return
    st.markdown("**What every beam size said**")
    metrics = [metric for metric in ("cider", "clipscore") if found[metric].notna().any()]
    table = pd.DataFrame({"Beam": [text.beam(size) for size in found.beam_size], "Caption": found.caption})
    for metric in metrics:
        table[text.title(metric)] = [text.score(metric, value) for value in found[metric]]
    st.dataframe(table, hide_index=True)


draw()
