"""Judges the facts of a caption by the annotations and the references of its image.

Silence never contradicts: what neither annotations nor references decide is unknown.
"""

from collections.abc import Sequence

from engine.diagnosis.facts import properties, things
from engine.diagnosis.facts.fact import Fact, Judged, Omitted, Verdict
from engine.diagnosis.facts.image import ImageFacts
from engine.diagnosis.facts.phrases import Phrase
from engine.diagnosis.facts.reader import Reading, Relation, reading, stated


def judge(words: Sequence[str], image: ImageFacts) -> list[Judged]:
    """Return the facts of a caption with their verdicts, in the order of their words."""
    return judge_reading(reading(words, image.mentions), image)


def judge_reading(found: Reading, image: ImageFacts) -> list[Judged]:
    """Return the facts of a caption that was read before with their verdicts."""
    judged = [Judged(fact, *_verdict(fact, source, found, image)) for fact, source in stated(found)]
    return [*judged, *things.too_few(found, image)]


def _verdict(fact: Fact, source: Phrase | Relation, found: Reading, image: ImageFacts) -> tuple[Verdict, str]:
    if isinstance(source, Relation):
        return properties.relation(source, found, image)
    if fact.kind == "colour":
        return properties.colour(fact, source, found, image)
    if fact.kind == "object":
        return things.object_(source, found, image)
    if fact.kind == "count":
        return things.count(source, found, image)
    if fact.kind == "person":
        return things.person(source, found, image)
    if fact.kind == "place":
        return properties.place(fact.value, image)
    return properties.described(fact, image)


def omitted(found: Reading, image: ImageFacts) -> list[Omitted]:
    """Return what most references state and a caption does not: objects, then colours, numbers, relations and places.

    Colours and numbers are omitted only of objects that the caption names.
    """
    return [*things.omitted(found, image), *properties.omitted(found, image)]
