"""Explanation methods behind one protocol: from a caption and some of its words to maps over the photo.

Attention reads maps that are there; gradients need a captioner that returns them; occlusion and RISE cover cells of the
photo and work with every captioner that reads captions again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from engine.explain import gradient, guided, tam
from engine.explain.gradient import Gradients
from engine.explain.perturbation import Probe

RISE_MASKS = 400
_RISE_SIDE = 7
"""Cells of a coarse RISE mask per side; fewer if the grid has fewer."""


class Evidence:
    """What methods may read about some words of a caption; each part is computed at most once."""

    def __init__(self, probe: Probe, words: Sequence[int], attention: np.ndarray, seed: int) -> None:
        """Describe a caption.

        Args:
            words: positions of the W explained words.
            attention: float32[words of the caption, layers, heads, P].
            seed: of random masks.
        """
        self.probe, self.words, self.seed = probe, list(words), seed
        self.attention = attention[self.words]
        self._gradients: Gradients | None = None

    @property
    def gradients(self) -> Gradients:
        """Return the gradients of the words.

        Raises:
            ValueError: the captioner has none.
        """
        if self.probe.gradients is None:
            raise ValueError("this method needs gradients, which the captioner does not return")
        if self._gradients is None:
            self._gradients = self.probe.gradients([self.probe.spans[word] for word in self.words])
        return self._gradients

    def logprobs(self, visible: np.ndarray) -> np.ndarray:
        """Return log p of each explained word with some cells visible, bool[N, P] -> float64[N, W]."""
        return self.probe.logprobs(visible)[:, self.words]

    @property
    def last_layer(self) -> np.ndarray:
        """Return the mean of the heads of the last layer, float32[W, P]."""
        return self.attention[:, -1].mean(1)


@dataclass(frozen=True)
class Method:
    """An explanation method."""

    name: str
    title: str
    maps: Callable[[Evidence], np.ndarray]
    """Returns float[W, P], higher where a cell matters more."""
    needs: Literal["gradients", "activations"] | None = None
    """What a captioner must return besides log-probabilities."""


def single_head(layer: int, head: int) -> Method:
    """Return the method that shows one head of one layer, both counted from 0."""
    name = f"attention, layer {layer + 1}, head {head + 1}"
    return Method(name, name, lambda evidence: evidence.attention[:, layer, head])


def _gradient_attention(evidence: Evidence) -> np.ndarray:
    return gradient.gradient_attention(evidence.gradients)


def _gradient_input(evidence: Evidence) -> np.ndarray:
    return gradient.gradient_input(evidence.gradients)


def _rollout(evidence: Evidence) -> np.ndarray:
    rollout = evidence.gradients.rollout
    return evidence.last_layer if rollout is None else gradient.rolled_out(evidence.last_layer, rollout)


def _occlusion(reach: int) -> Callable[[Evidence], np.ndarray]:
    def maps(evidence: Evidence) -> np.ndarray:
        hidden = neighbours(evidence.probe.grid, reach)
        everything = evidence.logprobs(np.ones((1, evidence.probe.cells), dtype=bool))
        return (everything - evidence.logprobs(~hidden)).T

    return maps


def neighbours(grid: tuple[int, int], reach: int) -> np.ndarray:
    """Return which cells are at most `reach` rows and columns from each cell, bool[P, P]."""
    rows, columns = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    return (abs(rows[:, None] - rows) <= reach) & (abs(columns[:, None] - columns) <= reach)


def rise_masks(grid: tuple[int, int], count: int, seed: int) -> np.ndarray:
    """Return random masks with half of the coarse cells visible, bool[count, P] (Petsiuk et al., 2018)."""
    rows, columns = (min(_RISE_SIDE, side) for side in grid)
    coarse = np.random.default_rng(seed).random((count, rows, columns)) < 0.5
    up = np.arange(grid[0]) * rows // grid[0]
    across = np.arange(grid[1]) * columns // grid[1]
    return coarse[:, up[:, None], across[None, :]].reshape(count, -1)


def _visible_means(evidence: Evidence, visible: np.ndarray) -> np.ndarray:
    """Return the mean p(word) of the masks that show a cell minus that of the others, float64[W, P]."""
    found = np.exp(evidence.logprobs(visible)).T
    shown, hidden = visible.astype(float), (~visible).astype(float)
    means = [found @ each / np.maximum(each.sum(0), 1) for each in (shown, hidden)]
    return means[0] - means[1]


def _rise(evidence: Evidence) -> np.ndarray:
    return _visible_means(evidence, rise_masks(evidence.probe.grid, RISE_MASKS, evidence.seed))


def _token_activation(evidence: Evidence) -> np.ndarray:
    probe = evidence.probe
    if probe.activations is None:
        raise ValueError("this method needs image tokens inside a language model, which the captioner does not have")
    return tam.word_maps(probe.activations(), probe.grid, [probe.spans[word] for word in evidence.words])


def _guided(evidence: Evidence) -> np.ndarray:
    visible = rise_masks(evidence.probe.grid, guided.MASKS, evidence.seed)
    found = np.exp(evidence.logprobs(visible)).T
    return guided.guided(found, visible, evidence.last_layer, evidence.probe.grid)


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("attention", "attention, last layer, mean of heads", lambda evidence: evidence.last_layer),
        Method("attention_all", "attention, mean of layers and heads", lambda each: each.attention.mean((1, 2))),
        Method("rollout", "attention rollout", _rollout, needs="gradients"),
        Method("gradient", "gradient x attention", _gradient_attention, needs="gradients"),
        Method("gradient_input", "gradient x input", _gradient_input, needs="gradients"),
        Method("occlusion", "occlusion, one cell", _occlusion(0)),
        Method("occlusion_3x3", "occlusion, 3 x 3 cells", _occlusion(1)),
        Method("rise", f"RISE, {RISE_MASKS} masks", _rise),
        Method("tam", "token activation map", _token_activation, needs="activations"),
        Method("guided", f"guided masks ({guided.MASKS}), peak of attention", _guided),
    )
}
