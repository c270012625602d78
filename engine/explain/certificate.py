"""The certificate of a method for one captioner: does it point at objects, and does the model depend on it?

Per noun: whether the map peaks inside the object's box (pointing game), and the areas under p(word) while cells are
covered (deletion) or shown (insertion) in the order of the map. A method is certified if it points better than chance
and is more faithful than a random order of cells.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RANDOM = "random"
"""The method that orders cells at random."""

BASE = "attention"
"""The method that others are compared with."""

LEAST = 0.01
"""Faithfulness above that of a random order, in p(word), which a certificate needs.

Maps of captioners with random weights peak at objects as well, because objects differ from their surroundings; but
their words hardly depend on the photo.
"""

RESAMPLES = 2_000


@dataclass(frozen=True)
class NounMeasure:
    """One method on one noun."""

    image_id: str
    hit: bool
    chance: float
    """Share of the cells that are inside the object's box."""
    deletion: float
    insertion: float
    seconds: float


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval; images are resampled."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Certificate:
    """A method over N nouns."""

    method: str
    nouns: int
    images: int
    hit: Interval
    chance: float
    over_chance: Interval
    """Hit rate minus chance."""
    deletion: Interval
    insertion: Interval
    over_random: Interval
    """Faithfulness (insertion minus deletion) minus that of random orders of the same nouns."""
    hit_over_base: Interval | None
    """Hit rate minus that of attention on the same nouns; None for attention itself."""
    deletion_over_base: Interval | None
    insertion_over_base: Interval | None
    seconds: float
    """Seconds per noun."""

    @property
    def is_certified(self) -> bool:
        """Return whether the method points better than chance and is clearly more faithful than a random order."""
        return self.method != RANDOM and self.over_chance.low > 0 and self.over_random.low > LEAST


def certify(measured: Mapping[str, Sequence[NounMeasure]]) -> list[Certificate]:
    """Return the certificate of each method; all methods were measured on the same nouns in the same order.

    Raises:
        ValueError: methods were measured on different nouns, or RANDOM or BASE is missing.
    """
    for name in (RANDOM, BASE):
        if name not in measured:
            raise ValueError(f"a certificate needs the method {name!r}")
    images = [each.image_id for each in measured[RANDOM]]
    if any([each.image_id for each in rows] != images for rows in measured.values()):
        raise ValueError("methods were measured on different nouns")
    means = _Means(images)
    columns = {name: _columns(rows) for name, rows in measured.items()}
    return [_certificate(name, columns, means) for name in measured]


def recommended(certificates: Sequence[Certificate]) -> Certificate | None:
    """Return the certified method with the largest sum of hit rate and faithfulness; None without one."""
    passed = [each for each in certificates if each.is_certified]
    return max(passed, key=lambda each: each.hit.value + each.insertion.value - each.deletion.value, default=None)


def _columns(rows: Sequence[NounMeasure]) -> dict[str, np.ndarray]:
    names = ("hit", "chance", "deletion", "insertion", "seconds")
    return {name: np.array([getattr(row, name) for row in rows], dtype=np.float64) for name in names}


class _Means:
    """Means over nouns with intervals, over the same resampled images for everything that is compared."""

    def __init__(self, images: Sequence[str]) -> None:
        _, self._image = np.unique(images, return_inverse=True)
        self.images, self.nouns = int(self._image.max(initial=-1)) + 1, len(images)
        draws = np.random.default_rng(0).integers(self.images, size=(RESAMPLES, self.images))
        self._weights = np.stack([np.bincount(draw, minlength=self.images) for draw in draws]).astype(np.float64)
        self._counts = self._weights @ np.bincount(self._image, minlength=self.images)

    def of(self, values: np.ndarray) -> Interval:
        """Return the mean of one value per noun."""
        sums = self._weights @ np.bincount(self._image, weights=values, minlength=self.images)
        low, high = np.percentile(sums / np.maximum(self._counts, 1), [2.5, 97.5])
        return Interval(float(values.mean()), float(low), float(high))


def _certificate(name: str, columns: Mapping[str, Mapping[str, np.ndarray]], means: _Means) -> Certificate:
    own, random, base = columns[name], columns[RANDOM], columns[BASE]
    faithful = own["insertion"] - own["deletion"]
    over = {key: None if name == BASE else means.of(own[key] - base[key]) for key in ("hit", "deletion", "insertion")}
    return Certificate(
        method=name,
        nouns=means.nouns,
        images=means.images,
        hit=means.of(own["hit"]),
        chance=float(own["chance"].mean()),
        over_chance=means.of(own["hit"] - own["chance"]),
        deletion=means.of(own["deletion"]),
        insertion=means.of(own["insertion"]),
        over_random=means.of(faithful - (random["insertion"] - random["deletion"])),
        hit_over_base=over["hit"],
        deletion_over_base=over["deletion"],
        insertion_over_base=over["insertion"],
        seconds=float(own["seconds"].mean()),
    )
