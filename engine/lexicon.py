"""Which words name which object: COCO's categories with their everyday synonyms and plurals.

Knows words only. A label that is not listed here is named by itself.
"""

import re
from collections.abc import Iterable, Sequence

SYNONYMS: dict[str, tuple[str, ...]] = {
    "person": (
        *("man", "woman", "boy", "girl", "child", "kid", "baby", "lady", "guy", "people", "player", "rider", "skier"),
        *("surfer", "skateboarder", "snowboarder", "toddler", "couple", "crowd", "adult", "men", "women", "children"),
    ),
    "bicycle": ("bike", "cycle"),
    "motorcycle": ("motorbike", "scooter", "moped"),
    "airplane": ("plane", "jet", "aircraft", "aeroplane"),
    "car": ("automobile", "taxi", "cab", "van", "suv", "sedan"),
    "boat": ("ship", "sailboat", "canoe", "kayak", "ferry", "yacht", "dinghy"),
    "train": ("locomotive", "tram"),
    "truck": ("pickup", "lorry"),
    "fire hydrant": ("hydrant",),
    "traffic light": ("stoplight", "traffic signal"),
    "dog": ("puppy", "pup", "hound"),
    "cat": ("kitten", "kitty"),
    "horse": ("pony", "foal"),
    "sheep": ("lamb", "ram"),
    "cow": ("cattle", "bull", "calf", "ox"),
    "bird": ("seagull", "gull", "pigeon", "duck", "parrot", "eagle"),
    "backpack": ("rucksack", "knapsack"),
    "umbrella": ("parasol",),
    "handbag": ("purse",),
    "suitcase": ("luggage", "baggage"),
    "skis": ("ski",),
    "sports ball": ("ball", "football", "baseball", "basketball", "soccer ball", "tennis ball"),
    "surfboard": ("board",),
    "tennis racket": ("racket", "racquet"),
    "wine glass": ("glass", "goblet"),
    "cup": ("mug",),
    "couch": ("sofa", "loveseat"),
    "chair": ("armchair", "stool"),
    "potted plant": ("plant", "houseplant"),
    "dining table": ("table",),
    "tv": ("television", "screen", "monitor"),
    "cell phone": ("phone", "cellphone", "smartphone"),
    "laptop": ("computer", "notebook"),
    "refrigerator": ("fridge",),
    "donut": ("doughnut",),
    "hot dog": ("hotdog",),
    "teddy bear": ("teddy", "stuffed animal"),
}

_IRREGULAR = {
    "person": "persons",
    "child": "children",
    "man": "men",
    "woman": "women",
    "calf": "calves",
    "knife": "knives",
}
_SAME = {"sheep", "skis", "scissors", "people", "men", "women", "children", "cattle", "luggage", "baggage"}
_WORD = re.compile(r"[a-z']+")


def plural(noun: str) -> str:
    """The plural of a noun; of a compound, that of its last word."""
    head, space, last = noun.rpartition(" ")
    if last in _SAME:
        return noun
    if last in _IRREGULAR:
        return head + space + _IRREGULAR[last]
    if last.endswith(("s", "sh", "ch", "x")):
        return f"{noun}es"
    if last.endswith("y") and last[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"


def names(label: str) -> frozenset[str]:
    """Every way to say `label`: itself, its synonyms, and their plurals."""
    singular = (label, *SYNONYMS.get(label, ()))
    return frozenset({*singular, *map(plural, singular)})


class Mentions:
    """Finds which of some labels a text names; compounds before their parts, so that a hot dog is no dog."""

    def __init__(self, labels: Iterable[str]) -> None:
        self._label: dict[tuple[str, ...], str] = {}
        for label in sorted(set(labels)):
            for name in names(label):
                self._label.setdefault(tuple(name.split()), label)
        # Compounds of other categories hide their parts even where the dataset has no such label.
        self._hidden = {tuple(name.split()) for label in ("hot dog", "teddy bear") for name in names(label)}
        self._longest = max(map(len, {*self._label, *self._hidden}))

    def find(self, text: str) -> dict[str, str]:
        """Label -> the words that named it first."""
        words = _WORD.findall(text.lower())
        found: dict[str, str] = {}
        for start, stop, label in self.spans(words):
            found.setdefault(label, " ".join(words[start:stop]))
        return found

    def spans(self, words: Sequence[str]) -> list[tuple[int, int, str]]:
        """(start, stop, label) of the words that name a label, from left to right, the longest name first."""
        lowered = [word.lower() for word in words]
        found, at = [], 0
        while at < len(lowered):
            length = next((n for n in range(self._longest, 0, -1) if self._is_name(lowered[at : at + n], n)), 0)
            label = self._label.get(tuple(lowered[at : at + length]))
            if label is not None:
                found.append((at, at + length, label))
            at += max(length, 1)
        return found

    def _is_name(self, words: Sequence[str], length: int) -> bool:
        name = tuple(words)
        return len(name) == length and (name in self._label or name in self._hidden)
