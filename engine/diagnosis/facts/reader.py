"""Reads a caption as facts, without a parser: noun phrases, and the words between them.

Rather than guess, it leaves out what it cannot attach: in "a cat on a bench next to a dog" it is not read who is next
to the dog.
"""

from collections.abc import Collection, Sequence
from functools import lru_cache

from engine.diagnosis.facts.between import read_between
from engine.diagnosis.facts.fact import Fact
from engine.diagnosis.facts.phrases import Phrase, phrases
from engine.diagnosis.facts.statements import Reading, stated
from engine.diagnosis.facts.vocabulary import LOCATIVES, PLACES, VIEWS
from engine.diagnosis.lexicon import Mentions, parts_of, parts_of_text

LONGEST = 1_000
"""Words of a caption that are read: twice the tokens that a search may generate."""


def read(words: Sequence[str], labels: Collection[str] = ()) -> list[Fact]:
    """Return the facts that the words of a caption state, in the order of their words.

    Args:
        labels: the annotation vocabulary; its labels are the subjects of what they name. Other objects have COCO's
            category or a noun of our own.
    """
    return [fact for fact, _ in stated(reading(words, mentions_of(frozenset(labels))))]


def read_text(text: str, mentions: Mentions) -> Reading:
    """Return what a text states; only its first 1,000 words are read."""
    return _reading(parts_of_text(text)[:LONGEST], [], mentions)


@lru_cache(maxsize=8)
def mentions_of(labels: frozenset[str]) -> Mentions:
    """Return the nouns of a vocabulary."""
    return Mentions(labels)


def reading(words: Sequence[str], mentions: Mentions) -> Reading:
    """Return what the words of a caption state; only the first 1,000 words are read."""
    return _reading(*parts_of(words[:LONGEST]), mentions)


def _reading(parts: list[str], places: list[int], mentions: Mentions) -> Reading:
    every = phrases(parts, mentions.all_nouns(parts))
    found = Reading(parts, places, [])
    read_between(found, every)
    previous = None
    for phrase in every:
        if not phrase.is_denied and (phrase.label not in VIEWS or phrase.noun.is_label):
            (found.scenes if _is_place(phrase, previous, parts) else found.phrases).append(phrase)
        previous = phrase
    return found


def _is_place(phrase: Phrase, previous: Phrase | None, parts: Sequence[str]) -> bool:
    """Return whether a phrase says where something is: it follows "in", or begins the text."""
    if phrase.label not in PLACES or phrase.noun.is_label:
        return False
    before = parts[phrase.start - 1] if phrase.start else ""
    return previous is None or before in LOCATIVES or (before == "of" and previous.label in VIEWS)
