"""Captions of the generated world with one wrong word, and what is known about their scenes."""

import re
from collections.abc import Iterator
from random import Random

from engine.demo.language import NOUNS, plural, swap
from engine.demo.scenes import Scene, compose, describe

KINDS = ("noun", "colour", "count", "relation")

_FORMS = {form for nouns in NOUNS.values() for noun in nouns for form in (noun, plural(noun))}
_THINGS = "|".join(sorted(_FORMS, key=lambda form: (-len(form), form)))
_NOUN = rf"(?:a|an|two|three)(?: [a-z]+){{0,2}}? (?:{_THINGS})\b"
RELATIONS = (
    (r"to the left of", "to the right of"),
    (r"on the left of", "on the right of"),
    (r"to the right of", "to the left of"),
    (r"riding", "holding"),
    (r"(?:holding|carrying)", "riding"),
    (r"on top of", "under"),
    (rf"on(?= {_NOUN})", "under"),
    (rf"(?:under|underneath|below)(?= {_NOUN})", "on"),
    (rf"in front of(?= {_NOUN})", "behind"),
    (rf"behind(?= {_NOUN})", "in front of"),
    (r"partly hidden by", "in front of"),
)
"""Words of a relation, and those of a relation that contradicts it."""


def scene_labels(scene: Scene) -> list[str]:
    """Return the label of each object of a scene."""
    return [thing.kind for thing in scene.things]


def swap_relation(caption: str, scene: Scene) -> str | None:
    """Return the caption with the relation of its first two groups replaced, or None if it states none."""
    if not scene.related:
        return None
    for words, other in RELATIONS:
        changed, number = re.subn(rf"\b{words}\b", other, caption, count=1)
        if number:
            return changed
    return None


def foils(kind: str, seeds: range) -> Iterator[tuple[Scene, list[str], int, str]]:
    """Yield scene, references, the number of the reference that was changed, and the changed caption."""
    for seed in seeds:
        scene = compose(seed)
        references = describe(scene, seed)
        rng = Random(seed)
        number = rng.randrange(len(references))
        text = references[number]
        foil = swap_relation(text, scene) if kind == "relation" else swap(text, kind, rng)
        if foil is not None and foil != text:
            yield scene, references, number, foil
