"""Photos with some cells covered, and what that does to the words of a caption.

A map has cells on a grid over a part of the photo. Covering cells with the captioner's fill colour and reading the
caption again shows which cells a word depends on. Deletion and insertion curves measure how faithful a map is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from engine.explain.gradient import Gradients
from engine.explain.tam import Activations
from engine.explain.token_scores import TokenScores

FRACTIONS = (0.0, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
"""Shares of the cells that deletion covers and insertion shows, in the order of a map."""


READ_TOGETHER = 32
"""Changed photos that are read together: more take memory and are not faster."""


@dataclass
class Probe:
    """A caption of a photo whose cells can be covered."""

    read: Callable[[Sequence[np.ndarray]], Sequence[TokenScores]]
    """Reads the caption with each of some changed photos."""
    photo: np.ndarray
    """uint8[height, width, 3], as a captioner takes it."""
    words: Sequence[str]
    spans: Sequence[tuple[int, int]]
    """First token and one past the last token of each word."""
    grid: tuple[int, int]
    """Rows and columns of cells."""
    region: tuple[float, float, float, float]
    """The part of the photo that the grid covers: x, y, width, height in pixels."""
    fill: tuple[int, int, int]
    """RGB colour of covered cells."""
    gradients: Callable[[Sequence[tuple[int, int]]], Gradients] | None = None
    """Returns gradients of log p of the tokens of each span; None if the captioner has none."""
    activations: Callable[[], Activations] | None = None
    """Returns logits at image tokens; None if the captioner has none."""

    def __post_init__(self) -> None:
        self._edges = _edges(self.region, self.grid)

    @property
    def cells(self) -> int:
        """The number of cells, P."""
        return self.grid[0] * self.grid[1]

    def logprobs(self, visible: np.ndarray) -> np.ndarray:
        """Return log p of each word with only some cells visible, float64[N, W], nats.

        Args:
            visible: bool[N, P].
        """
        found = []
        for start in range(0, len(visible), READ_TOGETHER):
            found.append(self._read([self.covered(each) for each in visible[start : start + READ_TOGETHER]]))
        return np.concatenate(found)

    def without(self, cells: np.ndarray) -> np.ndarray:
        """Return the photo with some cells, bool[P], in the mean colour of those around them.

        This is closer to a photo without the object than a grey patch, which is an object of its own. Without cells
        around them the fill colour is used.
        """
        around = _dilated(cells.reshape(self.grid)).ravel() & ~cells
        photo = self.covered(~cells)
        if around.any():
            photo[self._pixels(cells)] = np.rint(self.photo[self._pixels(around)].mean(0))
        return photo

    def _pixels(self, cells: np.ndarray) -> np.ndarray:
        """Return the pixels of some cells, bool[height, width]."""
        found = np.zeros(self.photo.shape[:2], dtype=bool)
        ys, xs = self._edges
        rows, columns = np.repeat(np.arange(self.grid[0]), np.diff(ys)), np.repeat(np.arange(self.grid[1]), np.diff(xs))
        found[ys[0] : ys[-1], xs[0] : xs[-1]] = cells.reshape(self.grid)[rows[:, None], columns[None, :]]
        return found

    def differences(self, photos: Sequence[np.ndarray]) -> np.ndarray:
        """Return log p of each word with the photo minus that with each of N others, float64[N, W], nats."""
        return self._read([self.photo]) - self._read(photos)

    def _read(self, photos: Sequence[np.ndarray]) -> np.ndarray:
        """Return log p of each word with each of N photos, float64[N, W]."""
        scores = self.read(photos)
        sums = np.stack([np.concatenate([[0.0], each.logprobs.cumsum(dtype=np.float64)]) for each in scores])
        starts, stops = (np.array(each, dtype=int) for each in zip(*self.spans, strict=True))
        return sums[:, stops] - sums[:, starts]

    def covered(self, visible: np.ndarray) -> np.ndarray:
        """Return the photo with the cells covered that are not in `visible`, bool[P]; pixels outside the grid stay."""
        photo = self.photo.copy()
        photo[self._pixels(~visible)] = self.fill
        return photo


def _edges(region: tuple[float, float, float, float], grid: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixel rows and columns at which cells begin and end: int[rows + 1], int[columns + 1]."""
    x, y, width, height = region
    rows, columns = grid
    return (
        np.rint(np.linspace(y, y + height, rows + 1)).astype(int),
        np.rint(np.linspace(x, x + width, columns + 1)).astype(int),
    )


def _dilated(cells: np.ndarray) -> np.ndarray:
    """Return cells bool[rows, columns] with their eight neighbours."""
    padded = np.pad(cells, 1)
    rows, columns = cells.shape
    shifted = (padded[y : y + rows, x : x + columns] for y in range(3) for x in range(3))
    return np.logical_or.reduce(list(shifted))


@dataclass(frozen=True)
class Faithfulness:
    """How p(word) changes while cells are covered or shown in the order of a map."""

    deletion: float
    """Area under p(word) while the cells are covered, most important first; lower is better."""
    insertion: float
    """Area under p(word) while the cells are shown on an empty picture; higher is better."""


def covered_order(maps: np.ndarray) -> np.ndarray:
    """Return what is visible in the steps of deletion and insertion of maps float[M, P]: bool[M, 2, steps, P]."""
    cells = maps.shape[1]
    ranks = np.argsort(np.argsort(-maps, axis=1, kind="stable"), axis=1)
    counts = np.rint(np.array(FRACTIONS) * cells).astype(int)
    shown = ranks[:, None, :] < counts[None, :, None]
    return np.stack([~shown, shown], axis=1)


def faithfulness(probe: Probe, maps: np.ndarray, words: Sequence[int]) -> list[Faithfulness]:
    """Return the faithfulness of M maps float[M, P], the map m being one of word `words[m]`."""
    visible = covered_order(maps)
    found = probe.logprobs(visible.reshape(-1, maps.shape[1])).reshape(*visible.shape[:3], -1)
    areas = []
    for each, word in zip(found, words, strict=True):
        curves = np.exp(each[..., word])
        deletion, insertion = np.trapezoid(curves, FRACTIONS, axis=-1)
        areas.append(Faithfulness(float(deletion), float(insertion)))
    return areas
