"""Captions that belong to other images: ids shifted in some order, or taken from another split.

A caption agrees with an image by the share of its words that the image's references contain, weighted so that words of
all images count nothing. A weak captioner agrees little with every image: a finding needs other images with which the
captions agree better.
"""

import math
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from engine.diagnosis.data_doctor.finding import Finding, quote, some
from engine.diagnosis.data_doctor.texts import Texts, words

_OFFSETS = (1, -1, 2, -2, 3, -3)
_ROWS = 600
"""Images that are compared; evenly spaced."""
_LEAST = 8
"""Pairs from which a difference is judged."""
_SURE = 4.0
"""Standard errors by which the agreement with other images must be higher: chance reaches it in 1 of 30,000 tests."""
_PARTS = 6
"""Parts of a long file that are also judged alone, because ids are often shifted from some line on."""
_LONG = 300


def shifted_ids(texts: Texts, orders: Sequence[Sequence[int]] = ()) -> Finding | None:
    """Return the finding that captions belong to images some places before or after theirs.

    Args:
        orders: further orders of the rows in which ids may be shifted, such as that of the file of captions.
    """
    if not texts.captions or len(texts.image_ids) <= _LEAST:
        return None
    agreement = _Agreement(texts)
    every = [range(len(texts.image_ids)), _natural(texts.image_ids), *orders]
    for order in {tuple(each): None for each in every}:
        for rows in _stretches(len(order)):
            if (found := _shift(agreement, order, rows)) is not None:
                return found
    return None


def other_split(texts: Texts, others: Callable[[], Iterable[tuple[str, Texts]]]) -> Finding | None:
    """Return the finding that captions belong to images of another split that has the same ids.

    Args:
        others: yields (split, the same captions with the references of that split); called only if the captions agree
            with their own images no better than by chance.
    """
    if len(texts.captions) <= _LEAST:
        return None
    own, chance = _own_and_chance(texts)
    if _errors(own - chance) >= _SURE:
        return None
    for name, other in others():
        if len(other.captions) <= _LEAST:
            continue
        theirs, random_others = _own_and_chance(other)
        if _errors(theirs - random_others) >= _SURE and theirs.mean() > 2 * own.mean():
            return Finding(
                "other_split",
                f"the captions fit the images of split {name}: their agreement with its references is "
                f"{theirs.mean():.0%}, with those of the chosen split {own.mean():.0%} (chance: {chance.mean():.0%}); "
                f"image {texts.image_ids[0]} has the caption {quote(texts.captions[0])}",
                f"choose --split {name}, or write the ids of the chosen split into the file of captions",
                some(list(texts.image_ids)),
            )
    return None


@dataclass(frozen=True)
class _Means:
    own: np.ndarray
    shifted: np.ndarray
    chance: np.ndarray

    @property
    def is_shift(self) -> bool:
        own, shifted, chance = (float(each.mean()) for each in (self.own, self.shifted, self.chance))
        is_higher = shifted > 1.5 * own and shifted - chance > 3 * (own - chance)
        return is_higher and _errors(self.shifted - self.own) >= _SURE and _errors(self.shifted - self.chance) >= _SURE


def _shift(agreement: "_Agreement", order: Sequence[int], rows: range) -> Finding | None:
    """Return the finding for `rows`, places in `order`, by the offset with the highest agreement."""
    best: tuple[float, int, _Means] | None = None
    for offset in _OFFSETS:
        places = [place for place in rows if 0 <= place + offset < len(order)]
        if len(places) < _LEAST:
            continue
        means = agreement.means(order, places, offset)
        if means.is_shift and (best is None or means.shifted.mean() > best[0]):
            best = float(means.shifted.mean()), offset, means
    if best is None:
        return None
    _, offset, means = best
    place = next(place for place in rows if 0 <= place + offset < len(order))
    texts = agreement.texts
    first, right = texts.image_ids[order[place]], texts.image_ids[order[place + offset]]
    where = "" if len(rows) * rows.step >= len(order) - rows.step else f" from about image {first} on"
    after = f"{abs(offset)} {'place' if abs(offset) == 1 else 'places'} {'after' if offset > 0 else 'before'} it"
    return Finding(
        "shifted_ids",
        f"ids are shifted by {abs(offset)}{where}: captions fit the image {after} (agreement "
        f"{means.shifted.mean():.0%}) and not their own ({means.own.mean():.0%}; chance: {means.chance.mean():.0%}); "
        f"the caption of image {first}, {quote(texts.captions[order[place]])}, fits image {right}",
        "pair captions with ids when they are generated; do not number the lines of two files separately",
        (first, right),
    )


