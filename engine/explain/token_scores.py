"""The model's distribution at the steps of a finished caption, and what it says about the caption's words.

A captioner reads the caption again with teacher forcing. Read with another photo, the same caption shows which words
depend on the photo.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TokenScores:
    """The distribution at the step of each token of a caption with T tokens."""

    logprobs: np.ndarray
    """float32[T]: log-probability of the token, nats."""
    ranks: np.ndarray
    """int32[T]: rank of the token; 1 is the most probable."""
    entropies: np.ndarray
    """float32[T]: entropy of the distribution, nats."""
    candidates: np.ndarray
    """float32[T, C]: log-probabilities of C chosen tokens at every step."""


@dataclass(frozen=True)
class WordScores:
    """The same for the words of a caption, float32[W] and int32[W]."""

    logprobs: np.ndarray
    """Log-probability of the word: the sum over its tokens, nats."""
    ranks: np.ndarray
    """Rank of the word's first token."""
    entropies: np.ndarray
    """Entropy at the step of the word's first token, nats."""


def of_words(scores: TokenScores, spans: Sequence[tuple[int, int]]) -> WordScores:
    """Return the scores of words, given the first token and one past the last token of each."""
    firsts = np.array([start for start, _ in spans], dtype=int)
    sums = [scores.logprobs[start:stop].sum(dtype=np.float64) for start, stop in spans]
    return WordScores(np.array(sums, np.float32), scores.ranks[firsts], scores.entropies[firsts])


def gains(scores: TokenScores, without: TokenScores, spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return the image gain of each word, float32[W], nats.

    It is log p(word | photo, words before) - log p(word | other picture, words before).

    Args:
        without: the scores of the same tokens with another picture, for example a grey one.
    """
    return of_words(scores, spans).logprobs - of_words(without, spans).logprobs


def label_logprobs(candidates: np.ndarray, labels: Sequence[int], count: int) -> np.ndarray:
    """Return the log-probability that a step names each label, float32[T, count].

    Args:
        candidates: float32[T, C], see `TokenScores`; the first tokens of names.
        labels: the label of each of the C candidates, 0 to `count` - 1.
    """
    found = np.full((len(candidates), count), np.float32(SMALLEST))
    for label in set(labels):
        own = [at for at, each in enumerate(labels) if each == label]
        found[:, label] = np.logaddexp.reduce(candidates[:, own], axis=1)
    return np.maximum(found, np.float32(SMALLEST))


SMALLEST = -20.0
"""The smallest log-probability of a label, nats: labels below it are equally impossible."""
