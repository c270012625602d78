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
from stat import S_ISREG
from typing import Any

from filelock import FileLock

from engine.store import atomic, locks

Raw = list[dict[str, Any]]
Make = Callable[[dict[str, Any]], Any]
"""Convert a JSON object to an entry (a dataclass), or raise a ValueError that says what is wrong."""

_here = threading.RLock()
_REMEDY = "fix the file, or move it away to start over"


class JsonStoreError(ValueError):
    """A file of entries cannot be read or changed; the message names it and the next step."""


def read(path: Path, make: Make) -> list[Any]:
    """Return the entries of `path`; an empty list if there is no file yet.

    Raises:
        JsonStoreError: the file cannot be read, or does not hold a list of entries.
    """
    try:
        stat = path.stat()
        if not S_ISREG(stat.st_mode):
            raise JsonStoreError(f"{path}: not a file; move it away to start over")
        return [make(entry) for entry in _parsed(path, stat.st_mtime_ns, stat.st_size)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise JsonStoreError(f"{path}: {error.strerror}; make the file readable") from error
    except JsonStoreError:
        raise
    except (ValueError, RecursionError) as error:
        raise JsonStoreError(f"{path}: {_reason(error)}; {_REMEDY}") from error


def _reason(error: Exception) -> str:
    """Return in a few words why JSON cannot be read."""
    if isinstance(error, RecursionError):
        return "its lists and objects are nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 (byte {error.start})"
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON ({error})" if error.doc.strip() else "the file is empty"
    return "a number has too many digits" if "integer string conversion" in str(error) else str(error)


@lru_cache(maxsize=32)
def _parsed(path: Path, changed: int, size: int) -> Raw:
    """Return the JSON objects of a file; `changed` (ns) and `size` make a replaced file a new entry of the cache."""
    found = json.loads(path.read_text(encoding="utf-8"))
    entries = found.get("entries") if isinstance(found, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise JsonStoreError(f'{path}: expected {{"entries": [{{...}}]}}; {_REMEDY}')
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
    return encodable(value[:longest]) if isinstance(value, str) else ""


def encodable(text: str) -> str:
    """Return text that UTF-8 can encode: JSON may contain halves of a character, which no browser takes."""
    return text.encode("utf-8", "replace").decode("utf-8")


def shown(entry: dict[str, Any]) -> str:
    """Return the beginning of an entry for an error message."""
    return json.dumps(entry)[:80]
