"""The state of a page: every choice of the user is kept in the URL.

A URL that names a run is the whole state, so the browser's back button undoes a choice. A URL without a run comes from
the navigation; the session then fills in its remembered choices. A link between views names its run, because a new tab
has no session. Widgets are set from a choice before they are drawn, and write it when they change.

Streamlit's own `bind="query-params"` (1.67) cannot replace this module. Observed in Chromium: a user's change of a
bound widget replaces the URL without a new history entry, so the back button does not undo it; a callback that sets
two bound widgets adds two entries, so one action takes two steps back. Popovers, tables and components cannot be bound,
and `st.query_params` must not set the parameter of a bound widget, which links, table rows and photo cards do here.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, unquote

import streamlit as st

from dashboard.text import formatting

RUN = "run"
"""The choice that every complete URL contains."""

_LINK = "link"  # a parameter that only links between views have

_LISTS = {
    "page": (
        "run",
        "beam",
        "sort",
        "order",
        "text",
        "tag",
        "match",
        "condition",
        "photo",
        "fact",
        "says",
        "verdict",
        "lasso",
    )
    + ("slice", "versus", "in_"),
    "zero_page": ("run", "template", "outcome", "label", "predicted"),
    "gains_page": ("run", "left_beam", "right", "contrast"),
    "losses_page": ("run", "left_beam", "right", "contrast"),
}
"""Page number -> choices, or prefixes of choices (in_cider), that define its list. A changed list starts at page 1."""

_MEMORY = "choices"
_REFUSED = "refused_choices"
_LABEL = 160  # characters of an option
_REPLACED = "replaced_urls"
_ON_THE_WAY = 1.0  # seconds during which a browser may still send the URL from before the last choice


def restore() -> None:
    """Combine the URL with the remembered choices; called once at the start of every run of the app."""
    st.session_state[_REFUSED] = {}
    _join()
    _write()


def _join() -> None:
    """Read the choices in the URL."""
    memory, found = _memory(), st.query_params.to_dict()
    is_link = bool(found.pop(_LINK, ""))
    if RUN not in found or (is_link and found[RUN] == memory.get(RUN)):
        memory.update(found)
    elif not _overtaken(found):
        memory.clear()
        memory.update(found)


def _write() -> None:
    """Write all choices to the URL at once: each write is one entry of the browser's history."""
    if st.query_params.to_dict() != _memory():
        st.query_params.from_dict(_memory())


def _overtaken(found: dict[str, str]) -> bool:
    """Return whether a choice replaced the URL `found` just now: then it comes from a quick click, not from "back"."""
    return any(found == replaced for replaced, _ in _just_replaced())


def _just_replaced() -> list[tuple[dict[str, str], float]]:
    """Return the URLs that were replaced just now, each with its time."""
    now = time.monotonic()
    return [entry for entry in st.session_state.get(_REPLACED, []) if now - entry[1] < _ON_THE_WAY]


def get(key: str, default: str = "") -> str:
    """Return the value of a choice in the URL."""
    return _memory().get(key, default)


def everything() -> dict[str, str]:
    """Return all choices, with their values in the URL."""
    return dict(_memory())


def forget(key: str) -> None:
    """Drop a choice that cannot be honoured, without an entry of the browser's history; the URL follows later."""
    _memory().pop(key, None)


def refuse(key: str, label: str, instead: str) -> None:
    """Note that the value of a choice cannot be honoured; the page names it with what is shown `instead`."""
    noted = st.session_state.setdefault(_REFUSED, {})
    noted[key] = f"{label} “{formatting.shortened(get(key), 80)}” is not available; shown: {instead}"


def refused() -> list[str]:
    """Return what could not be honoured in this run of the page."""
    return list(st.session_state.get(_REFUSED, {}).values())


def linked(**values: Any) -> dict[str, str]:
    """Return the parameters of a link to another view of the same run; it sets `values` and keeps all other choices."""
    return {_LINK: "1", RUN: get(RUN)} | {key: str(value) for key, value in values.items()}


def keep(**values: Any) -> None:
    """Set choices with one entry of the browser's history; None or "" removes a choice."""
    _join()  # a callback runs before the page has read the URL
    before = everything()
    _change({key: "" if value is None else str(value) for key, value in values.items()})
    _write()
    if _memory() != before:
        st.session_state[_REPLACED] = [*_just_replaced(), (before, time.monotonic())]


