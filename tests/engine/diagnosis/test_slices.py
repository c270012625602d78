import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.diagnosis import slices


def world(images: int = 400, conditions: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Skewed scores such as CIDEr's, and conditions that do not matter."""
    generator = np.random.default_rng(seed)
    members = generator.random((images, conditions)) < generator.uniform(0.03, 0.5, conditions)
    return generator.gamma(2, 0.6, images), members, [f"condition {number}" for number in range(conditions)]


def test_a_planted_slice_has_its_known_numbers():
    values, members, names = world()
    rows = np.arange(0, 400, 20)
    members[:, 3] = False
    members[rows, 3] = True
    values[rows] /= 10
    found = slices.find(values, members, names)
    assert [each.condition for each in found] == ["condition 3"]
    (only,) = found
    outside = np.setdiff1d(np.arange(400), rows)
    assert only.images.tolist() == rows.tolist() and only.size == 20
    assert only.inside == pytest.approx(values[rows].mean()) and only.outside == pytest.approx(values[outside].mean())
    assert only.effect == only.inside - only.outside and only.low < only.effect < only.high < 0
    assert only.p < only.q <= slices.ALPHA


def test_permuted_scores_have_a_slice_in_about_one_of_twenty_runs():
    values, members, names = world()
    generator = np.random.default_rng(1)
    alarms = sum(bool(slices.find(generator.permutation(values), members, names)) for _ in range(200))
    assert alarms <= 19  # at most 5 % expected: 20 or more of 200 have a probability of 0.3 %


def test_most_planted_slices_are_found_first():
    values, members, names = world(600)
    swapped = np.random.default_rng(2).gamma(0.5, 0.2, 600)
    hits = 0
    for seed in range(20):
        generator = np.random.default_rng(seed)
        rows = generator.choice(600, 18, replace=False)
        wrong = generator.choice(rows, 11, replace=False)
        changed, own = values.copy(), np.isin(np.arange(600), rows)
        changed[wrong] = swapped[wrong]
        found = slices.find(changed, np.column_stack([own, members]), ["planted", *names])
        hits += "planted" in [each.condition for each in found[:3]]
    assert hits >= 18


def test_of_a_metric_that_is_better_lower_the_high_values_are_the_slice():
    values, members, names = world()
    values[members[:, 2]] += 2
    assert not [each for each in slices.find(values, members, names) if each.condition == "condition 2"]
    first = slices.find(values, members, names, is_higher_better=False)[0]
    assert first.condition == "condition 2" and first.effect > 1.5 and first.low > 0


def test_conditions_with_the_same_images_are_one_slice_with_the_preferred_name():
    values, members, names = world()
    rows = np.arange(0, 400, 16)
    members[:, :2] = False
    members[rows, :2] = True
    members[rows[0], 0] = False
    values[rows] /= 10
    found = slices.find(values, members, names, preferred=1)
    assert found[0].condition == "condition 0" and found[0].also == ("condition 1",)
    assert all(each.condition not in ("condition 0", "condition 1") for each in found[1:])


def test_two_conditions_that_are_bad_only_together_are_a_pair():
    generator = np.random.default_rng(3)
    members = generator.random((2_000, 6)) < 0.3
    values = generator.gamma(9, 0.1, 2_000)
    both = members[:, 0] & members[:, 1]
    values[both] /= 5
    found = slices.find(values, members, list("abcdef"))
    pair = next(each for each in found if " and " in each.condition or each.condition in "ab")
    assert {"a", "b"} >= set(pair.condition.split(" and ")) and len(found) >= 1


def test_a_condition_that_is_bad_only_by_another_slice_is_left_out():
    values, members, names = world(1_000)
    rows = np.arange(0, 1_000, 20)
    members[:, :2] = False
    members[rows, 0] = True
    members[rows[:25], 1] = True  # half of the bad images, and as many good ones
    members[rows[:25] + 1, 1] = True
    members[rows[:25] + 2, 1] = True
    values[rows] /= 20
    found = [each.condition for each in slices.find(values, members, names)]
    assert "condition 0" in found and "condition 1" not in found


def test_images_without_a_score_belong_to_no_slice():
    values, members, names = world()
    values[members[:, 4]] /= 10
    values[::3] = np.nan
    found = slices.find(values, members, names)
    assert found and all(np.isfinite(values[each.images]).all() for each in found)


@pytest.mark.parametrize("values", [np.zeros(60), np.full(60, np.nan), np.ones(5), np.zeros(0)])
def test_scores_without_differences_have_no_slice(values):
    members = np.arange(len(values))[:, None] % 2 == 0
    assert slices.find(values, members, ["even"]) == []


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"\(3, 2\) memberships; expected 3 images and 1 conditions"):
        slices.find(np.zeros(3), np.zeros((3, 2), bool), ["one"])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(20, 200), st.integers(1, 12))
def test_slices_do_not_depend_on_the_order_of_images_beyond_chance(seed, images, conditions):
    """Sizes and means are those of the images, q is a probability, and the same input gives the same slices."""
    generator = np.random.default_rng(seed)
    members = generator.random((images, conditions)) < 0.3
    values = generator.normal(size=images) - 2 * members[:, 0]
    names = [str(number) for number in range(conditions)]
    found = slices.find(values, members, names)
    assert [each.condition for each in found] == [each.condition for each in slices.find(values, members, names)]
    for each in found:
        rows = np.logical_and.reduce([members[:, int(name)] for name in each.condition.split(" and ")])
        assert each.images.tolist() == np.flatnonzero(rows).tolist()
        assert each.inside == pytest.approx(values[rows].mean()) and 0 < each.q <= slices.ALPHA
        assert each.low <= each.effect <= each.high and each.effect < 0
