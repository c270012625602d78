"""Everything a person has chosen: kept in the URL, so that the address of a page is the whole state of it.

A URL that names a run is the whole state, so that the browser's back button undoes a choice. A URL without one comes
from the navigation, and the session's memory fills it in; so it does for a link between views, which names its run for
a new tab, where there is no memory. Widgets are controlled by a choice: they are set from it before they are drawn, and
write it when they change.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, unquote

import streamlit as st

RUN = "run"
"""The choice that every complete URL has."""

_LINK = "link"  # a parameter of links between views alone

_LISTS = {
    "page": ("run", "beam", "sort", "order", "text", "tag", "condition", "verdict", "lasso", "in_"),
    "zero_page": ("run", "template", "outcome", "label"),
}
"""Page number -> what its list is made of: choices, or beginnings of them (in_cider). Another list begins at page 1."""

_MEMORY = "choices"
_REPLACED = "replaced_urls"
_ON_THE_WAY = 1.0  # seconds in which a browser may still send the URL from before the last choice


def restore() -> None:
    """Joins URL and memory; called once at the start of every run of the app."""
    _join()
    _write()


def _join() -> None:
    """Takes up what the URL says."""
    memory, found = _memory(), st.query_params.to_dict()
    is_link = bool(found.pop(_LINK, ""))
    if RUN not in found or (is_link and found[RUN] == memory.get(RUN)):
        memory.update(found)
    elif not _overtaken(found):
        memory.clear()
        memory.update(found)


def _write() -> None:
    """Makes the URL say what was chosen, all of it at once: every writing is a step of the browser's history."""
    if st.query_params.to_dict() != _memory():
        st.query_params.from_dict(_memory())


def _overtaken(found: dict[str, str]) -> bool:
    """Whether `found` is a URL that a choice of this moment has replaced: quick clicks, and no way back."""
    return any(found == replaced for replaced, _ in _just_replaced())


def _just_replaced() -> list[tuple[dict[str, str], float]]:
    """(URL, when it was replaced) of the last moment."""
    now = time.monotonic()
    return [entry for entry in st.session_state.get(_REPLACED, []) if now - entry[1] < _ON_THE_WAY]


def get(key: str, default: str = "") -> str:
    """The choice `key` as it stands in the URL."""
    return _memory().get(key, default)


def everything() -> dict[str, str]:
    """All choices, as they stand in the URL."""
    return dict(_memory())


def linked(**values: Any) -> dict[str, str]:
    """The parameters of a link to another view of the same run: `values` are chosen there, and all else stays."""
    return {_LINK: "1", RUN: get(RUN)} | {key: str(value) for key, value in values.items()}


def keep(**values: Any) -> None:
    """Sets choices, in one step of the browser's history; None or an empty text takes one back."""
    _join()  # a widget's callback comes before the page has done it
    before = everything()
    _change({key: "" if value is None else str(value) for key, value in values.items()})
    _write()
    if _memory() != before:
        st.session_state[_REPLACED] = [*_just_replaced(), (before, time.monotonic())]


def _change(values: dict[str, str]) -> None:
    """Sets choices in the memory; lists that become others begin anew."""
    memory = _memory()
    changed = [key for key, value in values.items() if memory.get(key, "") != value]
    if RUN not in memory:
        changed.clear()  # the first page names the run that it shows anyway
    anew = [page for page, made_of in _LISTS.items() if any(key.startswith(made_of) for key in changed)]
    memory.update(dict.fromkeys(anew, "") | values)
    for key in [key for key, value in memory.items() if not value]:
        del memory[key]


def one_of(
    label: str,
    key: str,
    options: Sequence[Any],
    default: Any,
    shown: Callable[[Any], str] = str,
    widget: Callable[..., Any] = st.selectbox,
    renamed: Mapping[str, str] = MappingProxyType({}),
    **settings: Any,
) -> Any:
    """Draw a choice among `options` with `widget` and return the chosen one.

    An unknown value in the URL selects the default.

    Args:
        renamed: former value of an option -> its value now, for URLs that people have kept.
    """
    by_text = {str(option): option for option in options}
    value = by_text.get(renamed.get(get(key), get(key)), default)
    name = _controlled(key, value)
    widget(label, options, key=name, format_func=shown, on_change=_keep_widget, args=(key, default), **settings)
    return value


