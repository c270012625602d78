"""Spread the attention of image tokens, which lie anywhere in a photo, over one regular grid."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Grid:
    """A regular grid over a part of a photo, and the share of each token's weight in each of its cells."""

    rows: int
    columns: int
    crop: tuple[float, float, float, float]
    """x, y, width, height in pixels of the photo."""
    spread: Tensor
    """float32[tokens, rows * columns]; a row sums to 1, or to 0 for a token without a place."""


def grid_over(boxes: Tensor) -> Grid:
    """Return the grid with the cell size of the smallest tokens over all boxes float64[tokens, 4] (NaN: no place).

    Tokens of several scales, such as tiles and a view of the whole photo, are spread over the cells that they cover.
    """
    placed = torch.isfinite(boxes).all(1)
    own = boxes[placed]
    left, top = float(own[:, 0].min()), float(own[:, 1].min())
    right, bottom = float(own[:, 2].max()), float(own[:, 3].max())
    columns = _count(own[:, 2] - own[:, 0], right - left)
    rows = _count(own[:, 3] - own[:, 1], bottom - top)
    share = _cover(own[:, 1], own[:, 3], top, bottom, rows).unsqueeze(2)
    share = share * _cover(own[:, 0], own[:, 2], left, right, columns).unsqueeze(1)
    share = share.flatten(1)
    spread = torch.zeros(len(boxes), rows * columns, dtype=torch.float32)
    spread[placed] = (share / share.sum(1, keepdim=True).clamp(min=1e-12)).float()
    return Grid(rows, columns, (left, top, right - left, bottom - top), spread)


def _count(sides: Tensor, extent: float) -> int:
    """Return how many cells of the smallest common size fit; cells at an edge may be smaller because of smoothing."""
    small = sides[sides <= 1.5 * sides.quantile(0.25)]
    return max(1, round(extent / float(small.median())))


def _cover(low: Tensor, high: Tensor, start: float, stop: float, cells: int) -> Tensor:
    """Return the length of each box in each cell of [start, stop], float64[boxes, cells]; slivers count as none."""
    edges = torch.linspace(start, stop, cells + 1, dtype=low.dtype)
    covered = torch.minimum(high.unsqueeze(1), edges[1:]) - torch.maximum(low.unsqueeze(1), edges[:-1])
    cell = (stop - start) / cells
    return covered.where(covered > 0.05 * cell, 0.0)
