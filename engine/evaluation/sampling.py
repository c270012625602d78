"""A sample of images that every process chooses alike, without knowing the others."""

import hashlib
import heapq
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """The images whose number, a hash of seed and image id, is at most `last`."""

    seed: int
    last: int

    def has(self, image_id: str) -> bool:
        """Return whether an image belongs to the sample."""
        return _number(self.seed, image_id) <= self.last


def sample(image_ids: Iterable[str], count: int, seed: int) -> Sample | None:
    """Return a sample of `count` images; None if that is all of them."""
    every = 0

    def numbers() -> Iterable[int]:
        nonlocal every
        for image_id in image_ids:
            every += 1
            yield _number(seed, image_id)

    smallest = heapq.nsmallest(count, numbers())
    return None if every <= count else Sample(seed, smallest[-1])


def _number(seed: int, image_id: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{image_id}".encode()).digest()[:8], "big")


def fold_of(image_id: str, folds: int) -> int:
    """Return the fold of an image, 0 to `folds` - 1: the same in every run."""
    return _number(0, image_id) % folds
