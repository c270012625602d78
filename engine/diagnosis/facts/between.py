"""Reads the words between noun phrases: relations, postures, and what persons wear."""

from collections.abc import Sequence

from engine.diagnosis.facts.phrases import STOPS, Phrase
from engine.diagnosis.facts.statements import Reading, Relation
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
    words,
)

_COPULAS = words("is are was were that who which being be has been stay stays while also")
_SEPARATE = {"and", "", "or", "as", "while", "where"}
"""Words that begin something new."""
_IT = {("on", "it"), ("on", "top"), ("on", "them"), ("under", "it"), ("in", "it"), ("behind", "it")}
_IS = (["is"], ["are"], ["there", "is"], ["there", "are"])
_WEAR = {"wearing", "wears", "wear"}
_WEARING = (("dressed", "in"), ("wearing",), ("wears",), ("wear",), ("in",), ("with",))
_VERBAL = {words for words in RELATIONS if words[0].endswith(("ing", "s"))}
_ANIMATE = {"person", "dog", "cat", "horse", "bird", "cow", "sheep", "elephant", "bear", "zebra", "giraffe"}
_PARTICIPLES = {"parked", "seated", "asleep"}
_OF_THINGS = {"parked"}
"""Postures of the noun before them, whatever it is the object of."""
_ADVERBS = words("and together alone outdoors nearby there too also away back again held made")


def read_between(found: Reading, every: Sequence[Phrase]) -> None:
    """Add the relations, postures and worn colours of a text to `found`; `every` are all its noun phrases."""
    if not every:
        return
    parts, first = found.parts, every[0]
    opening = _opening(tuple(parts[: first.start]))
    if first.label in PLACES and first.start > 0 and parts[0] not in ("there", "this", "here"):
        first.is_loose = True
    root = next((each for each in every if each.label not in PLACES and each.label not in VIEWS), first)
    for phrase, following in zip(every, [*every[1:], None], strict=True):
        gap = parts[phrase.stop : len(parts) if following is None else following.start]
        if opening is not None and following is not None and gap in _IS:
            _read_opening(found, following, opening, first)
            opening = None
        elif gap:
            _read_gap(found, phrase, gap, following, root)


_Opening = tuple[str | None, str | None]
"""The relation and the posture that a text begins with."""


def _opening(words: tuple[str, ...]) -> _Opening | None:
    """Return what a text begins with whose subject follows later: "riding a horse is a man"."""
    if not words or not words[0].endswith("ing"):
        return None
    if words in RELATIONS:
        return RELATIONS[words], None
    return (RELATIONS.get(words[1:]), POSTURES[words[0]]) if words[0] in POSTURES else None


def _read_opening(found: Reading, subject: Phrase, opening: _Opening, first: Phrase) -> None:
    relation, posture = opening
    if relation is not None:
        _relate(found, subject, relation, first, 0, first.start)
    if posture is not None:
        found.postures.append((subject, posture, 0))


def _read_gap(found: Reading, phrase: Phrase, gap: list[str], following: Phrase | None, root: Phrase) -> None:
    """Read the words after a phrase, up to the next one; `root` is what the sentence is about."""
    start = phrase.stop
    skipped = _copulas(gap)
    subject = phrase.owner or phrase
    worn = _wears(found, subject, tuple(gap[skipped:]), following, start + skipped)
    used = skipped + worn
    if worn:
        used += _copulas(gap[used:]) or int(gap[used : used + 1] == ["and"] and len(gap) > used + 1)
    words, start = tuple(gap[used:]), start + used
    if not words:
        return
    if words[0] in COLOURS and used:
        phrase.colours.append((start, COLOURS[words[0]]))
        return
    if following is not None and _attaches(found, phrase, words, following):
        return
    actor = root if gap[0] == "while" else _actor(phrase, subject, words)
    if actor is not None and not (following and _read_relation(found, actor, words, following, start)):
        _read_posture(found, actor, words, following, start, used == 0)
    if following is not None and following.of is None and following.owner is None and not _SEPARATE & set(words):
        following.is_loose = phrase.label not in PLACES and phrase.label not in VIEWS


def _copulas(gap: Sequence[str]) -> int:
    """Return the number of words such as "is" and "that" at the beginning."""
    number = 0
    while number < len(gap) and gap[number] in _COPULAS:
        number += 1
    return number


def _attaches(found: Reading, phrase: Phrase, words: tuple[str, ...], following: Phrase) -> bool:
    """Read words that say no relation but whose the next phrase is; return whether they are such words."""
    if words == ("with",):
        _read_with(found, phrase, following)
        return True
    is_part = words == ("of",) and phrase.label not in VIEWS and phrase.label not in PLACES
    if is_part or (words == ("in",) and following.label == "pot" and phrase.noun.name in ("plant", "plants")):
        following.owner = phrase.owner or phrase  # what follows a cup of coffee is about the cup
        return True
    if words == ("and",) and phrase.owner is not None and following.label in GARMENTS:
        following.owner = phrase.owner
        return True
    return False


def _read_with(found: Reading, phrase: Phrase, following: Phrase) -> None:
    """Read "a bench with a cat on it"."""
    after = tuple(found.parts[following.stop : following.stop + 2])
    if after in _IT and phrase.label not in PLACES:
        _relate(found, following, after[0], phrase, following.start, following.stop + 2)
    if following.label not in GARMENTS and phrase.label not in PLACES and phrase.label not in VIEWS:
        following.of = phrase


