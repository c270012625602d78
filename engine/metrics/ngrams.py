"""Compute CIDEr-D, ROUGE-L and BLEU counts of tokenised captions against references, for many images at once.

The numbers equal those of pycocoevalcap to nine decimals, as the tests check. Words are numbers here. The n-grams of a
text are numbered without hashes: an n-gram is the pair of the (n-1)-grams at its first and second word. All sums of
floats run over the n-grams of a text in the order in which they occur, so that a score does not depend on the other
images that are computed together with it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from engine.metrics import lcs

ORDERS = 4
SIGMA = 6.0
"""Standard deviation of CIDEr-D's length penalty, in bigrams: Vedantam et al., CVPR 2015, section 5."""
BETA = 1.2
"""Weight of recall in ROUGE-L's F-measure, as in COCO."""


@dataclass(frozen=True)
class Texts:
    """N texts as word numbers."""

    words: np.ndarray
    """The words of all texts, one after the other, int64[T], below 2**31."""
    lengths: np.ndarray
    """Words of each text, int64[N]."""

    @cached_property
    def starts(self) -> np.ndarray:
        """Where each text begins in `words` and the last one ends, int64[N + 1]."""
        return np.concatenate([[0], np.cumsum(self.lengths)])

    def take(self, rows: np.ndarray) -> "Texts":
        """Return the texts of these rows, in their order."""
        lengths = self.lengths[rows]
        return Texts(self.words[ranges(self.starts[rows], lengths)], lengths)


@dataclass(frozen=True)
class Counted:
    """How often each n-gram of one order occurs in each of N texts; an entry is a text and one of its n-grams."""

    keys: np.ndarray
    """text * distinct + n-gram of each entry, int64[E], sorted."""
    counts: np.ndarray
    """How often it occurs, int64[E]."""
    order: np.ndarray
    """The entries in the order of first occurrence, int64[E], text by text."""
    starts: np.ndarray
    """Where the entries of each text begin in both orders, int64[N + 1]."""
    distinct: np.ndarray
    """The n-grams that occur, int64[distinct]: see `positions`."""

    @cached_property
    def ngrams(self) -> np.ndarray:
        """The n-gram of each entry, as a row of `distinct`, int64[E]."""
        return self.keys % max(len(self.distinct), 1)


Weights = Callable[[int, np.ndarray, Texts], np.ndarray]
"""(order, first positions int64[D] of n-grams in texts, the texts) -> log(images) - log(document frequency)."""


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the numbers start, start + 1, ... of each range, one after the other."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)


