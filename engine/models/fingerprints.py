"""Remembers the fingerprints of weights by the path, size and time of their files: hashing 14 GB takes 20 seconds."""

import hashlib
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from engine.writing import replacing, user_cache

_SETTLED = 2.0
"""Seconds since a file was written after which another write gives it another time on every disk."""


def remembered(files: Iterable[Path], kind: str, compute: Callable[[], str]) -> str:
    """Return the fingerprint of weights; compute it unless it is known for the same files.

    Args:
        files: the files that the weights and everything else in the fingerprint were read from. Without any, or if one
            was written a moment ago, nothing is remembered.
        kind: what else decides the fingerprint, such as the precision of the weights.
        compute: computes the fingerprint.
    """
    key = _key(sorted(files), kind)
    if key is None:
        return compute()
    file = user_cache("fingerprints") / key
    with suppress(OSError, UnicodeDecodeError):
        if found := file.read_text(encoding="ascii").strip():
            return found
    found = compute()
    with suppress(OSError), replacing(file, shared=True) as temporary:
        temporary.write_text(f"{found}\n", encoding="ascii")
    return found


def _key(files: list[Path], kind: str) -> str | None:
    try:
        facts = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    except OSError:
        return None
    newest = max((changed for _, _, changed in facts), default=None)
    if newest is None or time.time() - newest / 1e9 < _SETTLED:
        return None
    return hashlib.sha256(repr((kind, facts)).encode()).hexdigest()


def files_in(folder: Path) -> list[Path]:
    """Return the files of a model's folder."""
    return [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
