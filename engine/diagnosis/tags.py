"""Failure tags: possible errors of a caption, each with evidence that a reader can check.

Works on words, references and object labels; needs no model and no scores. A tag is a hint, not a verdict: a caption
without tags may still be wrong.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from engine.diagnosis.facts import judge, things
from engine.diagnosis.facts.fact import Judged, Kind
from engine.diagnosis.facts.image import ImageFacts
from engine.diagnosis.facts.reader import mentions_of, reading
from engine.diagnosis.lexicon import parts_of, vocabulary

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
    """The label of each annotated object."""
    crowds: Sequence[str] = ()
    """The labels of annotated regions that hold several objects."""


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
    labels = vocabulary(context.labels)
    found: dict[Key, list[list[Tag]]] = {key: [] for key in settings}
    for row, image in enumerate(next(iter(settings.values()), ())):
        shown, forms = _Shown(image, labels), {}  # captions that settings share are read once
        for key, cases in settings.items():
            case = cases[row]
            form = tuple(case.words), case.finished
            if form not in forms:
                forms[form] = _form(case)
            generic = _generic(case, context.frequent[key].get(case.caption, 0))
            found[key].append([*forms[form], *generic, *shown.tags(case)])
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
    """The tags that compare what a caption states with the annotations and references of its image."""

    def __init__(self, image: Case, labels: frozenset[str]) -> None:
        """`labels`: the annotation vocabulary of the split, empty if it has no annotations."""
        self._is_annotated = bool(labels) and bool(image.labels or image.crowds or image.references)
        self._labels = labels
        mentions = mentions_of(labels)
        self._image = ImageFacts(image.labels, image.crowds, image.references, mentions, self._is_annotated)
        self._tags: dict[tuple[str, ...], list[Tag]] = {}

    def tags(self, case: Case) -> list[Tag]:
        """Return the tags of what a caption states; captions that settings share are read once."""
        words = tuple(case.words)
        if words not in self._tags:
            self._tags[words] = self._read(words)
        return self._tags[words]

    def _read(self, words: tuple[str, ...]) -> list[Tag]:
        found = reading(words, self._image.mentions)
        tags: dict[Tag, None] = {}
        for judged in judge.judge_reading(found, self._image, _WRONG):
            tag = _WRONG.get(judged.fact.kind) if judged.verdict == "wrong" else None
            if tag is not None and self._is_shown(judged):
                tags[self._tag(tag, judged, words)] = None
        if self._is_annotated:
            for each in things.omitted(found, self._image):
                if each.value in self._labels:
                    tags[Tag("omitted object", f"{each.value}, in {each.evidence}")] = None
        return list(tags)

    def _is_shown(self, judged: Judged) -> bool:
        """Return whether a wrong fact gets a tag.

        A person gets one only if no reference uses a neutral word: its writer may not have been able to see it.
        """
        if judged.fact.kind == "person":
            return things.is_unanimous(judged.fact.value, self._image)
        return judged.fact.kind != "object" or self._is_annotated

    def _tag(self, tag: str, judged: Judged, words: tuple[str, ...]) -> Tag:
        fact = judged.fact
        parts, _ = parts_of(words[fact.start : fact.stop])  # without the punctuation that a word may end with
        stated = " ".join(part for part in parts if part not in ("", "'s"))
        if tag != _HALLUCINATED:
            return Tag(tag, f"{stated}: {judged.evidence}")
        named = stated if stated == fact.value else f"{stated} ({fact.value})"
        return Tag(tag, named if fact.value in self._labels else f"{named}: {judged.evidence}")


_HALLUCINATED = "hallucinated object"
_WRONG: dict[Kind, str] = {
    **{"object": _HALLUCINATED, "colour": "wrong colour", "count": "wrong count"},
    **{"relation": "wrong relation", "person": "wrong person"},
}
"""Kind of a wrong fact -> its tag. Attributes, places and postures have none: references differ too much in them."""
