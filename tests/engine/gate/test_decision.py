import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.gate.decision import GateError, Limit, Verdict, decide, limit_of
from engine.metrics.pooling import POOLED

ONE = Limit(0.01, is_relative=True)


def test_a_limit_is_a_share_or_a_number():
    assert limit_of("1%") == ONE and limit_of(" 2.5 % ").value == pytest.approx(0.025)
    assert limit_of("0.01") == Limit(0.01, is_relative=False) and limit_of("0").of(3.0) == 0
    assert limit_of("1%").of(-2.0) == pytest.approx(0.02) and str(limit_of("1%")) == "1 %"


@pytest.mark.parametrize("text", ["", "-1%", "one", "1%%", "nan", "inf", "1e3", "%", "1" * 30])
def test_another_limit_is_refused(text):
    with pytest.raises(GateError, match=r"^--max-loss .* expected a share such as 1%"):
        limit_of(text)


def test_the_bounds_are_those_of_a_paired_t_test():
    old, new = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.5, 2.0, 2.0, 3.5])
    found = decide(old, new, Limit(0.0, is_relative=False))
    assert (found.old, found.new, found.loss) == (2.5, 2.0, 0.5)
    # Differences 0.5, 0, 1, 0.5: sd 0.408248, standard error 0.204124, t(0.95, 3) 2.353363.
    assert found.low == pytest.approx(0.5 - 0.480379, abs=1e-5) and found.high == pytest.approx(0.980379, abs=1e-5)
    assert found.verdict is Verdict.FAILED and found.differing == 3
    # 6.182557 * (0.408248 / 0.025) ** 2 = 1648.7: change is 1 % of the old value if the limit is 0.
    assert found.change == 0.025 and found.needed == 1649


def test_a_loss_below_the_limit_passes_and_few_images_do_not_decide():
    generator = np.random.default_rng(0)
    old = generator.gamma(4, 0.25, 5_000)
    assert decide(old, old - 0.001, ONE).verdict is Verdict.PASSED
    assert decide(old, old + 0.5, ONE).verdict is Verdict.PASSED
    noisy = old + generator.normal(0, 1, 5_000)
    assert decide(old[:50], noisy[:50], ONE).verdict is Verdict.UNDECIDED
    one = decide(old[:1], old[:1] - 1, ONE)
    assert one.verdict is Verdict.UNDECIDED and one.needed is None and one.low == -np.inf


def test_equal_captions_pass_without_a_number_of_images():
    values = np.random.default_rng(0).random(100)
    found = decide(values, values, ONE)
    assert found.verdict is Verdict.PASSED and found.differing == 0 and found.needed is None


def test_of_a_metric_that_is_better_lower_a_higher_value_is_a_loss():
    old = np.random.default_rng(0).random(200)
    assert decide(old, old + 0.1, ONE, is_higher_better=False).verdict is Verdict.FAILED
    assert decide(old, old - 0.1, ONE, is_higher_better=False).verdict is Verdict.PASSED


def test_corpus_values_of_counts_are_compared_by_their_sums():
    counts = np.tile([10.0, 10, 10, 9, 8, 7, 8, 6, 4, 2], (300, 1))
    worse = counts - [0, 0, 0, 0, 0, 0, 4, 4, 3, 1]
    score = POOLED["bleu_4"].score
    found = decide(counts, worse, ONE, pooled=score)
    assert found.old == pytest.approx(float(score(counts.sum(0)))) and found.new < found.old
    assert found.verdict is Verdict.FAILED


def test_a_share_of_zero_is_refused():
    with pytest.raises(GateError, match="the old value is 0"):
        decide(np.zeros(10), np.ones(10), ONE)


def test_two_draws_of_one_model_seldom_fail_and_a_planted_loss_is_found():
    generator = np.random.default_rng(1)
    images = generator.gamma(2, 0.6, 5_000)
    draw = lambda: images * generator.gamma(4, 0.25, 5_000)  # noqa: E731  # a caption's score varies with its image's
    alarms = sum(decide(draw(), draw(), ONE).verdict is Verdict.FAILED for _ in range(300))
    assert alarms <= 15
    found = 0
    for _ in range(40):
        old = draw()
        some = generator.random(5_000) < 0.06
        new = np.where(some, old * 0.5, old)  # a loss of about 3 %
        found += decide(old, new, ONE).verdict is Verdict.FAILED
    assert found >= 38


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), min_size=2, max_size=30), st.floats(0, 1))
def test_bounds_enclose_the_loss_and_the_verdict_follows_from_them(pairs, limit):
    old, new = map(np.array, zip(*pairs, strict=True))
    found = decide(old, new, Limit(limit, is_relative=False))
    assert found.low <= found.loss + 1e-9 and found.loss <= found.high + 1e-9
    assert (found.verdict is Verdict.FAILED) == (found.low > limit)
    assert (found.verdict is Verdict.PASSED) == (found.low <= limit and found.high <= limit)
