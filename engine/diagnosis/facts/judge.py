"""Judges the facts of a caption by the annotations and the references of its image.

Silence never contradicts: what neither annotations nor references decide is unknown.
"""

from collections.abc import Collection, Sequence

from engine.diagnosis.facts import properties, things
from engine.diagnosis.facts.fact import KINDS, Fact, Judged, Kind, Omitted, Verdict
from engine.diagnosis.facts.image import ImageFacts
from engine.diagnosis.facts.phrases import Phrase
from engine.diagnosis.facts.reader import reading
from engine.diagnosis.facts.statements import Reading, Relation, stated


def judge(words: Sequence[str], image: ImageFacts) -> list[Judged]:
    """Return the facts of a caption with their verdicts, in the order of their words."""
    return judge_reading(reading(words, image.mentions), image)


def judge_reading(found: Reading, image: ImageFacts, kinds: Collection[Kind] = KINDS) -> list[Judged]:
    """Return the facts of some kinds of a caption that was read before with their verdicts."""
    own = stated(found, kinds)
    judged = [Judged(fact, *_verdict(fact, source, found, image)) for fact, source in own]
    few = things.too_few(found, image) if "count" in kinds else []
    return sorted([*judged, *few], key=lambda each: each.fact.start) if few else judged


def _verdict(fact: Fact, source: Phrase | Relation, found: Reading, image: ImageFacts) -> tuple[Verdict, str]:
    if isinstance(source, Relation):
        return properties.relation(source, image)
    if fact.kind == "colour":
        return properties.colour(fact, source, found, image)
    if fact.kind == "place":
        return properties.place(fact.value, image)
    rule = _RULES.get(fact.kind)
    return properties.described(fact, image) if rule is None else rule(source, found, image)


_RULES = {"object": things.object_, "count": things.count, "person": things.person}


def omitted(found: Reading, image: ImageFacts) -> list[Omitted]:
    """Return what most references state and a caption does not: objects, then colours, numbers, relations and places.

    Colours and numbers are omitted only of objects that the caption names.
    """
    return [*things.omitted(found, image), *properties.omitted(found, image)]
