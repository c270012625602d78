"""A caption's attention maps laid over its photo, one picture per word, as the attention viewer draws them.

Knows a stored row of attention and pixels. Knows no page and no figure. Uses the colours, the opacity and the veil over
cropped parts of the viewer in the browser.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

TILE = 480  # pixels of the longer side

# Matplotlib's colour scales (CC0), sampled at equal steps. Brightness alone orders each of them, so that they can be
# read in grey and without colour vision. The viewer in the browser receives the same ones.
SCALES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "inferno": (
        *((0, 0, 4), (31, 12, 72), (85, 15, 109), (136, 34, 106), (186, 54, 85)),
        *((227, 89, 51), (249, 140, 10), (249, 201, 50), (252, 255, 164)),
    ),
    "viridis": (
        *((68, 1, 84), (71, 45, 123), (59, 82, 139), (44, 114, 142), (33, 145, 140)),
        *((40, 174, 128), (94, 201, 98), (173, 220, 48), (253, 231, 37)),
    ),
    "cividis": (
        *((0, 34, 78), (18, 53, 112), (59, 73, 108), (87, 93, 109), (112, 113, 115)),
        *((138, 134, 120), (165, 156, 116), (195, 179, 105), (225, 204, 85), (254, 232, 56)),
    ),
    "grey": ((0, 0, 0), (255, 255, 255)),
}
NEAR_MEAN = 0.1
"""Threshold of `moved`, a total variation distance: below it, a word's map is nearly the mean map of the caption.

The distance bounds the difference of the attention in any region: below 0.1 every region holds the same share in both
maps up to ten points. Measured on every layer and their mean, averaged over heads, of captioners trained on Flickr8k,
COCO (nouns have boxes) and the demo (boxes too):

- below 0.1 most words share their brightest patch with the mean map (63 % of 24,000 maps on Flickr8k, 55 % of 4,200 on
  COCO); from 0.1 on fewer than half do, from 0.25 on about a quarter;
- below 0.1 the boxes of a noun hold as much attention as under the mean map (+0.001 on COCO); on the demo they hold
  +0.01 from 0.15, +0.10 from 0.25, +0.41 from 0.5 on.

In the last layer, which is shown first, it flags no word of the demo and 3.5 % of the words of Flickr8k; in the first
layer of Flickr8k, whose maps hardly depend on the word, 67 %.
"""

SUBTRACT = ("none", "mean", "sinks")
"""What can be subtracted from maps: nothing, the caption's mean map, or its sinks."""

SINK = {"far": 10, "words": 0.8, "least": 3}
"""A sink is a cell whose weight is above `far` times the median of its map for at least the share `words` of the words
of a caption, if the caption has `least` or more, <end> included; its weight is replaced by the median.

Sinks take much of the attention whatever the word (Darcet et al. 2024, "Vision transformers need registers"; Kang et
al. 2025, "See what you are told: visual attention sink"). The median counts as at least 1/255 of the largest weight of
its map, the smallest weight that is stored: a sharp map has a median of 0.
"""

SINK_DEFINITION = (
    f"a cell above {SINK['far']} times the median of its map for at least {100 * SINK['words']:.0f} % of the words; "
    "it gets the median"
)

_GREY = (128, 136, 144)
_VEIL = 0.65
_FAINT = 0.25
"""Share of the opacity that a map keeps where it is 0, which marks the area that the model saw."""


@dataclass(frozen=True)
class AttentionView:
    """Which attention map is shown, and how. Layers and heads count from 1; 0 is the mean over all of them."""

    word: int = 0
    layer: int = 0
    head: int = 0
    subtract: str = "none"  # one of SUBTRACT
    opacity: int = 60  # percent
    scale: str = "inferno"  # one of SCALES

    @property
    def described(self) -> str:
        """Return `layer 3, mean of heads, the caption's mean map subtracted`."""
        parts = [
            f"layer {self.layer}" if self.layer else "mean of layers",
            f"head {self.head}" if self.head else "mean of heads",
            *_SUBTRACTED[self.subtract],
        ]
        return ", ".join(parts)


