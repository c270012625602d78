"""Text, JSON and numpy files written under a temporary name and renamed: no reader sees half a file."""

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from engine.writing import replacing


def write_json(path: Path, value: dict[str, Any], shared: bool = False) -> None:
    """Write `value` as JSON, whole or not at all; `shared` as in `replacing`."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", shared)


def write_text(path: Path, text: str, shared: bool = False) -> None:
    """Write `text` as UTF-8, whole or not at all; `shared` as in `replacing`."""
    with replacing(path, shared) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_rows(path: Path, count: int, parts: Iterable[np.ndarray]) -> None:
    """Write an array of `count` rows (.npy) from parts that are made one after the other, whole or not at all.

    Args:
        parts: at least one, float32[n, D] with the same D.
    """
    # Two runs may keep the same features at the same time.
    with replacing(path, shared=True) as temporary, open(temporary, "wb") as handle:
        for number, part in enumerate(parts):
            if number == 0:
                handle.write(_header(count, part.shape[1]))
            part.astype("<f4").tofile(handle)


def read_rows(path: Path, count: int) -> np.ndarray | None:
    """Return the array of `write_rows` as mapped memory, or None if it is missing, damaged or of another size."""
    try:
        size = path.stat().st_size
        with open(path, "rb") as handle:
            start = handle.read(len(_header(count, 1)))
        # The header is compared and not parsed, because numpy's parser raises almost anything for a damaged one.
        width, rest = divmod(size - len(start), 4 * count)
        if rest or width < 1 or start != _header(count, width):
            return None
        return np.memmap(path, np.dtype("<f4"), "r", len(start), (count, width))
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _header(count: int, width: int) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (count, width)})
    return header.getvalue()
