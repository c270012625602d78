"""Nouns in a text, and the neighbours that decide what they name: an orange is a fruit, an orange cat is orange."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from engine.diagnosis.facts.vocabulary import COLOURS, GARMENTS


class Noun(NamedTuple):
    """Words that name an object."""

    start: int
    """The first word: an index into the parts of a text."""
    stop: int
    """The index after the last word."""
    label: str
    """A label of the dataset, else a category of COCO or a noun of our own."""
    name: str
    """The words themselves."""
    is_label: bool
    """Whether the dataset's vocabulary contains `label`."""
    also: tuple[str, ...] | None
    """Further labels that the name fits, if the name does not prove the label; None for a name that does."""
    is_plural: bool


def modifies(noun: Noun, following: Noun) -> bool:
    """Return whether a noun only modifies the one that follows it."""
    if noun.stop != following.start or noun.is_plural:
        return False
    if noun.label.lower() == "person":
        return noun.name in _KIN or following.label in GARMENTS
    return True


_KIN = {"baby", "adult", "mother", "father", "male", "female", "passenger", "infant", "toddler", "teen"}
"""Persons that modify a noun: a baby bird, a passenger train."""
_VERBS = {
    *("sails", "docks", "rocks", "parks", "skis", "boards", "waves", "swings", "slides", "faces", "heads", "tracks"),
    *("skates", "trains", "drinks", "boxes", "leaves", "crosses", "bowls", "bats", "paints", "rails", "trails"),
    *("painting", "building", "toasts", "fires", "noses", "paddles", "horns", "books", "surfaces", "floors", "hoses"),
    *(
        "mops",
        "brooms",
        "sticks",
        "rams",
        "seals",
        "balloons",
        "paws",
        "backs",
        "lands",
        "streams",
        "races",
        "goals",
        "forks",
        "spoons",
        "cooks",
    ),
}
"""Names that are verbs when they follow a noun: a boat sails."""
_MADE = {"painting", "building"}
"""Names that are verbs only after a person."""
_DETERMINERS = {"a", "an", "the", "one", "his", "her", "their", "its", "this", "that", "each", "another", "half"}
_FOLLOWING = {
    *(
        "",
        "and",
        "or",
        "with",
        "on",
        "in",
        "at",
        "to",
        "of",
        "is",
        "are",
        "sits",
        "sitting",
        "next",
        "near",
        "by",
        "that",
    ),
    *("beside", "from", "cut", "lies", "lying", "hanging", "under", "behind", "for", "being", "which", "has", "for"),
}
_BOARDS = {
    "skateboard": re.compile("skat|kickflip|ollie|rail|ramp|half ?pipe"),
    "snowboard": re.compile("snow|ski|slope|mountain"),
    "surfboard": re.compile("surf|wav|water|ocean|sea|beach|shore|sand|wet ?suit|paddl|lake"),
}
"""The words that decide which board is meant."""


def needs_context(name: str) -> bool:
    """Return whether the neighbours of a noun of one word decide what it names."""
    return name in _CONTEXTS or name in _VERBS


def in_context(noun: Noun, parts: Sequence[str], preceding: Noun | None, labels: Mapping[str, str]) -> Noun | None:
    """Return a noun of one word as its neighbours decide; None if it names nothing.

    Args:
        preceding: the noun that precedes it directly.
        labels: the dataset's labels in lower case -> as they are written.
    """
    if (
        preceding is not None
        and noun.name in _VERBS
        and (noun.name not in _MADE or preceding.label.lower() == "person")
    ):
        return None
    check = _CONTEXTS.get(noun.name)
    if check is None:
        return noun
    before = parts[noun.start - 1] if noun.start else ""
    after = parts[noun.stop] if noun.stop < len(parts) else ""
    return check(noun, parts, before, after, labels)


def _couple(noun: Noun, parts: Sequence[str], before: str, after: str, labels: Mapping[str, str]) -> Noun | None:
    return None if after == "of" or parts[noun.stop : noun.stop + 2] in (["more", "of"], ["different", "of"]) else noun


def _glass(noun: Noun, parts: Sequence[str], before: str, after: str, labels: Mapping[str, str]) -> Noun | None:
    """Tell vessels from the material and from glasses that are worn: vessels are filled or counted."""
    if noun.name == "glasses":
        is_filled = after == "of" or before in _COUNTING
        return noun if is_filled else noun._replace(label="glasses", is_label="glasses" in labels, also=())
    is_counted = before in _DETERMINERS or (noun.start > 1 and parts[noun.start - 2] in _DETERMINERS)
    return noun if after == "of" or (is_counted and not after.endswith("ed")) else None


_COUNTING = {"two", "three", "four", "several", "some", "many", "tall", "empty", "full", "drinking"}


def _orange(noun: Noun, parts: Sequence[str], before: str, after: str, labels: Mapping[str, str]) -> Noun | None:
    """Tell the fruit from the colour."""
    beyond = parts[noun.stop + 1] if noun.stop + 1 < len(parts) else ""
    is_fruit = before in _DETERMINERS and after in _FOLLOWING and not (after == "and" and beyond in COLOURS)
    return noun if is_fruit else None


def _jet(noun: Noun, parts: Sequence[str], before: str, after: str, labels: Mapping[str, str]) -> Noun | None:
    return None if after == "of" else noun


def _skis(noun: Noun, parts: Sequence[str], before: str, after: str, labels: Mapping[str, str]) -> Noun | None:
    """Tell the noun from the verb: somebody dressed in yellow skis on a slope."""
    is_verb = before in COLOURS and noun.start > 1 and parts[noun.start - 2] == "in" and after in ("on", "down", "in")
    return None if is_verb else noun


def _board_of(noun: Noun, parts: Sequence[str], before: str, after: str, labels: Mapping[str, str]) -> Noun | None:
    """Return the board that its sport names, else a surfboard if that is the only kind that the dataset has."""
    text = " ".join(parts)
    kinds = [kind for kind, words in _BOARDS.items() if words.search(text)]
    if not kinds and labels.keys() & _BOARDS.keys() != {"surfboard"}:
        return None
    kind = kinds[0] if kinds else "surfboard"
    is_label = kind in labels
    return noun._replace(label=labels.get(kind, kind), is_label=is_label, also=())


_CONTEXTS = {
    **{
        "couple": _couple,
        "couples": _couple,
        "glass": _glass,
        "glasses": _glass,
        "orange": _orange,
        "skis": _skis,
        "jet": _jet,
        "jets": _jet,
    },
    **{"board": _board_of, "boards": _board_of},
}
