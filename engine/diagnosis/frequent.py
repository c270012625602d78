"""Find the captions that many images share, in memory that does not grow with the number of images."""

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence

SHARE = 0.01
"""The least share of the images that makes a caption frequent."""
LEAST = 3
"""The least number of images that makes a caption frequent."""

_KEPT = 1_000
"""Captions that are counted at a time. They find shares above 1 / (_KEPT + 1): ten times as many as are needed."""


class FrequentCaptions:
    """Counts captions block by block, and drops rare ones on the way (Misra and Gries, 1982)."""

    def __init__(self) -> None:
        self._images = 0
        self._counts: Counter[str] = Counter()
        self._dropped = 0
        """At most so many occurrences of each caption are not in its count: less than SHARE of the images."""

    def add(self, captions: Sequence[str]) -> None:
        """Count the captions of a block, one per image."""
        self._images += len(captions)
        self._counts.update(captions)
        if len(self._counts) > _KEPT:
            least = heapq.nlargest(_KEPT + 1, self._counts.values())[-1]
            self._counts = Counter({text: count - least for text, count in self._counts.items() if count > least})
            self._dropped += least

    def found(self) -> dict[str, int] | None:
        """Return the number of images of each frequent caption; None if `recounted` must count them."""
        return None if self._dropped and self._candidates() else self._frequent(self._counts)

    def recounted(self, blocks: Iterable[Sequence[str]]) -> dict[str, int]:
        """Return the number of images of each frequent caption of a split, whose captions are read again."""
        candidates = self._candidates()
        return self._frequent(Counter(text for captions in blocks for text in captions if text in candidates))

    def _often(self) -> float:
        return max(LEAST, SHARE * self._images)

    def _candidates(self) -> set[str]:
        return {text for text, count in self._counts.items() if count + self._dropped >= self._often()}

    def _frequent(self, counts: Counter[str]) -> dict[str, int]:
        return {text: count for text, count in counts.items() if count >= self._often()}
