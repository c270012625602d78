"""Self-attention of a vision transformer of timm, which its fused attention does not return."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass
class SelfAttention:
    """The attention of the last image that passed through the encoder."""

    layers: list[Tensor] = field(default_factory=list)
    """float[tokens, tokens] of each block, the mean of its heads."""

    def rollout(self, prefix: int) -> np.ndarray | None:
        """Return how much of each patch is in each memory token, float32[P, P], both without prefix tokens.

        Attention rollout (Abnar and Zuidema, 2020): the product over blocks of (attention + identity) / 2.
        """
        if not self.layers:
            return None
        tokens = len(self.layers[0])
        mixed = torch.eye(tokens)
        for layer in self.layers:
            mixed = (layer + torch.eye(tokens)) / 2 @ mixed
        return mixed[prefix:, prefix:].numpy()


@contextmanager
def watched(encoder: Any) -> Generator[SelfAttention | None]:
    """Record the self-attention of an encoder; None if it does not have the blocks of a vision transformer."""
    modules: list[Any] = [getattr(block, "attn", None) for block in getattr(encoder, "blocks", ())]
    if not modules or not all(hasattr(each, "qkv") and hasattr(each, "num_heads") for each in modules):
        yield None
        return
    found = SelfAttention()

    def note(module: Any, _inputs: Any, joint: Tensor) -> None:
        attention: Any = owner[module]
        heads = joint.detach().float().unflatten(-1, (3, attention.num_heads, -1))
        query, key = heads[0, :, 0].transpose(0, 1), heads[0, :, 1].transpose(0, 1)  # [H, tokens, d]
        query, key = _normed(attention, "q_norm", query), _normed(attention, "k_norm", key)
        scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
        found.layers.append(scores.softmax(-1).mean(0).cpu())

    owner = {each.qkv: each for each in modules}
    hooks = [each.qkv.register_forward_hook(note) for each in modules]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _normed(attention: Any, name: str, heads: Tensor) -> Tensor:
    norm = getattr(attention, name, None)
    return heads if norm is None else norm(heads)
