"""Drawing the next token by chance: temperature, the k most probable, the nucleus, and numbers that belong to images.

Knows logits and uniform numbers. Each image has a seed of its own, so that neither the batch nor its order changes
what is drawn. The order of the steps is transformers': temperature, then top-k, then top-p.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.config import DecodingConfig


def uniforms(seeds: Sequence[int], samples: int, steps: int) -> Tensor:
    """float64[images, samples, steps] in [0, 1): every image's numbers come from its own seed."""
    return torch.stack(
        [
            torch.rand(samples, steps, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
            for seed in seeds
        ]
    )


def warp(logits: Tensor, config: DecodingConfig) -> Tensor:
    """Logits [..., V] -> logits at the temperature, -inf where top-k or top-p leaves a token out."""
    logits = logits / config.temperature
    if config.top_k:
        worst = logits.topk(min(config.top_k, logits.shape[-1]), dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < worst, -torch.inf)
    if config.top_p < 1.0:
        logits = _nucleus(logits, config.top_p)
    return logits


def _nucleus(logits: Tensor, share: float) -> Tensor:
    """Keeps the smallest set of most probable tokens that holds `share` of the probability; at least one."""
    ascending = logits.sort(dim=-1, descending=False)
    out = ascending.values.softmax(-1).cumsum(-1) <= 1 - share
    out[..., -1] = False
    return logits.masked_fill(out.scatter(-1, ascending.indices, out), -torch.inf)


def draw(logits: Tensor, numbers: Tensor) -> Tensor:
    """Warped logits [..., V], uniform numbers float64[...] -> tokens int64[...], each with its probability."""
    reach = logits.double().softmax(-1).cumsum(-1)
    # A number lies below the whole sum, so the first token that reaches beyond it has a probability above zero.
    at = numbers.to(reach.device).unsqueeze(-1) * reach[..., -1:]
    return torch.searchsorted(reach, at, right=True).squeeze(-1).clamp(max=logits.shape[-1] - 1)
