"""Open photos upright in RGB, and compute the crop that a model sees.

Sizes and normalisation statistics are passed as a `Preprocessing`.
"""

import ctypes
import logging
import stat
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import PIL
from PIL import Image, ImageOps

from engine.data.photo_formats import FORMATS, NAMED
from engine.reading import first_line

MAX_PIXELS = 100_000_000
"""Photos with more pixels are skipped: each takes 300 MB, and Pillow soon rejects them as decompression bombs."""
MAX_RATIO = 100
"""Longer strips are skipped: scaled until the short side fills the model's input, they would take gigabytes."""

_INTERPOLATIONS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}

_REASON = 200  # characters of Pillow's message that are kept

T = TypeVar("T")


class PhotoError(ValueError):
    """A photo that cannot be used; the message is the reason that the results show."""


@dataclass(frozen=True)
class Crop:
    """A rectangle in pixels of the upright photo."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Preprocessing:
    """How a photo is prepared: resize the shorter side to size / crop_pct, centre crop, normalise.

    mean and std refer to RGB values in [0, 1].
    """

    size: int = 224
    crop_pct: float = 1.0
    interpolation: str = "bicubic"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def __post_init__(self) -> None:
        if self.interpolation not in _INTERPOLATIONS:
            raise ValueError(f"interpolation {self.interpolation!r}: expected one of {sorted(_INTERPOLATIONS)}")

    def crop(self, width: int, height: int) -> Crop:
        """Return the part of a `width` x `height` photo that the model sees, in the photo's pixels."""
        scaled_width, scaled_height = self._scaled(width, height)
        left, top = self._corner(scaled_width, scaled_height)
        across, down = width / scaled_width, height / scaled_height
        return Crop(left * across, top * down, self.size * across, self.size * down)

    def window(self, photo: Image.Image) -> Image.Image:
        """Return the crop that the model sees, `size` x `size` pixels, before normalisation."""
        scaled = photo.resize(self._scaled(*photo.size), _INTERPOLATIONS[self.interpolation])
        left, top = self._corner(*scaled.size)
        return scaled.crop((left, top, left + self.size, top + self.size))

    def window_bytes(self, photo: Image.Image) -> np.ndarray:
        """Return the crop before normalisation, uint8[size, size, 3]."""
        return np.asarray(self.window(photo), dtype=np.uint8)

    def normalise(self, window: np.ndarray) -> np.ndarray:
        """Return the model's input: uint8[size, size, 3] -> float32[3, size, size]."""
        scaled = window.astype(np.float32) / 255.0
        normal = (scaled - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(normal.transpose(2, 0, 1))

    def _scaled(self, width: int, height: int) -> tuple[int, int]:
        # Truncated like torchvision's Resize, which both timm's and open_clip's transforms use.
        side = int(self.size / self.crop_pct)
        if width <= height:
            return side, max(int(side * height / width), side)
        return max(int(side * width / height), side), side

    def _corner(self, width: int, height: int) -> tuple[int, int]:
        return round((width - self.size) / 2), round((height - self.size) / 2)


def open_photo(path: Path) -> Image.Image:
    """Return the decoded photo, upright (EXIF rotation applied), in 8-bit RGB; of an animation, the first picture.

    Raises:
        PhotoError: the photo is missing, empty, broken, not of one of FORMATS, larger than MAX_PIXELS, has pixels that
            8 bits cannot represent, or one side is more than MAX_RATIO times the other.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for its other end
            raise PhotoError("not a regular file")
        if found.st_size == 0:
            raise PhotoError("the file is empty")
        with Image.open(path, formats=FORMATS) as image:
            _check_size(image)
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except PhotoError:
        raise
    except FileNotFoundError as error:
        raise PhotoError("there is no such file") from error
    except Image.DecompressionBombError as error:
        raise PhotoError(f"more than {MAX_PIXELS:,} pixels") from error
    except Image.UnidentifiedImageError as error:
        raise PhotoError(f"not a {NAMED} image") from error
    # Pillow's plugins raise almost anything on damaged files (OSError, SyntaxError, struct.error, ValueError ...).
    except Exception as error:
        raise PhotoError(f"broken: {first_line(error)[:_REASON]}") from error


def light(photo: Image.Image) -> tuple[float, float]:
    """Return the brightness of a photo, the mean of its gray values (0 to 1), and their standard deviation."""
    gray = np.asarray(photo.resize((_GRAY, _GRAY), Image.Resampling.BOX, reducing_gap=1.0).convert("L"), np.float64)
    return float(gray.mean() / 255), float(gray.std() / 255)


_GRAY = 64
"""Side of the reduced photo whose gray values are measured."""


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise PhotoError(f"{image.width} x {image.height} pixels, more than {MAX_PIXELS:,} in all")
    if max(image.size) > MAX_RATIO * min(image.size):
        raise PhotoError(f"{image.width} x {image.height} pixels, one side over {MAX_RATIO} times the other")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise PhotoError("pixels are floating-point numbers; save it with 8 bits per channel")
    if image.mode.startswith("I"):
        # 16-bit grey: Pillow's conversion clips at 255, which turns almost every such photo white.
        grey = np.asarray(image, dtype=np.float64)
        if grey.max() > 65535 or grey.min() < 0:
            raise PhotoError("pixels have more than 16 bits; save it with 8 bits per channel")
        return Image.fromarray((grey / 257.0).round().astype(np.uint8)).convert("RGB")
    return image.convert("RGB")


def _silence() -> None:
    """Keep Pillow from writing to the terminal: what is wrong with a photo is in the results.

    It warns by Python's warnings and logs, and libtiff, which comes with it, by writing to stderr. Filters of a single
    call would not be safe in threads.
    """
    warnings.filterwarnings("ignore", module=r"PIL\b")
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    for library in Path(PIL.__file__).parent.parent.glob("pillow.libs/libtiff*"):
        libtiff = ctypes.CDLL(str(library))
        for handler in (libtiff.TIFFSetErrorHandler, libtiff.TIFFSetWarningHandler):
            handler.argtypes, handler.restype = [ctypes.c_void_p], ctypes.c_void_p
            handler(None)


_silence()


def read_ahead(paths: Iterable[T], read: Callable[[T], object], workers: int = 2, ahead: int = 32) -> Iterator:
    """Yield `read(path)` for each of `paths`, in order; threads read at most `ahead` items in advance.

    Pillow and numpy release the interpreter lock, so decoding overlaps with the model. An exception of `read` is raised
    when its item is due.
    """
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[Future] = deque()
        for path in paths:
            pending.append(pool.submit(read, path))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
