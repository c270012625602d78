"""Scores of words from the scores of tokens."""

import numpy as np
import pytest

from engine.explain.token_scores import SMALLEST, TokenScores, gains, label_logprobs, of_words

SPANS = [(0, 1), (1, 3)]


def scores(logprobs: list[float]) -> TokenScores:
    count = len(logprobs)
    return TokenScores(
        np.array(logprobs, np.float32),
        np.arange(1, count + 1, dtype=np.int32),
        np.arange(count, dtype=np.float32),
        np.zeros((count, 0), np.float32),
    )


def test_a_word_has_the_sum_of_its_tokens_and_the_rank_of_the_first():
    found = of_words(scores([-1.0, -0.5, -0.25]), SPANS)
    assert found.logprobs.tolist() == [-1.0, -0.75]
    assert found.ranks.tolist() == [1, 2]
    assert found.entropies.tolist() == [0.0, 1.0]


def test_the_image_gain_is_the_difference_of_the_log_probabilities():
    assert gains(scores([-1.0, -0.5, -0.25]), scores([-1.5, -2.0, -0.25]), SPANS).tolist() == [0.5, 1.5]


def test_the_probability_of_a_label_is_the_sum_over_its_names():
    candidates = np.log(np.array([[0.25, 0.5, 0.125]], np.float32))
    found = np.exp(label_logprobs(candidates, [0, 1, 0], 3))
    assert found[0, :2] == pytest.approx([0.375, 0.5])
    assert np.log(found[0, 2]) == pytest.approx(SMALLEST)  # a label without a name of its own


def test_an_impossible_label_is_not_minus_infinity():
    assert label_logprobs(np.array([[-np.inf]], np.float32), [0], 1).tolist() == [[SMALLEST]]
