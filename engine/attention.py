"""Where the captioner looked at each word: one teacher-forced replay of the finished caption.

Knows how token weights become word maps and how a map is kept as bytes. During a search the weights belong to beams
that die, so the winner is replayed once instead. The map of a word belongs to the step that predicts it, whose input is
the token before.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.captioner import Captioner
from engine.schema import END_WORD
from engine.tokenizer import CaptionTokenizer, Word

MERGES = ("mean", "first")
"""How the maps of a word's pieces become one: their mean, or the first piece's."""


@dataclass(frozen=True)
class WordMaps:
    """One caption's attention as it is stored.

    weights: uint8[words, layers, heads, patches]; scale: float32[words, layers, heads]; a weight is byte / 255 * scale.
    """

    words: tuple[str, ...]
    weights: np.ndarray
    scale: np.ndarray
    grid: tuple[int, int]

    def floats(self) -> np.ndarray:
        """float32[words, layers, heads, patches]."""
        return from_bytes(self.weights.tobytes(), self.scale, self.weights.shape)


def from_bytes(weights: bytes, scale: Sequence[float] | np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Maps as they are stored -> float32[words, layers, heads, patches]."""
    scales = np.asarray(scale, dtype=np.float32).reshape(*shape[:-1], 1)
    return np.frombuffer(weights, dtype=np.uint8).reshape(*shape).astype(np.float32) / 255 * scales


def replay(
    captioner: Captioner,
    tokenizer: CaptionTokenizer,
    memory: Tensor,
    captions: Sequence[Sequence[int]],
    merge: str = "mean",
) -> list[WordMaps]:
    """The word maps of finished captions.

    Args:
        memory: of the captions' images, float[N, P, D].
        captions: N lists of new tokens, the end token included where there is one.
        merge: one of MERGES.

    Returns:
        One entry a caption; the end token is kept as the word END_WORD.
    """
    if not captions:
        return []
    width = max(map(len, captions))
    inputs = torch.full((len(captions), width), tokenizer.pad_id)
    for row, tokens in enumerate(captions):
        # The step that predicts token t reads token t - 1: the input is the caption moved right by one.
        inputs[row, : len(tokens)] = torch.tensor([tokenizer.bos_id, *tokens[:-1]])
    with torch.inference_mode():
        weights = captioner.replay(inputs.to(captioner.device), memory)[1]
    patches = weights[..., captioner.prefix_tokens :].permute(0, 3, 1, 2, 4).float().cpu().numpy()
    grid = captioner.grid(memory.shape[1])
    return [
        quantise(*merge_words(maps[: len(tokens)], spans(tokenizer, tokens), merge), grid)
        for maps, tokens in zip(patches, captions, strict=True)
    ]


def spans(tokenizer: CaptionTokenizer, tokens: Sequence[int]) -> list[Word]:
    """The words of `tokens` with their positions, the end token as END_WORD."""
    words = tokenizer.words(tokens)
    if tokens and tokens[-1] == tokenizer.eos_id:
        words.append(Word(END_WORD, len(tokens) - 1, len(tokens)))
    return words


def merge_words(maps: np.ndarray, words: Sequence[Word], merge: str) -> tuple[list[str], np.ndarray]:
    """Token maps float[T, layers, heads, patches] -> the words and their maps, float[W, layers, heads, patches]."""
    if merge not in MERGES:
        raise ValueError(f"merge {merge!r}: expected one of {MERGES}")
    take = np.mean if merge == "mean" else lambda pieces, axis: pieces[0]
    merged = [take(maps[word.start : word.stop], axis=0) for word in words]
    empty = np.empty((0, *maps.shape[1:]), maps.dtype)
    return [word.text for word in words], np.stack(merged) if merged else empty


def quantise(words: Sequence[str], maps: np.ndarray, grid: tuple[int, int]) -> WordMaps:
    """Keeps each map as bytes of its own maximum: an error of at most scale / 510 a weight."""
    scale = maps.max(axis=-1).astype(np.float32) if maps.size else np.zeros(maps.shape[:-1], np.float32)
    safe = np.where(scale > 0, scale, 1)[..., None]
    return WordMaps(tuple(words), np.rint(maps / safe * 255).astype(np.uint8), scale, grid)
