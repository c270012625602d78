"""Reads a caption as facts, without a parser: noun phrases, and the words between them.

Rather than guess, it leaves out what it cannot attach: in "a cat on a bench next to a dog" it is not read who is next
to the dog.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from engine.diagnosis.facts.fact import Fact, Kind
from engine.diagnosis.facts.phrases import STOPS, Phrase, phrases
from engine.diagnosis.facts.vocabulary import (
    COLOURS,
    CONVERSE,
    GARMENTS,
    LOCATIVES,
    PASSIVE,
    PERSONS,
    PLACES,
    POSTURES,
    RELATIONS,
    VIEWS,
)
from engine.diagnosis.lexicon import Mentions, parts_of, split


LONGEST = 1_000
"""Words of a caption that are read: twice the tokens that a search may generate."""


@dataclass(slots=True)
class Relation:
    """A relation between two noun phrases; its subject is the one that rides, holds or is on the other."""

    subject: Phrase
    name: str
    object: Phrase
    start: int
    stop: int


@dataclass(slots=True)
class Reading:
    """What a text states. Positions are indices into its parts."""

    parts: list[str]
    places: list[int]
    """The word of each part."""
    phrases: list[Phrase]
    """The noun phrases of objects."""
    scenes: list[Phrase] = field(default_factory=list)
    """The noun phrases of places."""
    relations: list[Relation] = field(default_factory=list)
    postures: list[tuple[Phrase, str, int]] = field(default_factory=list)
    """Who, the posture, and its position."""
    worn: list[tuple[Phrase, str, int, int]] = field(default_factory=list)
    """Colours without a garment, as in "dressed in red": who wears it, the colour, the first word, and the index after
    the last."""


def read(words: Sequence[str], labels: Collection[str] = ()) -> list[Fact]:
    """Return the facts that the words of a caption state, in the order of their words.

    Args:
        labels: the annotation vocabulary; its labels are the subjects of what they name. Other objects have COCO's
            category or a noun of our own.
    """
    return [fact for fact, _ in stated(reading(words, mentions_of(frozenset(labels))))]


def read_text(text: str, mentions: Mentions) -> Reading:
    """Return what a text states."""
    return reading(split(text), mentions)


@lru_cache(maxsize=8)
def mentions_of(labels: frozenset[str]) -> Mentions:
    """Return the nouns of a vocabulary."""
    return Mentions(labels)


def reading(words: Sequence[str], mentions: Mentions) -> Reading:
    """Return what the words of a caption state; only the first 1,000 words are read."""
    parts, places = parts_of(words[:LONGEST])
    every = phrases(parts, mentions.all_nouns(parts))
    found = Reading(parts, places, [])
    _read_between(found, every)
    for number, phrase in enumerate(every):
        before = parts[phrase.start - 1] if phrase.start else ""
        if phrase.is_denied or (phrase.label in VIEWS and not phrase.noun.is_label):
            continue
        is_place = (
            phrase.label in PLACES
            and not phrase.noun.is_label
            and (number == 0 or before in LOCATIVES or (before == "of" and every[number - 1].label in VIEWS))
        )
        (found.scenes if is_place else found.phrases).append(phrase)
    return found


def _read_between(found: Reading, every: Sequence[Phrase]) -> None:
    parts = found.parts
    first = every[0].start if every else len(parts)
    pending, posture = _opening(tuple(parts[:first]))
    if every and every[0].label in PLACES and parts[0] not in ("there", "this", "here") and every[0].start > 0:
        every[0].is_loose = True
    root = next(
        (each for each in every if each.label not in PLACES and each.label not in VIEWS), every[0] if every else None
    )
    for number, phrase in enumerate(every):
        end = every[number + 1].start if number + 1 < len(every) else len(parts)
        following = every[number + 1] if number + 1 < len(every) else None
        gap = parts[phrase.stop : end]
        if (
            following is not None
            and gap in (["is"], ["are"], ["there", "is"], ["there", "are"])
            and (pending or posture)
        ):
            if pending:
                _relate(found, following, pending, every[0], 0, first)
            if posture:
                found.postures.append((following, posture, 0))
            pending, posture = None, None
        elif gap:
            _read_gap(found, phrase, gap, following, root)


def _opening(words: tuple[str, ...]) -> tuple[str | None, str | None]:
    """Return the relation and the posture that a caption begins with: "riding a horse is a man"."""
    if words in RELATIONS:
        is_verb = words[0].endswith("ing")
        return (RELATIONS[words] if is_verb else None), None
    if not words or words[0] not in POSTURES or not words[0].endswith("ing"):
        return None, None
    return RELATIONS.get(words[1:]), POSTURES[words[0]]


_COPULAS = {
    "is",
    "are",
    "was",
    "were",
    "that",
    "who",
    "which",
    "being",
    "be",
    "has",
    "been",
    "stay",
    "stays",
    "while",
    "also",
}
_IT = {
    ("on", "it"),
    ("on", "top"),
    ("on", "them"),
    ("under", "it"),
    ("in", "it"),
    ("behind", "it"),
    ("on", "top", "of", "it"),
}


def _read_gap(found: Reading, phrase: Phrase, gap: list[str], following: Phrase | None, root: Phrase) -> None:
    """Read the words after a phrase, up to the next one; `root` is what the sentence is about."""
    start = phrase.stop
    is_aside = gap[0] == "while"
    while gap and gap[0] in _COPULAS:
        gap, start = gap[1:], start + 1
    if not gap:
        return
    subject = phrase.owner or phrase
    worn = _wears(found, subject, tuple(gap), following, start)
    gap, start = gap[worn:], start + worn
    while worn and gap and (gap[0] in _COPULAS or gap[0] == "and" and len(gap) > 1):
        gap, start = gap[1:], start + 1
    if not gap:
        return
    words = tuple(gap)
    if words[0] in COLOURS and start > phrase.stop:
        phrase.colours.append((start, COLOURS[words[0]]))
        return
    if following is not None:
        if words == ("with",):
            _read_with(found, phrase, following)
            return
        if words == ("of",) and phrase.label not in VIEWS and phrase.label not in PLACES:
            following.owner = subject  # what follows a cup of coffee is about the cup
            return
        if words == ("and",) and phrase.owner is not None and following.label in GARMENTS:
            following.owner = phrase.owner
            return
    actor = root if is_aside else _actor(phrase, subject, words)
    if actor is not None and not (following and _read_relation(found, actor, words, following, start)):
        _read_posture(found, actor, words, following, start, start == phrase.stop)
    if following is not None and following.of is None and following.owner is None and not _SEPARATE & set(words):
        following.is_loose = phrase.label not in PLACES and phrase.label not in VIEWS


def _are_several(found: Reading, phrase: Phrase) -> bool:
    """Return whether a phrase can be the subject of a plural verb: "dogs sit", "a cat and a dog sit"."""
    is_last = phrase.start > 0 and found.parts[phrase.start - 1] == "and"
    return phrase.noun.is_plural or phrase.noun.name in ("people", "couple", "sheep", "cattle") or is_last


_SEPARATE = {"and", "", "or", "as", "while", "where"}
"""Words that begin something new."""


def _actor(phrase: Phrase, subject: Phrase, words: tuple[str, ...]) -> Phrase | None:
    """Return whom the words after a phrase are about; None if it cannot be said."""
    if phrase.owner is not None:
        return subject
    if phrase.label in GARMENTS or (phrase.is_loose and words[0] not in _OF_THINGS):
        return None
    if phrase.label in PLACES and (phrase.of is not None or words[0] in RELATIONS_OF_WEARING):
        return None
    if phrase.of is None or words[0] in _OF_THINGS:
        return subject
    is_verb = words[0] in POSTURES or words in _VERBAL
    if not is_verb or phrase.label in _ANIMATE:
        return None
    while phrase.of is not None:
        phrase = phrase.of
    return phrase


_OF_THINGS = {"parked"}
"""Postures of the noun before them, whatever it is the object of."""


def _read_posture(
    found: Reading, subject: Phrase, words: tuple[str, ...], following: Phrase | None, start: int, is_direct: bool
) -> None:
    """Read a posture and the relation after it, as in "sitting on"; "stands" needs its subject directly before it."""
    if words[0] not in POSTURES:
        return
    word = words[0]
    if (
        word.endswith("ing")
        or word in _POSTURE_WORDS
        or (is_direct and (word.endswith("s") or _are_several(found, subject)))
    ):
        found.postures.append((subject, POSTURES[words[0]], start))
    if following is not None:
        _read_relation(found, subject, words[1:], following, start + 1)


_VERBAL = {words for words in RELATIONS if words[0].endswith("ing") or words[0].endswith("s")}
_ANIMATE = {"person", "dog", "cat", "horse", "bird", "cow", "sheep", "elephant", "bear", "zebra", "giraffe"}
_POSTURE_WORDS = {"parked", "seated", "asleep"}


def _wears(found: Reading, subject: Phrase, words: tuple[str, ...], following: Phrase | None, start: int) -> int:
    """Read what a person wears; return the number of words that say it."""
    if subject.label.lower() != "person" and subject.noun.name not in PERSONS:
        return 0
    size = next((len(each) for each in _WEARING if words[: len(each)] == each), 0)
    if not size:
        return 0
    end = size
    while end < len(words) and words[end] in COLOURS:
        end += (
            2
            if words[end + 1 : end + 2] in (("and",), ("",)) and words[end + 2 : end + 3] and words[end + 2] in COLOURS
            else 1
        )
    if end > size and (end == len(words) or _ends(words[end])):
        for at in range(size, end):
            if words[at] in COLOURS:
                subject.clothes.append(COLOURS[words[at]])
                found.worn.append((subject, COLOURS[words[at]], start, start + at + 1))
        return end
    if len(words) == size and following is not None and following.label in GARMENTS:
        following.owner = subject
        subject.clothes += [colour for _, colour in following.colours]
        return 0 if words[0] in RELATIONS_OF_WEARING else size
    return 0


def _ends(word: str) -> bool:
    """Return whether a word after colours shows that no noun follows them."""
    return (
        word in ("", "and", "is", "are", "that", "who", "while")
        or word in POSTURES
        or word in LOCATIVES
        or word.endswith("ing")
    )


RELATIONS_OF_WEARING = {"wearing", "wears", "wear"}
_WEARING = (("dressed", "in"), ("wearing",), ("wears",), ("wear",), ("in",), ("with",))


def _read_with(found: Reading, phrase: Phrase, following: Phrase) -> None:
    """Read "a bench with a cat on it"."""
    after = tuple(found.parts[following.stop : following.stop + 2])
    if after in _IT and phrase.label not in PLACES:
        _relate(found, following, after[0], phrase, following.start, following.stop + 2)
    if following.label not in GARMENTS and phrase.label not in PLACES and phrase.label not in VIEWS:
        following.of = phrase


def _read_relation(found: Reading, subject: Phrase, words: tuple[str, ...], following: Phrase, start: int) -> bool:
    """Read a relation between two phrases; return whether the words name one."""
    passive = PASSIVE.get(words)
    name = RELATIONS.get(words)
    if name is None and passive is None:
        return False
    if name == "eating":
        following.owner = subject  # what follows is about the one that eats
    elif name is not None:
        following.of = following.of or subject
    if _continues(found.parts, following):
        return True
    if following.label in PLACES and (
        name in ("on", "in") or words == ("riding", "on") or words[-1] in ("by", "near", "over", "above")
    ):
        return True
    stop = start + len(words)
    if passive is not None:
        _relate(found, following, passive, subject, start, following.stop)
    else:
        _relate(found, subject, RELATIONS[words], following, start, max(stop, following.stop))
    return True


def _continues(parts: Sequence[str], phrase: Phrase) -> bool:
    """Return whether a noun seems to modify an unknown one: "a dog tag", "a man 's lap"."""
    word = parts[phrase.stop] if phrase.stop < len(parts) else ""
    if word == "'s":
        return True
    is_known = word in STOPS or word in POSTURES or word in LOCATIVES or word in _COPULAS or word in _ADVERBS
    return not (is_known or not word or phrase.noun.is_plural or word.endswith(("s", "ing", "ed", "ly", "en", "wn")))


_ADVERBS = {
    "and",
    "together",
    "alone",
    "outdoors",
    "nearby",
    "there",
    "too",
    "also",
    "away",
    "back",
    "again",
    "held",
    "made",
}


def _relate(found: Reading, subject: Phrase, name: str, other: Phrase, start: int, stop: int) -> None:
    if subject.label in VIEWS or subject.is_denied or other.is_denied or other.label in VIEWS:
        return
    if name in CONVERSE:
        subject, name, other = other, CONVERSE[name], subject
    found.relations.append(Relation(subject, name, other, start, stop))


Stated = tuple[Fact, Phrase | Relation]
"""A fact with the phrase that it is about, or the relation."""


def stated(found: Reading) -> list[Stated]:
    """Return the facts of a reading with what states them, in the order of their words."""
    facts: list[tuple[int, int, Kind, str | None, str, Phrase | Relation]] = []
    for phrase in found.phrases:
        label, start, stop = phrase.label, phrase.noun.start, phrase.stop
        is_person = label.lower() == "person"  # a colour would be that of clothes or of skin
        facts.append((start, stop, "object", label, label, phrase))
        if phrase.count is not None:
            facts.append((phrase.start, stop, "count", label, str(phrase.count), phrase))
        facts += [
            (min(at, start), max(at + 1, stop), "colour", label, colour, phrase)
            for at, colour in phrase.colours
            if not is_person
        ]
        facts += [(at, stop, "attribute", label, value, phrase) for at, value in phrase.attributes]
        if phrase.noun.name in PERSONS:
            facts.append((start, stop, "person", label, PERSONS[phrase.noun.name][0], phrase))
    facts += [(scene.start, scene.stop, "place", None, scene.label, scene) for scene in found.scenes]
    for each in found.relations:
        value = f"{each.name} {each.object.label}"
        facts.append((each.start, each.stop, "relation", each.subject.label, value, each))
    facts += [(at, at + 1, "posture", phrase.label, value, phrase) for phrase, value, at in found.postures]
    facts += [(start, stop, "colour", "clothes", colour, wearer) for wearer, colour, start, stop in found.worn]
    facts.sort(key=lambda each: each[:2])
    places = found.places
    return [
        (Fact(kind, places[start], places[stop - 1] + 1, subject, value), source)
        for start, stop, kind, subject, value, source in facts
    ]
