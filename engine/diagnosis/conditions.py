"""What is known about each image besides its caption, as conditions that it meets or not.

Words of the references describe the image. The words of the caption are not used: they are an outcome.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from engine.data.dataset import Box
from engine.diagnosis.facts.phrases import STOPS
from engine.diagnosis.facts.vocabulary import ATTRIBUTES, COLOURS, NUMBERS, PERSONS, POSTURES, RELATIONS
from engine.diagnosis.lexicon import parts_of_text

_MOST_WORDS = 300
_MOST_COUNT = 6
"""Conditions "at least k" are made up to this k."""
_SHARE = 0.2
"""Numbers are divided into the lowest and the highest fifth, and the rest."""
_MIDDLE = (0.35, 0.65)
"""The main object is in the centre if its middle is between these shares of the photo's width and height."""
_WIDE = 1.6


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is known about an image."""

    references: Sequence[str] = ()
    objects: Sequence[Box] = ()
    """In pixels of the upright photo."""
    width: int | None = None
    height: int | None = None
    brightness: float | None = None
    """Mean of the photo's gray values, 0 to 1."""
    contrast: float | None = None
    """Standard deviation of the photo's gray values, 0 to 0.5."""
    conditions: Sequence[str] = ()
    """What the dataset says about the image: its own conditions and columns."""


@dataclass(frozen=True)
class Conditions:
    """C conditions of N images."""

    names: tuple[str, ...]
    members: np.ndarray
    """bool[N, C]."""
    own: int = 0
    """How many conditions at the beginning the dataset itself names."""


def conditions_of(images: Sequence[ImageFacts], least: int = 10) -> Conditions:
    """Return the conditions that at least `least` images meet and at least as many do not.

    The dataset's own conditions come first, because of conditions with the same images the first one is reported.
    """
    found = _Columns(len(images), least)
    found.sets((each.conditions for each in images), "{}")
    own = found.count
    _objects(images, found)
    _photos(images, found)
    _references(images, found)
    return found.conditions(own)


class _Columns:
    """Conditions that are collected; those of too few or of nearly all images are left out."""

    def __init__(self, images: int, least: int) -> None:
        self._images, self._least = images, least
        self._found: dict[str, np.ndarray] = {}

    @property
    def count(self) -> int:
        """Return how many conditions there are, without those of the same images."""
        return len({np.packbits(rows).tobytes() for rows in self._found.values()})

    def add(self, name: str, rows: np.ndarray) -> None:
        """Add a condition, bool[N]."""
        if self._least <= int(rows.sum()) <= self._images - self._least:
            self._found.setdefault(name, rows)

    def sets(self, every: Iterable[Iterable[str]], name: str, most: int | None = None) -> None:
        """Add a condition for each value that images have, the most frequent ones first."""
        rows: dict[str, list[int]] = {}
        for row, values in enumerate(every):
            for value in set(values):
                rows.setdefault(value, []).append(row)
        wide = (value for value in rows if self._least <= len(rows[value]) <= self._images - self._least)
        for value in sorted(wide, key=lambda each: (-len(rows[each]), each))[:most]:
            column = np.zeros(self._images, bool)
            column[rows[value]] = True
            self.add(name.format(value), column)

    def counts(self, values: np.ndarray, name: Callable[[int], str]) -> None:
        """Add "at least k" of a number of things, float[N], NaN if it is not known."""
        for number in range(1, _MOST_COUNT + 1):
            self.add(name(number), np.nan_to_num(values, nan=-1) >= number)

    def ends(self, values: np.ndarray, below: str, above: str) -> None:
        """Add the lowest and the highest fifth of a quantity, float[N], NaN if it is not known.

        Args:
            below, above: names, with {} for the bound.
        """
        known = values[np.isfinite(values)]
        if len(known) < 2 * self._least or known.min() == known.max():
            return
        low, high = np.quantile(known, [_SHARE, 1 - _SHARE])
        with np.errstate(invalid="ignore"):
            self.add(below.format(_short(low)), values <= low)
            self.add(above.format(_short(high)), values >= high)

    def conditions(self, own: int) -> Conditions:
        """Return the conditions; of those with the same images the first one."""
        unique: dict[bytes, str] = {}
        for name, rows in self._found.items():
            unique.setdefault(np.packbits(rows).tobytes(), name)
        names = tuple(unique.values())
        members = [self._found[name] for name in names]
        matrix = np.column_stack(members) if members else np.zeros((self._images, 0), bool)
        return Conditions(names, matrix, own)


def _objects(images: Sequence[ImageFacts], found: _Columns) -> None:
    """Add what annotated boxes say: numbers, labels, sizes, and the place of the largest object."""
    if not any(each.objects for each in images):
        return
    found.sets(({box.label for box in each.objects} for each in images), "shows {}")
    found.counts(np.array([len(each.objects) for each in images], float), lambda k: f"at least {k} {_plural(k)}")
    found.add("no annotated object", np.array([not each.objects for each in images]))
    _labels(images, found)
    shares = [[_share(box, each) for box in each.objects] for each in images]
    for name, choose in (("largest", max), ("smallest", min)):
        sizes = np.array([choose(each) if each else np.nan for each in shares])
        found.ends(sizes, f"{name} object at most {{}} of the photo", f"{name} object at least {{}} of the photo")
    places = [_places(each, own) for each, own in zip(images, shares, strict=True)]
    found.sets(places, "main object at the {}")


