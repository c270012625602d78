"""BLIP-2: its query tokens have no place in the photo; the cross-attention of the Q-Former says what they read."""

from typing import Any

import torch
from torch import Tensor

from engine.captioners.huggingface.replay import eager


def query_maps(model: Any, inputs: dict[str, Any]) -> Tensor:
    """Return how much each query token reads from each vision token, float[B, queries, vision tokens].

    The mean over layers and heads of the Q-Former's cross-attention; a row sums to 1, so the mass of a word's attention
    on the queries is kept.
    """
    from transformers.models.blip_2.modeling_blip_2 import Blip2QFormerMultiHeadAttention

    seen: list[Tensor] = []

    def keep(module: Any, given: Any, out: Any) -> None:
        if isinstance(out, tuple) and len(out) > 1 and isinstance(out[1], Tensor):
            seen.append(out[1])

    modules = [
        each
        for name, each in model.named_modules()
        if isinstance(each, Blip2QFormerMultiHeadAttention) and "crossattention" in name
    ]
    hooks = [each.register_forward_hook(keep) for each in modules]
    try:
        with torch.inference_mode(), eager(model):
            model.get_image_features(pixel_values=inputs["pixel_values"], output_attentions=True)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(seen[: len(modules)], dim=1).mean((1, 2)).float().cpu()
