"""Where image tokens lie, against the documented geometry of each family's processor, at the sizes of real checkpoints.

Each expectation is computed here from the size of the photo alone. Only processors and configs are needed, no weights.
"""

import math

import numpy as np
import pytest
import torch

from engine.captioners.huggingface import handover, loading, places

PHOTOS = [(640, 427), (1300, 160), (70, 500)]
"""Width and height in pixels: a usual photo, a very wide and a very tall one."""

NOWHERE = np.full((1, 4), np.nan)


def picture(left, top, right, bottom, pixels, cell, cells) -> np.ndarray:
    """Boxes of the cells of a picture that shows a part of the photo, row by row.

    Args:
        pixels: width and height of the picture, which may end with pixels that no cell covers.
        cell: pixels of a cell's side.
        cells: columns and rows.
    """
    across, down = (right - left) / pixels[0] * cell, (bottom - top) / pixels[1] * cell
    columns, rows = cells
    boxes = [
        (left + column * across, top + row * down, left + (column + 1) * across, top + (row + 1) * down)
        for row in range(rows)
        for column in range(columns)
    ]
    return np.array(boxes)


def squashed(width, height, side, cell, extra=0):
    """The whole photo is resized to a square; class tokens come first."""
    cells = side // cell
    boxes = picture(0, 0, width, height, (side, side), cell, (cells, cells))
    return np.concatenate([np.repeat(NOWHERE, extra, 0), boxes]), (width / side, height / side)