def positions(texts: Texts) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield for each order where n-grams begin int64[P], their dense numbers int64[P], and how many are distinct.

    The third is where each distinct n-gram occurs, int64[D]: equal n-grams have one number and one such position.
    """
    left = np.repeat(texts.starts[1:], texts.lengths) - np.arange(len(texts.words))
    numbers = texts.words
    for order in range(1, ORDERS + 1):
        at = np.flatnonzero(left >= order)
        keys = numbers[at] if order == 1 else numbers[at] << 32 | numbers[at + 1]
        _, first, dense = np.unique(keys, return_index=True, return_inverse=True)
        numbers = np.zeros(len(texts.words), dtype=np.int64)
        numbers[at] = dense
        yield at, dense, at[first]


def count(texts: Texts) -> list[Counted]:
    """Return the n-grams of each order in each text."""
    of_word = np.repeat(np.arange(len(texts.lengths)), texts.lengths)
    return [_count(of_word[at], at, numbers, where, len(texts.lengths)) for at, numbers, where in positions(texts)]


def _count(text: np.ndarray, at: np.ndarray, numbers: np.ndarray, where: np.ndarray, texts: int) -> Counted:
    every = text * len(where) + numbers
    order = np.argsort(every, kind="stable")
    keys = every[order]
    begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else np.zeros(0, np.int64)
    counts = np.diff(begins, append=len(keys))
    starts = np.searchsorted(text[order][begins], np.arange(texts + 1))
    # The sort is stable: the first of equal keys is the first occurrence.
    return Counted(keys[begins], counts, np.argsort(order[begins]), starts, where)


def cider_and_bleu(
    captions: Texts, references: Texts, pairs: np.ndarray, own: np.ndarray, weights: Weights
) -> tuple[np.ndarray, np.ndarray]:
    """Score captions against the references of their images.

    Args:
        captions, references: in words separated by any white space.
        pairs: int64[Q, 2], a caption and one of its references, sorted by caption.
        own: where the pairs of each caption begin in `pairs` and the last end, int64[P + 1]; each has at least one.
        weights: of the n-grams, for CIDEr.

    Returns:
        CIDEr-D float64[P], and BLEU's counts float64[P, 10]: caption length, closest reference length, 4 n-gram counts,
        4 clipped matches.
    """
    texts = Texts(
        np.concatenate([captions.words, references.words]), np.concatenate([captions.lengths, references.lengths])
    )
    pairs = pairs + np.array([0, len(captions.lengths)])
    counted = count(texts)
    similar = np.zeros((len(pairs), ORDERS))
    squares = np.zeros((len(texts.lengths), ORDERS))
    matches = np.zeros((len(own) - 1, ORDERS), dtype=np.int64)
    for order, each in enumerate(counted):
        weight = weights(order + 1, each.distinct, texts)
        squares[:, order] = _squares(each, weight)
        similar[:, order], matches[:, order] = _common(each, weight, pairs, own)
    cider = _cider(similar, np.sqrt(squares), np.maximum(texts.lengths - 1, 0), pairs, own)
    return cider, _bleu(texts.lengths, matches, pairs, own)


def _squares(counted: Counted, weight: np.ndarray) -> np.ndarray:
    """Return the sum of squared weights of each text, float64[N]."""
    weighted = (counted.counts * weight[counted.ngrams])[counted.order]
    text = np.repeat(np.arange(len(counted.starts) - 1), np.diff(counted.starts))
    return np.bincount(text, weighted**2, len(counted.starts) - 1)


def _common(counted: Counted, weight: np.ndarray, pairs: np.ndarray, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the clipped products of each pair float64[Q], and the clipped matches of each caption int64[P]."""
    entries = np.diff(counted.starts)
    caption = pairs[own[:-1], 0]
    entry = counted.order[ranges(counted.starts[caption], entries[caption])]
    # One question for each n-gram of a caption and each reference of its image, n-gram by n-gram.
    of_caption = np.repeat(np.arange(len(caption)), entries[caption])
    asked = np.diff(own)[of_caption]
    entry, pair = np.repeat(entry, asked), ranges(own[of_caption], asked)
    ngram = counted.ngrams[entry]
    wanted = pairs[pair, 1] * len(counted.distinct) + ngram
    at = np.minimum(np.searchsorted(counted.keys, wanted), max(len(counted.keys) - 1, 0))
    there = np.where(counted.keys[at] == wanted, counted.counts[at], 0) if len(wanted) else np.zeros(0, np.int64)
    here = counted.counts[entry]
    reference = there * weight[ngram]
    products = np.minimum(here * weight[ngram], reference) * reference
    most = np.maximum.reduceat(there, np.cumsum(asked) - asked) if len(there) else there
    clipped = np.minimum(most, here[np.cumsum(asked) - asked]) if len(there) else there
    return np.bincount(pair, products, len(pairs)), _summed(of_caption, clipped, len(caption))


def _summed(groups: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    return np.bincount(groups, values, count).astype(np.int64)


def _cider(
    similar: np.ndarray, norms: np.ndarray, bigrams: np.ndarray, pairs: np.ndarray, own: np.ndarray
) -> np.ndarray:
    products = norms[pairs[:, 0]] * norms[pairs[:, 1]]
    cosines = np.divide(similar, products, out=similar.copy(), where=products != 0)
    delta = (bigrams[pairs[:, 0]] - bigrams[pairs[:, 1]]).astype(np.float64)
    penalised = cosines * np.exp(-(delta**2) / (2 * SIGMA**2))[:, None]
    references = np.diff(own)
    caption = np.repeat(np.arange(len(references)), references * ORDERS)
    return np.bincount(caption, penalised.ravel(), len(references)) / ORDERS / references * 10.0


def _bleu(lengths: np.ndarray, matches: np.ndarray, pairs: np.ndarray, own: np.ndarray) -> np.ndarray:
    own_length = lengths[pairs[own[:-1], 0]]
    reference = lengths[pairs[:, 1]]
    # The closest length; of two equally close ones the shorter.
    distance = np.abs(reference - lengths[pairs[:, 0]])
    closest = np.minimum.reduceat(distance << 32 | reference, own[:-1]) & 0xFFFFFFFF
    guesses = np.maximum(own_length[:, None] - np.arange(ORDERS), 0)
    return np.column_stack([own_length, closest, guesses, matches]).astype(np.float64)


def rouge(captions: Texts, references: Texts, pairs: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return ROUGE-L of each caption, float64[P].

    The arguments are those of `cider_and_bleu`, but in words separated by single spaces: pycocoevalcap sees one empty
    word in an empty text.
    """
    shared = lcs.lengths((captions.words, captions.starts), (references.words, references.starts), pairs)
    precision = np.maximum.reduceat(shared, own[:-1]) / captions.lengths[pairs[own[:-1], 0]]
    recall = np.maximum.reduceat(shared / references.lengths[pairs[:, 1]], own[:-1])
    above, below = (1 + BETA**2) * precision * recall, recall + BETA**2 * precision
    return np.divide(above, below, out=np.zeros_like(above), where=(precision != 0) & (recall != 0))
