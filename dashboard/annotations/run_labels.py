"""What users note about runs: a title, a note, and whether lists hide the run; with the last actions, for undo.

Kept in `results/run_labels.json`. A run keeps the name of its folder and its record. Draws nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dashboard.annotations import json_store
from dashboard.annotations.json_store import JsonStoreError
from engine.store import trash
from engine.store.errors import ResultsError

LONGEST_TITLE, LONGEST_NOTE = 80, 2000  # characters
_KEPT = 20  # actions that can be undone
_VERBS = {"title": "rename", "note": "annotate", "is_hidden": "hide or show", "delete": "delete"}


@dataclass(frozen=True)
class Label:
    """What users noted about a run."""

    run: str
    title: str = ""
    note: str = ""
    is_hidden: bool = False
    kind: str = "label"

    @property
    def empty(self) -> bool:
        """Whether nothing is noted."""
        return not (self.title or self.note or self.is_hidden)


@dataclass(frozen=True)
class Action:
    """An action that can be undone: `what` is a field of Label, or "delete"."""

    run: str
    what: str
    before: str = ""  # the former value; of a deleted run the name in the trash
    after: str = ""
    when: str = ""  # ISO 8601 in UTC
    kind: str = "action"

    @property
    def described(self) -> str:
        """Return `rename demo`, with the new title of a renamed run."""
        verb = _VERBS[self.what]
        if self.what == "is_hidden":
            verb = "hide" if self.after else "show"
        return f"{verb} {self.run}" + (f" to {self.after}" if self.what == "title" and self.after else "")


@dataclass(frozen=True)
class Labels:
    """All labels by run, the actions that can be undone (the newest last), and why the file could not be read or ""."""

    by_run: dict[str, Label]
    actions: tuple[Action, ...] = ()
    problem: str = ""

    def of(self, run: str) -> Label:
        """Return the label of a run; an empty one if there is none."""
        return self.by_run.get(run, Label(run))

    @property
    def titles(self) -> dict[str, str]:
        """Return run -> title, of the runs that have one."""
        return {run: label.title for run, label in self.by_run.items() if label.title}

    @property
    def hidden(self) -> set[str]:
        """Return the runs that lists hide."""
        return {run for run, label in self.by_run.items() if label.is_hidden}


def path(results: Path) -> Path:
    """Return the file of the labels."""
    return results / "run_labels.json"


def read(results: Path) -> Labels:
    """Return all labels; an unreadable file gives a `problem` instead of an error."""
    try:
        return _split(json_store.read(path(results), _entry))
    except JsonStoreError as error:
        return Labels({}, (), str(error))


def rename(results: Path, run: str, title: str, others: Iterable[str]) -> None:
    """Give a run a title; "" removes it.

    Args:
        others: names of the other runs, which a title must not repeat.

    Raises:
        JsonStoreError: the title is too long or taken, or the file cannot be read or written.
    """
    short = " ".join(title.split())
    if len(short) > LONGEST_TITLE:
        raise JsonStoreError(f"the title has {len(short)} characters; expected at most {LONGEST_TITLE}")

    def check(labels: Labels) -> None:
        taken = {*others, *(each for name, each in labels.titles.items() if name != run)}
        if short and short in taken:
            raise JsonStoreError(f"another run is called {short!r}; choose another title")

    _set(results, run, "title", "" if short == run else short, check)


def annotate(results: Path, run: str, note: str) -> None:
    """Keep a note on a run; "" removes it.

    Raises:
        JsonStoreError: the note is too long, or the file cannot be read or written.
    """
    text = note.strip()
    if len(text) > LONGEST_NOTE:
        raise JsonStoreError(f"the note has {len(text):,} characters; expected at most {LONGEST_NOTE:,}")
    _set(results, run, "note", text)


def hide(results: Path, run: str, is_hidden: bool) -> None:
    """Hide a run from lists, or show it again.

    Raises:
        JsonStoreError: the file cannot be read or written.
    """
    _set(results, run, "is_hidden", "yes" if is_hidden else "")


def delete(results: Path, run: str) -> None:
    """Move a run to the trash; its label stays for the undo.

    Raises:
        JsonStoreError: the run is being written or cannot be moved, or the file cannot be read or written.
    """

    def edit(labels: Labels) -> Labels:
        name = trash.discard(results, run)
        moved.append(name)
        return _with(labels, Action(run, "delete", name, "", _now()))

    moved: list[str] = []
    try:
        _change(results, edit)
    except JsonStoreError:
        if moved:  # without an entry in the file there would be no undo
            trash.restore(results, moved[0], run)
        raise


def undo(results: Path, expected: Action) -> None:
    """Undo the newest action.

    Args:
        expected: the action that the user saw as the newest.

    Raises:
        JsonStoreError: another session acted or undid meanwhile, or a file cannot be read, written or moved.
    """

    def edit(labels: Labels) -> Labels:
        if not labels.actions or labels.actions[-1] != expected:
            raise JsonStoreError("another session changed the runs meanwhile; look at the newest action and undo again")
        left = replace(labels, actions=labels.actions[:-1])
        if expected.what == "delete":
            trash.restore(results, expected.before, expected.run)
            return left
        return _labelled(left, expected.run, expected.what, expected.before)

    _change(results, edit)


def _set(results: Path, run: str, what: str, value: str, check: Callable[[Labels], None] = lambda labels: None) -> None:
    """Set one field of a label and note the action; the same value again adds no action."""

    def edit(labels: Labels) -> Labels:
        check(labels)
        before = getattr(labels.of(run), what)
        written = before if isinstance(before, str) else "yes" if before else ""
        if written == value:
            return labels
        return _with(_labelled(labels, run, what, value), Action(run, what, written, value, _now()))

    _change(results, edit)


def _labelled(labels: Labels, run: str, what: str, value: str) -> Labels:
    label = replace(labels.of(run), **{what: bool(value) if what == "is_hidden" else value})
    return replace(labels, by_run=labels.by_run | {run: label})


def _with(labels: Labels, action: Action) -> Labels:
    return replace(labels, actions=(*labels.actions, action)[-_KEPT:])


def _change(results: Path, edit: Callable[[Labels], Labels]) -> None:
    """Replace the file by an edited one, under its lock."""

    def entries(found: list[Any]) -> list[Any]:
        labels = edit(_split(found))
        kept = [label for _, label in sorted(labels.by_run.items()) if not label.empty]
        return [*kept, *labels.actions]

    try:
        json_store.change(path(results), _entry, entries)
    except ResultsError as error:
        raise JsonStoreError(str(error)) from error


def _split(found: list[Any]) -> Labels:
    by_run = {each.run: each for each in found if isinstance(each, Label)}
    return Labels(by_run, tuple(each for each in found if isinstance(each, Action)))


def _entry(entry: dict[str, Any]) -> Label | Action:
    run, what = json_store.text_of(entry, "run", 80), json_store.text_of(entry, "what", 20)
    if not run:
        raise ValueError(f"entry {json_store.shown(entry)} has no run")
    if entry.get("kind") == "label":
        title, note = json_store.text_of(entry, "title", LONGEST_TITLE), json_store.text_of(entry, "note", LONGEST_NOTE)
        return Label(run, title, note, entry.get("is_hidden") is True)
    if what not in _VERBS:
        raise ValueError(f"entry {json_store.shown(entry)} is neither a label nor an action")
    words = {key: json_store.text_of(entry, key) for key in ("before", "after", "when")}
    return Action(run, what, **words)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
