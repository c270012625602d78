"""A JSON file of entries that a person makes on the pages, changed by several sessions at once and never lost.

Knows files and locks. Knows nothing of what an entry says. A change reads the file, edits it and replaces it under a
lock, so that two sessions keep each other's entries, and a crash leaves the old file or the new one.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from filelock import FileLock

from engine.store import atomic, locks

Raw = list[dict[str, Any]]
Make = Callable[[dict[str, Any]], Any]
"""Makes an entry (a dataclass) of a JSON object; a ValueError says what is wrong with it."""

_here = threading.RLock()


class JsonStoreError(ValueError):
    """A file of entries that cannot be read or changed; the message names it and says what to do."""


def read(path: Path, make: Make) -> list[Any]:
    """The entries of `path`; none where there is no file yet.

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
        raise JsonStoreError(f"{path}: {error}; mend the file, or move it away to begin anew") from error


@lru_cache(maxsize=32)
def _parsed(path: Path, changed: int, size: int) -> Raw:
    """`changed` (ns) and `size` make a replaced file a new entry of the cache."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not UTF-8, or not JSON
        raise JsonStoreError(f"{path}: not JSON ({error}); mend the file, or move it away to begin anew") from error
    entries = found.get("entries") if isinstance(found, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise JsonStoreError(f'{path}: expected {{"entries": [{{...}}]}}; mend the file, or move it away to begin anew')
    return entries


def change(path: Path, make: Make, edit: Callable[[list[Any]], list[Any]]) -> None:
    """Replaces the entries of `path` by what `edit` makes of them.

    Raises:
        JsonStoreError: the file cannot be read (it is left as it is: somebody may mend it) or not be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            atomic.write_json(path, {"entries": [asdict(entry) for entry in edit(read(path, make))]})
    except OSError as error:
        raise JsonStoreError(f"{path}: {error.strerror}; nothing was kept, make the folder writable") from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Exclude other threads and processes that change `path`."""
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    with _here:
        locks.acquire(lock)
        try:
            yield
        finally:
            lock.release()


def text_of(entry: dict[str, Any], key: str, longest: int = 4000) -> str:
    """A text of an entry; "" where it is missing or something else."""
    value = entry.get(key)
    return value[:longest] if isinstance(value, str) else ""
