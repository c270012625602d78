"""Any number of settings side by side: one table with tests, what differs between them, and one figure.

Knows runs, beam sizes and Streamlit. The chosen settings are in the URL.
"""

from collections.abc import Sequence

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard.figures import curves
from dashboard.report import many_runs
from dashboard.report.many_runs import Setting
from dashboard.state import choices, data
from dashboard.text import formatting
from dashboard.widgets import export_button, layout
from engine.store import queries
from engine.store.schema import METRICS

_DIFFERENT = "background-color: rgba(213, 94, 0, 0.18); font-weight: 700"


def draw(run: data.Run, partners: pd.DataFrame, slot: DeltaGenerator) -> None:
    """Draw the choice of settings and their comparison.

    Args:
        partners: `queries.partners`, the runs that can be chosen.
        slot: the place of the Export button.
    """
    settings = _choose(run, partners)
    metric, against = _terms(settings)
    if metric is None:
        layout.unscored(run)
        return
    with st.spinner("Testing every setting on every shared image ..."):
        found = data.query(queries.many_settings, tuple(each.pair for each in settings), metric, against)
    _say_comparable(settings, found)
    table = many_runs.table(data.query, settings, found, metric)
    st.table(_literal(table.shown.set_index("Setting")))
    st.caption(formatting.markdown(many_runs.tested(found)))
    if "clip" in metric:
        layout.clip_note(next((each.run for each in settings if each.run.demo_clip), run))
    _curve(settings, metric)
    _settings(_reference_first(settings, found))
    with slot:
        export_button.offer(lambda: many_runs.items(data.query, settings, found, metric), "compare")


def _choose(run: data.Run, partners: pd.DataFrame) -> list[Setting]:
    """Draw the choice of settings; those of the current run come first, because the others are measured against it."""
    by_name = {each.name: each for each in data.runs()}
    runs = [run, *(by_name[name] for name in partners.run if name in by_name and name != run.name)]
    sizes = {each.name: [int(size) for size in data.query(queries.beam_sizes, each.name).beam_size] for each in runs}
    options = {each.key: each for some in runs for each in (Setting(some, size) for size in sizes[some.name])}
    first = [Setting(each, layout.first_beam(each, sizes[each.name])).key for each in runs]
    named = lambda key: options[key].name  # noqa: E731
    chosen = choices.several("Settings", "settings", list(options), first, named, help="A setting is a run and a beam.")
    return [each for key, each in options.items() if key in chosen]


def _terms(settings: Sequence[Setting]) -> tuple[str | None, tuple[str, int] | None]:
    """Draw the choice of the metric and of the reference, and return both.

    The metric is one that some setting has, None if there is none. The reference is None for the best setting.
    """
    scores = [data.query(queries.corpus_scores, each.run.name) for each in settings]
    known = {metric for frame in scores for metric in frame.metric}
    options = [metric for metric in METRICS if metric in known]
    if not options:
        return None, None
    names = {each.key: each for each in settings}
    shown = lambda key: names[key].name if key else "The best setting"  # noqa: E731
    left, middle, _ = layout.columns([3, 5, 4], "choice", "many", vertical_alignment="bottom")
    with left:
        metric = choices.one_of("Metric", "contrast", options, options[0], formatting.title)
    with middle:
        against = choices.one_of("Test against", "against", ["", *names], "", shown)
    return metric, names[against].pair if against else None


def _say_comparable(settings: Sequence[Setting], found: pd.DataFrame) -> None:
    """Say on how many images the numbers are, and which settings have none and why."""
    comparable = int((found.reason == "").sum())
    count = many_runs.images(found)
    if comparable and not count:
        st.info("The comparable settings have no image in common. Remove one of them.")
    elif comparable:
        shared = f"**{formatting.count(count, 'image')}** that {'it has' if comparable == 1 else 'all of them have'}"
        st.markdown(f"{formatting.count(comparable, 'comparable setting')} on the {shared}.")
    reasons = [
        f"- **{formatting.markdown(each.name)}**: {formatting.markdown(reason)}"
        for each, reason in zip(settings, found.reason, strict=True)
        if reason
    ]
    if reasons:
        first = next((each.name for each, why in zip(settings, found.reason, strict=True) if not why), "the first one")
        lead = f"Not comparable with {formatting.markdown(first)}, so not computed:"
        st.warning("\n".join([f"{lead}\n", *reasons]), icon="⚠️")


def _curve(settings: Sequence[Setting], metric: str) -> None:
    frames, left_out, _ = many_runs.by_run(data.query, settings, metric)
    if frames:
        drawn = curves.metric_by_run(frames, metric, layout.template())
        layout.figure(drawn, "curves", f"{formatting.title(metric)} by beam size of all chosen runs")
        st.caption(many_runs.CURVES)
    for name, reason in left_out.items():
        st.caption(f"Without {formatting.markdown(name)}: {formatting.markdown(reason)}.")


def _reference_first(settings: Sequence[Setting], found: pd.DataFrame) -> list[Setting]:
    first = many_runs.reference(settings, found)
    return [first, *(each for each in settings if each != first)]


def _settings(settings: Sequence[Setting]) -> None:
    """Draw the settings that differ, with marks where one differs from the first column; equal ones are folded."""
    table, equal = many_runs.settings_table(settings)
    st.subheader(many_runs.TITLE)
    if table.shown.empty:
        st.caption("No setting differs.")
    else:
        shown = _literal(table.shown.set_index("Setting"))
        st.table(shown.style.apply(_marks, axis=1))
        st.caption("Bold on a shaded ground: differs from the first column.")
    if equal:
        opened = choices.opened(f"Equal in all of them: {formatting.count(len(equal), 'setting')}", "equal")
        if opened.open:
            with opened:
                layout.table(pd.DataFrame({"Setting": list(equal), "Value": list(equal.values())}))


def _marks(row: pd.Series) -> list[str]:
    return [_DIFFERENT if value != row.iloc[0] else "" for value in row]


def _literal(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose texts Markdown shows literally."""
    escaped = frame.map(formatting.markdown)
    escaped.columns = [formatting.markdown(name) for name in frame.columns]
    return escaped.set_axis([formatting.markdown(name) for name in frame.index], axis=0)
