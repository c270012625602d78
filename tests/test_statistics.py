"""Intervals against known answers."""

import numpy as np
import pytest

from engine.statistics import bootstrap_mean_interval, wilson_interval


def test_bootstrap_holds_the_mean_and_comes_near_the_normal_interval():
    values = np.random.default_rng(1).normal(3.0, 2.0, size=2000)
    low, high = bootstrap_mean_interval(values)
    reach = 1.96 * values.std() / np.sqrt(values.size)
    assert low == pytest.approx(values.mean() - reach, abs=0.02)
    assert high == pytest.approx(values.mean() + reach, abs=0.02)


def test_bootstrap_is_the_same_each_time_and_other_for_another_seed():
    values = np.arange(50.0)
    assert bootstrap_mean_interval(values) == bootstrap_mean_interval(list(values))
    assert bootstrap_mean_interval(values) != bootstrap_mean_interval(values, seed=1)


def test_bootstrap_of_equal_values_is_a_point():
    assert bootstrap_mean_interval([0.5] * 7) == (0.5, 0.5)


def test_a_wider_level_gives_a_wider_interval():
    values = np.arange(30.0)
    low_95, high_95 = bootstrap_mean_interval(values)
    low_80, high_80 = bootstrap_mean_interval(values, level=0.8)
    assert low_95 < low_80 < high_80 < high_95


def test_bootstrap_of_many_images_is_drawn_in_pieces():
    low, high = bootstrap_mean_interval(np.tile([0.0, 1.0], 100_000), resamples=50)
    assert 0.49 < low < 0.5 < high < 0.51


def test_bootstrap_of_nothing_is_unknown():
    assert np.isnan(bootstrap_mean_interval([])).all()


def test_bootstrap_refuses_missing_scores():
    with pytest.raises(ValueError, match="finite"):
        bootstrap_mean_interval([1.0, float("nan")])


@pytest.mark.parametrize(
    ("successes", "n", "expected"),
    [
        # Newcombe 1998, Statistics in Medicine 17:857-872, table I, method 3 (Wilson, no continuity correction).
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_wilson_gives_newcombes_published_intervals(successes, n, expected):
    assert wilson_interval(successes, n) == pytest.approx(expected, abs=5e-5)


def test_wilson_of_all_right_ends_at_one():
    low, high = wilson_interval(12, 12)
    assert high == 1.0 and 0.7 < low < 0.8


def test_wilson_of_nothing_is_unknown():
    assert np.isnan(wilson_interval(0, 0)).all()


def test_wilson_refuses_more_successes_than_images():
    with pytest.raises(ValueError, match="successes is 5"):
        wilson_interval(5, 4)


def test_a_level_outside_zero_and_one_is_refused():
    with pytest.raises(ValueError, match="level is 95"):
        wilson_interval(1, 2, level=95)
