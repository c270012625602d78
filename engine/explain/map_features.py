"""Numbers that describe the attention map of a word: how spread it is, and how it differs from the caption's mean."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class MapFeatures:
    """Features of the maps of W words."""

    entropies: np.ndarray
    """float32[W]: entropy of the map over the patches, nats; NaN for a map without weight."""
    distances: np.ndarray
    """float32[W]: 1 - cosine of the word's map and the mean map of the caption, 0 to 1."""


def map_features(maps: np.ndarray) -> MapFeatures:
    """Return the features of maps float32[words, layers, heads, patches]: of the last layer, the mean of its heads."""
    last = maps[:, -1].mean(1, dtype=np.float64)  # [W, P]
    sums = last.sum(-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = last / sums
        entropies = -np.where(shares > 0, shares * np.log(shares), 0.0).sum(-1)
        mean = last.mean(0)
        cosines = last @ mean / (np.linalg.norm(last, axis=-1) * np.linalg.norm(mean))
    entropies[sums[:, 0] == 0] = np.nan
    return MapFeatures(entropies.astype(np.float32), np.clip(1 - cosines, 0, 1).astype(np.float32))
