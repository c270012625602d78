"""Saved selections in the sidebar: open, save the current view, rename and delete.

Knows the views by their paths. `bookmarks` reads and writes the file.
"""

from collections.abc import Callable
from typing import Any

import streamlit as st

from dashboard.annotations import bookmarks
from dashboard.annotations.bookmarks import Bookmark, JsonStoreError
from dashboard.state import choices, data
from dashboard.text import formatting

_FAILED = "bookmark_failed"
_WHICH = "bookmark_which"


def draw(view: str, pages: dict[str, Any]) -> None:
    """Draw the saved selections in the current container.

    Args:
        view: the path of the open view.
        pages: path -> page, of every view that can be linked to.
    """
    found, problem = bookmarks.read(data.results_folder())
    with st.expander("Saved selections", icon=":material/bookmark:", expanded=bool(found or problem)):
        if problem:
            st.warning(formatting.markdown(problem), icon="⚠️")
            return
        failed = st.session_state.pop(_FAILED, "")
        if failed:
            st.error(formatting.markdown(failed))
        for place, each in enumerate(found):
            _link(each, pages, place)
        st.text_input("Save current view", key="bookmark_name", placeholder="name", max_chars=bookmarks.LONGEST)
        st.button("Save", key="bookmark_save", on_click=_save, args=(view,), width="stretch")
        if found:
            _manage([each.name for each in found])


def _link(each: Bookmark, pages: dict[str, Any], place: int) -> None:
    if each.view in pages:
        st.page_link(pages[each.view], label=formatting.markdown(each.name), query_params=each.parameters)
    else:
        st.caption(f"{formatting.markdown(each.name)}: unknown view {formatting.markdown(each.view)}")


def _manage(names: list[str]) -> None:
    """Draw both buttons for the chosen name; no name is chosen at first and after a deletion."""
    with st.popover("Rename or delete", width="stretch"):
        chosen = st.selectbox("Selection", names, index=None, key=_WHICH, placeholder="choose a selection")
        none = chosen not in names
        st.text_input("New name", key="bookmark_new", max_chars=bookmarks.LONGEST, disabled=none)
        st.button("Rename", key="bookmark_rename", on_click=_rename, args=(chosen,), disabled=none, width="stretch")
        label = "Delete" if none else f"Delete “{formatting.markdown(chosen)}”"
        st.button(label, key="bookmark_delete", on_click=_delete, args=(chosen,), disabled=none, width="stretch")


def _save(view: str) -> None:
    name = st.session_state.bookmark_name
    if _do(lambda: bookmarks.save(data.results_folder(), name, view, choices.everything())):
        st.session_state.bookmark_name = ""


def _rename(old: str) -> None:
    new = st.session_state.bookmark_new
    if _do(lambda: bookmarks.rename(data.results_folder(), old, new)):
        st.session_state[_WHICH] = bookmarks.tidy(new)  # stays chosen under its new name
        st.session_state.bookmark_new = ""


def _delete(name: str) -> None:
    if _do(lambda: bookmarks.delete(data.results_folder(), name)):
        st.session_state[_WHICH] = None  # a second click must not delete the next one


def _do(act: Callable[[], None]) -> bool:
    """Return whether an action succeeded; the next run of the page shows the error."""
    try:
        act()
    except JsonStoreError as error:
        st.session_state[_FAILED] = str(error)
        return False
    return True
