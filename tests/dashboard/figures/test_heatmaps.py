"""Attention maps over the photo: the right map, the right place, and what the model did not see under a veil."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from dashboard.figures.heatmaps import (
    NEAR_MEAN,
    TILE,
    AttentionView,
    maps,
    moved,
    read_attention_view,
    read_subtract,
    sink_count,
    tiles,
)


def row(words: int = 2, crop: tuple[float, float, float, float] = (100, 0, 200, 200), size=(400, 200)) -> pd.Series:
    """Two layers, two heads, 2 x 2 patches: word w looks at patch w; head 1 is twice head 0; layer 1 is even."""
    weights = np.zeros((words, 2, 2, 4), np.uint8)
    for word in range(words):
        weights[word, 0, :, word] = 255
        weights[word, 1] = 255
    scale = np.tile(np.array([[0.5, 1.0], [0.25, 0.25]], np.float32), (words, 1, 1))
    return pd.Series(
        {
            "words": [f"w{word}" for word in range(words)],
            "shape": [words, 2, 2, 4],
            "weights": weights.tobytes(),
            "scale": scale.ravel(),
            "grid_height": 2,
            "grid_width": 2,
            "crop": dict(zip(("x", "y", "width", "height"), crop, strict=True)),
            "width": size[0],
            "height": size[1],
        }
    )


def test_a_layer_and_a_head_are_picked_or_meant_over():
    assert maps(row(), AttentionView(layer=1, head=2))[0] == pytest.approx([1, 0, 0, 0])
    assert maps(row(), AttentionView(layer=1))[0] == pytest.approx([0.75, 0, 0, 0])
    assert maps(row(), AttentionView(layer=2))[1] == pytest.approx([0.25] * 4)
    assert maps(row(), AttentionView())[1] == pytest.approx([0.125, 0.5, 0.125, 0.125])


def test_the_mean_map_is_subtracted_and_nothing_falls_below_zero():
    assert maps(row(), AttentionView(layer=1, head=2, subtract="mean"))[0] == pytest.approx([0.5, 0, 0, 0])


def planted(weights: np.ndarray) -> pd.Series:
    """A caption with one layer and one head of whole weights [words, 12], on 3 rows of 4 cells."""
    case = row()
    case["words"] = [f"w{word}" for word in range(len(weights))]
    case["shape"], case["grid_height"], case["grid_width"] = [len(weights), 1, 1, 12], 3, 4
    case["weights"] = weights.astype(np.uint8).tobytes()
    case["scale"] = np.ones(len(weights), np.float32)
    return case


SINKS = AttentionView(subtract="sinks")


def test_a_cell_far_above_the_median_for_nearly_every_word_is_a_sink_and_one_of_a_single_word_stays():
    weights = np.full((5, 12), 4)
    weights[:, 7] = [200, 180, 220, 4, 210]  # a sink, although not for word 3
    weights[1, 2] = 90  # what word 1 is about
    found = maps(planted(weights), SINKS) * 255
    assert sink_count(planted(weights), SINKS) == 1
    assert found[:, 7] == pytest.approx([4] * 5)  # the median: it no longer sets the scale
    assert found[1, 2] == pytest.approx(90) and found[1].argmax() == 2
    kept = np.delete(np.arange(12), 7)
    assert found[:, kept] == pytest.approx(weights[:, kept])


@pytest.mark.parametrize(
    "weights",
    [
        np.full((5, 12), 4),  # even maps
        np.where(np.arange(12) == 7, 40, np.full((5, 12), 4)),  # not above ten times the median
        np.where(np.arange(12) == 7, 200, np.full((2, 12), 4)),  # a word and <end>: no telling
        np.where(np.arange(12) == np.arange(5)[:, None], 200, np.full((5, 12), 4)),  # another cell for each word
        np.zeros((5, 12)),
    ],
)
def test_maps_without_sinks_stay_as_they_are(weights):
    assert sink_count(planted(weights), SINKS) == 0
    assert maps(planted(weights), SINKS) * 255 == pytest.approx(weights)


def test_sharp_maps_whose_median_is_nothing_have_no_sink_in_their_faint_cells():
    weights = np.zeros((5, 12))
    weights[:, 0], weights[np.arange(5), np.arange(5) + 1] = 8, 250
    assert sink_count(planted(weights), SINKS) == 0


def test_a_single_head_is_the_mean_of_heads():
    case = planted(np.full((3, 12), 4))
    assert read_attention_view({"head": "1"}, case).head == 0


def test_cells_of_a_rectangular_grid_lie_row_by_row_over_the_crop():
    weights = np.zeros((3, 12))
    weights[0, 6] = weights[1, 3] = weights[2, 8] = 250  # rows of four cells
    case = planted(weights)
    case["crop"] = {"x": 0.0, "y": 0.0, "width": 400.0, "height": 200.0}
    pictures = tiles(case, None, AttentionView(opacity=100, scale="grey"))
    for picture, (x, y) in zip(pictures, [(2.5, 1.5), (3.5, 0.5), (0.5, 2.5)], strict=True):
        light = np.asarray(picture.convert("L")).astype(int)
        height, width = light.shape
        brightest = np.unravel_index(light.argmax(), light.shape)
        assert abs(brightest[1] / width * 4 - x) <= 0.5 and abs(brightest[0] / height * 3 - y) <= 0.5


def test_the_picture_is_scaled_without_the_sinks():
    weights = np.full((4, 12), 4)
    weights[:, 0], weights[:, 11] = 250, 12
    case = planted(weights)
    for subtract, brightest in (("none", 0), ("sinks", 11)):
        picture = tiles(case, None, AttentionView(subtract=subtract, opacity=100, scale="grey"))[0]
        light = np.asarray(picture.convert("L")).astype(int)
        top, left = {0: (20, 140), 11: (-20, -140)}[brightest]
        assert light[top, left] > 245  # the cell's corner of the crop, which is the middle half


@pytest.mark.parametrize(
    ("sent", "read"),
    [(True, "mean"), ("1", "mean"), ("mean", "mean"), ("sinks", "sinks"), ("", "none"), (None, "none"), ("x", "none")],
)
def test_what_is_subtracted_is_read_from_old_and_new_addresses(sent, read):
    assert read_subtract(sent) == read


def test_the_bright_patch_lies_on_its_side_of_the_crop_and_the_rest_is_veiled():
    dark = Image.new("RGB", (400, 200), (40, 40, 40))
    first, second = (
        np.asarray(tile).astype(int) for tile in tiles(row(), dark, AttentionView(layer=1, head=2, opacity=100))
    )
    assert first.shape == (TILE // 2, TILE, 3)
    left, right = first[20, 140].sum(), first[20, 340].sum()  # both inside the crop, which is the middle half
    assert left > right and second[20, 340].sum() > second[20, 140].sum()
    assert first[5, 5].tolist() == second[5, 5].tolist() and 40 < first[5, 5, 0] < 128  # veiled


def test_the_photo_stays_recognisable_where_nothing_was_attended_to():
    stripes = np.zeros((200, 400, 3), np.uint8)
    stripes[:, ::40] = stripes[:, 1::40] = 255
    tile = np.asarray(tiles(row(), Image.fromarray(stripes), AttentionView(layer=1, head=2))[0]).astype(int)
    unseen = tile[:, 320:350, 0]  # inside the crop, on the patch without attention
    assert np.ptp(unseen, axis=1).min() > 0.7 * 255  # of the contrast between black and white
    assert np.ptp(tile[20:30, 130:160, 0], axis=1).max() < 0.6 * 255  # the brightest patch covers more


def test_opacity_zero_is_the_photo_and_a_missing_photo_is_grey():
    white = Image.new("RGB", (400, 200), "white")
    assert tiles(row(), white, AttentionView(opacity=0))[0].getpixel((TILE // 2, TILE // 4)) == (255, 255, 255)
    assert tiles(row(), None, AttentionView(opacity=0))[0].getpixel((TILE // 2, TILE // 4)) == (128, 136, 144)


def test_a_photo_of_unknown_size_has_the_crops():
    unknown = row(crop=(0, 0, 100, 50))
    unknown["width"] = unknown["height"] = None
    assert tiles(unknown, None, AttentionView())[0].size == (TILE, TILE // 2)


def test_a_view_describes_itself():
    assert AttentionView().described == "mean of layers, mean of heads"
    assert (
        AttentionView(layer=3, head=1, subtract="mean").described
        == "layer 3, head 1, the caption's mean map subtracted"
    )


def test_what_does_not_fit_the_maps_falls_back_to_the_last_layer_and_the_mean_of_heads():
    assert read_attention_view({"layer": "9", "head": "x", "opacity": None}, row()) == AttentionView(layer=2)
    assert read_attention_view({"layer": 0, "head": 1, "subtract": "1"}, row()) == AttentionView(
        head=1, subtract="mean"
    )


def test_moved_is_the_share_of_attention_outside_the_mean_map():
    apart = AttentionView(layer=1, head=2)  # word w on patch w: half of each is in the mean map
    assert moved(row(), apart) == pytest.approx([0.5, 0.5])
    assert moved(row(), AttentionView(layer=1, head=2, subtract="mean")) == pytest.approx([0.5, 0.5])
    assert moved(row(), AttentionView(layer=2)) == pytest.approx([0, 0])  # even maps: nothing of the word is in them
    assert (moved(row(), apart) >= NEAR_MEAN).all() and (moved(row(), AttentionView(layer=2)) < NEAR_MEAN).all()


def test_moved_counts_every_map_as_one_whatever_the_images_share():
    small = row()
    small["scale"] = np.asarray(small["scale"]) * 0.1
    view = AttentionView(layer=1, head=2)
    assert moved(small, view) == pytest.approx(moved(row(), view))


@given(arrays(np.uint8, (4, 1, 1, 9), elements=st.integers(1, 255)), st.sets(st.integers(0, 8)))
def test_no_region_differs_from_the_mean_map_by_more_than_what_lies_elsewhere(weights, region):
    sums = weights.sum(axis=-1, dtype=np.float64)
    case = row(4)
    case["shape"], case["weights"], case["scale"] = [4, 1, 1, 9], weights.tobytes(), (255 / sums).ravel()
    found = maps(case, AttentionView())
    inside = found[:, sorted(region)].sum(axis=1)
    assert (np.abs(inside - inside.mean()) <= moved(case, AttentionView()) + 1e-9).all()
