"""Document frequencies of n-grams: the number of images whose references contain each, for CIDEr.

They are sums over images: each block of images is counted alone, and the counts are merged. N-grams of one image are
left out, because an n-gram that is not listed counts as one of one image; this leaves out most of them. N-grams are
numbers without hashes: a word is its number, a pair of words two numbers in 64 bits, and a longer n-gram begins with
the place of its first pair in the sorted table of pairs. A longer n-gram of two images consists of pairs of two images,
so that the table of pairs is enough.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.metrics.ngrams import ORDERS, Texts

FIRST, LATER = (1, 2), (3, 4)
"""The orders that are counted first, and those that need the table of pairs."""

_AT_ONCE = 4_000_000
"""Counts that are merged at a time (200 MB with what sorting them takes)."""

_KEY, _COUNT = 0, 1
"""The rows of a table of counts."""


@dataclass(frozen=True)
class Frequencies:
    """The document frequencies of a split."""

    images: int
    tables: dict[int, np.ndarray]
    """Order -> int64[2, D]: n-grams in order, and their numbers of images, at least 2."""

    def weights(self, order: int, where: np.ndarray, texts: Texts) -> np.ndarray:
        """Return log(images) - log(document frequency) of n-grams, float64[D]; see `ngrams.Weights`."""
        counts = np.ones(len(where), dtype=np.int64)
        keys, is_known = self.keys(order, where, texts)
        at = _places(self.tables[order], keys[is_known])
        counts[np.flatnonzero(is_known)[at >= 0]] = self.tables[order][_COUNT][at[at >= 0]]
        distinct, each = np.unique(counts, return_inverse=True)
        # By the mathematical library, as in pycocoevalcap: the last digit of numpy's logarithm may differ.
        of_one = math.log(self.images) if self.images else 0.0
        return np.array([of_one - math.log(value) for value in distinct.tolist()])[each]

    def keys(self, order: int, where: np.ndarray, texts: Texts) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers int64[P] of n-grams that begin `where` in texts, and whether each can be listed."""
        words = texts.words
        if order == 1:
            return words[where], np.ones(len(where), dtype=bool)
        pairs = words[where] << 32 | words[where + 1]
        if order == 2:
            return pairs, np.ones(len(where), dtype=bool)
        first = _places(self.tables[2], pairs)
        if order == 3:
            return first << 32 | words[where + 2], first >= 0
        second = _places(self.tables[2], words[where + 2] << 32 | words[where + 3])
        return first << 32 | second, (first >= 0) & (second >= 0)


def _places(table: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return the place of each key in a table, int64[P]; -1 if it is not listed."""
    known = table[_KEY]
    if not len(known):
        return np.full(len(keys), -1)
    at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[at] == keys, at, -1)


def count(order: int, references: Texts, images: np.ndarray, known: Frequencies) -> np.ndarray:
    """Return the n-grams of one order, and how many images have each, int64[2, D], in order.

    Args:
        images: the image of each text, int64[N].
        known: has the table of pairs if `order` is one of LATER.
    """
    left = np.repeat(references.starts[1:], references.lengths) - np.arange(len(references.words))
    where = np.flatnonzero(left >= order)
    keys, can_be_listed = known.keys(order, where, references)
    keys = keys[can_be_listed]
    image = np.repeat(images, references.lengths)[where[can_be_listed]]
    distinct, numbers = np.unique(keys, return_inverse=True)
    pairs = np.unique(image * len(distinct) + numbers)
    return np.stack([distinct, np.bincount(pairs % max(len(distinct), 1), minlength=len(distinct))])


def merge(files: Sequence[Path], target: Path) -> None:
    """Sum the counts in files of `count` and write those of at least two images to `target`.

    Reads a range of n-grams at a time, so that memory does not grow with the number of files.
    """
    parts = [np.load(file, mmap_mode="r") for file in files]
    found = [_summed(parts, low, high) for low, high in _ranges(parts)]
    np.save(target, np.concatenate(found, axis=1) if found else np.zeros((2, 0), dtype=np.int64))


def _ranges(parts: Sequence[np.ndarray]) -> list[tuple[int, int]]:
    """Return ranges [low, high) of keys with about _AT_ONCE counts each."""
    total = sum(part.shape[1] for part in parts)
    bounds = [0]
    if total > _AT_ONCE:
        sample = np.sort(np.concatenate([part[_KEY, ::1000] for part in parts]))
        count = total // _AT_ONCE + 1
        bounds += np.unique(sample[np.linspace(0, len(sample), count, endpoint=False).astype(int)[1:]]).tolist()
    return list(zip(bounds, [*bounds[1:], np.iinfo(np.int64).max], strict=True))


def _summed(parts: Sequence[np.ndarray], low: int, high: int) -> np.ndarray:
    some = [part[:, np.searchsorted(part[_KEY], low) : np.searchsorted(part[_KEY], high)] for part in parts]
    both = np.concatenate(some, axis=1) if some else np.zeros((2, 0), dtype=np.int64)
    order = np.argsort(both[_KEY], kind="stable")
    keys, counts = both[_KEY][order], both[_COUNT][order]
    begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else np.zeros(0, np.int64)
    if not len(begins):
        return np.zeros((2, 0), dtype=np.int64)
    sums = np.add.reduceat(counts, begins)
    return np.stack([keys[begins], sums])[:, sums > 1]


def read(folder: Path, images: int) -> Frequencies:
    """Return the merged frequencies in a folder, as mapped memory; orders that are not merged yet are missing."""
    files = {order: table_file(folder, order) for order in range(1, ORDERS + 1)}
    return Frequencies(images, {n: np.load(file, mmap_mode="r") for n, file in files.items() if file.is_file()})


def table_file(folder: Path, order: int) -> Path:
    """Return the file of the merged frequencies of an order."""
    return folder / f"frequencies{order}.npy"