def _stretches(count: int) -> Iterator[range]:
    """Yield the places of the whole order, then of its parts."""
    yield range(0, count, max(1, count // _ROWS))
    size = count // _PARTS
    for start in range(0, count - size + 1, size) if count >= _LONG else ():
        yield range(start, start + size, max(1, size // (_ROWS // _PARTS)))


class _Agreement:
    """The agreement of captions with images, computed for the pairs that are asked for."""

    def __init__(self, texts: Texts) -> None:
        self.texts = texts
        self._captions: dict[int, frozenset[str]] = {}
        self._images: dict[int, frozenset[str]] = {}
        self._random = random.Random(0)
        sample = range(0, len(texts.image_ids), max(1, len(texts.image_ids) // _ROWS))
        counts = Counter(word for row in sample for word in self._image(row))
        self._weights = {word: math.log(len(sample) / count) for word, count in counts.items()}
        self._rare = math.log(max(len(sample), 2))

    def means(self, order: Sequence[int], places: Sequence[int], offset: int) -> _Means:
        """Return the agreement of captions at these places with their own images, shifted ones, and random ones."""
        rows = [
            (order[place], order[place + offset]) for place in places if self.texts.references[order[place + offset]]
        ]
        rows = [(row, other) for row, other in rows if self.texts.references[row]]
        own = np.array([self.of(row, row) for row, _ in rows])
        shifted = np.array([self.of(row, other) for row, other in rows])
        chance = np.array([self.by_chance(row) for row, _ in rows])
        return _Means(own, shifted, chance) if rows else _Means(*(np.zeros(1),) * 3)

    def of(self, row: int, image: int) -> float:
        """Return the weighted share of the words of the caption of `row` that are in the references of `image`."""
        caption = self._captions.get(row)
        if caption is None:
            caption = self._captions[row] = frozenset(words(self.texts.captions[row]))
        total = sum(self._weight(word) for word in caption)
        return sum(self._weight(word) for word in caption & self._image(image)) / total if total else 0.0

    def by_chance(self, row: int) -> float:
        """Return the agreement with a random other image."""
        other = self._random.randrange(len(self.texts.image_ids) - 1)
        return self.of(row, other + (other >= row))

    def _weight(self, word: str) -> float:
        return self._weights.get(word, self._rare)

    def _image(self, row: int) -> frozenset[str]:
        if row not in self._images:
            self._images[row] = frozenset(word for text in self.texts.references[row] for word in words(text))
        return self._images[row]


def _own_and_chance(texts: Texts) -> tuple[np.ndarray, np.ndarray]:
    agreement = _Agreement(texts)
    count = len(texts.image_ids)
    rows = [row for row in range(0, count, max(1, count // _ROWS)) if texts.references[row]]
    if not rows:
        return np.zeros(1), np.zeros(1)
    return np.array([agreement.of(row, row) for row in rows]), np.array([agreement.by_chance(row) for row in rows])


def _errors(differences: np.ndarray) -> float:
    """Return the mean in standard errors; 0 for too few differences."""
    if len(differences) < _LEAST:
        return 0.0
    spread = float(differences.std(ddof=1)) / math.sqrt(len(differences))
    mean = float(differences.mean())
    return mean / spread if spread else math.copysign(math.inf, mean) if mean else 0.0


def _natural(ids: Sequence[str]) -> list[int]:
    """Return the rows ordered by the numbers in the ids: 2 is before 10."""
    split = [re.split(r"(\d+)", each) for each in ids]
    keys = [[(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in each] for each in split]
    return sorted(range(len(ids)), key=keys.__getitem__)
