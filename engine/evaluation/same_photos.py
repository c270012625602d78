"""Find photos with the same content: by file size, then by some bytes, then by the whole file."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path

_SOME = 4_096
"""Bytes in the middle of a file, which differ between photos of the same size."""
_MOST = 50_000
"""Photos of which bytes are read: about a second from a warm disk."""
_EMPTY = -1


def sizes(paths: Sequence[Path]) -> list[int]:
    """Return the size of each file in bytes, -1 if it does not exist."""
    return [_size(path) for path in paths]


def groups(paths: Sequence[Path], known: Sequence[int]) -> list[list[int]]:
    """Return groups of rows whose files are equal, two or more each, in the order of their first row.

    Of more than 50,000 files with a size that others have, too, the first 50,000 are compared.

    Args:
        paths: N files.
        known: their sizes, see `sizes`.
    """
    found = [[row for row in range(len(paths)) if known[row] > 0]]
    found = _divided(found, lambda row: known[row])
    kept, count = [], 0
    for each in found:
        if count + len(each) <= _MOST:
            kept.append(each)
            count += len(each)
    kept = _divided(kept, lambda row: _middle(paths[row], known[row]))
    return sorted(_divided(kept, lambda row: _whole(paths[row])))


def _divided(groups: Iterable[Sequence[int]], key: Callable[[int], Hashable]) -> list[list[int]]:
    """Return the groups divided by a key, without groups of one and without rows that have no key."""
    found = []
    for each in groups:
        parts: dict[Hashable, list[int]] = defaultdict(list)
        for row in each:
            if (value := key(row)) is not None:
                parts[value].append(row)
        found += [part for part in parts.values() if len(part) > 1]
    return found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else _EMPTY
    except OSError:
        return _EMPTY


def _middle(path: Path, size: int) -> bytes | None:
    try:
        with path.open("rb") as file:
            file.seek(max(size // 2 - _SOME // 2, 0))
            return file.read(_SOME)
    except OSError:
        return None


def _whole(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return None