def _actor(phrase: Phrase, subject: Phrase, words: tuple[str, ...]) -> Phrase | None:
    """Return whom the words after a phrase are about; None if it cannot be said."""
    if phrase.owner is not None:
        return subject
    if _is_no_subject(phrase, words[0]):
        return None
    if phrase.of is None or words[0] in _OF_THINGS:
        return subject
    if phrase.label in _ANIMATE or (words[0] not in POSTURES and words not in _VERBAL):
        return None
    while phrase.of is not None:
        phrase = phrase.of
    return phrase


def _is_no_subject(phrase: Phrase, word: str) -> bool:
    if phrase.label in PLACES and (phrase.of is not None or word in _WEAR):
        return True
    return phrase.label in GARMENTS or (phrase.is_loose and word not in _OF_THINGS)


def _read_posture(
    found: Reading, subject: Phrase, words: tuple[str, ...], following: Phrase | None, start: int, is_direct: bool
) -> None:
    """Read a posture and the relation after it, as in "sitting on"; "stands" needs its subject directly before it."""
    word = words[0]
    if word not in POSTURES:
        return
    is_finite = is_direct and (word.endswith("s") or _are_several(found, subject))
    if word.endswith("ing") or word in _PARTICIPLES or is_finite:
        found.postures.append((subject, POSTURES[word], start))
    if following is not None:
        _read_relation(found, subject, words[1:], following, start + 1)


def _are_several(found: Reading, phrase: Phrase) -> bool:
    """Return whether a phrase can be the subject of a plural verb: "dogs sit", "a cat and a dog sit"."""
    is_last = phrase.start > 0 and found.parts[phrase.start - 1] == "and"
    return phrase.noun.is_plural or phrase.noun.name in ("people", "couple", "sheep", "cattle") or is_last


def _wears(found: Reading, subject: Phrase, words: tuple[str, ...], following: Phrase | None, start: int) -> int:
    """Read what a person wears; return the number of words that say it."""
    if subject.label.lower() != "person" and subject.noun.name not in PERSONS:
        return 0
    size = next((len(each) for each in _WEARING if words[: len(each)] == each), 0)
    if not size:
        return 0
    colours, end = _colours(words, size)
    if colours:
        for at in colours:
            subject.clothes.append(COLOURS[words[at]])
            found.worn.append((subject, COLOURS[words[at]], start, start + at + 1))
        return end
    if len(words) == size and following is not None and following.label in GARMENTS:
        following.owner = subject
        subject.clothes += [colour for _, colour in following.colours]
        return 0 if words[0] in _WEAR else size
    return 0


def _colours(words: tuple[str, ...], at: int) -> tuple[list[int], int]:
    """Return the positions of colours from `at` on, as in "black and red", and their end; none if a noun follows."""
    found: list[int] = []
    while at < len(words) and words[at] in COLOURS:
        found.append(at)
        is_joined = at + 2 < len(words) and words[at + 1] in ("and", "") and words[at + 2] in COLOURS
        at += 2 if is_joined else 1
    return (found, at) if at == len(words) or _ends(words[at]) else ([], at)


def _ends(word: str) -> bool:
    """Return whether a word after colours shows that no noun follows them."""
    is_known = word in _SEPARATE or word in _COPULAS or word in POSTURES or word in LOCATIVES
    return is_known or word.endswith("ing")


def _read_relation(found: Reading, subject: Phrase, words: tuple[str, ...], following: Phrase, start: int) -> bool:
    """Read a relation between two phrases; return whether the words name one."""
    name, passive = RELATIONS.get(words), PASSIVE.get(words)
    if name is None and passive is None:
        return False
    if name == "eating":
        following.owner = subject  # what follows is about the one that eats
    elif name is not None:
        following.of = following.of or subject
    if _continues(found.parts, following) or (following.label in PLACES and _is_locative(words)):
        return True
    if passive is not None:
        _relate(found, following, passive, subject, start, following.stop)
    elif name is not None:
        _relate(found, subject, name, following, start, following.stop)
    return True


def _is_locative(words: tuple[str, ...]) -> bool:
    """Return whether words before a place only say where something is."""
    return RELATIONS.get(words) in ("on", "in") or words[-1] in ("on", "by", "near", "over", "above")


def _continues(parts: Sequence[str], phrase: Phrase) -> bool:
    """Return whether a noun seems to modify an unknown one: "a dog tag", "a man 's lap"."""
    word = parts[phrase.stop] if phrase.stop < len(parts) else ""
    if word == "'s":
        return True
    is_known = word in STOPS or word in POSTURES or word in LOCATIVES or word in _COPULAS or word in _ADVERBS
    return not (is_known or not word or phrase.noun.is_plural or word.endswith(("s", "ing", "ed", "ly", "en", "wn")))


def _relate(found: Reading, subject: Phrase, name: str, other: Phrase, start: int, stop: int) -> None:
    if subject.label in VIEWS or subject.is_denied or other.is_denied or other.label in VIEWS:
        return
    if name in CONVERSE:
        subject, name, other = other, CONVERSE[name], subject
    found.relations.append(Relation(subject, name, other, start, stop))
