"""Maps of one word over its photo: by an explanation method, by attention, and by each layer and head.

Knows a stored row of attention, a row of explanations, and pixels. Knows no page.
"""

from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from dashboard.figures import heatmaps
from dashboard.figures.heatmaps import AttentionView

_SMALL = 144  # pixels of the longer side of a map of one head


def of_method(row: pd.Series, photo: Image.Image | None, explained: Any) -> Image.Image:
    """Return the photo under the map of a method.

    Args:
        row: a row of `queries.attention` of the caption: the crop that the cells divide.
        explained: a row of `queries.word_maps`.
    """
    grid = int(explained.grid_height), int(explained.grid_width)
    found = np.frombuffer(bytes(explained["map"]), dtype=np.uint8).astype(np.float64)
    return heatmaps.overlays(row, photo, found[None], AttentionView(), grid=grid)[0]


def of_attention(row: pd.Series, photo: Image.Image | None, word: int) -> Image.Image:
    """Return the photo under the last layer's attention of a word, averaged over heads."""
    return heatmaps.overlays(row, photo, heatmaps.head_maps(row, word)[-1:].mean(1), AttentionView())[0]


def heads(row: pd.Series, photo: Image.Image | None, word: int) -> list[list[Image.Image]]:
    """Return a small picture for each layer and head."""
    found = heatmaps.head_maps(row, word)
    layers, each, cells = found.shape
    small = heatmaps.overlays(row, photo, found.reshape(layers * each, cells), AttentionView(), _SMALL)
    return [small[start : start + each] for start in range(0, layers * each, each)]
