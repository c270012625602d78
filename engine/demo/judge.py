"""Compare captions of the generated world with the scene: wrong nouns, genders, counts, colours and places.

Only the content of a caption is checked; omissions are not mistakes. Exact scene descriptions do not exist for
photographs, which is why the demo has a generated world.
"""

import re
from dataclasses import dataclass

from engine.demo.language import ADJECTIVES, COLOUR_WORDS, NOUNS, PLACE_NOUNS, PLACES, WATERS, plural
from engine.demo.scenes import Scene, Thing

ASPECTS = ("noun", "gender", "count", "colour", "place")
PEOPLE = ("man", "woman", "boy", "girl")
_COUNTS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3}
_OPPOSITE = {"left": "right", "right": "left"}
_WORN = ("shirt", "shirts", "dress", "dresses")
_MODIFIERS = (*COLOUR_WORDS, *(word for phrase in ADJECTIVES for word in phrase.split()), "young", "little", "whole")
# Words of the place phrases that do not identify a place.
_IDLE = {
    *("on", "a", "an", "the", "at", "by", "in", "of", "near", "next", "to", "some", "with", "front", "off", "inside"),
    *(
        "clean",
        "wide",
        "quiet",
        "sunny",
        "city",
        "scene",
        "covered",
        "tiled",
        "window",
        "room",
        "shore",
        "path",
        "hill",
    ),
}


@dataclass(frozen=True)
class Mistake:
    """A part of a caption that contradicts the scene."""

    aspect: str
    words: str


@dataclass(frozen=True)
class _Mention:
    """A noun of the caption: the roles or kinds it may denote, and its position."""

    names: frozenset[str]
    start: int
    stop: int
    is_plural: bool


def _nouns() -> dict[tuple[str, ...], tuple[frozenset[str], bool]]:
    found: dict[tuple[str, ...], tuple[set[str], bool]] = {}
    for name, synonyms in NOUNS.items():
        for noun in synonyms:
            for words, is_plural in ((noun, False), (plural(noun), True)):
                same = words == noun and is_plural  # sheep
                found.setdefault(tuple(words.split()), (set(), is_plural and not same))[0].add(name)
    return {words: (frozenset(names), is_plural) for words, (names, is_plural) in found.items()}


def _place_words() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for table in (PLACES, PLACE_NOUNS, WATERS):
        for place, phrases in table.items():
            for word in {word for phrase in phrases for word in phrase.split()} - _IDLE:
                found.setdefault(word, set()).add(place)
    return {word: frozenset(places) for word, places in found.items()}


_NOUNS = _nouns()
_LONGEST = max(map(len, _NOUNS))
_PLACE_WORDS = _place_words()


def mistakes(scene: Scene, caption: str) -> list[Mistake]:
    """Return the mistakes of a caption, in the order of its words."""
    words = re.findall(r"[a-z]+", caption.lower())
    found: list[Mistake] = []
    for mention in _mentions(words):
        shown = [thing for thing in scene.things if _is(thing, mention.names)]
        text = " ".join(words[mention.start : mention.stop])
        if not shown:
            people = mention.names <= set(PEOPLE) and any(thing.role for thing in scene.things)
            found.append(Mistake("gender" if people else "noun", text))
            continue
        found += _count(scene, words, mention, shown)
        found += _colour(words, mention, shown)
    for before, word in zip(["", *words], words, strict=False):
        places = _PLACE_WORDS.get(word)
        if places is not None and scene.place not in places and before != "eating":  # a cow eats grass anywhere
            found.append(Mistake("place", word))
    return found


@dataclass(frozen=True)
class Claim:
    """What a caption says about one noun."""

    names: frozenset[str]
    """The roles or kinds that the noun may denote."""
    count: int | None
    """None for a plural without a number."""
    colours: tuple[str, ...]
    side: str
    """`left` or `right` of another noun, or empty."""


def claims(caption: str) -> list[Claim]:
    """Return what a caption says about each of its nouns, in order."""
    words = re.findall(r"[a-z]+", caption.lower())
    mentions, found = _mentions(words), []
    for mention in mentions:
        number = next((_COUNTS[word] for word in _before(words, mention) if word in _COUNTS), None)
        count = number if number is not None or mention.is_plural else 1
        colours = tuple(sorted(_colours(words, mention)))
        found.append(Claim(mention.names, count, colours, _side(words, mentions, mention)))
    return found


def place_of(caption: str) -> frozenset[str]:
    """Return the places that agree with every place word of a caption; all places if it names none."""
    words = re.findall(r"[a-z]+", caption.lower())
    named = [_PLACE_WORDS[word] for before, word in zip(["", *words], words, strict=False)
             if word in _PLACE_WORDS and before != "eating"]  # fmt: skip
    return frozenset(PLACES).intersection(*named)


def _side(words: list[str], mentions: list[_Mention], mention: _Mention) -> str:
    """Return the side of a noun in `X to the left of Y`: left for X, right for Y."""
    for at, word in enumerate(words):
        if word in _OPPOSITE and words[at + 1 : at + 2] == ["of"]:
            before = [each for each in mentions if each.stop <= at]
            after = [each for each in mentions if each.start > at]
            if before and mention is before[-1]:
                return word
            if after and mention is after[0]:
                return _OPPOSITE[word]
    return ""


def _mentions(words: list[str]) -> list[_Mention]:
    found, at = [], 0
    while at < len(words):
        for length in range(_LONGEST, 0, -1):
            known = _NOUNS.get(tuple(words[at : at + length]))
            if known is not None and at + length <= len(words):
                found.append(_Mention(known[0], at, at + length, known[1]))
                at += length
                break
        else:
            at += 1
    return found


def _is(thing: Thing, names: frozenset[str]) -> bool:
    return (thing.role or thing.kind) in names


def _before(words: list[str], mention: _Mention) -> list[str]:
    """Return the determiner and modifiers before a noun, from left to right."""
    start = mention.start
    while start > 0 and words[start - 1] in _MODIFIERS:
        start -= 1
    return words[max(0, start - 1) : mention.start]


def _count(scene: Scene, words: list[str], mention: _Mention, shown: list[Thing]) -> list[Mistake]:
    number = next((_COUNTS[word] for word in _before(words, mention) if word in _COUNTS), None)
    if number is None:
        return []
    counts = {group.count for group in scene.groups if (group.role or group.kind) in mention.names} | {len(shown)}
    if number in counts:
        return []
    return [Mistake("count", " ".join([*_before(words, mention), *words[mention.start : mention.stop]]))]


def _colour(words: list[str], mention: _Mention, shown: list[Thing]) -> list[Mistake]:
    colours = {thing.colour for thing in shown}
    named = _colours(words, mention)
    return [Mistake("colour", f"{word} {words[mention.stop - 1]}") for word in named if word not in colours]


def _colours(words: list[str], mention: _Mention) -> list[str]:
    """Return the colour words that belong to a noun."""
    named = [word for word in _before(words, mention) if word in COLOUR_WORDS]
    # 'pair of red skis': the colour is inside; 'a man in a red shirt', 'dressed in red': it follows.
    named += [word for word in words[mention.start : mention.stop] if word in COLOUR_WORDS]
    if mention.names <= set(PEOPLE):
        named += _worn_colour(words[mention.stop :])
    return named


def _worn_colour(after: list[str]) -> list[str]:
    if after[:1] not in (["in"], ["wearing"], ["dressed"]):
        return []
    for at, word in enumerate(after[:4]):
        if word in COLOUR_WORDS and (after[0] == "dressed" or after[at + 1 : at + 2] and after[at + 1] in _WORN):
            return [word]
    return []
