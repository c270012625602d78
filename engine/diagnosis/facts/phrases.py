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
    words,
)
from engine.diagnosis.lexicon import plural
from engine.diagnosis.nouns import Noun


@dataclass(slots=True)
class Phrase:
    """A noun with what its words say about it. Positions are indices into the parts of the text."""

    noun: Noun
    label: str
    """The label of the noun."""
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
    """Whether words that were not understood lead to this phrase: what follows may be about something else."""
    of: "Phrase | None" = None
    """What this phrase is the object of: in "a cat on a bench", the cat is that of the bench."""

    @property
    def stop(self) -> int:
        """The index after the phrase."""
        return self.noun.stop

    @property
    def number(self) -> int:
        """The number of objects that it surely states: 0 if it states none."""
        return self.count if self.count is not None else int(self.is_one)


_DETERMINERS = words("the his her their its this that these those each every all other")
STOPS = words(
    "with in on at by near to of from for is are was were has have it as while that who which there over under behind "
    "beside through into down up along across next front top off out inside outside around about one not above below "
    "beneath against toward towards onto past upon underneath like after before than among when where because so then "
    "'s within amid wearing holding riding carrying during between or but he she they them him"
)
"""Words that belong to no noun after them."""


def phrases(parts: Sequence[str], nouns: Sequence[tuple[Noun, bool]]) -> list[Phrase]:
    """Return the noun phrases of a text from left to right; `nouns` are all its nouns, as `Mentions.all_nouns`."""
    found: list[Phrase] = []
    limit = 0
    modifiers: dict[int, Noun] = {}
    for noun, is_modifier in nouns:
        if is_modifier:
            modifiers[noun.stop - 1] = noun
            continue
        phrase = Phrase(noun, noun.label, noun.start)
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
        elif word in ("and", ""):
            joined = _joined(parts, at, limit)
            if joined is None:
                break
            at = joined
        elif _read_determiner(phrase, parts, at, limit):
            return
        elif not _read_adjective(phrase, parts, at) and not _is_modifier(parts, at, limit):
            break
        at -= 1
    phrase.start = at + 1
    phrase.is_denied = at >= 0 and parts[at] == "without"


def _joined(parts: Sequence[str], at: int, limit: int) -> int | None:
    """Return the first of the words "and" or "," that join adjectives, as in "red, white and blue"; None without."""
    while at > limit and parts[at - 1] in ("and", ""):
        at -= 1
    following = next(word for word in parts[at:] if word not in ("and", ""))
    return at if at > limit and _describes(parts[at - 1]) and _describes(following) else None


def _read_adjective(phrase: Phrase, parts: Sequence[str], at: int) -> bool:
    """Read a colour or an attribute; return whether the word is one, or a number that counts no objects."""
    word, following = parts[at], parts[at + 1]
    is_own = not _is_of_part(following) and (word, following) != ("open", "air")
    if word in COLOURS and is_own:
        phrase.colours.insert(0, (at, COLOURS[word]))
    elif word in ATTRIBUTES and is_own and phrase.noun.name not in COLLECTIVES:
        phrase.attributes.insert(0, (at, ATTRIBUTES[word]))
    return word in NUMBERS or _describes(word)


def _read_determiner(phrase: Phrase, parts: Sequence[str], at: int, limit: int) -> bool:
    """Read a number, an article or another word that begins a phrase; return whether the word is one."""
    word = parts[at]
    before = parts[at - 1] if at > limit else ""
    if word in NUMBERS:
        if _is_measure(parts, at, phrase) or not _is_counted(phrase.noun):
            return False
        phrase.start, phrase.count = at, NUMBERS[word]
    elif word in SINGLE:
        phrase.start, phrase.is_one = at, not phrase.noun.is_plural or word in ("one", "1")
    elif word == "of":
        _read_group(phrase, parts, at, limit)
    elif word in _DETERMINERS and before == "of":
        _read_group(phrase, parts, at - 1, limit)
    elif word in _DETERMINERS and before in NUMBERS:
        phrase.start, phrase.count = at - 1, NUMBERS[before]
    elif word in MANY or word in _DETERMINERS or word == "no":
        phrase.start, phrase.is_denied = at, word == "no"
    else:
        return word == "old" and before in _AGES
    return True


_AGES = {"year", "years", "month", "months"}
"""Words before "old" that make it an age."""


def _is_of_part(following: str) -> bool:
    """Return whether the word after an adjective says what it describes: a green headed duck is not green."""
    return following.endswith("ed") and following not in COLOURS and following not in ("colored", "coloured")


def _describes(word: str) -> bool:
    return word in COLOURS or word in ATTRIBUTES


def _is_measure(parts: Sequence[str], at: int, phrase: Phrase) -> bool:
    return at + 1 < phrase.noun.start and parts[at + 1] in MEASURES


def _is_counted(noun: Noun) -> bool:
    """Return whether a number before a noun is one of objects; "two face paints" is not a claim of two faces."""
    if noun.name in COLLECTIVES:
        return False
    return noun.is_plural or noun.label.lower() == "person" or plural(noun.name) == noun.name


def _is_modifier(parts: Sequence[str], at: int, limit: int) -> bool:
    """Return whether an unknown word may belong to the noun after it: "sports" in "a red sports car"."""
    word = parts[at]
    if word in STOPS or (word in POSTURES and at == limit) or (at == limit and limit > 0):
        return False
    if word.endswith("ing"):
        before = parts[at - 1] if at > limit else "."
        return before in SINGLE or before in _DETERMINERS or before in NUMBERS or _describes(before)
    return word == "sports" or word.endswith("ss") or not word.endswith("s")


def _read_group(phrase: Phrase, parts: Sequence[str], at: int, limit: int) -> None:
    """Read "a couple of", "two pairs of", "a group of"; `at` is the position of "of"."""
    phrase.start = at + 1
    if at <= limit:
        return
    head = parts[at - 1]
    if head in NUMBERS and _is_counted(phrase.noun):
        phrase.start, phrase.count = at - 1, NUMBERS[head]
        return
    singular = head.removesuffix("s")
    if singular not in TWO and singular not in GROUPS:
        return
    before = parts[at - 2] if at - 2 >= limit else ""
    phrase.start = at - 2 if before in SINGLE or before in NUMBERS else at - 1
    if singular == "pair" and phrase.noun.name in NO_PAIRS:
        phrase.count, phrase.is_one = NUMBERS.get(before), before in SINGLE
    elif singular in TWO and before in SINGLE and (singular == "couple" or phrase.noun.is_plural):
        phrase.count = 2
