"""Object mentions as the original CHAIR counts them (Rohrbach et al., EMNLP 2018; LisaAnne/Hallucination at 6e4d33c).

The synonyms and rules are the original's, with their mistakes: another list gives other numbers.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from engine.metrics.chair_words import words

_SYNONYMS = Path(__file__).with_name("chair_synonyms.txt")

_DOUBLE = (
    *("motor bike", "motor cycle", "air plane", "traffic light", "street light", "traffic signal", "stop light"),
    *("fire hydrant", "stop sign", "parking meter", "suit case", "sports ball", "baseball bat", "baseball glove"),
    *("tennis racket", "wine glass", "hot dog", "cell phone", "mobile phone", "teddy bear", "hair drier"),
    *("potted plant", "laptop computer", "home plate", "train track"),
)
_ANIMALS = ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "animal", "cub")
_JOINED = {
    **{each: each for each in _DOUBLE},
    **{f"{age} {animal}": animal for age in ("baby", "adult") for animal in _ANIMALS},
    **{f"passenger {vehicle}": vehicle for vehicle in ("jet", "train")},
    **{"bow tie": "tie", "toilet seat": "toilet", "wine glas": "wine glass"},
}
"""Two words that count as one."""
_FIRST = frozenset(each.split()[0] for each in _JOINED)


@dataclass(frozen=True)
class Mention:
    """A word of a caption, in the singular, and the category of COCO that it names."""

    word: str
    category: str


@cache
def categories() -> dict[str, str]:
    """Return word -> the category of COCO that it names: the original's list, read as the original reads it."""
    lines = [line.strip().split(", ") for line in _SYNONYMS.read_text("utf-8").splitlines()]
    return {name: names[0] for names in lines for name in names}


def mentions(caption: str) -> list[Mention]:
    """Return the mentions of a caption in order, repeats included."""
    known, found = categories(), _joined(words(caption))
    if "toilet" in found:
        found = [word for word in found if word != "seat"]
    return [Mention(word, known[word]) for word in found if word in known]


def truth(labels: Iterable[str], references: Iterable[str]) -> frozenset[str]:
    """Return the categories that an image shows: those of its annotated objects, and those that references name."""
    known = categories()
    annotated = {known[label] for label in map(str.lower, labels) if label in known}
    return frozenset(annotated | {each.category for text in references for each in mentions(text)})


def annotates(labels: Iterable[str]) -> bool:
    """Return whether any label is a category of COCO."""
    known = categories()
    return any(known.get(label) == label for label in map(str.lower, labels))


def _joined(found: list[str]) -> list[str]:
    if _FIRST.isdisjoint(found):
        return found
    joined, at = [], 0
    while at < len(found):
        double = _JOINED.get(" ".join(found[at : at + 2]))
        joined.append(found[at] if double is None else double)
        at += 1 if double is None else 2
    return joined
