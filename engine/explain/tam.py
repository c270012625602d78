"""Token activation maps: which image tokens of a language model already point at the word that it says later.

An image token inside a language model has an output of its own. Its logit of a word is the raw map of the word. Words
that came before leave traces in it: their maps, weighted by how much their steps activate the word, are subtracted (Li
et al., ICCV 2025, "Token Activation Map to Visually Explain Multimodal LLMs"). The rest is denoised by a filter over
ranks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Activations:
    """Logits of the T tokens of a caption."""

    image: np.ndarray
    """float32[T, P]: of each token, at the image tokens, spread over the cells of the grid."""
    text: np.ndarray
    """float32[T, T]: of token t (row) at the step that says token i (column)."""


def token_maps(found: Activations, grid: tuple[int, int]) -> np.ndarray:
    """Return the maps of tokens, float64[T, P]; 0 where a token adds nothing to those before it."""
    raw = np.maximum(found.image.astype(np.float64), 0)
    maps = np.empty_like(raw)
    for at, own in enumerate(raw):
        weights = np.maximum(found.text[at, :at].astype(np.float64), 0)
        others = weights @ raw[:at] / max(weights.sum(), 1e-12) if at else np.zeros_like(own)
        maps[at] = np.maximum(own - _scale(own, others) * others, 0)
    return np.stack([rank_filtered(each, grid) for each in maps]) if len(maps) else maps


def word_maps(found: Activations, grid: tuple[int, int], spans: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return the maps of words, the mean of their tokens, float64[W, P].

    Args:
        spans: first token and one past the last token of each word.
    """
    maps = token_maps(found, grid)
    return np.stack([maps[start:stop].mean(0) for start, stop in spans])


def _scale(own: np.ndarray, others: np.ndarray) -> float:
    """Return the share of the others' map that explains the own one best, by least squares; at least 0."""
    size = float(others @ others)
    return max(float(own @ others) / size, 0.0) if size > 0 else 0.0


def rank_filtered(map_: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Return a map float64[P] whose cells are Gaussian means of the sorted values around them.

    Weights belong to ranks and not to places, so that single high values vanish and edges stay. The width of the
    Gaussian is the coefficient of variation of the nine values, in units of half their number.
    """
    padded = np.pad(map_.reshape(grid), 1, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).reshape(*grid, 9)
    ranked = np.sort(windows, axis=-1)
    means = ranked.mean(-1, keepdims=True)
    width = np.where(means > 0, ranked.std(-1, keepdims=True) / np.where(means > 0, means, 1), 1)
    distances = (np.arange(9) - 4) ** 2
    weights = np.exp(-distances / (2 * np.maximum(width * 4, 1e-3) ** 2))
    return ((ranked * weights).sum(-1) / weights.sum(-1)).ravel()
