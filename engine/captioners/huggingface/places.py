"""Where the image tokens of a model lie in a photo, found by asking its own processor.

Pictures of the photo's size go through the processor: black, white, and a ramp in each direction. For each pixel that
the model receives, (ramp - black) / (white - black) is its coordinate in the photo; pixels that do not depend on the
photo are padding. Crops, squashing, padding, tiles and flattened patches need no knowledge of the processor.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engine.captioners.huggingface import handover
from engine.captioners.huggingface.errors import HuggingFaceError
from engine.captioners.huggingface.loading import Loaded

_MOST_EXTRA = 16
"""Class and register tokens before the tokens of an image that are looked for."""


@dataclass(frozen=True)
class Pixels:
    """Photo coordinates of the pixels that a model receives, shaped like its pixel values; NaN is padding."""

    x: Tensor
    y: Tensor
    inputs: dict[str, Any]
    """The other inputs of the model for a photo of this size."""


def token_boxes(loaded: Loaded, text: str | None, size: tuple[int, int], tokens: int) -> Tensor:
    """Return the box float64[tokens, 4] (x0, y0, x1, y1) of each image token in a photo; NaN: no place.

    Args:
        size: width and height of the photo.

    Raises:
        HuggingFaceError: the tokens do not form a grid on the pixels.
    """
    pixels = probe(loaded, text, size)
    model_type = loaded.model.config.model_type
    if model_type == "llava_next":
        boxes = _packed(loaded, pixels)
    elif "image_grid_thw" in pixels.inputs:  # patches are flattened, and merged in blocks
        side = loaded.image_processor.patch_size * loaded.image_processor.merge_size
        boxes = _boxes(pixels.x.reshape(tokens, -1), pixels.y.reshape(tokens, -1), (side, side))
    else:
        boxes = _tiled(loaded, pixels, tokens, size)
    if len(boxes) != tokens:
        raise HuggingFaceError(f"hf:{loaded.name}: {tokens} image tokens, but {len(boxes)} places in a photo of {size}")
    width, height = size
    limits = torch.tensor([width, height, width, height], dtype=boxes.dtype)
    return torch.minimum(boxes.clamp(min=0), limits)


def probe(loaded: Loaded, text: str | None, size: tuple[int, int]) -> Pixels:
    """Return where each pixel of the model's input comes from in a photo of `size`."""
    width, height = size
    across = np.broadcast_to(np.linspace(0, 255, width)[None, :, None], (height, width, 3))
    down = np.broadcast_to(np.linspace(0, 255, height)[:, None, None], (height, width, 3))
    pictures = [np.zeros((height, width, 3)), np.full((height, width, 3), 255), across, down]
    images = [Image.fromarray(picture.round().astype(np.uint8)) for picture in pictures]
    inputs = [handover.model_inputs(loaded, [image], text) for image in images]
    black, white, ramp_x, ramp_y = (each["pixel_values"].double().cpu() for each in inputs)
    span = white - black
    is_photo = span.abs() > 1e-6

    def place(ramp: Tensor, count: int) -> Tensor:
        return torch.where(is_photo, (ramp - black) / span.where(is_photo, 1) * (count - 1) + 0.5, torch.nan)

    return Pixels(place(ramp_x, width), place(ramp_y, height), inputs[0])


