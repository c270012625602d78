"""Maps from gradients of log p(word): gradient x attention, gradient x input, and attention rollout."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Gradients:
    """What a captioner returns of W words, on P cells."""

    attention: np.ndarray
    """float32[W, layers, heads, P]: weight of the cross-attention times its gradient, mean over the word's tokens."""
    pixels: np.ndarray
    """float32[W, P]: |pixel times its gradient|, mean over the pixels of a cell."""
    rollout: np.ndarray | None
    """float32[P, P]: how much of each patch (column) is in each memory token (row); None if it is not known."""


def gradient_attention(found: Gradients) -> np.ndarray:
    """Return positive gradient x attention, mean over layers and heads, float32[W, P] (Chefer et al., 2021)."""
    return np.maximum(found.attention, 0).mean((1, 2))


def gradient_input(found: Gradients) -> np.ndarray:
    """Return gradient x input, float32[W, P]."""
    return found.pixels


def rolled_out(maps: np.ndarray, rollout: np.ndarray) -> np.ndarray:
    """Return maps over memory tokens float32[W, P] as maps over patches, float32[W, P]."""
    return maps @ rollout
