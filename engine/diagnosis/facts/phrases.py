"""Noun phrases: a noun with its number, colours and attributes, as in "two small black and white dogs"."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.diagnosis.facts.vocabulary import (
    ATTRIBUTES,
    COLLECTIVES,
    COLOURS,
    GROUPS,
    MANY,
    MEASURES,
    NO_PAIRS,
    NUMBERS,
    POSTURES,
    SINGLE,
    TWO,
)
from engine.diagnosis.lexicon import plural
from engine.diagnosis.nouns import Noun


@dataclass(slots=True)
class Phrase:
    """A noun with what its words say about it. Positions are indices into the parts of the text."""

    noun: Noun
    start: int
    """The first word of the phrase."""
    count: int | None = None
    """The stated number of objects; None if the phrase states none."""
    is_one: bool = False
    """Whether a single object is meant, as by "a"."""
    is_denied: bool = False
    """Whether the phrase says that there is none: "no toilets"."""
    colours: list[tuple[int, str]] = field(default_factory=list)
    attributes: list[tuple[int, str]] = field(default_factory=list)
    clothes: list[str] = field(default_factory=list)
    """Of a person: the colours of what it wears."""
    owner: "Phrase | None" = None
    """Of a garment or of food: who wears or eats it."""
    is_loose: bool = False
    """Whether words that were not understood lead to this phrase, so that it cannot be said what follows it is about."""
    of: "Phrase | None" = None
    """What this phrase is the object of: in "a cat on a bench", the cat is that of the bench."""

    @property
    def label(self) -> str:
        """The label of the noun."""
        return self.noun.label

    @property
    def stop(self) -> int:
        """The index after the phrase."""
        return self.noun.stop

    @property
    def number(self) -> int:
        """The number of objects that it surely states: 0 if it states none."""
        return self.count if self.count is not None else int(self.is_one)


_DETERMINERS = {"the", "his", "her", "their", "its", "this", "that", "these", "those", "each", "every", "all", "other"}
STOPS = {
    *(
        "with",
        "in",
        "on",
        "at",
        "by",
        "near",
        "to",
        "of",
        "from",
        "for",
        "is",
        "are",
        "was",
        "were",
        "has",
        "have",
        "it",
    ),
    *(
        "as",
        "while",
        "that",
        "who",
        "which",
        "there",
        "over",
        "under",
        "behind",
        "beside",
        "through",
        "into",
        "down",
        "up",
    ),
    *("along", "across", "next", "front", "top", "off", "out", "inside", "outside", "around", "about", "one", "not"),
    *(
        "above",
        "below",
        "beneath",
        "against",
        "toward",
        "towards",
        "onto",
        "past",
        "upon",
        "underneath",
        "like",
        "after",
    ),
    *("before", "than", "among", "when", "where", "because", "so", "then", "'s", "around", "within", "behind", "amid"),
    *("wearing", "holding", "riding", "carrying", "during", "between", "or", "but", "he", "she", "they", "them", "him"),
}


def phrases(parts: Sequence[str], nouns: Sequence[tuple[Noun, bool]]) -> list[Phrase]:
    """Return the noun phrases of a text from left to right; `nouns` are all its nouns, as `Mentions.all_nouns`."""
    found: list[Phrase] = []
    limit = 0
    modifiers: dict[int, Noun] = {}
    for noun, is_modifier in nouns:
        if is_modifier:
            modifiers[noun.stop - 1] = noun
            continue
        phrase = Phrase(noun, noun.start)
        _read_left(phrase, parts, limit, modifiers)
        found.append(phrase)
        limit = noun.stop
    return found


def _read_left(phrase: Phrase, parts: Sequence[str], limit: int, modifiers: dict[int, Noun]) -> None:
    """Read the words before a noun, from right to left, down to `limit`."""
    at = phrase.noun.start - 1
    while at >= limit:
        word = parts[at]
        if at in modifiers:
            if word in COLOURS:
                phrase.colours.insert(0, (at, COLOURS[word]))
            at = modifiers[at].start
        elif word in COLOURS:
            if not _is_of_part(parts[at + 1]):
                phrase.colours.insert(0, (at, COLOURS[word]))
        elif word in ATTRIBUTES:
            if word == "old" and at > limit and parts[at - 1] in ("year", "years", "month", "months"):
                return
            is_own = not _is_of_part(parts[at + 1]) and (word, parts[at + 1]) != ("open", "air")
            if is_own and phrase.noun.name not in COLLECTIVES:
                phrase.attributes.insert(0, (at, ATTRIBUTES[word]))
        elif word in NUMBERS:
            if not _is_measure(parts, at, phrase) and _is_counted(phrase.noun):
                phrase.start, phrase.count = at, NUMBERS[word]
                return
        elif word in SINGLE:
            phrase.start, phrase.is_one = at, not phrase.noun.is_plural or word in ("one", "1")
            return
        elif word == "no":
            phrase.start, phrase.is_denied = at, True
            return
        elif word in MANY or word in _DETERMINERS:
            phrase.start = at
            if word in _DETERMINERS and at > limit and parts[at - 1] == "of":
                _read_group(phrase, parts, at - 1, limit)
            elif word in _DETERMINERS and at > limit and parts[at - 1] in NUMBERS:
                phrase.start, phrase.count = at - 1, NUMBERS[parts[at - 1]]
            return
        elif word in ("and", ""):
            before = at - 1
            while before > limit and parts[before] in ("and", ""):
                before -= 1
            if before < limit or not _describes(parts[before]) or not _describes(parts[at + 1]):
                break
            at = before + 1
        elif word == "of":
            _read_group(phrase, parts, at, limit)
            return
        elif not _is_modifier(parts, at, limit):
            break
        at -= 1
    phrase.start = at + 1
    phrase.is_denied = at >= 0 and parts[at] == "without"


def _is_of_part(following: str) -> bool:
    """Return whether the word after an adjective says what it describes: a green headed duck is not green."""
    return following.endswith("ed") and following not in COLOURS and following not in ("colored", "coloured")


def _describes(word: str) -> bool:
    return word in COLOURS or word in ATTRIBUTES


def _is_measure(parts: Sequence[str], at: int, phrase: Phrase) -> bool:
    following = parts[at + 1]
    return at + 1 < phrase.noun.start and following in MEASURES


def _is_counted(noun: Noun) -> bool:
    """Return whether a number before a noun is one of objects; "two face paints" are no two faces."""
    if noun.name in COLLECTIVES:
        return False
    return noun.is_plural or noun.label.lower() == "person" or plural(noun.name) == noun.name


def _is_modifier(parts: Sequence[str], at: int, limit: int) -> bool:
    """Return whether an unknown word may belong to the noun after it: "sports" in "a red sports car"."""
    word = parts[at]
    if word in STOPS or (word in POSTURES and at == limit) or (at == limit and limit > 0):
        return False
    if word.endswith(("ing", "ed")):
        before = parts[at - 1] if at > limit else "."
        return (
            before in SINGLE or before in _DETERMINERS or before in NUMBERS or _describes(before) or word.endswith("ed")
        )
    return word == "sports" or word.endswith("ss") or not word.endswith("s")


def _read_group(phrase: Phrase, parts: Sequence[str], at: int, limit: int) -> None:
    """Read "a couple of", "two pairs of", "a group of"; `at` is the position of "of"."""
    phrase.start = at + 1
    if at <= limit:
        return
    head = parts[at - 1]
    singular = head.removesuffix("s")
    if singular not in TWO and singular not in GROUPS:
        return
    before = parts[at - 2] if at - 2 >= limit else ""
    phrase.start = at - 2 if before in SINGLE or before in NUMBERS else at - 1
    if singular == "pair" and phrase.noun.name in NO_PAIRS:
        phrase.count, phrase.is_one = NUMBERS.get(before), before in SINGLE
    elif singular in TWO and before in SINGLE:
        phrase.count = 2 if singular == "pair" and phrase.noun.is_plural else None
        phrase.count = 2 if singular == "couple" else phrase.count
