"""Corpus BLEU-1 to BLEU-4, METEOR and CHAIR from summed counts; they are not the mean of per-image values.

The words are counted in `ngrams`, `meteor` and `chair`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

BLEU_COUNTS = 10
"""Caption length, closest reference length, numbers of 1- to 4-grams, clipped matches of 1- to 4-grams."""

METEOR_COUNTS = 23
"""4 lengths, 4 matches in each of 4 stages, chunks (0 if one chunk matches everything), 2 numbers of matched words."""

CHAIR_COUNTS = 4
"""Hallucinated mentions of objects, all mentions, captions with a hallucinated one, captions."""

# Denkowski and Lavie, WMT 2014, and the jar's defaults for English: precision vs. recall, shape and weight of the
# fragmentation penalty, content vs. function words, and the stages exact, stem, synonym, paraphrase.
ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
STAGE_WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])


@dataclass(frozen=True)
class Pooled:
    """How a corpus value is computed: the column of per-image counts, and the metric of their sums."""

    counts: str
    score: Callable[[np.ndarray], np.ndarray]
    """(Summed) counts float64[..., C] -> float64[...]."""


def bleu(counts: np.ndarray, order: int) -> np.ndarray:
    """Return BLEU up to n-gram `order`, float64[...], of (summed) counts [..., BLEU_COUNTS], smoothed as in COCO."""
    length, closest = counts[..., 0], counts[..., 1]
    guesses, matches = counts[..., 2 : 2 + order], counts[..., 6 : 6 + order]
    precision = np.prod((matches + 1e-15) / (guesses + 1e-9), axis=-1) ** (1 / order)
    ratio = (length + 1e-15) / (closest + 1e-9)
    return precision * np.exp(np.minimum(1 - 1 / ratio, 0))


def meteor(counts: np.ndarray) -> np.ndarray:
    """Return METEOR float64[...] of (summed) counts float64[..., METEOR_COUNTS]; equal to the jar's scores."""
    test_length, reference_length, test_function, reference_function = np.moveaxis(counts[..., :4], -1, 0)
    stages = counts[..., 4:20].reshape(*counts.shape[:-1], 4, 4)  # stage, (test, reference) content, then function
    chunks, test_matched, reference_matched = np.moveaxis(counts[..., 20:], -1, 0)
    precision = _share(_weighed(stages[..., 0], stages[..., 2]), test_length, test_function)
    recall = _share(_weighed(stages[..., 1], stages[..., 3]), reference_length, reference_function)
    weighed = ALPHA * precision + (1 - ALPHA) * recall
    mean = np.divide(precision * recall, weighed, out=np.zeros_like(weighed), where=weighed > 0)
    matched = (test_matched + reference_matched) / 2
    fragments = np.divide(chunks, matched, out=np.zeros_like(matched), where=matched > 0)
    return mean * (1 - GAMMA * fragments**BETA)


def _weighed(content: np.ndarray, function: np.ndarray) -> np.ndarray:
    return (STAGE_WEIGHTS * (DELTA * content + (1 - DELTA) * function)).sum(-1)


def _share(matches: np.ndarray, length: np.ndarray, function: np.ndarray) -> np.ndarray:
    weighed = DELTA * (length - function) + (1 - DELTA) * function
    return np.divide(matches, weighed, out=np.zeros_like(weighed), where=weighed > 0)


def chair(counts: np.ndarray, part: int, whole: int) -> np.ndarray:
    """Return column `part` over column `whole` of (summed) counts [..., CHAIR_COUNTS]; NaN, not 0 / 0, without any."""
    share = np.full(counts.shape[:-1], np.nan)
    return np.divide(counts[..., part], counts[..., whole], out=share, where=counts[..., whole] > 0)


POOLED: dict[str, Pooled] = {
    **{f"bleu_{order}": Pooled("bleu_counts", partial(bleu, order=order)) for order in range(1, 5)},
    "meteor": Pooled("meteor_counts", meteor),
    "chair_i": Pooled("chair_counts", partial(chair, part=0, whole=1)),
    "chair_s": Pooled("chair_counts", partial(chair, part=2, whole=3)),
}
"""Metric -> how its corpus value is pooled; all other metrics are means of per-image values."""
