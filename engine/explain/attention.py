"""Where the captioner looked at each word: a teacher-forced replay of the finished caption.

Knows how token weights become word maps and how a map is kept as bytes. During a search the weights belong to beams
that die, so the winner is replayed once instead, by the pass that chose its words. The map of a word belongs to the
step that predicts it, whose input is the token before.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.captioners.native.captioner import Captioner
from engine.models.tokenizer import CaptionTokenizer, Word
from engine.store.schema import END_WORD

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
    rule: str = "standard",
) -> list[WordMaps]:
    """The word maps of finished captions.

    Args:
        memory: of the captions' images, float[N, P, D].
        captions: N lists of new tokens, the end token included where there is one.
        merge: one of MERGES.
        rule: one of `config.RULES`, that of the search which found the captions.

    Returns:
        One entry a caption; the end token is kept as the word END_WORD.
    """
    if not captions:
        return []
    words = [spans(tokenizer, tokens) for tokens in captions]
    with torch.inference_mode():
        weights = step_weights(captioner, tokenizer, memory, captions, rule)[..., captioner.prefix_tokens :]
        pools = pooling(words, weights.shape[3], merge).to(captioner.device)
        merged = torch.einsum("nwt,nlhtp->nwlhp", pools, weights)
        pieces, scales = (each.cpu().numpy() for each in quantise(merged))
    grid = captioner.grid(memory.shape[1])
    return [
        WordMaps(tuple(word.text for word in each), piece[: len(each)], scale[: len(each)], grid)
        for each, piece, scale in zip(words, pieces, scales, strict=True)
    ]


def step_weights(
    captioner: Captioner,
    tokenizer: CaptionTokenizer,
    memory: Tensor,
    captions: Sequence[Sequence[int]],
    rule: str = "standard",
) -> Tensor:
    """Return the cross-attention of the step that chose each token, as `rule` reads prefixes.

    Arguments as those of `replay` -> float32[N, layers, heads, T, P], T the longest caption's tokens; what lies beyond
    a shorter caption's tokens has no meaning.
    """
    lengths = torch.tensor([len(tokens) for tokens in captions], device=captioner.device)
    inputs = torch.full((len(captions), int(lengths.max())), tokenizer.pad_id)
    for row, tokens in enumerate(captions):
        # The step that predicts token t reads token t - 1: the input is the caption moved right by one.
        inputs[row, : len(tokens)] = torch.tensor([tokenizer.bos_id, *tokens[:-1]])
    inputs = inputs.to(captioner.device)
    return _unmasked(captioner, inputs, lengths, memory) if rule == "study" else captioner.replay(inputs, memory)[1]


def _unmasked(captioner: Captioner, inputs: Tensor, lengths: Tensor, memory: Tensor) -> Tensor:
    """Read each prefix by itself without a causal mask; prefixes of a length together, as padding would be attended."""
    read = captioner.reader(captioner.look(memory))
    longest, shape = inputs.shape[1], captioner.config
    found = torch.zeros(len(inputs), shape.num_layers, shape.nhead, longest, memory.shape[1], device=captioner.device)
    for length in range(1, longest + 1):
        rows = (lengths >= length).nonzero().squeeze(1)
        found[rows, :, :, length - 1] = read.attention(inputs[rows, :length], rows)
    return found


def spans(tokenizer: CaptionTokenizer, tokens: Sequence[int]) -> list[Word]:
    """The words of `tokens` with their positions, the end token as END_WORD."""
    words = tokenizer.words(tokens)
    if tokens and tokens[-1] == tokenizer.eos_id:
        words.append(Word(END_WORD, len(tokens) - 1, len(tokens)))
    return words


def pooling(captions: Sequence[Sequence[Word]], tokens: int, merge: str) -> Tensor:
    """What makes the maps of words from those of tokens: float32[N, W, tokens], zeros beyond a caption's words."""
    if merge not in MERGES:
        raise ValueError(f"merge {merge!r}: expected one of {MERGES}")
    pools = torch.zeros(len(captions), max(map(len, captions)), tokens)
    for pool, words in zip(pools, captions, strict=True):
        for row, word in zip(pool, words, strict=False):
            stop = word.stop if merge == "mean" else word.start + 1
            row[word.start : stop] = 1 / (stop - word.start)
    return pools


def quantise(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Keeps each map float[..., P] as bytes of its own maximum: uint8[..., P] and the maxima float32[...].

    An error of at most a maximum / 510 a weight.
    """
    scale = maps.amax(-1)
    return (maps / scale.where(scale > 0, 1).unsqueeze(-1) * 255).round().to(torch.uint8), scale
