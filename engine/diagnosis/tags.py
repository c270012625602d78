"""Failure tags: possible errors of a caption, each with evidence that a reader can check.

Works on words, references and object labels; needs no model and no scores. A tag is a hint, not a verdict: a caption
without tags may still be wrong.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from engine.diagnosis.lexicon import Mentions

Key = TypeVar("Key", bound=Hashable)
"""Identifies a setting, for example by its beam size."""

_SEARCHED = 1_000
"""Words of a caption that are searched for a repeated phrase: twice the tokens that a search may generate."""


@dataclass(frozen=True)
class Tag:
    """A tag with short evidence."""

    tag: str
    evidence: str


@dataclass(frozen=True)
class Case:
    """A caption with the annotations of its image; `finished` is None if unknown."""

    caption: str
    words: Sequence[str]
    finished: bool | None
    references: Sequence[str]
    labels: Sequence[str]


@dataclass(frozen=True)
class TagContext:
    """What the tags of an image take from the other images of its split."""

    labels: frozenset[str]
    """The labels of all annotated objects."""
    frequent: Mapping[Any, Mapping[str, int]]
    """Setting -> frequent captions with their number of images."""


def tag_block(settings: Mapping[Key, Sequence[Case]], context: TagContext) -> dict[Key, list[list[Tag]]]:
    """Return the tags of each caption of each setting for some images of a split.

    The objects are those of the split's annotations; without annotations there are no object tags. In an annotated
    split, an image without boxes is assumed to show no objects except those that its references name. The references of
    an image are read once for all settings.
    """
    mentions = Mentions(context.labels) if context.labels else None
    found: dict[Key, list[list[Tag]]] = {key: [] for key in settings}
    for row, image in enumerate(next(iter(settings.values()), ())):
        shown, forms = _Shown(image, mentions), {}  # captions that settings share are read once
        for key, cases in settings.items():
            case = cases[row]
            form = tuple(case.words), case.finished
            if form not in forms:
                forms[form] = _form(case)
            generic = _generic(case, context.frequent[key].get(case.caption, 0))
            found[key].append([*forms[form], *generic, *shown.tags(case.caption)])
    return found


def _form(case: Case) -> list[Tag]:
    words = sum(any(map(str.isalnum, word)) for word in case.words)  # punctuation does not count
    if not words:
        return [Tag("empty", "no words")]
    tags = [Tag("unfinished", f"no end after {words} words")] if case.finished is False else []
    phrase = repeated_phrase([word.lower() for word in case.words])
    return [*tags, Tag("repetition", phrase)] if phrase else tags


def repeated_phrase(words: Sequence[str]) -> str | None:
    """Return the first longest phrase of at least two words that repeats directly or occurs three times, or None.

    Only the first 1,000 words are searched, because the time grows with the square of their number.
    """
    words = words[:_SEARCHED]
    found, groups = None, _split([list(range(len(words)))], words, 1)
    for length in range(2, len(words) // 2 + 1):
        # A phrase that occurs once cannot be part of a longer repeated phrase, so few groups remain.
        groups = _split(groups, words, length)
        firsts = [at for places in groups for at in _repeats(places, length)[:1]]
        phrases = [words[at : at + length] for at in sorted(firsts)]
        found = next((phrase for phrase in phrases if any(word.isalpha() for word in phrase)), found)
    return " ".join(found) if found else None


def _split(groups: list[list[int]], words: Sequence[str], length: int) -> list[list[int]]:
    """Split groups of positions with equal phrases of `length` - 1 words by the next word; drop single positions."""
    parts = []
    for places in groups:
        by_word = defaultdict(list)
        for at in places:
            if at + length <= len(words):
                by_word[words[at + length - 1]].append(at)
        parts += [each for each in by_word.values() if len(each) > 1]
    return parts


def _repeats(places: list[int], length: int) -> list[int]:
    """Return the positions of a phrase that count as a repetition."""
    return places if len(places) >= 3 else [at for at in places if at + length in places]


def _generic(case: Case, count: int) -> list[Tag]:
    return [Tag("generic", f"said of {count} images")] if case.words and count else []


class _Shown:
    """The objects of an image: the annotated ones, and those that its references name."""

    def __init__(self, image: Case, mentions: Mentions | None) -> None:
        """`mentions`: None if the split has no annotations."""
        is_known = mentions is not None and (image.labels or image.references)
        self._mentions = mentions if is_known else None
        self._labels, self._references = image.labels, len(image.references)
        # In the order of the texts, because the order of a set differs between processes.
        known = self._mentions
        self._named = Counter(label for text in image.references for label in (known.find(text) if known else ()))
        self._tags: dict[str, list[Tag]] = {}

    def tags(self, caption: str) -> list[Tag]:
        """Return the object tags of a caption; captions that settings share are read once."""
        if self._mentions is None:
            return []
        if caption not in self._tags:
            self._tags[caption] = self._read(self._mentions.find(caption))
        return self._tags[caption]

    def _read(self, named: Mapping[str, str]) -> list[Tag]:
        tags = [
            Tag("hallucinated object", f"{words} ({label})" if words != label else label)
            for label, words in named.items()
            if label not in self._labels and not self._named[label]
        ]
        for label, count in self._named.items():
            if label not in named and 2 * count > self._references:
                tags.append(Tag("omitted object", f"{label}, in {count} of {self._references} references"))
        return tags
