"""Words that name an object: labels of a dataset, COCO's categories with synonyms and plurals, and further nouns.

A label that is not COCO's is matched by itself and its plural.
"""

import re
from collections.abc import Collection, Iterable, Sequence

from engine.diagnosis.nouns import Noun, in_context, modifies, needs_context
from engine.diagnosis.object_names import COCO, COCO_LIKE, HIDDEN, LOOSE, SYNONYMS, THINGS

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


def vocabulary(labels: Collection[str]) -> frozenset[str]:
    """Return the labels whose absence from an image's annotations means something.

    These are the labels of the split. COCO's 80 categories are added if the split has at least half of them and no
    others: an object that occurs nowhere in such a split can still be hallucinated. A smaller set may come from a
    dataset that annotates only these, as the demo's.
    """
    plain = {_plain(label) for label in labels}
    return frozenset(labels) | (COCO - plain if len(plain) >= COCO_LIKE and plain <= COCO else frozenset())


_Entry = tuple[tuple[str, ...], str, bool, tuple[str, ...] | None, bool]
"""The words of a name, its label, whether the dataset has the label, `also`, whether the name is a plural."""


class Mentions:
    """Finds the labels that a text names; compounds are matched before their parts, so that a hot dog is not a dog.

    Case, hyphens and underscores of labels are ignored. A noun that modifies the next one is not named: a dog house
    shows no dog.
    """

    def __init__(self, labels: Iterable[str]) -> None:
        own = sorted(set(labels))
        names_: dict[str, tuple[str, bool]] = {}
        # A rider is a person, unless the dataset has the label "rider".
        for naming in (_own, names):
            for label in own:
                for name in sorted(naming(label)):
                    names_.setdefault(name, (label, True))
        known = {_plain(label): label for label in own}
        for noun, further in (SYNONYMS | THINGS).items():
            for name in sorted({noun, *further}):
                for form in (name, plural(name)):
                    names_.setdefault(form, (known.get(noun, noun), noun in known))
        plurals = {plural(name) for name in names_} - {name for name in names_ if plural(name) == name}
        loose = {form: also for name, also in LOOSE.items() for form in (name, plural(name))}
        self._entries: dict[str, list[_Entry]] = {}
        for name, (label, is_label) in sorted(names_.items(), key=lambda each: -len(each[0].split())):
            is_own = name in _own(label)
            entry = (tuple(name.split()), label, is_label, None if is_own else loose.get(name), name in plurals)
            if entry[0]:
                self._entries.setdefault(entry[0][0], []).append(entry)
        for name in HIDDEN:
            words = tuple(name.split())
            self._entries.setdefault(words[0], []).insert(0, (words, "", False, None, False))
        self._own = {_plain(label): label for label in own}

    def find(self, text: str) -> dict[str, str]:
        """Return the labels that a text names, with the words of the first occurrence."""
        found: dict[str, str] = {}
        for noun in self.nouns(parts_of_text(text)):
            if noun.is_label:
                found.setdefault(noun.label, noun.name)
        return found

    def spans(self, words: Sequence[str]) -> list[tuple[int, int, str]]:
        """Return (start, stop, label) of the words that name a label, from left to right, preferring longer names."""
        parts, places = parts_of(words)
        return [
            (places[noun.start], places[noun.stop - 1] + 1, noun.label) for noun in self.nouns(parts) if noun.is_label
        ]

    def nouns(self, parts: Sequence[str]) -> list[Noun]:
        """Return the nouns of a text, given as `parts_of` gives it, from left to right, without modifiers."""
        return [noun for noun, is_modifier in self.all_nouns(parts) if not is_modifier]

    def all_nouns(self, parts: Sequence[str]) -> list[tuple[Noun, bool]]:
        """Return all nouns, each with whether it only modifies the next one."""
        found: list[Noun] = []
        entries, at, end = self._entries, 0, len(parts)
        while at < end:
            possible = entries.get(parts[at])
            noun = None if possible is None else _longest(possible, parts, at)
            if noun is None:
                at += 1
                continue
            at = noun.stop
            if needs_context(noun.name):
                preceding = found[-1] if found and found[-1].stop == noun.start else None
                noun = in_context(noun, parts, preceding, self._own)
            if noun is not None and noun.label:
                found.append(noun)
        last = len(found) - 1
        return [(noun, at < last and modifies(noun, found[at + 1])) for at, noun in enumerate(found)]


def _longest(possible: Sequence[_Entry], parts: Sequence[str], at: int) -> Noun | None:
    """Return the longest of the names that begin with a word."""
    for words, label, is_label, also, is_plural in possible:
        size = len(words)
        if size == 1:
            return Noun(at, at + 1, label, words[0], is_label, also, is_plural)
        if tuple(parts[at : at + size]) == words:
            return Noun(at, at + size, label, " ".join(words), is_label, also, is_plural)
    return None


_TEXT = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|[^\w\s-]")


def split(text: str) -> list[str]:
    """Return the words and punctuation marks of a text; hyphens and underscores separate words and are left out."""
    return _TEXT.findall(text)


def parts_of_text(text: str) -> list[str]:
    """Return the parts of a text, as `parts_of` its words."""
    return [part or ("'s" if possessive else "") for part, possessive in _PART.findall(text.lower())]


def parts_of(words: Sequence[str]) -> tuple[list[str], list[int]]:
    """Return the parts of words in lower case, each with the index of its word.

    A word such as "traffic-light" has two parts. A punctuation mark is an empty part and separates its neighbours, and
    so does a possessive s, the part "'s". A hyphen, which some tokenizers return as a word, joins them.
    """
    parts: list[str] = []
    places: list[int] = []
    for at, word in enumerate(words):
        if word.isalpha():
            parts.append(word.lower())
            places.append(at)
        elif word != "-":
            found = [part.lower() or ("'s" if possessive else "") for part, possessive in _PART.findall(word)]
            parts += found
            places += [at] * len(found)
    return parts, places


_PART = re.compile(r"([^\W_]+(?:['’](?![sS]\b)[^\W_]+)*)|(['’][sS]\b)|[^\w\s-]")
"""A part of a word, a possessive s, or a punctuation mark as two empty groups."""
