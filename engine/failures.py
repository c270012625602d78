"""Failure tags: what is wrong with a caption, each with the evidence a person can check.

Knows words, references and object labels. Knows no model, no score and no results file. A tag is a reason to look, no
verdict: a caption without one may still be wrong, and each says what it rests on.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from engine.lexicon import Mentions

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


def tag_all(cases: Sequence[Case]) -> list[list[Tag]]:
    """The tags of each caption of one setting over a split.

    Objects are those the split's annotations name; a split without annotations gets no object tags. An image without a
    box in an annotated split shows none of them, unless its references say so.
    """
    said = Counter(case.caption for case in cases)
    often = max(_GENERIC_LEAST, _GENERIC_SHARE * len(cases))
    labels = {label for case in cases for label in case.labels}
    mentions = Mentions(labels)
    return [
        [*_form(case), *_generic(case, said[case.caption], often), *(_objects(case, mentions) if labels else ())]
        for case in cases
    ]


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


def _objects(case: Case, mentions: Mentions) -> list[Tag]:
    if not (case.labels or case.references):
        return []  # nothing is known of what the image shows
    named = mentions.find(case.caption)
    # In the order of the texts: a set's order differs from one process to the next.
    in_references = Counter(label for text in case.references for label in mentions.find(text))
    tags = [
        Tag("invented object", f"{words} ({label})" if words != label else label)
        for label, words in named.items()
        if label not in case.labels and not in_references[label]
    ]
    for label, count in in_references.items():
        if label not in named and 2 * count > len(case.references):
            tags.append(Tag("missed object", f"{label}, in {count} of {len(case.references)} references"))
    return tags
