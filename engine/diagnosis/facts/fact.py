"""A fact is one claim of a caption, for example that a car is red; a judged fact has a verdict with evidence."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["object", "count", "colour", "attribute", "relation", "place", "posture", "person"]
Verdict = Literal["correct", "wrong", "unknown"]

KINDS: tuple[Kind, ...] = ("object", "count", "colour", "attribute", "relation", "place", "posture", "person")


@dataclass(frozen=True, slots=True)
class Fact:
    """A claim, and the words that state it."""

    kind: Kind
    start: int
    """The first of the words that state it: an index into the caption's words."""
    stop: int
    """The index after the last of these words."""
    subject: str | None
    """The label or noun that it is about; None for a place."""
    value: str
    """What is claimed: "red", "3", "riding bicycle"; of an object, its label or noun."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A fact with its verdict."""

    fact: Fact
    verdict: Verdict
    evidence: str
    """What the verdict rests on: "4 of 5 references: blue", "2 boxes of dog"."""


@dataclass(frozen=True, slots=True)
class Omitted:
    """A fact that most references state and a caption does not."""

    kind: Kind
    subject: str | None
    value: str
    evidence: str
