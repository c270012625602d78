"""Longest common subsequences of many pairs of texts at once, for ROUGE-L.

Uses the bit-parallel algorithm of Hyyro (2004): one addition per word of the caption instead of one table row. For
references of up to 64 words it runs on one machine word for all pairs together, for longer ones on Python's integers.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence

import numpy as np

_BITS = 64


def lengths(
    captions: tuple[np.ndarray, np.ndarray], references: tuple[np.ndarray, np.ndarray], pairs: np.ndarray
) -> np.ndarray:
    """Return the length of the longest common subsequence of each pair, int64[P].

    Args:
        captions: word ids int64[T] of all captions, one after the other, and where each begins and the last ends,
            int64[N + 1].
        references: the same of all references; ids of both are below 2**31.
        pairs: int64[P, 2], the caption and the reference of each pair.
    """
    found = np.zeros(len(pairs), dtype=np.int64)
    words = np.diff(references[1])[pairs[:, 1]]
    short = np.flatnonzero(words <= _BITS)
    found[short] = _short(captions, references, pairs[short])
    for pair in np.flatnonzero(words > _BITS):
        caption, reference = (
            flat[starts[row] : starts[row + 1]].tolist()
            for (flat, starts), row in zip((captions, references), pairs[pair], strict=True)
        )
        found[pair] = longest_common_subsequence(word_positions(reference), len(reference), caption)
    return found


def _short(
    captions: tuple[np.ndarray, np.ndarray], references: tuple[np.ndarray, np.ndarray], pairs: np.ndarray
) -> np.ndarray:
    """Return the lengths for references of at most 64 words."""
    (flat, starts), counts = captions, np.diff(captions[1])[pairs[:, 0]]
    order = np.argsort(-counts, kind="stable")  # the pairs that still have a word stay in front
    pairs, counts = pairs[order], counts[order]
    keys, masks = _masks(*references)
    length = np.diff(references[1])[pairs[:, 1]].astype(np.uint64)
    full = ~np.uint64(0) >> (np.uint64(_BITS) - np.maximum(length, np.uint64(1)))
    rows = full.copy()
    first, base = starts[pairs[:, 0]], pairs[:, 1] << 31
    for step in range(int(counts.max(initial=0))):
        active = int(np.searchsorted(-counts, -step))
        wanted = base[:active] | flat[first[:active] + step]
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        row = rows[:active]
        matched = np.where(keys[at] == wanted, row & masks[at], np.uint64(0))
        rows[:active] = ((row + matched) | (row - matched)) & full[:active]
    found = np.empty(len(pairs), dtype=np.int64)
    found[order] = np.where(length > 0, length - np.bitwise_count(rows), 0)
    return found


def _masks(flat: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each word of each text its key (text << 31 | word), in order, and a bit mask of its positions."""
    counts = np.diff(starts)
    texts = np.repeat(np.arange(len(counts)), counts)
    place = np.arange(len(flat)) - np.repeat(starts[:-1], counts)
    keys = (texts << 31 | flat)[place < _BITS]
    bits = np.uint64(1) << place[place < _BITS].astype(np.uint64)
    if not len(keys):
        return np.zeros(1, dtype=np.int64) - 1, np.zeros(1, dtype=np.uint64)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return keys[begins], np.bitwise_or.reduceat(bits[order], begins)


def word_positions(words: Sequence[Hashable]) -> dict[Hashable, int]:
    """Return for each word a bit mask of its positions."""
    masks: dict[Hashable, int] = defaultdict(int)
    for position, word in enumerate(words):
        masks[word] |= 1 << position
    return masks


def longest_common_subsequence(positions: dict[Hashable, int], length: int, words: Sequence[Hashable]) -> int:
    """Return the length of the longest common subsequence of `words` and a text, given by its `word_positions`."""
    full = (1 << length) - 1
    row = full
    for word in words:
        matched = row & positions.get(word, 0)
        row = ((row + matched) | (row - matched)) & full
    return length - row.bit_count()
