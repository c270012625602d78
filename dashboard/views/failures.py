"""Failures: cases ordered by a metric, filters, and one case in full."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import metrics
from dashboard.annotations import verdicts
from dashboard.components.gallery import Card, gallery
from dashboard.figures import panels
from dashboard.figures.thumbnails import photo
from dashboard.items import Figure, Table
from dashboard.report import chapters, pairs, tables
from dashboard.state import choices, data
from dashboard.state.listing import Listing
from dashboard.text import formatting
from dashboard.widgets import case, export_button, filters, layout, score_filters, selected_ids, verdict_form
from engine.store import queries
from engine.store.frames import named_rows
from engine.store.orders import ALARM, definition

_VIEWS = {"gallery": "Gallery", "pairs": "Best and worst", "table": "Table"}
_ORDERS = {"asc": "Lowest", "desc": "Highest"}
_PAGE = 24
_ROWS = 500
# The chosen case stays visible while a long gallery scrolls.
_STICKY = """<style>
@media (min-width: 960px) { [data-testid="stColumn"]:has(.st-key-case) {
  position: sticky; top: 4rem; align-self: flex-start; max-height: calc(100vh - 5rem); overflow-y: auto;
} }
</style>"""


def draw() -> None:
    """Draw the view."""
    slot = layout.titled("Failures")
    run = layout.current_run()
    sizes = list(data.query(queries.beam_sizes, run.name).beam_size)
    if not sizes:
        commands = f"{layout.EVALUATE}\n{layout.SCORE}"
        layout.missing("This run has no captions. Generate captions, or score a prediction file, with:", commands, run)
        return
    listing, view = _choose_listing(run, sizes)
    if listing is None:
        _say_unscored(run)
        return
    ranges = data.query(queries.metric_ranges, run.name, listing.beam)
    score_filters.plots(run, listing.beam, ranges, listing.selection, choices.get("image"))
    counted = data.query(queries.case_count, run.name, listing.beam, listing.selection).iloc[0]
    _say_selection(listing, counted)
    if not counted.selected:
        return
    if counted.selected < counted.total:
        _against_rest(listing)
    left, right = layout.columns([5, 4], "case", "cases", gap="medium")
    with left:
        chosen = _FORMS[view](listing, int(counted.selected))
        if "clipscore" in listing.metrics:
            layout.clip_note(run)
    with right, st.container(key="case"):
        st.html(_STICKY)
        _steps(listing, chosen)
        case.draw(run, listing.beam, chosen)
    with slot:
        export_button.offer(lambda: _items(listing, view), "failures", lambda: selected_ids.draw(listing))


def _say_unscored(run: data.Run) -> None:
    """Say how to get scores, and link to the captions."""
    layout.unscored(run)
    if run.attention:
        label, there = "Read the captions in Attention", choices.linked()
        st.page_link("views/attention.py", label=label, icon=":material/visibility:", query_params=there)


# Choosing


def _choose_listing(run: data.Run, sizes: list[int]) -> tuple[Listing | None, str]:
    """Return the chosen listing (None without scores) and the form in which it is shown."""
    columns = layout.columns([2, 3, 3, 4], "choice", "listing", vertical_alignment="bottom")
    with columns[0]:
        beam = choices.one_of("Beam size", "beam", sizes, layout.first_beam(run, sizes), run.beam)
    ranges = data.query(queries.metric_ranges, run.name, beam)
    known = tuple(ranges.metric)
    if not known:
        return None, ""
    with columns[1]:
        first = "clipscore" if "clipscore" in known else known[0]
        sort = choices.one_of("Sort by", "sort", known, first, formatting.title)
    with columns[2]:
        worst_first = "asc" if metrics.higher_is_better(sort) else "desc"
        order = _segments("First", "order", _ORDERS, worst_first)
    with columns[3]:
        view = _segments("Show", "show", _VIEWS, "gallery")
    return Listing(run, beam, known, sort, order == "desc", filters.choose(run, beam, ranges)), view


def _segments(label: str, key: str, options: dict[str, str], default: str) -> str:
    return choices.one_of(
        label, key, list(options), default, options.__getitem__, st.segmented_control, required=True, width="stretch"
    )


# The selection as a whole


def _say_selection(listing: Listing, counted: pd.Series) -> None:
    problem = verdicts.read(data.results_folder(), listing.run.name).problem
    if problem and choices.get("verdict"):
        st.warning(formatting.markdown(problem), icon="⚠️")
    described, total = (
        formatting.markdown(filters.described(listing.selection)),
        formatting.count(int(counted.total), "case"),
    )
    if not described:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if counted.selected:
            st.markdown(f"**{counted.selected:,} of {total} match the filters:** {described}")
        else:
            st.info(f"None of the {total} match these filters: {described}. Widen a range or remove a filter.")
        st.button("Clear all filters", on_click=filters.clear, icon=":material/filter_alt_off:")


def _against_rest(listing: Listing) -> None:
    """Draw how the selected cases differ from all others; queried only while it is open."""
    opened = choices.opened("Selection vs. rest", "rest", icon=":material/balance:")
    if not opened.open:
        return
    with opened:
        with st.container(horizontal=True, gap="medium"):  # below each other where both do not fit
            for table in _rest_tables(listing):
                layout.table(table.shown, width="content")
        st.caption(
            "Means of per-image values with 95 % bootstrap intervals; shares of cases with 95 % Wilson intervals. "
            f"Selected: {formatting.markdown(filters.described(listing.selection))}."
        )


def _rest_tables(listing: Listing) -> list[Table]:
    arguments = (listing.run.name, listing.beam, listing.selection)
    small = chapters.note(listing.run, _setting(listing), filters.described(listing.selection))
    made = data.query(queries.selection_makeup, *arguments)
    found = [tables.selection(data.query(queries.selection_scores, *arguments), small)]
    return found + ([tables.makeup(made, small)] if len(made) else [])


# Forms: each draws the listing and returns the chosen case


def _pairs(listing: Listing, selected: int) -> str:
    k = choices.number("Cases per side", "k", 1, 20, 1, width=140)  # the study shows top-1 and last-1
    highest, lowest = _ends(listing, k)
    chosen = _chosen(listing, highest if listing.descending else lowest)
    title = formatting.markdown_title(listing.sort)
    sides = [(f"Highest {title}", highest, True), (f"Lowest {title}", lowest, False)]
    if not metrics.higher_is_better(listing.sort):
        sides.reverse()  # the best on the left
    if highest.image_id.tolist() == lowest.image_id.tolist():  # one case is both, alone or among equals
        sides = [("The only case" if selected == 1 else f"Highest and lowest {title}", highest, True)]
    for column, (heading, frame, down) in zip(st.columns(2), sides, strict=False):
        places = range(1, len(frame) + 1) if down == listing.descending else _places(listing, frame)
        with column:
            st.markdown(f"**{heading}**")
            _cards(listing, frame, places, f"pairs_{'highest' if down else 'lowest'}", chosen)
    return chosen


def _places(listing: Listing, frame: pd.DataFrame) -> list[int]:
    """Return the places of cases in the list; equal values have one order, so its end is not counted backwards."""
    found = (data.query(queries.neighbours, *listing.arguments, image_id) for image_id in frame.image_id)
    return [int(row.position.iloc[0]) for row in found]


def _ends(listing: Listing, k: int) -> list[pd.DataFrame]:
    """Return the k highest and the k lowest cases, most extreme first."""
    run, beam, sort, _, selection = listing.arguments
    return [data.query(queries.cases, run, beam, sort, down, selection, k) for down in (True, False)]


def _gallery(listing: Listing, selected: int) -> str:
    pages = max(1, -(-selected // _PAGE))
    page = choices.number(f"Page (of {pages})", "page", 1, pages, 1, width=140) if pages > 1 else 1
    frame = data.query(queries.cases, *listing.arguments, _PAGE, _PAGE * (page - 1))
    chosen = _chosen(listing, frame)
    _cards(listing, frame, range(_PAGE * (page - 1) + 1, _PAGE * page + 1)[: len(frame)], "gallery", chosen)
    return chosen


def _cards(listing: Listing, frame: pd.DataFrame, places: Iterable[int], key: str, chosen: str) -> None:
    """Draw cases as cards with their `places` in the list, the numbers that the pager counts."""
    judged = verdicts.read(data.results_folder(), listing.run.name)
    rows = zip(named_rows(frame), places, strict=True)
    gallery([_card(listing, row, place, judged) for row, place in rows], key, chosen, _choose)


def _card(listing: Listing, row: Any, place: int, judged: verdicts.Verdicts) -> Card:
    shown = photo(listing.run.root("images"), row.file_name)
    verdict, metric = judged.of(row.image_id, row.beam_size), listing.sort
    return Card(
        id=row.image_id,
        photo=shown.uri,
        missing=shown.missing,
        badge=f"{place:,}",
        title=formatting.caption(row.caption),
        note=" · ".join(filter(None, [*_numbers(row, metric), "" if verdict.empty else verdict.described])),
        tags=tuple(dict.fromkeys(entry["tag"] for entry in row.tags)),
    )


def _numbers(row: Any, metric: str) -> list[str]:
    """Return the sorted metric and the alarm of a case, if it has one, as a card shows them."""
    shown = [f"{formatting.title(metric)} {formatting.score(metric, getattr(row, metric))}"]
    if metric != ALARM.key and pd.notna(row.alarm):
        shown.append(f"alarm {formatting.score(ALARM.key, row.alarm)}")
    return shown


def _table(listing: Listing, selected: int) -> str:
    frame = data.query(queries.cases, *listing.arguments, _ROWS)
    # A new order or filter gets a new table, because Streamlit keeps a selection by position.
    key = f"table_{hash(listing.arguments)}"
    ids = [*frame.image_id]
    ordered = sorted(listing.metrics, key=lambda metric: metric != listing.sort)
    titles = {"image_id": "Image", "caption": "Caption", **{metric: formatting.title(metric) for metric in ordered}}
    formats = {
        formatting.title(metric): st.column_config.NumberColumn(format=f"%.{definition(metric).digits}f")
        for metric in ordered
    }
    st.dataframe(
        frame[[*titles]].rename(columns=titles),
        key=key,
        hide_index=True,
        height=min(620, 36 * (len(frame) + 1) + 2),
        on_select=lambda: _choose_cell(key, ids),
        selection_mode="single-cell",
        column_config={"Caption": st.column_config.TextColumn(width=230), **formats},
    )
    if selected > _ROWS:
        st.caption(f"First {_ROWS} of {selected:,} cases. Use filters or reverse the order to see others.")
    st.caption("Click a row to show the case.")
    return _chosen(listing, frame)


def _items(listing: Listing, view: str) -> list[Figure | Table]:
    """Return the listed cases as cards and as a table, and the plots of the filters."""
    metric, frame = listing.sort, _listed(listing, view)
    title = f"Cases by {formatting.title(metric)} {formatting.of_setting(listing.beam, listing.run.is_sampled)}"
    chosen = filters.described(listing.selection)
    selected = f"Selected: {chosen or 'all cases'}"
    rows = list(named_rows(frame.head(_PAGE)))
    terms = [selected, chapters.signature(data.query, listing.run, metric, listing.beam)]
    notes = [chapters.note(listing.run, _place(listing, view, len(shown)), *terms) for shown in (rows, frame)]
    drawn = lambda: panels.panels(title, [pairs.case_panel(listing.run, row, metric) for row in rows])  # noqa: E731
    items: list[Figure | Table] = [
        Figure("cases", title, drawn, notes[0]),
        tables.cases(frame, "cases", title, notes[1]),
    ]
    ranges = data.query(queries.metric_ranges, listing.run.name, listing.beam)
    small = chapters.note(listing.run, f"{_setting(listing)}. {selected}")
    items += score_filters.items(listing.run, listing.beam, ranges, listing.selection, small)
    return items + (_rest_tables(listing) if chosen else [])


def _setting(listing: Listing) -> str:
    return formatting.capitalized(formatting.setting(listing.beam, listing.run.is_sampled))


def _place(listing: Listing, view: str, shown: int) -> str:
    """Return which of the selected cases an export shows: `Shown: 25 to 48 of 310 ..., lowest CIDEr first`."""
    counted = data.query(queries.case_count, listing.run.name, listing.beam, listing.selection).iloc[0]
    among = f"{int(counted.selected):,} selected of {formatting.count(int(counted.total), 'case')}"
    if view == "pairs":
        return f"Shown: {shown:,}, those with the highest and the lowest {formatting.title(listing.sort)}, of {among}"
    first = _PAGE * (_shown_page() - 1) if view == "gallery" else 0
    end = "highest" if listing.descending else "lowest"
    return f"Shown: {first + 1:,} to {first + shown:,} of {among}, {end} {formatting.title(listing.sort)} first"


def _shown_page() -> int:
    return st.session_state.get("widget_page", 1)  # as drawn, also if the URL has an invalid page


def _listed(listing: Listing, view: str) -> pd.DataFrame:
    """Return the rows that `view` shows."""
    if view == "table":
        return data.query(queries.cases, *listing.arguments, _ROWS)
    if view == "gallery":
        return data.query(queries.cases, *listing.arguments, _PAGE, _PAGE * (_shown_page() - 1))
    highest, lowest = _ends(listing, st.session_state.get("widget_k", 1))
    return pd.concat([highest, lowest.iloc[::-1]]).drop_duplicates("image_id")


_FORMS = {"pairs": _pairs, "gallery": _gallery, "table": _table}


def _chosen(listing: Listing, frame: pd.DataFrame) -> str:
    """Return the case in the URL if it is in the list, else the first one that is shown."""
    linked, first = choices.get("image"), frame.image_id.iloc[0]
    if not linked or not data.query(queries.neighbours, *_held(listing, linked).arguments, linked).empty:
        return linked or first
    choices.forget("image")  # a saved selection must not keep a case that it does not show
    st.caption(
        f"Image {formatting.quoted(linked)} is not among these cases; "
        f"the first one, {formatting.markdown(first)}, is shown."
    )
    return first


def _held(listing: Listing, image_id: str) -> Listing:
    """Return the listing with a case that left it because it has a verdict now: its second question is still open."""
    if st.session_state.get(verdict_form.JUDGED) != image_id:
        return listing
    excluded = tuple(name for name in listing.selection.exclude_ids if name != image_id)
    return replace(listing, selection=replace(listing.selection, exclude_ids=excluded))


def _choose_cell(key: str, ids: list[str]) -> None:
    cells = st.session_state[key]["selection"]["cells"]
    if cells and 0 <= cells[0][0] < len(ids):
        _choose(ids[cells[0][0]])


def _choose(image_id: str) -> None:
    choices.keep(image=image_id, word=None)


def _steps(listing: Listing, image_id: str) -> None:
    row = data.query(queries.neighbours, *_held(listing, image_id).arguments, image_id).iloc[0]
    previous, following = (each if isinstance(each, str) else None for each in (row.previous, row.next))
    end = "highest" if listing.descending else "lowest"
    with st.container(horizontal=True, vertical_alignment="center"):
        layout.steps(previous, following, "case", _choose)
        st.caption(
            f"{int(row.position):,} of {int(row.selected):,}",
            help=f"By {formatting.markdown_title(listing.sort)}, {end} first. Keys: P and N open the previous and the "
            "next case.",
        )


draw()
