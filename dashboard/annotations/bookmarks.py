"""Saved selections: a name, a view and the URL parameters of the view, kept in `results/bookmarks.json`.

Knows names, views and URL parameters, but not their meaning. Draws nothing.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dashboard.annotations import json_store
from dashboard.annotations.json_store import JsonStoreError

LONGEST = 80  # characters of a name
_STREAMLITS = {"embed", "embed_options"}  # parameters that a link must not set


@dataclass(frozen=True)
class Bookmark:
    """A view (its path, "" is the first) with its URL parameters."""

    name: str
    view: str
    parameters: dict[str, str]


def path(results: Path) -> Path:
    """Return the file of the saved selections."""
    return results / "bookmarks.json"


def read(results: Path) -> tuple[list[Bookmark], str]:
    """Return all saved selections by name, and why the file could not be read, or ""."""
    try:
        found = json_store.read(path(results), _bookmark)
    except JsonStoreError as error:
        return [], str(error)
    return sorted(found, key=lambda each: each.name.lower()), ""


def save(results: Path, name: str, view: str, parameters: dict[str, str]) -> None:
    """Save a selection under a new name.

    Raises:
        JsonStoreError: the name is empty, too long or taken, or the file cannot be read or written.
    """
    new = Bookmark(_checked(name), view, parameters)

    def edit(entries: list[Bookmark]) -> list[Bookmark]:
        _refuse_taken(entries, new.name)
        return [*entries, new]

    json_store.change(path(results), _bookmark, edit)


def rename(results: Path, old: str, name: str) -> None:
    """Rename a selection; one that was deleted meanwhile stays deleted.

    Raises:
        JsonStoreError: as `save`.
    """
    new = _checked(name)

    def edit(entries: list[Bookmark]) -> list[Bookmark]:
        if new != old:
            _refuse_taken(entries, new)
        return [replace(each, name=new) if each.name == old else each for each in entries]

    json_store.change(path(results), _bookmark, edit)


def delete(results: Path, name: str) -> None:
    """Delete a selection.

    Raises:
        JsonStoreError: the file cannot be read or written.
    """
    json_store.change(path(results), _bookmark, lambda entries: [entry for entry in entries if entry.name != name])


def tidy(name: str) -> str:
    """Return a name as it is stored: words with single spaces between them."""
    return " ".join(name.split())


def _checked(name: str) -> str:
    short = tidy(name)
    if not 0 < len(short) <= LONGEST:
        raise JsonStoreError(f"the name has {len(short)} characters; expected 1 to {LONGEST}")
    return short


def _refuse_taken(entries: list[Bookmark], name: str) -> None:
    if any(entry.name == name for entry in entries):
        raise JsonStoreError(
            f"there is already a selection {name!r}; choose another name or delete that selection first"
        )


def _bookmark(entry: dict[str, Any]) -> Bookmark:
    name, parameters = json_store.text_of(entry, "name", LONGEST), entry.get("parameters")
    if not name or not isinstance(parameters, dict):
        raise ValueError(f"entry {json_store.shown(entry)} has no name or no parameters")
    known = {
        json_store.encodable(key): json_store.encodable(value)
        for key, value in parameters.items()
        if isinstance(value, str) and key.lower() not in _STREAMLITS
    }
    return Bookmark(name, json_store.text_of(entry, "view", 40), known)
