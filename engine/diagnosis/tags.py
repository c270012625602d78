"""Failure tags: what is wrong with a caption, each with the evidence a person can check.

Knows words, references and object labels. Knows no model, no score and no results file. A tag is a reason to look, no
verdict: a caption without one may still be wrong, and each says what it rests on.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from engine.diagnosis.lexicon import Mentions

Key = TypeVar("Key", bound=Hashable)
"""Of a setting, such as its beam size."""

_GENERIC_SHARE = 0.01
_GENERIC_LEAST = 3


@dataclass(frozen=True)
class Tag:
    """A tag and what it rests on, in a few words."""

    tag: str
    evidence: str


@dataclass(frozen=True)
class Case:
    """A caption with what is known about its image; `finished` is None where nobody knows."""

    caption: str
    words: Sequence[str]
    finished: bool | None
    references: Sequence[str]
    labels: Sequence[str]


def tag_settings(settings: Mapping[Key, Sequence[Case]]) -> dict[Key, list[list[Tag]]]:
    """Return the tags of each caption of each setting over a split: all settings have the same images in one order.

    Objects are those the split's annotations name; a split without annotations gets no object tags. An image without a
    box in an annotated split shows none of them, unless its references say so. The references of an image are read
    once for all settings.
    """
    said = {key: Counter(case.caption for case in cases) for key, cases in settings.items()}
    images = next(iter(settings.values()), ())
    often = max(_GENERIC_LEAST, _GENERIC_SHARE * len(images))
    labels = {label for case in images for label in case.labels}
    mentions = Mentions(labels) if labels else None
    found: dict[Key, list[list[Tag]]] = {key: [] for key in settings}
    for row, image in enumerate(images):
        shown, forms = _Shown(image, mentions), {}  # captions that several settings have are read once
        for key, cases in settings.items():
            case = cases[row]
            form = tuple(case.words), case.finished
            if form not in forms:
                forms[form] = _form(case)
            generic = _generic(case, said[key][case.caption], often)
            found[key].append([*forms[form], *generic, *shown.tags(case.caption)])
    return found


def _form(case: Case) -> list[Tag]:
    words = sum(any(map(str.isalnum, word)) for word in case.words)  # a full stop is none
    if not words:
        return [Tag("empty", "no words")]
    tags = [Tag("unfinished", f"no end after {words} words")] if case.finished is False else []
    phrase = repeated_phrase([word.lower() for word in case.words])
    return [*tags, Tag("repetition", phrase)] if phrase else tags


def repeated_phrase(words: Sequence[str]) -> str | None:
    """The longest phrase of two words or more that follows itself or stands there thrice; of several, the first."""
    found, groups = None, _split([list(range(len(words)))], words, 1)
    for length in range(2, len(words) // 2 + 1):
        # A phrase that stands there once has no longer one that stands there twice, so few are left to grow.
        groups = _split(groups, words, length)
        firsts = [at for places in groups for at in _repeats(places, length)[:1]]
        phrases = [words[at : at + length] for at in sorted(firsts)]
        found = next((phrase for phrase in phrases if any(word.isalpha() for word in phrase)), found)
    return " ".join(found) if found else None


def _split(groups: list[list[int]], words: Sequence[str], length: int) -> list[list[int]]:
    """Places that begin the same `length` words, twice or more, out of those that begin the same words but one."""
    parted = []
    for places in groups:
        by_word = defaultdict(list)
        for at in places:
            if at + length <= len(words):
                by_word[words[at + length - 1]].append(at)
        parted += [each for each in by_word.values() if len(each) > 1]
    return parted


def _repeats(places: list[int], length: int) -> list[int]:
    """The places of a phrase that count as a repetition."""
    return places if len(places) >= 3 else [at for at in places if at + length in places]


def _generic(case: Case, count: int, often: float) -> list[Tag]:
    return [Tag("generic", f"said of {count} images")] if case.words and count >= often else []


class _Shown:
    """The objects of an image: those that are annotated, and those that its references name."""

    def __init__(self, image: Case, mentions: Mentions | None) -> None:
        """`mentions`: None where the split has no annotations."""
        is_known = mentions is not None and (image.labels or image.references)
        self._mentions = mentions if is_known else None
        self._labels, self._references = image.labels, len(image.references)
        # In the order of the texts: a set's order differs from one process to the next.
        texts = image.references if self._mentions else ()
        self._named = Counter(label for text in texts for label in self._mentions.find(text))
        self._tags: dict[str, list[Tag]] = {}

    def tags(self, caption: str) -> list[Tag]:
        """Return the object tags of a caption; one that several settings have is read once."""
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
