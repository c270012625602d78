"""Words that new captions lost or gained, by what the references say."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from engine.diagnosis.lexicon import parts_of_text

_LITTLE = frozenset(
    re.findall(r"\w+", "a an the of and is are it its this that there with in on at to by for as his her")
)
"""Words that say nothing about the photo by themselves."""


@dataclass(frozen=True)
class WordChange:
    """How a word changed over all images."""

    word: str
    worse: int
    """Images on which the change makes the caption worse."""
    better: int
    """Images on which it is the other way round."""


def lost(
    old: Sequence[str], new: Sequence[str], references: Sequence[Sequence[str]], most: int = 12
) -> list[WordChange]:
    """Return words of the references that the old captions have and the new ones lack, most frequent first."""
    return _ranked(*_counted(old, new, references, is_supported=True), most)


def gained(
    old: Sequence[str], new: Sequence[str], references: Sequence[Sequence[str]], most: int = 12
) -> list[WordChange]:
    """Return words of no reference that the new captions have and the old ones lack, most frequent first."""
    return _ranked(*_counted(new, old, references, is_supported=False), most)


def _counted(
    having: Sequence[str], lacking: Sequence[str], references: Sequence[Sequence[str]], is_supported: bool
) -> tuple[Counter[str], Counter[str]]:
    """Return on how many images `having` has a word that `lacking` has not, and the reverse."""
    one, other = Counter[str](), Counter[str]()
    for first, second, known in zip(having, lacking, references, strict=True):
        if not known or first == second:
            continue
        left, right, stated = words_of(first), words_of(second), words_of(" ".join(known))
        for counter, words in ((one, left - right), (other, right - left)):
            counter.update(words & stated if is_supported else words - stated)
    return one, other


def _ranked(worse: Counter[str], better: Counter[str], most: int) -> list[WordChange]:
    """Return the words that became worse on more images than better."""
    found = [WordChange(word, count, better[word]) for word, count in worse.items() if count > better[word]]
    return sorted(found, key=lambda each: (each.better - each.worse, each.word))[:most]


def words_of(text: str) -> frozenset[str]:
    """Return the words of a text in lower case, without articles and other words that say little."""
    return frozenset(filter(str.isalnum, parts_of_text(text))) - _LITTLE
