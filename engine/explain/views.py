"""Views of a photo: mirrored and zoomed versions that show the same objects.

What a captioner says of every view does not depend on details of one. Samples from views separate hallucinated from
real objects better than as many samples from the photo itself.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

PER_VIEW = 5
"""Captions that are sampled of each view."""


@dataclass(frozen=True)
class View:
    """A part of a photo, enlarged to the size of the photo, and perhaps mirrored."""

    name: str
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    """Left, top, right and bottom edge, as shares of width and height."""
    is_mirrored: bool = False


VIEWS = (
    View("mirrored", is_mirrored=True),
    View("zoomed", (0.08, 0.08, 0.92, 0.92)),
    View("zoomed, mirrored", (0.08, 0.08, 0.92, 0.92), is_mirrored=True),
    View("top left", (0.0, 0.0, 0.88, 0.88)),
    View("bottom right, mirrored", (0.12, 0.12, 1.0, 1.0), is_mirrored=True),
    View("top right", (0.12, 0.0, 1.0, 0.88)),
    View("bottom left, mirrored", (0.0, 0.12, 0.88, 1.0), is_mirrored=True),
    View("photo"),
)
"""The views in the order in which samples use them: the most informative first."""


def views_of(samples: int) -> list[tuple[View, int]]:
    """Return the views that `samples` captions are drawn from, each with its number of captions."""
    used = VIEWS[: max(1, min(len(VIEWS), samples // PER_VIEW))] if samples else ()
    return [(view, len(range(at, samples, len(used)))) for at, view in enumerate(used)]


def seen(photo: np.ndarray, view: View) -> np.ndarray:
    """Return a view of a photo uint8[height, width, 3], in the same size."""
    height, width = photo.shape[:2]
    left, top, right, bottom = view.box
    if view.box != (0.0, 0.0, 1.0, 1.0):
        box = (left * width, top * height, right * width, bottom * height)
        photo = np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.BICUBIC, box))
    return np.ascontiguousarray(photo[:, ::-1]) if view.is_mirrored else photo


def unmirrored(words: list[str]) -> list[str]:
    """Return the words of a caption of a mirrored photo as they hold for the photo."""
    return [_SIDES.get(word, word) for word in words]


_SIDES = {"left": "right", "right": "left"}
