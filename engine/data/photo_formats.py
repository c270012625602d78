"""Which files are photos: recognised by their first bytes, so that a wrong or missing extension does not matter."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF", "BMP")
"""The formats of photos, by Pillow's names. Pillow knows more, some of which start other programs."""

NAMED = "JPEG, PNG, WebP, AVIF, TIFF, GIF or BMP"
"""The formats for messages."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".tif", ".tiff", ".gif", ".bmp"})
"""A file with one of these extensions is meant to be a photo: if it is not, it is reported as broken."""

_RAW = frozenset({".dng", ".nef", ".nrw", ".cr2", ".arw", ".sr2", ".pef", ".3fr", ".iiq", ".kdc", ".erf", ".mef"})
# Camera files that begin like TIFF. Pillow would show their thumbnail.

_HEAD = 64
_BMP_HEADERS = {12, 40, 52, 56, 64, 108, 124}


@dataclass(frozen=True)
class Files:
    """The files of a folder, sorted; hidden ones are in neither list."""

    photos: tuple[Path, ...]
    others: tuple[Path, ...]
    """Files that are not photos."""


def has_photo_suffix(name: str) -> bool:
    """Return whether a file name has the extension of a photo format."""
    return Path(name).suffix.lower() in SUFFIXES


def is_photo(path: Path) -> bool:
    """Return whether a file is a photo, by its content, or is meant to be one, by its extension."""
    if path.name.startswith(".") or path.is_dir():
        return False
    return has_photo_suffix(path.name) or _has_photo_content(path)


def files_in(folder: Path) -> Files:
    """Return the files that lie in `folder` itself."""
    return _sorted_out(path for path in folder.iterdir() if not path.is_dir())


def files_below(folder: Path) -> Files:
    """Return the files of `folder` and of all folders in it, except hidden ones.

    Symbolic links are followed; each folder is read once.
    """
    return _sorted_out(_walk(folder))


def _walk(top: Path) -> Iterator[Path]:
    seen: set[Path] = set()
    for folder, folders, names in os.walk(top, followlinks=True):
        real = Path(folder).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        # Sorted, so that a folder reached by two links gets the same ids on every file system.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in names)


def _sorted_out(paths: Iterable[Path]) -> Files:
    visible = sorted(path for path in paths if not path.name.startswith("."))
    photos = tuple(path for path in visible if is_photo(path))
    return Files(photos, tuple(sorted(set(visible).difference(photos))))


def _has_photo_content(path: Path) -> bool:
    if path.suffix.lower() in _RAW or not path.is_file():  # opening a pipe would wait for its other end
        return False
    try:
        with open(path, "rb") as file:
            return _is_photo_head(file.read(_HEAD))
    except OSError:
        return False


def _is_photo_head(head: bytes) -> bool:
    if head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"II+\0")):
        return True
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return True
    if head[4:8] == b"ftyp":  # the brands of an ISO media file
        brands = head[8 : min(int.from_bytes(head[:4], "big"), _HEAD)]
        return any(brands[at : at + 4] in (b"avif", b"avis") for at in range(0, len(brands), 4))
    return head[:2] == b"BM" and head[6:10] == b"\0\0\0\0" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS
