"""What each word of a caption claims, and whether that is true: the columns fact, verdict and evidence of `words`."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from engine.diagnosis.facts import judge
from engine.diagnosis.facts.fact import KINDS, Fact, Judged
from engine.diagnosis.facts.image import ImageFacts
from engine.diagnosis.facts.reader import mentions_of
from engine.diagnosis.lexicon import vocabulary

Judge = Callable[[Sequence[str]], list[dict[str, Any]]]
"""The words of a caption -> fact, verdict and evidence of each word; {} for words that claim nothing."""


def judge_of(labels: Collection[str]) -> Callable[[Mapping[str, Any]], Judge]:
    """Return what makes a judge of a row of `images`.

    Args:
        labels: the labels of all annotated objects of the split; none if it has no annotations.
    """
    known = vocabulary(labels)
    mentions = mentions_of(known)

    def of_image(image: Mapping[str, Any]) -> Judge:
        boxes, crowds = ([box["label"] for box in image[name] or ()] for name in ("objects", "crowds"))
        references = image["references"] or ()
        is_annotated = bool(known) and bool(boxes or crowds or references)
        shown = ImageFacts(boxes, crowds, references, mentions, is_annotated)

        def of_caption(words: Sequence[str]) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = [{} for _ in words]
            for each in sorted(judge.judge(words, shown), key=_importance, reverse=True):
                row = {"fact": each.fact.kind, "verdict": each.verdict, "evidence": each.evidence}
                found[place_of(each.fact)] = row
            return found

        return of_caption

    return of_image


def place_of(fact: Fact) -> int:
    """Return the word that a fact is shown at: "black" of a black cat, "riding" of riding a bicycle, else the noun."""
    return fact.start if fact.kind in ("colour", "count", "attribute", "relation") else fact.stop - 1


def _importance(each: Judged) -> tuple[bool, int]:
    """Order the facts that end at one word: wrong ones first, then in the order of the kinds."""
    return each.verdict != "wrong", KINDS.index(each.fact.kind)
