"""Numbers that describe maps."""

import numpy as np
import pytest

from engine.explain.map_features import map_features


def test_a_flat_map_has_the_largest_entropy_and_a_single_cell_none():
    maps = np.zeros((2, 2, 1, 4), np.float32)
    maps[:, 0] = np.random.default_rng(0).random((2, 1, 4))  # only the last layer counts
    maps[0, 1], maps[1, 1] = 0.25, [[1, 0, 0, 0]]
    found = map_features(maps)
    assert found.entropies == pytest.approx([np.log(4), 0])


def test_the_distance_is_that_of_the_mean_map():
    same = map_features(np.ones((3, 1, 1, 4), np.float32))
    assert same.distances == pytest.approx([0, 0, 0], abs=1e-6)
    maps = np.zeros((2, 1, 1, 2), np.float32)
    maps[0, ..., 0], maps[1, ..., 1] = 1, 1
    assert map_features(maps).distances == pytest.approx([1 - 2**-0.5] * 2)


def test_a_map_without_weight_has_no_entropy():
    assert np.isnan(map_features(np.zeros((1, 1, 1, 4), np.float32)).entropies).all()
