"""Sample the next token, with temperature, top-k and nucleus sampling (top-p).

Each image has its own seed, so that neither the batch nor its order changes what is drawn. As in transformers,
temperature is applied first, then top-k, then top-p.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.config import DecodingConfig


def uniforms(seeds: Sequence[int], samples: int, steps: int) -> Tensor:
    """Return random numbers float64[images, samples, steps] in [0, 1), drawn with one seed per image."""
    return torch.stack(
        [
            torch.rand(samples, steps, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
            for seed in seeds
        ]
    )


def warp(logits: Tensor, config: DecodingConfig) -> Tensor:
    """Return logits [..., V] at the temperature, -inf for tokens that top-k or top-p removes."""
    logits = logits / config.temperature
    if config.top_k:
        worst = logits.topk(min(config.top_k, logits.shape[-1]), dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < worst, -torch.inf)
    if config.top_p < 1.0:
        logits = _nucleus(logits, config.top_p)
    return logits


def _nucleus(logits: Tensor, share: float) -> Tensor:
    """Keep the smallest set of most probable tokens whose probability reaches `share`, at least one token."""
    ascending = logits.sort(dim=-1, descending=False)
    out = ascending.values.softmax(-1).cumsum(-1) <= 1 - share
    out[..., -1] = False
    return logits.masked_fill(out.scatter(-1, ascending.indices, out), -torch.inf)


def draw(logits: Tensor, numbers: Tensor) -> Tensor:
    """Return tokens int64[...] drawn from warped logits [..., V] by uniform random numbers float64[...]."""
    reach = logits.double().softmax(-1).cumsum(-1)
    # A number is below the total, so the first token whose cumulative sum exceeds it has a probability above zero.
    at = numbers.to(reach.device).unsqueeze(-1) * reach[..., -1:]
    return torch.searchsorted(reach, at, right=True).squeeze(-1).clamp(max=logits.shape[-1] - 1)
