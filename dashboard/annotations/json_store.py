"""A JSON file of entries that users make on the pages, safe against simultaneous changes.

Knows files and locks, but not what an entry means. A change reads the file, edits the entries and replaces the file
under a lock: two sessions keep each other's entries, and a crash leaves either the old or the new file.
"""

import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from filelock import FileLock

from engine.store import atomic, locks

Raw = list[dict[str, Any]]
Make = Callable[[dict[str, Any]], Any]
"""Convert a JSON object to an entry (a dataclass), or raise a ValueError that says what is wrong."""

_here = threading.RLock()


class JsonStoreError(ValueError):
    """A file of entries cannot be read or changed; the message names it and the next step."""


def read(path: Path, make: Make) -> list[Any]:
    """Return the entries of `path`; an empty list if there is no file yet.

    Raises:
        JsonStoreError: the file cannot be read, or does not hold a list of entries.
    """
    try:
        stat = path.stat()
        return [make(entry) for entry in _parsed(path, stat.st_mtime_ns, stat.st_size)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise JsonStoreError(f"{path}: {error.strerror}; make the file readable") from error
    except JsonStoreError:
        raise
    except ValueError as error:
        raise JsonStoreError(f"{path}: {error}; fix the file, or move it away to start over") from error


@lru_cache(maxsize=32)
def _parsed(path: Path, changed: int, size: int) -> Raw:
    """Return the JSON objects of a file; `changed` (ns) and `size` make a replaced file a new entry of the cache."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not UTF-8, or not JSON
        raise JsonStoreError(f"{path}: not JSON ({error}); fix the file, or move it away to start over") from error
    entries = found.get("entries") if isinstance(found, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise JsonStoreError(f'{path}: expected {{"entries": [{{...}}]}}; fix the file, or move it away to start over')
    return entries


def change(path: Path, make: Make, edit: Callable[[list[Any]], list[Any]]) -> None:
    """Replace the entries of `path` by the result of `edit`.

    Raises:
        JsonStoreError: the file cannot be read (then it is not changed) or not be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            atomic.write_json(path, {"entries": [asdict(entry) for entry in edit(read(path, make))]})
    except OSError as error:
        raise JsonStoreError(f"{path}: {error.strerror}; nothing was saved, make the folder writable") from error


@contextmanager
def _locked(path: Path) -> Generator[None]:
    """Exclude other threads and processes that change `path`."""
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    with _here:
        locks.acquire(lock)
        try:
            yield
        finally:
            lock.release()


def text_of(entry: dict[str, Any], key: str, longest: int = 4000) -> str:
    """Return a text of an entry, or "" if it is missing or has another type."""
    value = entry.get(key)
    return value[:longest] if isinstance(value, str) else ""