_SUBTRACTED = {"none": (), "mean": ("the caption's mean map subtracted",), "sinks": ("sinks subtracted",)}


def read_attention_view(sent: Any, row: pd.Series) -> AttentionView:
    """Return the view that the browser or a URL names; a value that does not fit the maps becomes the default."""
    sent = sent if isinstance(sent, dict) else {}
    words, layers, heads, _ = (int(size) for size in row["shape"])
    return AttentionView(
        word=_whole(sent.get("word"), 0, words - 1, 0),
        layer=_whole(sent.get("layer"), 0, layers, layers),
        head=_whole(sent.get("head"), 0, heads if heads > 1 else 0, 0),  # a single head is the mean
        subtract=read_subtract(sent.get("subtract")),
        opacity=_whole(sent.get("opacity"), 0, 100, 60),
        scale=_scale(sent.get("scale")),
    )


def read_subtract(sent: Any) -> str:
    """Return what a URL or an option subtracts, one of SUBTRACT; 1 and true are the mean map, as in earlier URLs."""
    if sent in (True, "1"):
        return "mean"
    return sent if sent in SUBTRACT else "none"


def _whole(value: Any, low: int, high: int, default: int) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return default
    return number if low <= number <= high else default


def _scale(name: Any) -> str:
    return name if name in SCALES else AttentionView.scale


def maps(row: pd.Series, view: AttentionView) -> np.ndarray:
    """Return float64[words, patches] from a row of `queries.attention`: shares of attention, one map per word."""
    words, layers, heads, patches = (int(size) for size in row["shape"])
    stored = np.frombuffer(bytes(row["weights"]), dtype=np.uint8).reshape(words, layers, heads, patches)
    scale = np.asarray(row["scale"], dtype=np.float64).reshape(words, layers, heads, 1)
    weights = stored / 255 * scale
    weights = weights[:, view.layer - 1 : view.layer] if view.layer else weights
    weights = weights[:, :, view.head - 1 : view.head] if view.head else weights
    found = weights.mean(axis=(1, 2))
    if view.subtract == "sinks":
        return np.where(sinks(found), np.median(found, axis=1, keepdims=True), found)
    return np.maximum(found - found.mean(axis=0), 0) if view.subtract == "mean" else found


def head_maps(row: pd.Series, word: int) -> np.ndarray:
    """Return float64[layers, heads, patches], the maps of one word from a row of `queries.attention`."""
    words, layers, heads, patches = (int(size) for size in row["shape"])
    stored = np.frombuffer(bytes(row["weights"]), dtype=np.uint8).reshape(words, layers, heads, patches)
    scale = np.asarray(row["scale"], dtype=np.float64).reshape(words, layers, heads, 1)
    return stored[word] / 255 * scale[word]


def sinks(found: np.ndarray) -> np.ndarray:
    """Return bool[patches]: which cells of maps float[words, patches] are sinks, see SINK."""
    if len(found) < SINK["least"]:
        return np.zeros(found.shape[1], dtype=bool)
    typical = np.maximum(np.median(found, axis=1), found.max(axis=1) / 255)
    return (found > SINK["far"] * typical[:, None]).mean(axis=0) >= SINK["words"]


def sink_count(row: pd.Series, view: AttentionView) -> int:
    """Return how many cells of a caption's maps are sinks."""
    return int(sinks(maps(row, replace(view, subtract="none"))).sum())


def moved(row: pd.Series, view: AttentionView) -> np.ndarray:
    """Return float64[words], 0 to 1: the share of each map outside the caption's mean map; every map counts as 1."""
    found = maps(row, replace(view, subtract="none"))
    found = found / np.maximum(found.sum(axis=1, keepdims=True), 1e-12)
    return np.abs(found - found.mean(axis=0)).sum(axis=1) / 2


