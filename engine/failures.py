"""Failure tags: what is wrong with a caption, each with the evidence a person can check.

Knows words, references and object labels. Knows no model, no score and no results file. A tag is a reason to look, no
verdict: a caption without one may still be wrong, and each says what it rests on.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from engine.lexicon import Mentions

TAGS = {
    "empty": "no words at all",
    "unfinished": "cut at the maximum length, no end token",
    "repetition": "a phrase of two words or more follows itself, or stands there three times",
    "generic": "the same caption stands under at least 3 images and 1 % of the split",
    "invented object": "names an object that is not annotated in the image and that no reference names",
    "missed object": "leaves out an object that most references name",
}
"""The tags with their definitions."""

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
    """The longest phrase of two words or more that follows itself or stands there three times."""
    for length in range(len(words) // 2, 1, -1):
        phrases = [tuple(words[at : at + length]) for at in range(len(words) - length + 1)]
        counts = Counter(phrases)
        for at, phrase in enumerate(phrases):
            if not any(word.isalpha() for word in phrase):
                continue
            if phrases[at + length : at + length + 1] == [phrase] or counts[phrase] >= 3:
                return " ".join(phrase)
    return None


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
