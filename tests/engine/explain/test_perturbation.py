"""Covered photos, and how faithful maps are, on a made-up captioner whose answers are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.explain import guided, methods
from engine.explain.methods import METHODS, Evidence
from engine.explain.perturbation import Probe, covered_order, faithfulness
from engine.explain.token_scores import TokenScores

GRID = (4, 4)
SIDE = 8
"""Pixels of a cell."""
OBJECT = [5, 6, 9, 10]
"""The cells that the second word depends on."""
FILL = (10, 20, 30)


def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(100, 255, (40, 36, 3), dtype=np.uint8)


def shown(changed: np.ndarray) -> np.ndarray:
    """Which cells of a changed photo are as in the photo, bool[16]."""
    part = (changed == photo()).all(-1)[4:36, 2:34]
    return part.reshape(4, SIDE, 4, SIDE).all((1, 3)).ravel()


def probe(**changes) -> Probe:
    """A caption of two words: p of the second is 0.1 for each visible cell of the object, and 0.1 more."""

    def read(photos):
        seen = [shown(each)[OBJECT].sum() for each in photos]
        return [_scores(np.log([0.5, 0.1 + 0.1 * count])) for count in seen]

    spans = [(0, 1), (1, 2)]
    values = {"read": read, "photo": photo(), "words": ("a", "dog"), "spans": spans, "grid": GRID, "fill": FILL}
    return Probe(**{**values, "region": (2.0, 4.0, 32.0, 32.0), **changes})


def _scores(logprobs) -> TokenScores:
    return TokenScores(np.array(logprobs), np.ones(2, int), np.zeros(2), np.zeros((2, 0)))


def test_covering_changes_only_the_covered_cells():
    visible = np.ones(16, dtype=bool)
    visible[[0, 7]] = False
    changed = probe().covered(visible)
    assert (shown(changed) == visible).all()
    outside = np.ones((40, 36), dtype=bool)
    outside[4:36, 2:34] = False
    assert (changed[outside] == photo()[outside]).all()
    assert (changed[4:12, 2:10] == FILL).all()


def test_the_words_are_read_with_the_covered_photos():
    found = np.exp(probe().logprobs(np.stack([np.ones(16, bool), np.zeros(16, bool)])))
    assert found == pytest.approx(np.array([[0.5, 0.5], [0.5, 0.1]]))


@given(st.lists(st.floats(0, 1), min_size=16, max_size=16))
def test_deletion_hides_what_insertion_shows(values):
    order = covered_order(np.array([values]))
    assert (order[:, 0] == ~order[:, 1]).all()
    assert (np.diff(order[0, 1].sum(-1)) >= 0).all()
    assert order[0, 1, -1].all()
    assert not order[0, 1, 0].any()


def test_the_map_of_the_object_is_more_faithful_than_any_other_order():
    own = np.isin(np.arange(16), OBJECT).astype(float)
    best, worst, flat = faithfulness(probe(), np.stack([own, -own, np.zeros(16)]), [1, 1, 1])
    assert best.deletion < flat.deletion < worst.deletion
    assert best.insertion > flat.insertion > worst.insertion


def test_a_word_that_does_not_depend_on_the_photo_has_the_same_area_in_every_order():
    maps = np.random.default_rng(0).random((3, 16))
    assert {(round(each.deletion, 9), round(each.insertion, 9)) for each in faithfulness(probe(), maps, [0] * 3)} == {
        (0.5, 0.5)
    }


@pytest.mark.parametrize("name", ["occlusion", "occlusion_3x3", "rise", "guided"])
def test_methods_that_cover_cells_find_the_object(name):
    attention = np.zeros((2, 1, 1, 16), np.float32)
    attention[:, 0, 0, 5] = 1
    found = METHODS[name].maps(Evidence(probe(), [1], attention, seed=3))
    assert found.shape == (1, 16)
    inside = np.isin(np.arange(16), OBJECT)
    assert found[0, inside].mean() > found[0, ~inside].mean() + found[0].std()
    assert int(found[0].argmax()) in OBJECT


def test_the_peak_of_guided_masks_is_that_of_attention():
    visible = methods.rise_masks(GRID, 16, 0)
    found = np.random.default_rng(0).random((3, 16))
    attention = np.random.default_rng(1).random((3, 16))
    assert guided.guided(found, visible, attention, GRID).argmax(1).tolist() == attention.argmax(1).tolist()


def test_masks_of_words_that_never_change_leave_the_order_of_attention():
    visible = methods.rise_masks(GRID, 16, 0)
    attention = np.zeros((1, 16))
    attention[0, 6] = 1
    found = guided.guided(np.full((1, 16), 0.5), visible, attention, GRID)
    assert np.isfinite(found).all()
    assert int(found.argmax()) == 6


def test_gradients_are_refused_where_there_are_none():
    with pytest.raises(ValueError, match="needs gradients"):
        METHODS["gradient"].maps(Evidence(probe(), [1], np.ones((2, 1, 1, 16), np.float32), 0))
