"""Where the image tokens of a model lie in a photo, found by asking its own processor.

Pictures of the photo's size go through the processor: black, white, and a ramp in each direction. For each pixel that
the model receives, (ramp - black) / (white - black) is its coordinate in the photo; pixels that do not depend on the
photo are padding. Crops, squashing, padding, tiles and flattened patches need no knowledge of the processor.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
    """Photo coordinates of the pixels that a model receives; NaN is padding.

    float64, shaped like the model's pixel values without their channels; flattened patches keep them.
    """

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
    if loaded.model.config.model_type == "llava_next":
        boxes = _packed(loaded, pixels, size)
    elif "image_grid_thw" in pixels.inputs:
        boxes = _merged(loaded, pixels, size)
    else:
        boxes = _tiled(loaded, pixels, tokens, size)
    if len(boxes) != tokens:
        raise HuggingFaceError(f"hf:{loaded.name}: {tokens} image tokens, but {len(boxes)} places in a photo of {size}")
    width, height = size
    for side, start in ((width, 0), (height, 1)):
        if side == 1:  # a ramp of one pixel has no direction
            boxes[:, start], boxes[:, start + 2] = boxes[:, start] * 0, boxes[:, start] * 0 + 1
    limits = torch.tensor([width, height, width, height], dtype=boxes.dtype)
    return torch.minimum(boxes.clamp(min=0), limits)


def probe(loaded: Loaded, text: str | None, size: tuple[int, int]) -> Pixels:
    """Return where each pixel of the model's input comes from in a photo of `size`."""
    width, height = size
    across = torch.linspace(0, 255, width).expand(3, height, width).contiguous()
    down = torch.linspace(0, 255, height).unsqueeze(1).expand(3, height, width).contiguous()
    pictures = [torch.zeros(3, height, width), torch.full((3, height, width), 255.0), across, down]
    inputs = _processed(loaded, text, pictures)
    values = [torch.as_tensor(each["pixel_values"]) for each in inputs]
    # The channels of a pixel lie at the same place.
    black, white, ramp_x, ramp_y = ((each if each.ndim < 4 else each[..., 0, :, :]).double() for each in values)
    span = white - black
    is_photo = span.abs() > 1e-6

    def place(ramp: Tensor, count: int) -> Tensor:
        return torch.where(is_photo, (ramp - black) / span.where(is_photo, 1) * (count - 1) + 0.5, torch.nan)

    return Pixels(place(ramp_x, width), place(ramp_y, height), inputs[0])


def _processed(loaded: Loaded, text: str | None, pictures: Sequence[Tensor]) -> list[dict[str, Any]]:
    """Return what the processor makes of each of float32[3, H, W], values from 0 to 255."""
    try:  # fractions: 256 levels would place the pixels of a photo of 2,000 pixels to 8 pixels only
        return [handover.processed(loaded, [picture], text) for picture in pictures]
    except (TypeError, ValueError, AttributeError, KeyError):  # a processor that reads only pictures
        levels = [picture.permute(1, 2, 0).round().byte().numpy() for picture in pictures]
        return [handover.processed(loaded, [Image.fromarray(each)], text) for each in levels]


