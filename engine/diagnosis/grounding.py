"""Attention grounding (pointing game): do the maps of nouns peak inside the boxes of the objects they name?

Works on maps over a grid, boxes in pixels and words; needs no model. Attention mass inside a box grows with the box, so
it is divided by the box's share of the picture (lift), and hits are compared with boxes of the same label in another
image (chance).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.data.dataset import Box
from engine.diagnosis.lexicon import Mentions

OFFSETS = tuple(range(-3, 4))
"""Offsets of the maps that are measured: a captioner may attend to an object some words before its noun."""

MEAN = -1
"""The number of the head that denotes the mean of all heads."""


@dataclass(frozen=True, slots=True)
class GroundingInput:
    """A caption with the objects in its image, and the grid of its maps."""

    words: Sequence[str]
    grid: tuple[int, int]
    """Height and width in patches."""
    crop: tuple[float, float, float, float]
    """The part of the photo that the grid covers: x, y, width, height in pixels of the photo."""
    regions: Sequence[Box]
    crowds: frozenset[str] = frozenset()
    """Labels of regions that hold several objects. Their nouns are not measured in this image: a map that peaks there
    may point at one of the objects, and the region's box does not show which one."""


@dataclass(frozen=True)
class Grounded:
    """The grounding of one noun for one layer, head and offset."""

    word_index: int
    word: str
    label: str
    layer: int
    head: int
    offset: int
    mass: float
    """Share of the grid's attention inside the boxes."""
    lift: float
    """Mass divided by the boxes' share of the grid."""
    hit: bool
    """Whether the map peaks inside a box; see `inside`."""
    shuffled_hit: bool | None
    """The same for boxes of the same label in another image; None if no other image has the label."""


def ground(captions: Sequence[GroundingInput], maps: Iterable[np.ndarray]) -> Iterator[list[Grounded]]:
    """Yield one list per caption: its nouns that name an object with a box inside the crop.

    Args:
        maps: float[words, layers, heads, patches] of each caption, which may be read one after the other.
    """
    labels = {region.label for caption in captions for region in caption.regions}
    mentions = Mentions(labels)
    others = _others([_shown(caption) for caption in captions])
    for caption, own, other in zip(captions, maps, others, strict=True):
        rows: list[Grounded] = []
        for index, label in nouns(caption.words, mentions):
            if label not in _measured_labels(caption):
                continue
            share = box_share(caption, label)
            if share.any():
                # On the grid of this image: grids differ where photos do.
                at = other.get(label)
                elsewhere = None if at is None else box_share(replace(captions[at], grid=caption.grid), label)
                rows += _measure(caption, own, index, label, share, elsewhere)
        yield rows


def _shown(caption: GroundingInput) -> set[str]:
    """Return the measured labels that have a box inside the crop."""
    return {label for label in _measured_labels(caption) if box_share(caption, label).any()}


def nouns(words: Sequence[str], mentions: Mentions) -> list[tuple[int, str]]:
    """Return (position, label) of the words that name a label; for a compound, of its last word."""
    return [(stop - 1, label) for _, stop, label in mentions.spans(words)]


def box_share(caption: GroundingInput, label: str) -> np.ndarray:
    """Return the share of each patch that boxes of `label` cover, float[patches]; the largest if boxes overlap."""
    height, width = caption.grid
    x, y, crop_width, crop_height = caption.crop
    share = np.zeros((height, width))
    for region in caption.regions:
        if region.label == label:
            across = _cover(region.x - x, region.width, crop_width, width)
            down = _cover(region.y - y, region.height, crop_height, height)
            share = np.maximum(share, np.outer(down, across))
    return share.ravel()


def inside(share: np.ndarray) -> np.ndarray:
    """Return which patches count as inside boxes, bool[patches], given the covered share of each; one share is above 0.

    A patch counts if at least half of it is covered. If there is none, the patch that is covered most counts, so that
    objects smaller than a patch can be hit.
    """
    return share >= min(0.5, share.max())


def _cover(start: float, length: float, extent: float, cells: int) -> np.ndarray:
    """Return the share of each cell of `extent` that [start, start + length] covers, float[cells]."""
    edges = np.linspace(0, extent, cells + 1)
    overlap = np.minimum(edges[1:], start + length) - np.maximum(edges[:-1], start)
    return np.clip(overlap / (extent / cells), 0, 1)


def _measured_labels(caption: GroundingInput) -> set[str]:
    return {region.label for region in caption.regions} - caption.crowds


def _others(shown: Sequence[set[str]]) -> list[dict[str, int]]:
    """Return for each caption and label the number of the next caption with that label, a deterministic choice."""
    showing: dict[str, list[int]] = {}
    for number, labels in enumerate(shown):
        for label in labels:
            showing.setdefault(label, []).append(number)
    found: list[dict[str, int]] = [{} for _ in shown]
    for label, numbers in showing.items():
        for number, following in zip(numbers, [*numbers[1:], numbers[0]], strict=True):
            if following != number:
                found[number][label] = following
    return found


def _measure(
    caption: GroundingInput, maps: np.ndarray, index: int, label: str, share: np.ndarray, other: np.ndarray | None
) -> Iterator[Grounded]:
    _, layers, heads, _ = maps.shape
    own, others = inside(share), None if other is None else inside(other)
    for offset in OFFSETS:
        at = index + offset
        if not 0 <= at < len(caption.words):
            continue
        mean = maps[at].mean(axis=1)
        # Single heads only at the noun itself; with seven offsets this would become the largest table.
        # A single head is the mean.
        every = range(MEAN, heads) if offset == 0 and heads > 1 else (MEAN,)
        for layer in range(layers):
            for head in every:
                weights = mean[layer] if head == MEAN else maps[at, layer, head]
                total = float(weights.sum())
                mass = float(weights @ share) / total if total > 0 else 0.0
                peak = int(weights.argmax())
                hit, shuffled = bool(own[peak]), None if others is None else bool(others[peak])
                word = caption.words[index]
                lift = mass / float(share.mean())
                yield Grounded(index, word, label, layer, head, offset, mass, lift, hit, shuffled)
