"""The settings in the records of runs, as texts, and those in which runs differ.

Knows `run.json`, which may come from another program or version. Reads no file.
"""

from collections.abc import Mapping, Sequence
from typing import Any

_PARTS = ("kind", "captioner", "decoding", "clip", "data", "attention", "predictions", "seed", "versions")
"""Entries of a record that hold settings, in the order of the table."""

_LONGEST = 300  # characters of a value
_DEEPEST = 4  # levels of objects in objects

MISSING = "–"
"""The value of a setting that a run does not have."""


def settings_of(record: Mapping[str, Any]) -> dict[str, str]:
    """Return name -> value of the settings of a run: `captioner: encoder` -> `vit_base_patch16_clip_224`."""
    found: dict[str, str] = {}
    for part in _PARTS:
        _flatten(part, record.get(part), found, 0)
    return found


def _flatten(name: str, value: Any, found: dict[str, str], depth: int) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items() if depth < _DEEPEST else ():
            _flatten(f"{name}: {str(key).replace('_', ' ')}", inner, found, depth + 1)
    elif (text := _text(value)) is not None:
        found[name] = text


def _text(value: Any) -> str | None:
    """Return a scalar or a list of scalars as text, and None for anything else or an empty value."""
    if isinstance(value, list):
        parts = [_text(each) for each in value[:20]]
        return ", ".join(part for part in parts if part) or None
    if isinstance(value, bool):
        return "yes" if value else "no"
    try:
        text = str(value)[:_LONGEST] if isinstance(value, str | int | float) else ""
    except ValueError:  # a number of thousands of digits
        return None
    return " ".join(text.split()) or None


def aligned(columns: Sequence[Mapping[str, str]]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the settings in which columns differ, each with its values, and those that are equal, with their value.

    Args:
        columns: `settings_of` of each run.
    """
    names = dict.fromkeys(name for part in _PARTS for each in columns for name in each if _is_of(part, name))
    names |= dict.fromkeys(name for each in columns for name in each)
    rows = {name: [each.get(name, MISSING) for each in columns] for name in names}
    differing = {name: values for name, values in rows.items() if len(set(values)) > 1}
    return differing, {name: values[0] for name, values in rows.items() if name not in differing}


def _is_of(part: str, name: str) -> bool:
    return name == part or name.startswith(f"{part}: ")
