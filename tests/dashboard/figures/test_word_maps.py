"""Maps of one word."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.figures import heatmaps, word_maps
from dashboard.figures.heatmaps import AttentionView


def stored(words: int, layers: int, heads: int, side: int, seed: int = 0) -> pd.Series:
    """A row of `queries.attention` with random maps over a whole photo of 240 x 240 pixels."""
    shape = [words, layers, heads, side * side]
    weights = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    crop = {"x": 0.0, "y": 0.0, "width": 240.0, "height": 240.0}
    maps = {"shape": shape, "weights": weights.tobytes(), "scale": np.full(words * layers * heads, 0.5)}
    return pd.Series({**maps, "crop": crop, "grid_height": side, "grid_width": side, "width": 240, "height": 240})


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 5), st.data())
def test_maps_of_heads_have_the_mean_that_the_viewer_shows(words, layers, heads, side, data):
    row, word = stored(words, layers, heads, side), data.draw(st.integers(0, words - 1))
    found = heatmaps.head_maps(row, word)
    assert found.shape == (layers, heads, side * side)
    assert found[-1].mean(0) == pytest.approx(heatmaps.maps(row, AttentionView(layer=layers))[word])
    pictures = word_maps.heads(row, None, word)
    assert [len(each) for each in pictures] == [heads] * layers and pictures[0][0].size == (144, 144)


def test_a_methods_map_is_brightest_where_its_largest_cell_is():
    row = stored(1, 1, 1, 14)
    map_ = bytes(255 if cell == 14 * 3 + 10 else 0 for cell in range(196))
    picture = word_maps.of_method(row, None, pd.Series({"map": map_, "grid_height": 14, "grid_width": 14}))
    y, x = np.unravel_index(np.asarray(picture.convert("L")).argmax(), picture.size[::-1])
    assert (y * 14 // picture.height, x * 14 // picture.width) == (3, 10)
