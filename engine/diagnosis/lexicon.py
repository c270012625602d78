"""Words that name an object: COCO's categories with common synonyms and plurals.

Other labels are matched by the label itself and its plural.
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
    "fish": ("fishes",),
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
    **{"person": "persons", "ox": "oxen", "goose": "geese", "potato": "potatoes", "tomato": "tomatoes"},
    **{"human": "humans", "ottoman": "ottomans", "hoof": "hooves"},
}
_ENDINGS = {
    **{"man": "men", "child": "children", "mouse": "mice", "foot": "feet", "tooth": "teeth"},
    **{"calf": "calves", "half": "halves", "knife": "knives", "wife": "wives", "leaf": "leaves", "loaf": "loaves"},
    **{"shelf": "shelves", "wolf": "wolves", "scarf": "scarves", "thief": "thieves", "fish": "fish", "deer": "deer"},
}
"""Irregular nouns that also occur as endings: woman, bookshelf, reindeer."""
_SAME = {
    *("sheep", "skis", "scissors", "people", "men", "women", "children", "cattle", "luggage", "baggage", "aircraft"),
    *("moose", "shrimp", "salmon", "bison", "glasses", "sunglasses", "binoculars", "pants", "jeans", "shorts"),
}
_WORD = re.compile(r"([^\W_]+(?:['’](?!s\b)[^\W_]+)*)(?:['’]s\b)?")
"""A word without the possessive s; hyphens and underscores separate words, as in `t-shirt` and `traffic_light`."""


def plural(noun: str) -> str:
    """Return the plural of a noun; for a compound, with the plural of its last word."""
    head, space, last = noun.rpartition(" ")
    if last in _SAME:
        return noun
    if last in _IRREGULAR:
        return head + space + _IRREGULAR[last]
    ending = next((each for each in _ENDINGS if last.endswith(each)), None)
    if ending is not None:
        return noun.removesuffix(ending) + _ENDINGS[ending]
    if last.endswith(("s", "sh", "ch", "x")):
        return f"{noun}es"
    if last.endswith("y") and last[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"


def names(label: str) -> frozenset[str]:
    """Return all names of `label` in lower case: the label, its synonyms, and their plurals."""
    synonyms = SYNONYMS.get(_plain(label), ())
    return _own(label) | {*synonyms, *map(plural, synonyms)}


def _own(label: str) -> frozenset[str]:
    """Return a label and its plural."""
    plain = _plain(label)
    return frozenset({plain, plural(plain)} if plain else ())


def _plain(label: str) -> str:
    return " ".join(_WORD.findall(label.lower()))


class Mentions:
    """Finds the labels that a text names; compounds are matched before their parts, so that a hot dog is not a dog.

    Case, hyphens and underscores of labels are ignored.
    """

    def __init__(self, labels: Iterable[str]) -> None:
        self._label: dict[tuple[str, ...], str] = {}
        # A rider is a person, unless the dataset has the label "rider".
        for named in (_own, names):
            for label in sorted(set(labels)):
                for name in named(label):
                    self._label.setdefault(tuple(name.split()), label)
        # Compounds of other categories hide their parts even if the dataset does not have their label.
        self._hidden = {tuple(name.split()) for label in ("hot dog", "teddy bear") for name in names(label)}
        self._longest = max(map(len, {*self._label, *self._hidden}))

    def find(self, text: str) -> dict[str, str]:
        """Return the labels that a text names, with the words of the first occurrence."""
        words = _WORD.findall(text.lower())
        found: dict[str, str] = {}
        for start, stop, label in self._named(words):
            found.setdefault(label, " ".join(words[start:stop]))
        return found

    def spans(self, words: Sequence[str]) -> list[tuple[int, int, str]]:
        """Return (start, stop, label) of the words that name a label, from left to right, preferring longer names."""
        # A word such as "traffic-light" has two parts. A punctuation mark has none and separates its neighbours, except
        # for a hyphen, which some tokenizers return as a word and which joins them.
        parts = [
            (part, at)
            for at, word in enumerate(words)
            for part in _WORD.findall(word.lower()) or ([] if word == "-" else [""])
        ]
        named = self._named([part for part, _ in parts])
        return [(parts[start][1], parts[stop - 1][1] + 1, label) for start, stop, label in named]

    def _named(self, words: Sequence[str]) -> list[tuple[int, int, str]]:
        found, at = [], 0
        while at < len(words):
            length = next((n for n in range(self._longest, 0, -1) if self._is_name(words[at : at + n], n)), 0)
            label = self._label.get(tuple(words[at : at + length]))
            if label is not None:
                found.append((at, at + length, label))
            at += max(length, 1)
        return found

    def _is_name(self, words: Sequence[str], length: int) -> bool:
        name = tuple(words)
        return len(name) == length and (name in self._label or name in self._hidden)


def tokens_of(text: str) -> list[str]:
    """Return the words of a text in lower case, without punctuation and possessive s."""
    return _WORD.findall(text.lower())
