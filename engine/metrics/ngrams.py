"""Compute CIDEr-D, ROUGE-L and BLEU counts of tokenised captions against references.

The numbers equal those of pycocoevalcap to nine decimals, as the tests check. pycocoevalcap reads every reference again
for every setting; here the references of an image are counted once for all of its captions, and a caption that several
settings share is scored once.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

ORDERS = 4
SIGMA = 6.0
"""Standard deviation of CIDEr-D's length penalty, in bigrams: Vedantam et al., CVPR 2015, section 5."""
BETA = 1.2
"""Weight of recall in ROUGE-L's F-measure, as in COCO."""

Ngrams = dict[tuple[str, ...], int]


@dataclass(frozen=True)
class PairScore:
    """One caption against the references of its image."""

    cider: float
    rouge_l: float
    bleu_counts: tuple[int, ...]
    """[caption length, closest reference length, 4 n-gram counts, 4 clipped matches]."""


def count_ngrams(words: Sequence[str]) -> Ngrams:
    """Return how often each n-gram of one to ORDERS words occurs."""
    counts: Ngrams = defaultdict(int)
    for order in range(1, ORDERS + 1):
        for ngram in zip(*(words[at:] for at in range(order)), strict=False):
            counts[ngram] += 1
    return counts


class CorpusFrequencies:
    """The number of images whose references contain each n-gram: CIDEr's document frequencies."""

    def __init__(self, references: Iterable[Sequence[str]]) -> None:
        self.images = 0
        counts: Counter[tuple[str, ...]] = Counter()
        for texts in references:
            self.images += 1
            counts.update({ngram for text in texts for ngram in count_ngrams(text.split())})
        self._of_one = math.log(self.images) if self.images else 0.0
        logs = {count: math.log(count) for count in set(counts.values())}
        self._weights = {ngram: self._of_one - logs[count] for ngram, count in counts.items()}

    def weight(self, ngram: tuple[str, ...]) -> float:
        """Return log(images) - log(document frequency); an unseen n-gram has document frequency 1."""
        return self._weights.get(ngram, self._of_one)


class ImageReferences:
    """The references of one image, counted once."""

    def __init__(self, texts: Sequence[str], frequencies: CorpusFrequencies) -> None:
        self._frequencies = frequencies
        split = [text.split(" ") for text in texts]  # not split(): pycocoevalcap sees one empty word in an empty text
        self._positions = [(word_positions(words), len(words)) for words in split]
        cooked = [count_ngrams(text.split()) for text in texts]
        self._lengths = [_length(counts) for counts in cooked]
        self._bigrams = [_bigrams(counts) for counts in cooked]
        self._most: Ngrams = {}
        self._weights: dict[tuple[str, ...], list[tuple[int, float]]] = {}
        squares = [[0.0] * ORDERS for _ in texts]
        for number, counts in enumerate(cooked):
            for ngram, count in counts.items():
                self._most[ngram] = max(self._most.get(ngram, 0), count)
                weight = count * frequencies.weight(ngram)
                self._weights.setdefault(ngram, []).append((number, weight))
                squares[number][len(ngram) - 1] += weight**2
        self._norms = np.sqrt(squares)

    def score(self, caption: str) -> PairScore:
        """Score a caption, given as tokens joined by spaces."""
        counts = count_ngrams(caption.split())
        return PairScore(self._cider(counts), self._rouge(caption.split(" ")), self._bleu(counts))

    def _cider(self, counts: Ngrams) -> float:
        similarity = [[0.0] * ORDERS for _ in self._positions]
        norms = [0.0] * ORDERS
        for ngram, count in counts.items():
            weight, order = count * self._frequencies.weight(ngram), len(ngram) - 1
            norms[order] += weight**2
            for number, reference in self._weights.get(ngram, ()):
                similarity[number][order] += min(weight, reference) * reference
        products = np.sqrt(norms) * self._norms
        cosines = np.divide(similarity, products, out=np.array(similarity), where=products != 0)
        delta = _bigrams(counts) - np.array(self._bigrams, dtype=np.float64)
        penalty = np.exp(-(delta**2) / (2 * SIGMA**2))
        return float((cosines * penalty[:, None]).sum() / ORDERS / len(self._positions) * 10.0)

    def _rouge(self, words: list[str]) -> float:
        common = [(longest_common_subsequence(*reference, words), reference[1]) for reference in self._positions]
        precision = max(shared for shared, _ in common) / len(words)
        recall = max(shared / length for shared, length in common)
        if precision == 0 or recall == 0:
            return 0.0
        return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)

    def _bleu(self, counts: Ngrams) -> tuple[int, ...]:
        length = _length(counts)
        closest = min((abs(reference - length), reference) for reference in self._lengths)[1]
        matches = [0] * ORDERS
        for ngram, count in counts.items():
            matches[len(ngram) - 1] += min(self._most.get(ngram, 0), count)
        return (length, closest, *(max(0, length - order) for order in range(ORDERS)), *matches)


def score_images(references: Sequence[Sequence[str]], captions: Iterable[Sequence[str]]) -> Iterator[list[PairScore]]:
    """Yield the scores of several captions per image; only the references of one image are in memory at a time."""
    frequencies = CorpusFrequencies(references)
    for texts, group in zip(references, captions, strict=True):
        image = ImageReferences(texts, frequencies)
        found = {caption: image.score(caption) for caption in dict.fromkeys(group)}
        yield [found[caption] for caption in group]


def word_positions(words: Sequence[str]) -> dict[str, int]:
    """Return for each word a bit mask of its positions."""
    masks: dict[str, int] = defaultdict(int)
    for position, word in enumerate(words):
        masks[word] |= 1 << position
    return masks


def longest_common_subsequence(positions: dict[str, int], length: int, words: Sequence[str]) -> int:
    """Return the length of the longest common subsequence of `words` and a text, given by its `word_positions`.

    Uses the bit-parallel algorithm of Hyyro (2004): one addition per word instead of one table row.
    """
    full = (1 << length) - 1
    row = full
    for word in words:
        matched = row & positions.get(word, 0)
        row = ((row + matched) | (row - matched)) & full
    return length - row.bit_count()


def _length(counts: Ngrams) -> int:
    return sum(count for ngram, count in counts.items() if len(ngram) == 1)


def _bigrams(counts: Ngrams) -> int:
    return sum(count for ngram, count in counts.items() if len(ngram) == 2)
