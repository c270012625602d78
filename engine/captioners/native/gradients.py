"""Gradients of log p(word) with respect to attention weights and pixels, for explanation methods that need them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from engine.captioners.native.captioner import CaptionerModel
from engine.captioners.native.self_attention import watched
from engine.explain.gradient import Gradients
from engine.models.tokenizer import CaptionTokenizer


def gradients(
    captioner: CaptionerModel,
    tokenizer: CaptionTokenizer,
    window: np.ndarray,
    tokens: Sequence[int],
    spans: Sequence[tuple[int, int]],
) -> Gradients:
    """Return the gradients of some words of one caption.

    Args:
        window: the photo, uint8[S, S, 3].
        tokens: the caption's T tokens.
        spans: first token and one past the last token of each of W words.
    """
    inputs = torch.tensor([[tokenizer.bos_id, *tokens[:-1]]], device=captioner.device)
    with torch.enable_grad():
        pixels = captioner.pixels(torch.from_numpy(window.copy())[None].to(captioner.device)).requires_grad_(True)
        with watched(captioner.encoder) as inner:
            memory = captioner.encode(pixels.to(captioner.head.weight.dtype))
        logits, weights = captioner.replay_layers(inputs, memory)
        logprobs = logits[0].float().log_softmax(-1)
        own = logprobs[torch.arange(len(tokens)), torch.tensor(tokens, device=captioner.device)]
        found = [_of_word(own[start:stop].sum(), weights, pixels) for start, stop in spans]
    prefix = captioner.prefix_tokens
    grid = captioner.grid(memory.shape[1])
    products = [
        torch.stack(
            [
                (grad[0] * each.detach()[0])[:, start:stop, prefix:].mean(1)
                for grad, each in zip(a, weights, strict=True)
            ]
        )
        for (a, _), (start, stop) in zip(found, spans, strict=True)
    ]
    return Gradients(
        torch.stack(products).float().cpu().numpy(),
        np.stack([_cells(grad * pixels.detach(), grid) for _, grad in found]),
        None if inner is None else inner.rollout(prefix),
    )


def _of_word(logprob: Tensor, weights: Sequence[Tensor], pixels: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
    *layers, image = torch.autograd.grad(logprob, [*weights, pixels], retain_graph=True)
    return tuple(layers), image


def _cells(values: Tensor, grid: tuple[int, int]) -> np.ndarray:
    """Return the sum of |values| [1, 3, S, S] in each cell, float32[P]."""
    summed = values.abs().sum(1, keepdim=True)
    return torch.nn.functional.adaptive_avg_pool2d(summed, grid).flatten().float().cpu().numpy()
