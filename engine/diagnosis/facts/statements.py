"""What a text states: its phrases, relations and postures, and the facts that they are."""

from collections.abc import Collection
from dataclasses import dataclass, field

from engine.diagnosis.facts.fact import KINDS, Fact, Kind
from engine.diagnosis.facts.phrases import Phrase
from engine.diagnosis.facts.vocabulary import PERSONS


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


Stated = tuple[Fact, Phrase | Relation]
"""A fact with the phrase that it is about, or the relation."""


def stated(found: Reading, kinds: Collection[Kind] = KINDS) -> list[Stated]:
    """Return the facts of some kinds of a reading with what states them, in the order of their words."""
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
        if kind in kinds
    ]
