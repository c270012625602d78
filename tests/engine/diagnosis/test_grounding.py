from collections.abc import Iterator

import numpy as np
import pytest

from engine.data.dataset import Box
from engine.diagnosis import grounding
from engine.diagnosis.grounding import MEAN, GroundingInput
from engine.diagnosis.lexicon import Mentions

CORNER = Box("dog", 0, 0, 50, 50)


Looked = tuple[GroundingInput, np.ndarray]
"""A caption and its maps."""


def looked(peak: int, words=("a", "dog", "runs"), regions=(CORNER,), crop=(0, 0, 100, 100)) -> Looked:
    """Maps on a 4 x 4 grid of a 100 x 100 photo: even, but the noun's map has half its weight on one patch."""
    maps = np.full((len(words), 2, 2, 16), 1 / 16)
    maps[1] = 0.5 / 15
    maps[1, ..., peak] = 0.5
    return GroundingInput(words, (4, 4), crop, regions), maps


def grounded(*captions: Looked) -> Iterator[list[grounding.Grounded]]:
    return grounding.ground([caption for caption, _ in captions], (maps for _, maps in captions))


def rows(*captions: Looked) -> list[grounding.Grounded]:
    return next(grounded(*captions))


def own(found: list[grounding.Grounded]) -> list[grounding.Grounded]:
    return [row for row in found if row.offset == 0 and row.head == MEAN]


def test_a_peak_inside_the_box_is_a_hit_and_mass_and_lift_follow():
    # The box covers the upper left quarter: patches 0, 1, 4, 5 of 16.
    found = own(rows(looked(5)))
    assert [(row.word_index, row.word, row.label, row.layer) for row in found] == [
        (1, "dog", "dog", 0),
        (1, "dog", "dog", 1),
    ]
    assert all(row.hit for row in found)
    mass = 0.5 + 3 * 0.5 / 15
    assert found[0].mass == pytest.approx(mass)
    assert found[0].lift == pytest.approx(mass / 0.25)
    assert not any(row.hit for row in own(rows(looked(15))))


def test_mass_lift_and_hit_are_those_of_the_images_share_whatever_it_is():
    whole = looked(5)
    small = whole[0], whole[1] * 0.03  # the rest of the attention is on the prompt
    for row, other in zip(rows(whole), rows(small), strict=True):
        assert (other.mass, other.lift) == pytest.approx((row.mass, row.lift))
        assert other.hit == row.hit


def test_rectangular_grids_have_their_cells_in_rows():
    # 2 rows of 6 cells over 120 x 40: the box covers the second and third cell of the lower row.
    box = Box("dog", 20, 20, 40, 20)
    for peak, hit in ((7, True), (8, True), (9, False), (1, False), (4, False)):
        maps = np.full((3, 1, 1, 12), 0.01)
        maps[1, ..., peak] = 0.5
        found = own(rows((GroundingInput(("a", "dog", "runs"), (2, 6), (0, 0, 120, 40), (box,)), maps)))[0]
        assert found.hit is hit
        assert found.lift == pytest.approx(found.mass * 6)


def test_chance_is_measured_on_the_noun_s_own_grid_where_grids_differ():
    """2 x 4 and 4 x 2 have the same number of cells, in another order."""

    def one(grid, crop, box):
        maps = np.full((3, 1, 1, 8), 0.01)
        maps[1, ..., 2] = 0.5  # wide: third cell of the upper row; tall: first cell of the second row
        return GroundingInput(("a", "dog", "runs"), grid, crop, (box,)), maps

    wide = one((2, 4), (0, 0, 80, 40), Box("dog", 40, 0, 20, 20))
    tall = one((4, 2), (0, 0, 40, 80), Box("dog", 0, 20, 20, 20))
    first, second = (own(each)[0] for each in grounded(wide, tall))
    assert first.hit and second.hit
    # The tall photo's box is a quarter down on the left: not under the wide photo's peak, and the reverse.
    assert first.shuffled_hit is False and second.shuffled_hit is False
    above = one((4, 2), (0, 0, 40, 80), Box("dog", 20, 0, 10, 40))  # at 50 to 75 % across, the upper half
    assert own(rows(wide, above))[0].shuffled_hit is True


def test_a_single_head_is_the_mean_and_is_measured_once():
    maps = np.full((3, 2, 1, 16), 0.01)
    found = rows((GroundingInput(("a", "dog", "runs"), (4, 4), (0, 0, 100, 100), (CORNER,)), maps))
    assert {row.head for row in found} == {MEAN} and len([row for row in found if row.offset == 0]) == 2


def test_the_even_map_of_a_neighbour_has_lift_one():
    neighbours = [row for row in rows(looked(5)) if row.offset == 1]
    assert {row.head for row in neighbours} == {MEAN}
    assert neighbours[0].lift == pytest.approx(1)


def test_single_heads_are_measured_at_the_noun_itself():
    assert {row.head for row in rows(looked(5)) if row.offset == 0} == {MEAN, 0, 1}


def test_boxes_are_placed_in_the_crop_the_model_saw():
    # In a crop that begins at x = 50 the same box is out of sight; one at 50..75 covers its left half.
    assert rows(looked(0, crop=(50, 0, 50, 100))) == []
    beside = looked(0, regions=(Box("dog", 50, 0, 25, 100),), crop=(50, 0, 50, 100))
    share = grounding.box_share(beside[0], "dog").reshape(4, 4)
    np.testing.assert_allclose(share, [[1, 1, 0, 0]] * 4)


def test_a_patch_half_covered_counts_half_and_overlaps_count_once():
    regions = (Box("dog", 0, 0, 37.5, 25), Box("dog", 0, 0, 25, 25))
    share = grounding.box_share(looked(0, regions=regions)[0], "dog")
    np.testing.assert_allclose(share[:3], [1, 0.5, 0])


def test_what_is_smaller_than_a_patch_is_hit_in_the_patch_that_holds_most_of_it():
    small = (Box("dog", 20, 5, 15, 10),)  # a third of it lies in patch 0, the rest in patch 1
    assert [own(rows(looked(peak, regions=small)))[0].hit for peak in (0, 1, 2)] == [False, True, False]
    beside = (*small, Box("dog", 50, 50, 20, 20))  # where a patch is half covered, it is that one
    assert [own(rows(looked(peak, regions=beside)))[0].hit for peak in (1, 10)] == [False, True]


def test_a_hit_is_compared_with_the_same_label_in_another_image():
    elsewhere = looked(0, regions=(Box("dog", 50, 50, 50, 50),))
    found = own(rows(looked(5), elsewhere))
    assert found[0].hit and found[0].shuffled_hit is False
    assert own(rows(looked(5)))[0].shuffled_hit is None
    assert own(rows(looked(15), elsewhere))[0].shuffled_hit is True


def test_nouns_are_synonyms_plurals_and_compounds_by_their_last_word():
    mentions = Mentions(["person", "dining table", "potted plant", "dog"])
    words = ["two", "men", "eat", "a", "hot", "dog", "at", "a", "dining", "table"]
    assert grounding.nouns(words, mentions) == [(1, "person"), (9, "dining table")]


def test_a_noun_without_a_box_is_left_out():
    assert rows(looked(5, words=("a", "cat", "runs"))) == []