def several(
    label: str,
    key: str,
    options: Sequence[str],
    default: Sequence[str],
    shown: Callable[[str], str] = str,
    **settings: Any,
) -> list[str]:
    """A choice of any number of `options`; what the URL names and is not among them is left out."""
    known = set(options)
    named = [unquote(part) for part in get(key).split(",") if part]
    value = [option for option in dict.fromkeys(named) if option in known] or list(default)
    name = _controlled(key, value)
    args = (key, list(default))
    st.multiselect(label, options, key=name, format_func=shown, on_change=_keep_several, args=args, **settings)
    return value


def text(label: str, key: str, **settings: Any) -> str:
    """A text that is typed."""
    value = get(key)
    st.text_input(label, key=_controlled(key, value), on_change=_keep_widget, args=(key, ""), **settings)
    return value


def number(label: str, key: str, low: int, high: int, default: int, **settings: Any) -> int:
    """A whole number from `low` to `high`."""
    try:
        value = min(max(int(get(key, str(default))), low), high)
    except ValueError:
        value = default
    name = _controlled(key, value)
    st.number_input(label, low, high, key=name, on_change=_keep_widget, args=(key, default), step=1, **settings)
    return value


def span(label: str, key: str, low: float, high: float, step: float, **settings: Any) -> tuple[float, float] | None:
    """A range inside [low, high] as two handles; None while it is the whole of it."""
    first, second = _read_span(get(key), low, high)
    name = _controlled(key, (first, second))
    st.slider(label, low, high, key=name, step=step, on_change=_keep_span, args=(key, low, high), **settings)
    return read_span(key, low, high)


def read_span(key: str, low: float, high: float) -> tuple[float, float] | None:
    """What `span` gives, where it is not drawn."""
    found = _read_span(get(key), low, high)
    return None if found == (low, high) else found


def keep_span(key: str, span: tuple[float, float] | None) -> None:
    """Sets a range, or takes it back."""
    keep(**{key: span and f"{span[0]:g}:{span[1]:g}"})


def opened(
    label: str, key: str, default: bool = False, widget: Callable[..., Any] = st.expander, **settings: Any
) -> Any:
    """A part of the page that a person opens and closes: what stands in it is made only while its `open` is true."""
    shown = get(key, "1" if default else "0") == "1"
    return widget(label, key=_controlled(key, shown), on_change=_keep_opened, args=(key, default), **settings)


def _memory() -> dict[str, str]:
    return st.session_state.setdefault(_MEMORY, {})


def _controlled(key: str, value: Any) -> str:
    """Sets the widget of `key` to `value` before it is drawn, and gives the widget's own key.

    Even where the state holds that value already: it may be that of a widget of the same name on the view before.
    """
    name = f"widget_{key}"
    st.session_state[name] = value
    return name


def _keep_widget(key: str, default: Any) -> None:
    value = st.session_state[f"widget_{key}"]
    keep(**{key: None if value == default else value})


def _keep_opened(key: str, default: bool) -> None:
    shown = bool(st.session_state[f"widget_{key}"])
    keep(**{key: None if shown == default else int(shown)})


def _keep_several(key: str, default: list[str]) -> None:
    value = list(st.session_state[f"widget_{key}"])
    keep(**{key: None if value == default else ",".join(quote(option, safe="") for option in value)})


def _keep_span(key: str, low: float, high: float) -> None:
    first, second = st.session_state[f"widget_{key}"]
    keep(**{key: None if (first, second) == (low, high) else f"{first:g}:{second:g}"})


def _read_span(value: str, low: float, high: float) -> tuple[float, float]:
    try:
        first, second = (float(part) for part in value.split(":"))
    except ValueError:
        return low, high
    if not low <= high or not first <= second:
        return low, high
    return min(max(first, low), high), min(max(second, low), high)
