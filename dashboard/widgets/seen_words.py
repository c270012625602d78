"""Which words of a run were seen: the certificates of explanation methods, and how good the alarm is.

Knows a run and a beam size.
"""

from collections.abc import Callable

import streamlit as st

from dashboard.figures import alarms
from dashboard.items import Figure, Table
from dashboard.report import twins, word_tables
from dashboard.state import data
from dashboard.text import commands, evidence
from dashboard.widgets import layout
from engine.store import queries
from engine.store.frames import named_rows

TITLE = "Which words were seen"


def draw(run: data.Run, beam: int) -> Callable[[], list[Figure | Table]]:
    """Draw the section; return a function that makes its exports."""
    st.header(TITLE, help=evidence.ALARM)
    stored = data.query(queries.has_words, run.name).iloc[0]
    if not stored.words:
        layout.missing("This run has no table of words. Make it again with:", _command(run), run)
        return list
    _alarm(run, beam)
    _certificates(run, beam)
    _twins(run)
    return lambda: [*word_tables.items(run, beam, data.query), *twins.items(run, data.query)]


def _command(run: data.Run) -> str:
    return run.text("command") or commands.EVALUATE


def _alarm(run: data.Run, beam: int) -> None:
    st.markdown("**Alarm of words**")
    found = data.query(queries.alarms, run.name)
    rows = [row for row in named_rows(found) if row.beam_size == beam]
    if not rows:
        st.markdown(
            "How good the alarm is at this beam size was not measured: that needs photos with annotated objects, and "
            "at least 20 wrong and 20 correct nouns."
        )
        return
    st.markdown(" ".join([*map(alarms.alarm_sentence, rows), evidence.ALARM]))
    groups = data.query(queries.alarm_bins, run.name, beam)
    if len(groups):
        with layout.columns([2, 1], "figure", "alarm")[0]:
            layout.figure(alarms.bins(groups, template=layout.template()), "alarm_bins", alarms.bins_title())
        st.caption(
            "Nouns in five groups of equal size by their alarm. If both bars of a group are equally high, the alarm "
            "can be read as a probability."
        )


def _certificates(run: data.Run, beam: int) -> None:
    st.markdown("**Explanation methods**", help=alarms.MEASURES)
    if head := alarms.head_sentence(data.query(queries.best_attention_head, run.name, beam)):
        st.markdown(head)
    found = data.query(queries.certificates, run.name)
    if found.empty:
        sentence = "No explanation method was measured in this run. Measure methods with:"
        layout.missing(sentence, commands.with_explanations(_command(run)), run)
        return
    st.markdown(alarms.certificate_sentence(found))
    layout.table(word_tables.certificates(found, "").shown)
    st.caption(f"Measured at beam size {run.beam(int(found.beam_size.iloc[0]))}. {alarms.MEASURES}")


def _twins(run: data.Run) -> None:
    found = data.query(queries.twin_shares, run.name)
    if found.empty:
        return
    st.markdown(f"**{twins.TITLE}**", help=twins.MEANING)
    st.markdown(twins.sentence(found))
    layout.table(twins.shares(found, "").shown)
