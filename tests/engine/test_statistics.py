"""Intervals against known answers."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import resampling, statistics
from engine.statistics import bootstrap_mean_interval, bootstrap_ratio_interval, wilson_interval

SCIPY_PERMUTATION = 0.1865


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


def test_paired_tests_agree_with_scipys_permutation_test():
    generator = np.random.default_rng(3)
    left = generator.normal(0.10, 1, 400)
    right = generator.normal(0, 1, 400)
    found = statistics.compare(left, right, resamples=20_000)
    # scipy.stats.permutation_test((left, right), statistic=mean difference, permutation_type="samples",
    # n_resamples=200_000, rng=0) of scipy 1.17.1 gives 0.1865; its paired t-test 0.1882.
    assert found.p_randomization == pytest.approx(SCIPY_PERMUTATION, abs=0.012)
    assert found.p_bootstrap == pytest.approx(SCIPY_PERMUTATION, abs=0.02)
    assert found.difference == pytest.approx(left.mean() - right.mean())
    assert found.low < found.difference < found.high
    assert found.wins + found.losses == 400 and found.ties == 0


def test_joined_images_give_nearly_the_interval_and_p_of_all_of_them(monkeypatch):
    change = np.random.default_rng(5).normal(0.012, 1, 20_000)
    joined = statistics.compare(change, np.zeros(20_000), resamples=4000)
    monkeypatch.setattr(resampling, "_UNITS", 20_000)
    whole = statistics.compare(change, np.zeros(20_000), resamples=4000)
    assert joined.difference == whole.difference and joined.wins == whole.wins
    assert (joined.low, joined.high) == pytest.approx((whole.low, whole.high), abs=0.001)
    assert joined.p_randomization == pytest.approx(whole.p_randomization, abs=0.025)


@pytest.mark.parametrize("images", [5_001, 6_000, 7_500, 12_345])
def test_an_interval_of_joined_images_is_as_wide_as_that_of_all_of_them(images):
    values = np.random.default_rng(1).normal(0.75, 0.1, images)  # far from 0, as scores are
    low, high = bootstrap_mean_interval(values, resamples=2000)
    normal = 2 * 1.96 * values.std() / np.sqrt(images)
    assert high - low == pytest.approx(normal, rel=0.12)
    compared = statistics.compare(values + 0.1, values)
    assert (compared.low, compared.high) == pytest.approx((0.1, 0.1))


def test_one_image_has_no_interval():
    assert np.isnan(bootstrap_mean_interval([0.7])).all()
    found = statistics.compare([0.7], [0.6])
    assert np.isnan([found.low, found.high, found.p_bootstrap]).all() and found.wins == 1


def test_values_closer_than_a_tie_are_neither_won_nor_lost():
    left, right = [0.5, 0.5001, 0.3, 0.2], [0.5, 0.5, 0.2, 0.3]
    counted = [statistics.compare(left, right, tie=tie) for tie in (0.0, 0.0005)]
    assert [(each.wins, each.ties, each.losses) for each in counted] == [(2, 1, 1), (1, 2, 1)]
    counts = np.array([[1.0, 2.0], [1.0, 3.0]])
    share = statistics.compare(counts, counts + [[1e-9, 0], [1, 0]], pooled=lambda s: s[..., 0] / s[..., 1], tie=1e-3)
    assert (share.wins, share.ties, share.losses) == (0, 1, 1)


def test_equal_settings_differ_by_nothing_and_are_not_significant():
    found = statistics.compare([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert (found.difference, found.ties, found.p_bootstrap, found.p_randomization) == (0.0, 3, 1.0, 1.0)


def test_a_large_difference_is_significant_and_its_p_is_never_zero():
    found = statistics.compare(np.ones(50) + np.arange(50) / 1000, np.zeros(50))
    assert found.p_randomization == found.p_bootstrap == pytest.approx(1 / 1001)


def test_settings_of_different_images_are_refused():
    with pytest.raises(ValueError, match="2 and 3 values"):
        statistics.compare([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="finite"):
        statistics.compare([1, float("nan")], [1, 2])


def test_holm_multiplies_by_the_number_left_and_never_falls():
    # By hand: sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1, then the running maximum.
    assert statistics.holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert statistics.holm([0.9, 0.8]) == [1.0, 1.0]
    assert statistics.holm([]) == []


def test_mcnemar_is_the_exact_test_of_a_fair_coin():
    left = [True] * 8 + [False] * 2 + [True] * 90
    right = [False] * 8 + [True] * 2 + [True] * 90
    # scipy.stats.binomtest(2, 10).pvalue
    assert statistics.mcnemar(left, right) == pytest.approx(0.109375)
    assert statistics.mcnemar([True, False], [True, False]) == 1.0


def test_the_smallest_beam_size_not_worse_than_the_best():
    generator = np.random.default_rng(0)
    base = generator.normal(1, 0.3, 300)
    # Size 5 is better than 3 by a five-hundredth of the noise between them, and both are far better than greedy.
    noise = [generator.normal(0, 0.1, 300) for _ in range(2)]
    values = {1: base, 3: base + 0.2 + noise[0] - noise[0].mean(), 5: base + 0.2002 + noise[1] - noise[1].mean()}
    assert statistics.smallest_not_worse(values) == statistics.EnoughBeams(3, 5, "")
    assert statistics.smallest_not_worse({1: base, 10: base}) == statistics.EnoughBeams(1, 1, "")


@pytest.mark.parametrize("draw", ["normal", "skewed"])
def test_a_95_percent_interval_covers_the_truth_93_to_97_times_in_100(draw):
    generator = np.random.default_rng(11)
    covered = 0
    for trial in range(1000):
        sample = generator.normal(2, 1, 200) if draw == "normal" else generator.gamma(4, 0.5, 200)
        low, high = statistics.bootstrap_mean_interval(sample, resamples=400, seed=trial)
        covered += low <= 2 <= high
    assert 930 <= covered <= 970


def test_a_ratios_interval_draws_images_with_all_that_they_hold():
    over, under = np.array([4.0, 0.0] * 50), np.array([4.0, 1.0] * 50)
    low, high = bootstrap_ratio_interval(over, under)
    assert low < 0.8 < high
    # Drawn one by one, the 250 nouns would seem to say more than their 100 images do.
    alone = bootstrap_mean_interval(np.repeat([1.0, 0.0], [200, 50]))
    assert high - low > alone[1] - alone[0]
    assert bootstrap_ratio_interval(over, np.ones(100)) == bootstrap_mean_interval(over)


def test_a_ratio_of_one_image_has_no_interval_and_an_empty_image_is_refused():
    assert np.isnan(bootstrap_ratio_interval([1], [2])).all()
    with pytest.raises(ValueError, match="under must be above 0"):
        bootstrap_ratio_interval([1, 0], [2, 0])


@pytest.mark.parametrize("count", range(1, 9))
def test_the_smallest_p_is_what_exhaustive_swaps_reach(count):
    values = np.arange(1.0, count + 1)
    swapped = [abs(np.dot(signs, values)) for signs in itertools.product((1, -1), repeat=count)]
    exact = np.mean(np.array(swapped) >= values.sum() - 1e-9)
    assert statistics.smallest_p(count) == exact == statistics.mcnemar([True] * count, [False] * count)


def test_the_smallest_p_of_resamples_is_one_of_them():
    assert statistics.smallest_p(0) == statistics.smallest_p(1) == 1
    assert statistics.smallest_p(5) == 0.0625 and statistics.smallest_p(6) < 0.05
    assert statistics.smallest_p(1000, 1000) == 1 / 1001 and statistics.smallest_p(10**6) == 0
    assert statistics.smallest_p(5, 1000) == 0.0625


@given(st.integers(1, 5), st.integers(0, 30), st.integers(0, 10_000))
def test_five_differing_images_are_never_significant_whatever_is_drawn(differing, equal, seed):
    values = np.random.default_rng(seed).normal(5, 1, differing)
    found = statistics.compare([*values, *[0.0] * equal], [0.0] * (differing + equal), seed=seed)
    assert found.differing == differing and found.p_randomization >= statistics.smallest_p(differing) > 0.05


def test_the_words_say_what_there_is_too_little_of():
    assert statistics.too_few(5, 4) == "too few images to tell"
    assert statistics.too_few(7, 7) == "too few images to tell"
    assert statistics.too_few(900, 3) == "too few images differ to tell"
    assert statistics.too_few(900, 900, 10) == "too few resamples to tell"


def test_a_smaller_beam_size_that_could_not_be_worse_is_not_called_good_enough():
    few, many, whole = np.arange(5.0), np.arange(40.0), np.arange(40.0)
    few_too_few = statistics.EnoughBeams(1, 3, "too few images to tell")
    assert statistics.smallest_not_worse({1: few, 3: few + 1}) == few_too_few
    assert statistics.smallest_not_worse({1: many, 3: many + 1}) == statistics.EnoughBeams(3, 3, "")
    found = statistics.smallest_not_worse({1: many, 3: [*whole[:-2], 99, 99]})
    assert found == statistics.EnoughBeams(1, 3, "too few images differ to tell")
    assert statistics.smallest_not_worse({1: few, 3: few}) == statistics.EnoughBeams(1, 1, "")
    counts = np.stack([few, few + 1], axis=1)
    ratio = lambda sums: sums[..., 1] / sums[..., 0]  # noqa: E731
    assert statistics.smallest_not_worse({1: counts, 3: counts + [0, 1]}, pooled=ratio) == few_too_few


def test_beam_sizes_are_read_two_at_a_time():
    taken = []

    class Lazy(dict):
        def __getitem__(self, size):
            taken.append(size)
            return np.arange(40.0) + size

    assert statistics.smallest_not_worse(Lazy({1: 0, 3: 0, 5: 0})).best == 5
    assert taken == [1, 3, 5, 5, 1, 3]


def test_mcnemar_of_many_images_continues_the_exact_sum():
    """Known value: scipy.stats.binomtest(480, 1000) gives 0.2174; both ways of summing agree where both are quick."""
    exact = statistics.mcnemar([True] * 520 + [False] * 480, [False] * 520 + [True] * 480)
    log = 2 * np.exp(statistics._log_tail(1000, 480) - 1000 * np.log(2))
    assert exact == pytest.approx(log, rel=1e-9) and exact == pytest.approx(0.2174, abs=5e-4)
    many = [True] * 250_500 + [False] * 249_500
    # Normal approximation with continuity correction: z = 999 / sqrt(500,000).
    assert statistics.mcnemar(many, [not each for each in many]) == pytest.approx(0.15771, abs=2e-4)