def _labels(images: Sequence[ImageFacts], found: _Columns) -> None:
    """Add numbers of objects of the same label."""
    counted = [Counter(box.label for box in each.objects) for each in images]
    several = (
        (f"at least {k} x {label}" for label, n in each.items() for k in range(2, min(n, 4) + 1)) for each in counted
    )
    found.sets(several, "{}")
    found.sets(({f"at least {len(each)} kinds of objects"} if len(each) > 1 else () for each in counted), "{}")


def _plural(count: int) -> str:
    return "object" if count == 1 else "objects"


def _share(box: Box, image: ImageFacts) -> float:
    """Return the share of the photo that a box covers, NaN if the photo's size is not known."""
    if not image.width or not image.height:
        return float("nan")
    return box.width * box.height / (image.width * image.height)


def _places(image: ImageFacts, shares: Sequence[float]) -> tuple[str, ...]:
    """Return where the middle of the largest object is."""
    if not image.width or not image.height or not shares:
        return ()
    box = image.objects[int(np.argmax(shares))]
    across, down = (box.x + box.width / 2) / image.width, (box.y + box.height / 2) / image.height
    low, high = _MIDDLE
    horizontal = "left" if across < low else "right" if across > high else ""
    vertical = "top" if down < low else "bottom" if down > high else ""
    return tuple(filter(None, (horizontal, vertical))) or ("centre",)


def _photos(images: Sequence[ImageFacts], found: _Columns) -> None:
    """Add brightness, contrast, size and shape of the photos."""
    for name in ("brightness", "contrast"):
        values = np.array([np.nan if (own := getattr(each, name)) is None else own for each in images], float)
        found.ends(values, f"{name} at most {{}}", f"{name} at least {{}}")
    has_size = np.array([bool(each.width and each.height) for each in images], bool)
    width, height = (
        np.array([getattr(each, name) or np.nan for each in images], float) for name in ("width", "height")
    )
    found.ends(width * height / 1e6, "photo of at most {} megapixels", "photo of at least {} megapixels")
    with np.errstate(invalid="ignore"):
        found.add("upright photo", has_size & (height > width))
        found.add(f"photo at least {_WIDE} times as wide as high", has_size & (width >= _WIDE * height))


def _references(images: Sequence[ImageFacts], found: _Columns) -> None:
    """Add what the references say: kinds of facts, words, length, and how much they agree."""
    read = [_read(each.references) for each in images]
    for place, kind in enumerate(_KINDS):
        share = np.array([each.kinds[place] for each in read])
        with np.errstate(invalid="ignore"):
            found.add(f"most references state a {kind}", share > 0.5)
            found.add(f"no reference states a {kind}", share == 0)
    lengths = np.array([each.length for each in read])
    found.ends(lengths, "references of at most {} words", "references of at least {} words")
    agreement = np.array([each.agreement for each in read])
    found.ends(agreement, "agreement of references at most {}", "agreement of references at least {}")
    found.sets((each.words - STOPS for each in read), "references say {}", _MOST_WORDS)


@dataclass(frozen=True, slots=True)
class _Read:
    """What the references of an image say; numbers are NaN without references."""

    words: frozenset[str]
    kinds: tuple[float, ...]
    """Share of the references that state each kind of fact of _KINDS."""
    length: float
    """Mean number of words."""
    agreement: float
    """Mean Jaccard index of the words of two references."""


def _read(references: Sequence[str]) -> _Read:
    if not references:
        return _Read(frozenset(), (np.nan,) * len(_KINDS), np.nan, np.nan)
    words = [frozenset(map(sys.intern, filter(str.isalnum, parts_of_text(text)))) for text in references]
    kinds = tuple(sum(not known.isdisjoint(own) for own in words) / len(words) for known in _KINDS.values())
    length = sum(len(text.split()) for text in references) / len(references)
    pairs = [len(one & other) / max(len(one | other), 1) for one, other in combinations(words[:_COMPARED], 2)]
    return _Read(frozenset().union(*words), kinds, length, sum(pairs) / len(pairs) if pairs else np.nan)


_KINDS = {
    "colour": frozenset(COLOURS),
    "number": frozenset(NUMBERS),
    "person": frozenset(PERSONS),
    "posture": frozenset(POSTURES),
    "attribute": frozenset(ATTRIBUTES),
    "relation": frozenset(words[0] for words in RELATIONS if len(words) == 1),
}
"""Kind of fact -> words that state it."""

_COMPARED = 5
"""References of an image whose words are compared with each other."""


def _short(value: float) -> str:
    return f"{value:.3g}"
