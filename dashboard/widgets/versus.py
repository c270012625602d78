"""The filter that keeps the images on which the shown setting is better or worse than another one.

In the URL it is `RUN:BEAM:METRIC:gains` or `...:losses`; a query finds the images, because an address has no room for
thousands of ids.
"""

import streamlit as st

from dashboard.state import choices, data
from dashboard.text import formatting
from engine.store import queries
from engine.store.queries import Versus
from engine.store.schema import METRICS

KEY = "versus"
_KINDS = {"gains": True, "losses": False}


def written(other: str, beam: int, metric: str, kind: str) -> str:
    """Return the filter as the URL has it; `kind` is "gains" or "losses" of the shown setting."""
    return f"{other}:{int(beam)}:{metric}:{kind}"


def choose() -> Versus | None:
    """Return the filter in the URL, and draw its description with a button that clears it; None if there is none."""
    text = choices.get(KEY)
    found = read(text)
    if text and found is None:
        choices.refuse(KEY, "Comparison with another setting", "all cases")
    if found is not None:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"Only images on which this setting is **{formatting.markdown(described(found))}**.")
            st.button("Clear", icon=":material/close:", on_click=_clear, help="Remove the comparison filter")
    return found


def read(text: str) -> Versus | None:
    """Return the filter that a text of the URL names, or None if the results have no such setting or metric."""
    run, _, rest = text.partition(":")  # the name of a run has no colon
    beam, _, rest = rest.partition(":")
    metric, _, kind = rest.rpartition(":")
    known = kind in _KINDS and metric in METRICS and run in {each.name for each in data.runs()}
    if not known or beam not in {str(size) for size in data.query(queries.beam_sizes, run).beam_size}:
        return None
    return Versus(run, int(beam), metric, _KINDS[kind])


def described(versus: Versus) -> str:
    """Return `better than demo, beam size 3, by CIDEr`."""
    than = "better" if versus.is_gain else "worse"
    setting = f"{versus.run}, {formatting.setting(versus.beam_size)}"
    return f"{than} than {setting}, by {formatting.title(versus.metric)}"


def _clear() -> None:
    choices.keep(**{KEY: None})