def _tiled(loaded: Loaded, pixels: Pixels, tokens: int, size: tuple[int, int]) -> Tensor:
    """Return the boxes of tokens that lie row by row on one or several tiles."""
    x, y = pixels.x, pixels.y
    if x.ndim == 4:
        x, y = x.unsqueeze(1), y.unsqueeze(1)  # [1, tiles, 3, height, width]
    x, y = x[0, :, 0], y[0, :, 0]
    tiles, height, width = x.shape
    grid = None if tokens % tiles else _grid_of(tokens // tiles, height, width)
    if grid is None:
        raise HuggingFaceError(
            f"hf:{loaded.name}: {tokens} image tokens form no grid on {tiles} pictures of {height} x {width} pixels"
        )
    rows, columns, extra = grid
    cell = (width // columns, height // rows)
    boxes = _boxes(_cells(x, rows, columns), _cells(y, rows, columns), cell).view(tiles, rows, columns, 4)
    placed = torch.isfinite(boxes).all(-1, keepdim=True)
    for tile in range(tiles):
        if (edges := _exact_edges(x[tile].nanmean(0), size[0], cell[0])) is not None:
            boxes[tile, :, :, 0], boxes[tile, :, :, 2] = edges[:-1], edges[1:]
        if (edges := _exact_edges(y[tile].nanmean(1), size[1], cell[1])) is not None:
            boxes[tile, :, :, 1], boxes[tile, :, :, 3] = edges[:-1, None], edges[1:, None]
    boxes = boxes.where(placed, torch.nan)
    boxes = boxes.view(tiles, rows * columns, 4)
    nowhere = torch.full((tiles, extra, 4), torch.nan, dtype=boxes.dtype)
    return torch.cat([nowhere, boxes], dim=1).flatten(0, 1)


def _exact_edges(centres: Tensor, extent: int, cell: int) -> Tensor | None:
    """Return the exact edges of cells along one side in the photo, if the measured centres of pixels allow it.

    A processor resizes a side to a whole number of pixels and cuts or pads at a whole pixel. Both numbers follow from
    the measurement, whose error of hundredths of a pixel would otherwise decide what lies half in a box.

    Args:
        centres: measured photo coordinate of each pixel of the model, float64[n]; NaN is padding.
        extent: the photo's side in pixels.
        cell: pixels of a cell.
    """
    known = torch.isfinite(centres).nonzero().squeeze(1)
    inner = known[len(known) // 10 : len(known) - len(known) // 10]  # edges are smoothed
    if len(inner) < 8:
        return None
    at, values = inner.double(), centres[inner]
    slope = float(((at - at.mean()) * (values - values.mean())).sum() / ((at - at.mean()) ** 2).sum())
    if slope <= 0:
        return None
    resized, start = extent / slope, float(values.mean() / slope - at.mean()) - 0.5
    if abs(resized - round(resized)) > 0.3 or abs(start - round(start)) > 0.3:
        return None
    scale = extent / round(resized)
    edges = (round(start) + cell * torch.arange(len(centres) // cell + 1, dtype=torch.float64)) * scale
    predicted = (round(start) + at + 0.5) * scale
    return edges if float((predicted - values).abs().max()) < max(scale, 1.0) else None


def _packed(loaded: Loaded, pixels: Pixels) -> Tensor:
    """Return the boxes of LLaVA-Next's tokens: its own packing is applied to their numbers; newlines have no place."""
    from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches

    config, sizes = loaded.model.config, pixels.inputs["image_sizes"]
    vision = config.vision_config
    tiles = image_size_to_num_patches(sizes[0].tolist(), config.image_grid_pinpoints, vision.image_size)
    side = vision.image_size // vision.patch_size
    x, y = pixels.x[0, :tiles, 0], pixels.y[0, :tiles, 0]
    boxes = _boxes(_cells(x, side, side), _cells(y, side, side), (vision.patch_size, vision.patch_size))
    numbers = torch.arange(len(boxes)).view(tiles, side * side, 1).double()
    packed, _ = loaded.model.model.pack_image_features(
        [numbers],
        sizes.cpu(),
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        image_newline=torch.tensor([-1.0]).double(),
    )
    order = packed[0][:, 0].long()
    found = torch.full((len(order), 4), torch.nan, dtype=boxes.dtype)
    found[order >= 0] = boxes[order[order >= 0]]
    return found


def _grid_of(count: int, height: int, width: int) -> tuple[int, int, int] | None:
    """Return rows, columns and the tokens before them: the largest grid of the picture's shape in `count` tokens."""
    for extra in range(min(_MOST_EXTRA, count - 1) + 1):
        cells = count - extra
        rows = round(math.sqrt(cells * height / width))
        if rows and cells % rows == 0 and height % rows == 0 and width % (cells // rows) == 0:
            columns = cells // rows
            if abs(columns * height - rows * width) < 1e-6 * height * width:
                return rows, columns, extra
    return None


def _cells(values: Tensor, rows: int, columns: int) -> Tensor:
    """Return the pixels of each cell, row by row: [tiles, height, width] -> [tiles * rows * columns, pixels]."""
    tiles, height, width = values.shape
    split = values.reshape(tiles, rows, height // rows, columns, width // columns).permute(0, 1, 3, 2, 4)
    return split.reshape(tiles * rows * columns, -1)


def _boxes(x: Tensor, y: Tensor, pixels: tuple[int, int]) -> Tensor:
    """Return the photo's box of each cell from the centres of its `pixels` (across, down)."""
    sides = []
    for values, count in ((x, pixels[0]), (y, pixels[1])):
        low = values.nan_to_num(nan=torch.inf).amin(1)
        high = values.nan_to_num(nan=-torch.inf).amax(1)
        half = (high - low) / max(count - 1, 1) / 2
        sides.append((low - half, high + half))
    (left, right), (top, bottom) = sides
    boxes = torch.stack([left, top, right, bottom], dim=1)
    boxes[~torch.isfinite(boxes).all(1)] = torch.nan
    return boxes
