"""Rename, annotate, hide and delete runs, with undo.

Knows runs and Streamlit. `run_labels` reads and writes the file; `engine.store.trash` moves folders.
"""

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from dashboard.annotations import run_labels
from dashboard.annotations.json_store import JsonStoreError
from dashboard.annotations.run_labels import LONGEST_NOTE, LONGEST_TITLE, Action, Labels
from dashboard.state import choices, data
from dashboard.text import formatting
from dashboard.widgets import layout
from engine.store import remote, trash

_FAILED, _DONE, _ASKED = "run_labels_failed", "run_labels_done", "run_to_delete"
_SHOWN = 5  # actions that are listed


def draw(run: data.Run) -> None:
    """Draw the management of runs, closed at first."""
    found = run_labels.read(data.results_folder())
    opened = choices.opened("Rename, annotate, hide or delete runs", "manage", icon=":material/edit:")
    _say_result(found)
    if opened.open and not found.problem:
        with opened:
            _say_mirror(data.results_folder())
            _edit(run, found)
            _actions(found)


def last_actions() -> None:
    """Draw the undo alone, for a results folder whose last run was deleted."""
    found = run_labels.read(data.results_folder())
    _say_result(found)
    _actions(found)


def _say_result(found: Labels) -> None:
    """Say what the last action did, or why it failed."""
    failed, done = st.session_state.pop(_FAILED, ""), st.session_state.pop(_DONE, "")
    if failed or found.problem:
        st.error(formatting.markdown(failed or found.problem), icon="⚠️")
    elif done:
        st.success(formatting.markdown(done))


def note(run: data.Run) -> None:
    """Draw the folder's name of a run with a title, and its note."""
    label = run_labels.read(data.results_folder()).of(run.name)
    marks = [f"run {run.name}" if run.title else "", "hidden from lists" if run.is_hidden else ""]
    if written := " · ".join(filter(None, marks)):
        st.caption(formatting.markdown(written))
    if label.note:
        st.caption("  \n".join(formatting.markdown(line) for line in label.note.splitlines()))


def _say_mirror(results: Path) -> None:
    place = remote.of(results)
    if place is not None:
        st.caption(
            f"These results mirror {formatting.markdown(place.address)}. Titles, notes and hidden runs are kept in the "
            "mirror on this machine only; delete a run at that address."
        )


def _edit(run: data.Run, found: Labels) -> None:
    """Draw the form of one run, the current one at first."""
    by_name = {each.name: each for each in data.runs()}
    names = [run.name, *(name for name in by_name if name != run.name)]
    shown = lambda name: name if not by_name[name].title else f"{by_name[name].title} ({name})"  # noqa: E731
    with layout.columns([5, 7], "choice", "managed")[0]:
        name = choices.one_of("Run to change", "managed", names, run.name, shown)
    label = found.of(name)
    # A key with the value: a title that was undone, or changed in another session, is shown.
    with st.form(f"label_{hash((name, label))}", border=False, enter_to_submit=True):
        title = st.text_input("Title", label.title, max_chars=LONGEST_TITLE, placeholder=name, help=_TITLE)
        note_of = st.text_area("Note", label.note, max_chars=LONGEST_NOTE, height=90)
        if st.form_submit_button("Save title and note", icon=":material/save:"):
            _save(name, title, note_of)
    with st.container(horizontal=True):
        word = "Show in lists" if label.is_hidden else "Hide from lists"
        icon = f":material/visibility{'' if label.is_hidden else '_off'}:"
        st.button(word, icon=icon, key="run_hide", on_click=_hide, args=(name, not label.is_hidden))
        st.button("Delete ...", icon=":material/delete:", key="run_delete", on_click=_ask, args=(name,))
    _confirm(name)


_TITLE = (
    "Shown in lists, cards and tables in place of the folder's name. Commands and addresses keep the folder's name."
)


def _confirm(name: str) -> None:
    """Ask once before a run is deleted."""
    if st.session_state.get(_ASKED) != name:
        return
    folder = data.results_folder() / trash.TRASH
    st.warning(
        f"Delete run **{formatting.markdown(name)}**? Its folder moves to {formatting.markdown(str(folder))}. "
        "Undo moves it back, also later.",
        icon="⚠️",
    )
    with st.container(horizontal=True):
        label = f"Delete {formatting.markdown(name)}"
        st.button(label, type="primary", key="run_delete_yes", on_click=_delete, args=(name,))
        st.button("Cancel", key="run_delete_no", on_click=_ask, args=("",))


def _actions(found: Labels) -> None:
    """Draw the newest actions, and the button that undoes the last one."""
    if not found.actions:
        return
    newest, *older = list(found.actions[::-1])[:_SHOWN]
    said = formatting.quoted(newest.described)
    st.button(f"Undo: {said}", icon=":material/undo:", key="run_undo", on_click=_undo, args=(newest,))
    if older:
        st.caption("Before that: " + "; ".join(formatting.quoted(each.described) for each in older) + ".")


def _save(name: str, title: str, note_of: str) -> None:
    results, others = data.results_folder(), [each.name for each in data.runs() if each.name != name]
    if _do(lambda: run_labels.rename(results, name, title, others), f"Saved title and note of {name}."):
        _do(lambda: run_labels.annotate(results, name, note_of), f"Saved title and note of {name}.")
    st.rerun()


def _hide(name: str, is_hidden: bool) -> None:
    done = f"Run {name} is {'hidden from' if is_hidden else 'shown in'} lists."
    _do(lambda: run_labels.hide(data.results_folder(), name, is_hidden), done)


def _ask(name: str) -> None:
    st.session_state[_ASKED] = name


def _delete(name: str) -> None:
    _ask("")
    if _do(lambda: run_labels.delete(data.results_folder(), name), f"Deleted run {name}. Undo moves it back."):
        gone = {"managed": None} | ({"run": None} if choices.get(choices.RUN) == name else {})
        choices.keep(**gone)


def _undo(action: Action) -> None:
    _do(lambda: run_labels.undo(data.results_folder(), action), f"Undone: {action.described}.")


def _do(act: Callable[[], None], done: str) -> bool:
    """Return whether an action succeeded; the next run of the page shows the result."""
    try:
        act()
    except JsonStoreError as error:
        st.session_state[_FAILED] = str(error)
        return False
    st.session_state[_DONE] = done
    return True
