"""Attention maps of the words of a finished caption: from token weights to word maps, and their storage as bytes.

During a search many weights belong to beams that are dropped, so a captioner replays the finished caption once. The map
of a word comes from the step that predicts it, whose input is the token before.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MERGES = ("mean", "first")
"""How the maps of a word's tokens are merged: their mean, or the first token's map."""


@dataclass(frozen=True)
class WordMaps:
    """One caption's attention as it is stored.

    weights: uint8[words, layers, heads, patches]; scale: float32[words, layers, heads]; a weight is byte / 255 * scale.
    """

    words: tuple[str, ...]
    weights: np.ndarray
    scale: np.ndarray
    grid: tuple[int, int]
    """Height and width in patches."""
    share: np.ndarray | None = None
    """float32[words]: the part of each word's attention that its maps hold, the mean over layers and heads.

    None if it is not known. Below 1 where words also attend to tokens outside the maps: the prompt, earlier words,
    class tokens.
    """

    @classmethod
    def of(cls, words: Sequence[str], maps: np.ndarray, grid: tuple[int, int]) -> "WordMaps":
        """Return maps float[words, layers, heads, patches] in their stored form.

        Raises:
            ValueError: the shapes do not match, or a value is negative or not finite.
        """
        maps = np.asarray(maps, dtype=np.float32)
        if not words:
            maps = np.zeros((0, 1, 1, grid[0] * grid[1]), np.float32)
        if maps.ndim != 4 or len(maps) != len(words) or maps.shape[3] != grid[0] * grid[1]:
            raise ValueError(
                f"maps {maps.shape} of {len(words)} words on a grid {grid}: expected [words, layers, heads, "
                "height * width]"
            )
        if not (np.isfinite(maps).all() and (maps >= 0).all()):
            raise ValueError("maps must be finite and not negative")
        return cls(tuple(words), *quantise(maps), grid, share_of(maps))

    def floats(self) -> np.ndarray:
        """Return float32[words, layers, heads, patches]."""
        return from_bytes(self.weights.tobytes(), self.scale, self.weights.shape)


def from_bytes(weights: bytes, scale: Sequence[float] | np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return stored maps as float32[words, layers, heads, patches]."""
    scales = np.asarray(scale, dtype=np.float32).reshape(*shape[:-1], 1)
    return np.frombuffer(weights, dtype=np.uint8).reshape(*shape).astype(np.float32) / 255 * scales


def share_of(maps: np.ndarray) -> np.ndarray | None:
    """Return the part of each word's attention in maps float[words, layers, heads, patches]: float32[words].

    None if a map sums to more than 1: maps of a plugin may have another unit.
    """
    sums = maps.sum(-1, dtype=np.float64)
    return sums.mean((1, 2)).astype(np.float32) if (sums <= 1.01).all() else None


def pooling(spans: Sequence[Sequence[tuple[int, int]]], tokens: int, merge: str) -> np.ndarray:
    """Return the matrices that merge the maps of tokens into maps of words.

    Args:
        spans: first token and one past the last token of each word, per caption.

    Returns:
        float32[N, W, tokens]; rows beyond a caption's words are zero.
    """
    if merge not in MERGES:
        raise ValueError(f"merge {merge!r}: expected one of {MERGES}")
    pools = np.zeros((len(spans), max(map(len, spans)), tokens), np.float32)
    for pool, words in zip(pools, spans, strict=True):
        for row, (start, stop) in zip(pool, words, strict=False):
            end = stop if merge == "mean" else start + 1
            row[start:end] = 1 / (end - start)
    return pools


def quantise(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return maps float32[..., P] as bytes relative to each map's maximum: uint8[..., P] and the maxima float32[...].

    The error per weight is at most maximum / 510.
    """
    scale = maps.max(-1)
    safe = np.where(scale > 0, scale, np.float32(1))[..., None]
    return np.round(maps / safe * np.float32(255)).astype(np.uint8), scale