def _change(values: dict[str, str]) -> None:
    """Set remembered choices; lists that change return to page 1."""
    memory = _memory()
    changed = [key for key, value in values.items() if memory.get(key, "") != value]
    if RUN not in memory:
        changed.clear()  # the first page adds the run that it shows anyway
    restarted = [page for page, made_of in _LISTS.items() if any(key.startswith(made_of) for key in changed)]
    memory.update(dict.fromkeys(restarted, "") | values)
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
    says_so: bool = False,
    **settings: Any,
) -> Any:
    """Draw a choice among `options` with `widget` and return the chosen one.

    An unknown value in the URL selects the default, and the page says so.

    Args:
        says_so: whether the view itself says that a value is unknown.
        renamed: former value of an option -> its value now, for URLs that people have kept.
    """
    by_text = {str(option): option for option in options}
    named = renamed.get(get(key), get(key))
    value = by_text.get(named, default)
    if named and named not in by_text and not says_so:
        refuse(key, label, formatting.shortened(shown(default), 80))
    name = _controlled(key, value)
    brief = lambda option: formatting.shortened(shown(option), _LABEL)  # noqa: E731
    widget(label, options, key=name, format_func=brief, on_change=_keep_widget, args=(key, default), **settings)
    return value


def several(
    label: str,
    key: str,
    options: Sequence[str],
    default: Sequence[str],
    shown: Callable[[str], str] = str,
    renamed: Mapping[str, str] = MappingProxyType({}),
    **settings: Any,
) -> list[str]:
    """Draw a choice of any number of `options` and return them; unknown values in the URL are left out.

    Args:
        renamed: former value of an option -> its value now, for URLs that people have kept.
    """
    known = set(options)
    parts = [unquote(part) for part in get(key).split(",") if part]
    named = [renamed.get(part, part) for part in parts]
    if not known.issuperset(named):
        refuse(key, label, "the others")
    value = [option for option in dict.fromkeys(named) if option in known] or list(default)
    name = _controlled(key, value)
    args = (key, list(default))
    brief = lambda option: formatting.shortened(shown(option), _LABEL)  # noqa: E731
    st.multiselect(label, options, key=name, format_func=brief, on_change=_keep_several, args=args, **settings)
    return value


def text(label: str, key: str, **settings: Any) -> str:
    """Draw a text input and return its text."""
    value = get(key)
    st.text_input(label, key=_controlled(key, value), on_change=_keep_widget, args=(key, ""), **settings)
    return value


def number(label: str, key: str, low: int, high: int, default: int, **settings: Any) -> int:
    """Draw an input of a whole number from `low` to `high` and return the number."""
    wanted = _whole(get(key, str(default)))
    value = default if wanted is None else min(max(wanted, low), high)
    if value != wanted:
        refuse(key, label, str(value))
    name = _controlled(key, value)
    st.number_input(label, low, high, key=name, on_change=_keep_widget, args=(key, default), step=1, **settings)
    return value


def span(label: str, key: str, low: float, high: float, step: float, **settings: Any) -> tuple[float, float] | None:
    """Draw a slider with two handles and return the range, or None for the full range."""
    first, second = _read_span(get(key), low, high)
    name = _controlled(key, (first, second))
    st.slider(label, low, high, key=name, step=step, on_change=_keep_span, args=(key, low, high), **settings)
    return read_span(key, low, high)


def read_span(key: str, low: float, high: float) -> tuple[float, float] | None:
    """Return the range of a choice without drawing the slider."""
    found = _read_span(get(key), low, high)
    if get(key) and _parts(get(key)) is None:
        refuse(key, "Range", "all values")
    return None if found == (low, high) else found


def keep_span(key: str, span: tuple[float, float] | None) -> None:
    """Set a range, or remove it."""
    keep(**{key: span and f"{span[0]:g}:{span[1]:g}"})


def opened(
    label: str, key: str, default: bool = False, widget: Callable[..., Any] = st.expander, **settings: Any
) -> Any:
    """Draw a part of the page that can be closed; callers compute its content only while its `open` is true."""
    shown = get(key, "1" if default else "0") == "1"
    return widget(label, key=_controlled(key, shown), on_change=_keep_opened, args=(key, default), **settings)


def _memory() -> dict[str, str]:
    return st.session_state.setdefault(_MEMORY, {})


def _controlled(key: str, value: Any) -> str:
    """Set the widget of `key` to `value` before it is drawn, and return the widget's own key.

    Streamlit may still hold the value of a widget with the same name on the previous view, so it is always set.
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
    parts = _parts(value)
    if parts is None or not low <= high:
        return low, high
    first, second = parts
    return min(max(first, low), high), min(max(second, low), high)


def _parts(value: str) -> tuple[float, float] | None:
    """Return the ends of a range such as `0.1:0.5`, or None for any other text."""
    try:
        first, second = (float(part) for part in value.split(":"))
    except ValueError:
        return None
    return (first, second) if first <= second else None


def _whole(value: str) -> int | None:
    try:
        return int(value)
    except ValueError:  # no number, or one with thousands of digits
        return None
