"""The two questions below a case; answers are saved immediately.

Knows a case and its verdict. `verdicts` reads and writes the file.
"""

import streamlit as st

from dashboard.annotations import verdicts
from dashboard.annotations.verdicts import Verdict
from dashboard.state import data
from dashboard.text import formatting
from dashboard.widgets import layout

_FAILED = "verdict_failed"
JUDGED = "judged_image"
"""Key of the session's state: the image that was judged last."""


def draw(run: data.Run, beam: int, image_id: str, caption: str) -> None:
    """Draw both questions and the note with the saved answers."""
    found = verdicts.read(data.results_folder(), run.name)
    st.markdown("**Your verdict**")
    if found.problem:
        st.warning(formatting.markdown(found.problem), icon="⚠️")
        return
    failed = st.session_state.pop(_FAILED, "")
    if failed:
        st.error(formatting.markdown(failed))
    saved = found.of(image_id, beam)
    case = Verdict(image_id, beam, caption)
    sides = layout.columns(len(verdicts.QUESTIONS), "choice", f"verdict_{run.name}", vertical_alignment="bottom")
    for side, (key, question) in zip(sides, verdicts.QUESTIONS.items(), strict=True):
        with side:
            _question(run, case, saved, key, question)
    _note(run, case, saved)
    if saved.caption and saved.caption != caption:
        st.caption(f"⚠ This verdict was given for another caption: “{formatting.markdown(saved.caption)}”")
    elif not saved.empty:
        st.caption(f"Saved {formatting.markdown(saved.changed.replace('T', ' ')[:16])} UTC")


def _question(run: data.Run, case: Verdict, saved: Verdict, key: str, question: str) -> None:
    name = _named(run, case, key, getattr(saved, key) or None)
    st.segmented_control(question, verdicts.ANSWERS, key=name, on_change=_keep, args=(run.name, case, key, name))


def _note(run: data.Run, case: Verdict, saved: Verdict) -> None:
    name = _named(run, case, "note", saved.note)
    st.text_input(
        "Note", key=name, on_change=_keep, args=(run.name, case, "note", name), max_chars=2000, placeholder="Why?"
    )


def _named(run: data.Run, case: Verdict, key: str, value: str | None) -> str:
    """Return a widget key for this case, set to the value in the file, which another session may have changed."""
    name = f"verdict_{run.name}_{case.beam_size}_{case.image_id}_{key}"
    st.session_state[name] = value
    return name


def _keep(run: str, case: Verdict, key: str, name: str) -> None:
    st.session_state[JUDGED] = case.image_id
    try:
        verdicts.keep(data.results_folder(), run, case, **{key: (st.session_state[name] or "").strip()})
    except verdicts.JsonStoreError as error:
        st.session_state[_FAILED] = str(error)
