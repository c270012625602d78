"""Photos of a run as upright previews, read only from inside the photo folder of the run.

Knows files and pixels. Knows no caption and no page.
"""

import base64
import io
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from stat import S_ISREG
from typing import BinaryIO

from PIL import Image, ImageOps

from dashboard.text import formatting

THUMBNAIL = 320  # pixels of the longer side
LARGE = 960

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff"}
_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "GIF", "TIFF")
"""Pillow's names of the formats that are opened, whatever the suffix: others run decoders that photos do not need."""
_LARGEST = 200_000_000  # pixels; larger photos are not opened for a preview


@dataclass(frozen=True)
class Photo:
    """A photo for a page: a data URI, or "" and a sentence that says why it is missing."""

    uri: str
    missing: str = ""


def photo(root: Path | None, file_name: str | None, size: int = THUMBNAIL) -> Photo:
    """Return the photo `file_name` of the folder `root`, at most `size` pixels per side."""
    if root is None or not isinstance(file_name, str) or not file_name:
        return Photo("", "The run record names no photo folder.")
    path, name = inside(root, file_name), formatting.shortened(file_name)
    if path is None:
        return Photo("", f"{name} is not a photo of this run.")
    try:
        stat = path.stat()
        return Photo(_data_uri(path, size, stat.st_mtime_ns))
    except FileNotFoundError:
        return Photo("", f"{name} was not found.")
    except (OSError, ValueError, Image.DecompressionBombError, SyntaxError):
        return Photo("", f"{name} cannot be opened as a photo.")


def inside(root: Path, file_name: str) -> Path | None:
    """Return the path of `file_name` if it names an image inside `root`, else None.

    Symbolic links inside the folder are followed, because datasets are often linked. A name from a results file cannot
    leave the folder.
    """
    name = PurePath(file_name)
    if name.is_absolute() or ".." in name.parts or "\0" in file_name or name.suffix.lower() not in _SUFFIXES:
        return None
    return root / name


def pixels(root: Path | None, file_name: str | None, size: int = LARGE) -> Image.Image | None:
    """Return the photo as upright RGB, or None if `photo` has none."""
    path = inside(root, file_name) if root is not None and isinstance(file_name, str) else None
    try:
        return None if path is None else _opened(path, size)
    except (OSError, ValueError, Image.DecompressionBombError, SyntaxError):
        return None


def uri(image: Image.Image) -> str:
    """Return an image as a data URI (JPEG)."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


@lru_cache(maxsize=1024)
def _data_uri(path: Path, size: int, changed: int) -> str:
    """Return a photo as a data URI; `changed` (the file's time) makes a replaced photo a new entry of the cache."""
    return uri(_opened(path, size))


def _opened(path: Path, size: int) -> Image.Image:
    with _regular(path) as file, Image.open(file, formats=_FORMATS) as opened:
        if opened.width * opened.height > _LARGEST:
            raise ValueError("too large for a preview")
        opened.draft("RGB", (2 * size, 2 * size))  # JPEG decodes faster at a fraction of its size
        image = _rgb(ImageOps.exif_transpose(opened))
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    return image


def _regular(path: Path) -> BinaryIO:
    """Open a file for reading; a pipe or a device, which could block the page forever, raises a ValueError."""
    file = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb")
    if not S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ValueError("not a regular file")
    return file


def _rgb(image: Image.Image) -> Image.Image:
    """Return an image of any mode as RGB: 16-bit grey is scaled to 8 bits, transparency becomes white."""
    if image.mode.startswith(("I", "F")):
        image = image.point(lambda value: value / 256).convert("L") if image.mode.startswith("I;16") else image
        return image.convert("L").convert("RGB")
    if "A" in image.getbands() or "transparency" in image.info:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(white, layered).convert("RGB")
    return image.convert("RGB")