def near_mean(row: pd.Series, view: AttentionView) -> np.ndarray:
    """Return bool[words]: whether a word's map is nearly the mean map, which says little about the word."""
    return moved(row, view) < NEAR_MEAN


def clean(row: pd.Series, photo: Image.Image | None) -> Image.Image:
    """Return the photo without a map, in the size of `tiles`; grey if the photo is missing."""
    width, height, _ = _size(row)
    return _ground(photo, (width, height))


def tiles(row: pd.Series, photo: Image.Image | None, view: AttentionView) -> list[Image.Image]:
    """Return one RGB picture per word, at most TILE pixels a side: the photo under the word's map."""
    return overlays(row, photo, maps(row, view), view)


def overlays(
    row: pd.Series,
    photo: Image.Image | None,
    found: np.ndarray,
    view: AttentionView,
    longest: int = TILE,
    grid: tuple[int, int] | None = None,
) -> list[Image.Image]:
    """Return the photo under each of some maps over the part that the model saw, as RGB pictures.

    Args:
        row: a row of `queries.attention`, for the crop and the sizes.
        found: float[maps, cells]; each map has its own scale.
        longest: most pixels of a side.
        grid: rows and columns of the cells; None: those of the row.
    """
    width, height, zoom = _size(row, longest)
    ground = _ground(photo, (width, height))
    crop = row["crop"]
    left, top = (round(float(crop[side]) * zoom) for side in ("x", "y"))
    right = min(width, round(float(crop["x"] + crop["width"]) * zoom))
    bottom = min(height, round(float(crop["y"] + crop["height"]) * zoom))
    seen = ground.crop((left, top, right, bottom))
    veiled = Image.blend(ground, Image.new("RGB", ground.size, _GREY), _VEIL)
    pictures = []
    for heat in _heat(found, grid or (int(row["grid_height"]), int(row["grid_width"]))):
        brightness = heat.resize(seen.size, Image.Resampling.BILINEAR)
        cover = brightness.point(lambda value: round(view.opacity / 100 * (255 * _FAINT + (1 - _FAINT) * value)))
        tile = veiled.copy()
        tile.paste(Image.composite(_coloured(brightness, view.scale), seen, cover), (left, top))
        pictures.append(tile)
    return pictures


def _ground(photo: Image.Image | None, size: tuple[int, int]) -> Image.Image:
    if photo is None:
        return Image.new("RGB", size, _GREY)
    return photo.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def _size(row: pd.Series, longest: int = TILE) -> tuple[int, int, float]:
    """Return width and height of a tile, and its pixels per photo pixel; an unknown photo size is that of the crop."""
    known = pd.notna(row["width"]) and pd.notna(row["height"])
    width = float(row["width"] if known else row["crop"]["width"])
    height = float(row["height"] if known else row["crop"]["height"])
    zoom = longest / max(width, height)
    return max(1, round(width * zoom)), max(1, round(height * zoom)), zoom


def _heat(found: np.ndarray, grid: tuple[int, int]) -> list[Image.Image]:
    """Return one grey picture per map, a pixel per patch, each scaled from 0 to its brightest patch."""
    most = np.maximum(found.max(axis=1, keepdims=True), 1e-12)
    bytes_ = np.round(255 * found / most).astype(np.uint8).reshape(-1, *grid)
    return [Image.fromarray(each, "L") for each in bytes_]


def _coloured(brightness: Image.Image, scale: str) -> Image.Image:
    """Return a grey picture in the colours of a scale."""
    colours = SCALES[scale]
    places = np.linspace(0, 255, len(colours))
    ramp = np.stack([np.interp(np.arange(256), places, channel) for channel in zip(*colours, strict=True)], axis=1)
    return Image.fromarray(ramp.round().astype(np.uint8)[np.asarray(brightness)], "RGB")