def cropped(width, height, side, cell, extra=0):
    """The shortest edge is resized, and the middle is cut out."""
    scale = min(width, height) / side
    left, top = (width - side * scale) / 2, (height - side * scale) / 2
    part = (left, top, left + side * scale, top + side * scale)
    boxes = picture(*part, (side, side), cell, (side // cell, side // cell))
    return np.concatenate([np.repeat(NOWHERE, extra, 0), boxes]), (scale, scale)


def tiled(width, height, longest, side, cell):
    """SmolVLM and Idefics3: the longest edge is resized, then whole tiles are filled; the last tile is the photo."""
    long_first = width >= height
    ratio = width / height
    across, down = (longest, int(longest / ratio)) if long_first else (int(longest * ratio), longest)
    across, down = (across, down + down % 2) if long_first else (across + across % 2, down)
    ratio = across / down
    if long_first:
        columns = math.ceil(across / side)
        rows = math.ceil(int(columns * side / ratio) / side)
    else:
        rows = math.ceil(down / side)
        columns = math.ceil(int(rows * side * ratio) / side)
    cells = (side // cell, side // cell)
    whole = picture(0, 0, width, height, (side, side), cell, cells)
    if rows * columns == 1:
        return whole, (width / side, height / side)
    tiles = [
        picture(*(c * width / columns, r * height / rows), *((c + 1) * width / columns, (r + 1) * height / rows), *more)
        for more in [((side, side), cell, cells)]
        for r in range(rows)
        for c in range(columns)
    ]
    return np.concatenate([*tiles, whole]), (width / columns / side, height / rows / side)


def merged(width, height, factor, least, most):
    """Qwen: both sides become multiples of a token's side, within limits of the number of pixels."""
    down, across = (round(side / factor) * factor for side in (height, width))
    if down * across > most:
        beta = math.sqrt(height * width / most)
        down, across = (max(factor, math.floor(side / beta / factor) * factor) for side in (height, width))
    elif down * across < least:
        beta = math.sqrt(least / (height * width))
        down, across = (math.ceil(side * beta / factor) * factor for side in (height, width))
    cells = (across // factor, down // factor)
    return picture(0, 0, width, height, (across, down), factor, cells), (width / across, height / down)


def packed(width, height, side, cell, pinpoints):
    """LLaVA-Next: a squashed photo, then tiles of the photo in the middle of the best resolution, a newline per row."""

    def fit(resolution):
        down, across = resolution
        scale = min(across / width, down / height)
        useful = min(int(width * scale) * int(height * scale), width * height)
        return useful, -(down * across - useful)

    down, across = max(pinpoints, key=fit)
    scale = min(across / width, down / height)
    inner = (min(math.ceil(width * scale), across), min(math.ceil(height * scale), down))
    left, top = (across - inner[0]) // 2, (down - inner[1]) // 2
    scales = (width / inner[0], height / inner[1])
    columns, rows = across // cell, down // cell
    boxes = picture(
        *(-left * scales[0], -top * scales[1], (across - left) * scales[0], (down - top) * scales[1]),
        *((across, down), cell, (columns, rows)),
    ).reshape(rows, columns, 4)
    if width / height > columns / rows:
        cut = (rows - int(round(height * columns / width, 7))) // 2
        boxes = boxes[cut : rows - cut]
    else:
        cut = (columns - int(round(width * rows / height, 7))) // 2
        boxes = boxes[:, cut : columns - cut]
    lines = np.concatenate([boxes, np.full((len(boxes), 1, 4), np.nan)], axis=1).reshape(-1, 4)
    base = squashed(width, height, side, cell)[0]
    return np.concatenate([base, lines]), (max(scales[0], width / side), max(scales[1], height / side))


PINPOINTS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
CASES = {
    "ViT-GPT2": ("vit_gpt2", {"size": 224}, {"image_size": 224, "patch_size": 16}, squashed, (224, 16, 1)),
    "Swin, 7 x 7": ("swin_bert", {"size": 224}, {"image_size": 224, "patch_size": 4}, squashed, (224, 32)),
    "BLIP": ("blip", {"size": 384}, {"image_size": 384, "patch_size": 16}, squashed, (384, 16, 1)),
    "GIT": ("git", {"crop": 224}, {"image_size": 224, "patch_size": 16}, cropped, (224, 16, 1)),
    "BLIP-2": ("blip2", {"size": 224}, {"image_size": 224, "patch_size": 14}, squashed, (224, 14, 1)),
    "LLaVA": ("llava", {"crop": 336}, {"image_size": 336, "patch_size": 14}, cropped, (336, 14)),
    # The last 6 pixels are less than a patch, so the vision model does not read them.
    "LLaVA, 384 pixels": ("llava", {"crop": 384}, {"image_size": 384, "patch_size": 14}, cropped, (384, 14)),
    "PaliGemma": ("paligemma", {"size": 224}, {"image_size": 224, "patch_size": 14}, squashed, (224, 14)),
    "PaliGemma, 448": ("paligemma", {"size": 448}, {"image_size": 448, "patch_size": 14}, squashed, (448, 14)),
    "Florence-2": ("florence2", {"size": 768}, {}, squashed, (768, 32, 1)),
    "LLaVA-Next": (
        *("llava_next", {"crop": 336, "image_grid_pinpoints": PINPOINTS}),
        *({"image_size": 336, "patch_size": 14, "image_grid_pinpoints": PINPOINTS}, packed, (336, 14, PINPOINTS)),
    ),
    "SmolVLM, 500M": (
        *("smolvlm", {"longest": 2048, "side": 512}, {"image_size": 512, "patch_size": 16}),
        *(tiled, (2048, 512, 64)),
    ),
    "SmolVLM, 2.2B": (
        *("smolvlm", {"longest": 1536, "side": 384}, {"image_size": 384, "patch_size": 14}),
        *(tiled, (1536, 384, 42)),
    ),
    "Idefics3": (
        *("idefics3", {"longest": 1456, "side": 364}, {"image_size": 364, "patch_size": 14}),
        *(tiled, (1456, 364, 28)),
    ),
    "Qwen2-VL": ("qwen2_vl", {"pixels": (3136, 12_845_056)}, {}, merged, (28, 3136, 12_845_056)),
    "Qwen2.5-VL, few pixels": ("qwen2_5_vl", {"pixels": (3136, 100_352)}, {}, merged, (28, 3136, 100_352)),
    "Qwen3-VL": ("qwen3_vl", {"pixels": (65_536, 16_777_216)}, {}, merged, (32, 65_536, 16_777_216)),
}
"""A checkpoint's family, its image processor's and vision model's settings, and its geometry with its numbers."""


@pytest.fixture(scope="module")
def loaded_as(folders):
    """Load a tiny model and give it the geometry of a real checkpoint."""

    def load(name):
        family, images, vision, _, _ = CASES[name]
        loaded = loading.load(f"hf:{folders(family)}")
        _set_images(loaded.image_processor, dict(images))
        config = loaded.model.config
        part = getattr(config, "vision_config", None) or getattr(config, "encoder", None)
        for key, value in vision.items():
            setattr(config if key == "image_grid_pinpoints" else part, key, value)
        return loaded

    made = {}
    return lambda name: made.setdefault(name, None) or made.update({name: load(name)}) or made[name]


def _set_images(processor, settings) -> None:
    for key, value in settings.items():
        square = {"height": value, "width": value}
        if key == "size":
            processor.size = square
        elif key == "crop":
            processor.size, processor.crop_size = {"shortest_edge": value}, square
        elif key == "pixels":
            processor.size = dict(zip(("shortest_edge", "longest_edge"), value, strict=True))
        elif key == "longest":
            processor.size = {"longest_edge": value}
        elif key == "side":
            processor.max_image_size = {"longest_edge": value}
        else:
            setattr(processor, key, value)


@pytest.mark.parametrize("size", PHOTOS, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_every_token_lies_where_the_processor_puts_it(loaded_as, name, size):
    loaded = loaded_as(name)
    geometry, numbers = CASES[name][3:]
    expected, pixel = geometry(*size, *numbers)
    found = places.token_boxes(loaded, handover.prompt_text(loaded, None), size, len(expected)).numpy()
    _assert_within_a_pixel(found, expected, size, pixel)


def _assert_within_a_pixel(found, expected, size, pixel) -> None:
    limits = np.array([*size, *size], dtype=float)
    inside = np.clip(expected, 0, limits)
    is_padding = ((inside[:, 2:] - inside[:, :2]) <= 0).any(1)  # false for tokens without a place
    inside[is_padding] = np.nan
    np.testing.assert_array_equal(np.isnan(found), np.isnan(inside))
    worst = np.nanmax(np.abs(found - inside) / [*pixel, *pixel])
    assert worst <= 1, f"{worst:.2f} pixels of the model off"


@pytest.mark.parametrize("name", ["LLaVA", "Qwen2-VL"])
def test_a_processor_that_reads_only_pictures_is_asked_with_pictures(loaded_as, monkeypatch, name):
    loaded = loaded_as(name)
    plain = handover.processed

    def strict(loaded, photos, text):
        if any(isinstance(photo, torch.Tensor) for photo in photos):
            raise ValueError("expected a PIL image")
        return plain(loaded, photos, text)

    monkeypatch.setattr(handover, "processed", strict)
    size = (226, 150)
    geometry, numbers = CASES[name][3:]
    expected, pixel = geometry(*size, *numbers)
    found = places.token_boxes(loaded, handover.prompt_text(loaded, None), size, len(expected)).numpy()
    _assert_within_a_pixel(found, expected, size, pixel)
