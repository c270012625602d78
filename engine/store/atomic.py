"""Text, JSON and numpy files written under a temporary name and renamed: no reader sees half a file."""

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from engine.writing import replacing


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write `value` as JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write named arrays as a numpy archive (.npz), whole or not at all."""
    # Two runs may keep the same features at the same time.
    with replacing(path, shared=True) as temporary, open(temporary, "wb") as handle:
        np.savez(handle, **arrays)  # ty: ignore[invalid-argument-type]  # numpy's stub knows only its own keywords


def read_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """Return the arrays of a numpy archive, or None if it is missing or cannot be read."""
    try:
        kept = np.load(path)
        if not isinstance(kept, np.lib.npyio.NpzFile):  # a single array
            return None
        with kept:
            return dict(kept)
    except (OSError, ValueError, EOFError, MemoryError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        return None
