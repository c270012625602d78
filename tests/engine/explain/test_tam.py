"""Token activation maps on made-up logits."""

import numpy as np
import pytest

from engine.explain.tam import Activations, rank_filtered, token_maps, word_maps

GRID = (4, 4)


def block(row: int, column: int) -> np.ndarray:
    found = np.zeros(GRID)
    found[row : row + 2, column : column + 2] = 1
    return found.ravel()


def test_the_first_token_keeps_its_map():
    found = token_maps(Activations(block(0, 0)[None] * 3, np.zeros((1, 1))), GRID)
    assert found[0].reshape(GRID)[0, 0] == pytest.approx(3)
    assert (found >= 0).all()


def test_traces_of_earlier_tokens_are_subtracted():
    """The second token's logits hold the map of the first, which its step activates."""
    image = np.stack([block(0, 0) * 2, block(0, 0) * 2 + block(2, 2)])
    found = token_maps(Activations(image, np.array([[0.0, 0.0], [5.0, 0.0]])), GRID)
    assert found[1].reshape(GRID)[:2, :2].max() < 0.3
    assert found[1].argmax() in np.flatnonzero(block(2, 2))
    plain = token_maps(Activations(image, np.zeros((2, 2))), GRID)
    assert plain[1].argmax() in np.flatnonzero(block(0, 0))


def test_a_word_has_the_mean_of_its_tokens():
    image = np.stack([block(0, 0), block(2, 2), block(2, 2)])
    activations = Activations(image, np.zeros((3, 3)))
    maps = token_maps(activations, GRID)
    assert word_maps(activations, GRID, [(0, 1), (1, 3)]) == pytest.approx(np.stack([maps[0], maps[1:].mean(0)]))


def test_negative_logits_do_not_count():
    assert (token_maps(Activations(-np.ones((1, 16)), np.zeros((1, 1))), GRID) == 0).all()


def test_the_filter_removes_single_values_and_keeps_areas():
    single = np.zeros(16)
    single[5] = 1
    assert rank_filtered(single, GRID).max() < 0.5
    assert rank_filtered(np.ones(16), GRID) == pytest.approx(np.ones(16))
