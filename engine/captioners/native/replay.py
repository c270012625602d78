"""Compute the cross-attention of finished captions by a teacher-forced replay, in the way their words were chosen."""

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.captioners.native.captioner import CaptionerModel
from engine.explain.attention import WordMaps, pooling
from engine.models.tokenizer import CaptionTokenizer, Word
from engine.store.schema import END_WORD


def replay(
    captioner: CaptionerModel,
    tokenizer: CaptionTokenizer,
    memory: Tensor,
    captions: Sequence[Sequence[int]],
    merge: str = "mean",
    rule: str = "standard",
) -> list[WordMaps]:
    """Return the word maps of finished captions, one entry per caption; the end token is kept as the word END_WORD.

    Args:
        memory: memory of the captions' images, float[N, P, D].
        captions: N lists of new tokens, including the end token if there is one.
        merge: one of `explain.attention.MERGES`.
        rule: one of `config.RULES`: the rule of the search that found the captions.
    """
    if not captions:
        return []
    words = [spans(tokenizer, tokens) for tokens in captions]
    with torch.inference_mode():
        weights = step_weights(captioner, tokenizer, memory, captions, rule)[..., captioner.prefix_tokens :]
        places = [[(word.start, word.stop) for word in each] for each in words]
        pools = torch.from_numpy(pooling(places, weights.shape[3], merge)).to(captioner.device)
        merged = torch.einsum("nwt,nlhtp->nwlhp", pools, weights)
        pieces, scales = (each.cpu().numpy() for each in quantise(merged))
        shares = merged.sum(-1, dtype=torch.float64).mean((2, 3)).float().cpu().numpy()
    grid = captioner.grid(memory.shape[1])
    return [
        WordMaps(
            tuple(word.text for word in each), *(part[: len(each)] for part in (piece, scale)), grid, share[: len(each)]
        )
        for each, piece, scale, share in zip(words, pieces, scales, shares, strict=True)
    ]


def step_weights(
    captioner: CaptionerModel,
    tokenizer: CaptionTokenizer,
    memory: Tensor,
    captions: Sequence[Sequence[int]],
    rule: str = "standard",
) -> Tensor:
    """Return the cross-attention of the step that chose each token under `rule`.

    The arguments are those of `replay`.

    Returns:
        float32[N, layers, heads, T, P], T being the length of the longest caption; values beyond the tokens of a
        shorter caption are undefined.
    """
    lengths = torch.tensor([len(tokens) for tokens in captions], device=captioner.device)
    inputs = torch.full((len(captions), int(lengths.max())), tokenizer.pad_id)
    for row, tokens in enumerate(captions):
        # The step that predicts token t reads token t - 1, so the input is the caption shifted right by one.
        inputs[row, : len(tokens)] = torch.tensor([tokenizer.bos_id, *tokens[:-1]])
    inputs = inputs.to(captioner.device)
    return _unmasked(captioner, inputs, lengths, memory) if rule == "study" else captioner.replay(inputs, memory)[1]


def _unmasked(captioner: CaptionerModel, inputs: Tensor, lengths: Tensor, memory: Tensor) -> Tensor:
    """Read each prefix separately without a causal mask, grouped by length because padding would be attended to."""
    read = captioner.reader(captioner.precompute_cross_attention(memory))
    longest, shape = inputs.shape[1], captioner.config
    found = torch.zeros(len(inputs), shape.num_layers, shape.nhead, longest, memory.shape[1], device=captioner.device)
    for length in range(1, longest + 1):
        rows = (lengths >= length).nonzero().squeeze(1)
        found[rows, :, :, length - 1] = read.attention(inputs[rows, :length], rows)
    return found


def spans(tokenizer: CaptionTokenizer, tokens: Sequence[int]) -> list[Word]:
    """Return the words of `tokens` with their positions, the end token as END_WORD."""
    words = tokenizer.words(tokens)
    if tokens and tokens[-1] == tokenizer.eos_id:
        words.append(Word(END_WORD, len(tokens) - 1, len(tokens)))
    return words


def quantise(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Do the same as `explain.attention.quantise` on the device, so that a GPU transfers a quarter of the bytes."""
    scale = maps.amax(-1)
    return (maps / scale.where(scale > 0, 1).unsqueeze(-1) * 255).round().to(torch.uint8), scale
