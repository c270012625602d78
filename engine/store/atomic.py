"""Text, JSON and numpy files written under a temporary name and renamed: no reader sees half a file."""

import json
import os
import uuid
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write `value` as JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    publish(temporary, path)


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write named arrays as a numpy archive (.npz), whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: two runs may keep the same features at the same time.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(temporary, "wb") as handle:
            np.savez(handle, **arrays)  # ty: ignore[invalid-argument-type]  # numpy's stub knows only its own keywords
        publish(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """Return the arrays of a numpy archive, or None if it is missing or cannot be read."""
    try:
        with np.load(path) as kept:
            return dict(kept)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def publish(temporary: Path, target: Path) -> None:
    """Rename a written file to its final name, so that a reader never sees half of it."""
    with open(temporary, "rb+") as handle:
        os.fsync(handle.fileno())
    os.replace(temporary, target)