def _tiled(loaded: Loaded, pixels: Pixels, tokens: int, size: tuple[int, int]) -> Tensor:
    """Return the boxes of tokens that lie row by row on one or several tiles."""
    x, y = pixels.x, pixels.y
    x, y = (each[0] if each.ndim == 4 else each for each in (x, y))
    tiles, height, width = x.shape
    grid = None if tokens % tiles else _grid_of(tokens // tiles, height, width, _patch_size(loaded))
    if grid is None:
        raise HuggingFaceError(
            f"hf:{loaded.name}: {tokens} image tokens form no grid on {tiles} pictures of {height} x {width} pixels"
        )
    boxes = _cell_boxes(x, y, grid, size)
    nowhere = torch.full((tiles, grid.extra, 4), torch.nan, dtype=boxes.dtype)
    return torch.cat([nowhere, boxes], dim=1).flatten(0, 1)


def _merged(loaded: Loaded, pixels: Pixels, size: tuple[int, int]) -> Tensor:
    """Return the boxes of Qwen's tokens: its patches are flattened, in the order of the blocks that are merged."""
    patch, merge = loaded.image_processor.patch_size, loaded.image_processor.merge_size
    _, patches_down, patches_across = pixels.inputs["image_grid_thw"][0].tolist()
    rows, columns = patches_down // merge, patches_across // merge

    def picture(values: Tensor) -> Tensor:
        # Channels and times of a patch have the same places.
        split = values.reshape(rows, columns, merge, merge, -1, patch, patch)[:, :, :, :, 0]
        return split.permute(0, 2, 4, 1, 3, 5).reshape(1, patches_down * patch, patches_across * patch)

    grid = _CellGrid(rows, columns, 0, merge * patch, merge * patch)
    return _cell_boxes(picture(pixels.x), picture(pixels.y), grid, size).flatten(0, 1)


def _cell_boxes(x: Tensor, y: Tensor, grid: "_CellGrid", size: tuple[int, int]) -> Tensor:
    """Return the boxes float64[tiles, cells, 4] of a grid's cells, row by row; NaN where a cell is padding.

    Args:
        x: photo coordinates of the pixels of the tiles, float64[tiles, height, width]; y likewise.
        size: width and height of the photo.
    """
    # Pixels beyond the last whole patch are not read by the model.
    x, y = (each[:, : grid.rows * grid.cell_height, : grid.columns * grid.cell_width] for each in (x, y))
    cells = (_cells(each, grid.rows, grid.columns) for each in (x, y))
    boxes = _boxes(*cells, (grid.cell_width, grid.cell_height)).view(len(x), grid.rows, grid.columns, 4)
    placed = torch.isfinite(boxes).all(-1, keepdim=True)
    for tile in range(len(x)):
        if (edges := _exact_edges(x[tile].nanmean(0), size[0], grid.cell_width)) is not None:
            boxes[tile, :, :, 0], boxes[tile, :, :, 2] = edges[:-1], edges[1:]
        if (edges := _exact_edges(y[tile].nanmean(1), size[1], grid.cell_height)) is not None:
            boxes[tile, :, :, 1], boxes[tile, :, :, 3] = edges[:-1, None], edges[1:, None]
    return boxes.where(placed, torch.nan).view(len(x), -1, 4)


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


def _packed(loaded: Loaded, pixels: Pixels, size: tuple[int, int]) -> Tensor:
    """Return the boxes of LLaVA-Next's tokens: its own packing is applied to their numbers; newlines have no place."""
    from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches

    config, sizes = loaded.model.config, pixels.inputs["image_sizes"]
    vision = config.vision_config
    tiles = image_size_to_num_patches(sizes[0].tolist(), config.image_grid_pinpoints, vision.image_size)
    side = vision.image_size // vision.patch_size
    grid = _CellGrid(side, side, 0, vision.patch_size, vision.patch_size)
    boxes = _cell_boxes(pixels.x[0, :tiles], pixels.y[0, :tiles], grid, size).flatten(0, 1)
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


@dataclass(frozen=True)
class _CellGrid:
    """The cells of a picture that tokens stand for, in pixels of the model, and the tokens before them."""

    rows: int
    columns: int
    extra: int
    cell_width: int
    cell_height: int


def _patch_size(loaded: Loaded) -> int | None:
    """Return the side of a vision model's patches in pixels, if its config has one."""
    config = loaded.model.config
    vision = getattr(config, "vision_config", None) or getattr(config, "encoder", None)
    found = getattr(vision, "patch_size", None)
    return found if isinstance(found, int) and found > 0 else None


def _grid_of(count: int, height: int, width: int, patch: int | None) -> _CellGrid | None:
    """Return the largest grid of the picture's shape in `count` tokens.

    Args:
        patch: the side of a patch. Tokens are patches, or blocks of them; pixels after the last patch are not read.
    """
    if patch is not None:
        down, across = height // patch, width // patch
        for merge in range(1, min(down, across) + 1):
            extra = count - down // merge * (across // merge)
            if down % merge == 0 and across % merge == 0 and 0 <= extra <= min(_MOST_EXTRA, count - 1):
                return _CellGrid(down // merge, across // merge, extra, merge * patch, merge * patch)
    for extra in range(min(_MOST_EXTRA, count - 1) + 1):
        cells = count - extra
        rows = round(math.sqrt(cells * height / width))
        if rows and cells % rows == 0 and height % rows == 0 and width % (cells // rows) == 0:
            columns = cells // rows
            if abs(columns * height - rows * width) < 1e-6 * height * width:
                return _CellGrid(rows, columns, extra, width // columns, height // rows)
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
