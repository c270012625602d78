"""Key-value cache of the generated tokens: the keys and values that self-attention reads of each prefix.

On a CPU every prefix has its own copy (`CopiedKVCache`): copying takes one pass, and attention then reads contiguous
memory. On a GPU that pass would take longer than the rest of the step, and the library's attention is optimised for
many queries, not one. There each token's keys and values are stored once, and our kernel follows the links of each
prefix to them (`LinkedKVCache`).

Shapes: R prefixes, T tokens, H heads, d width of a head.
"""

import math
import warnings
from functools import cache
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.decoding.prefix_tokens import PrefixTokens
from engine.reading import first_line

try:
    from engine.captioners.native import triton_attention
except ImportError:  # no Triton, as on systems other than Linux
    triton_attention = None


class KVCache(Protocol):
    """The keys and values of all prefixes in every layer; initially empty."""

    def begin(self, rows: int, like: Tensor) -> None:
        """Begin a step, which adds one token to `rows` prefixes; dtype and device are those of `like`."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Store the new tokens' keys and values; return the attention of their queries. All are [R, H, d]."""

    def reorder(self, parents: Tensor) -> None:
        """Replace prefix r by the prefix at parents[r], int64[R']."""


def create(device: torch.device, layers: int, steps: int) -> KVCache:
    """Return an empty cache of at most `steps` tokens, of the type that is faster on `device`."""
    return _cache_type(device)(layers, steps)


def is_linked(device: torch.device) -> bool:
    """Return whether the cache on `device` is linked: on a GPU for which the kernel can be compiled."""
    return device.type == "cuda" and _has_kernel(device)


def spare_layers(device: torch.device) -> int:
    """Return how many layers the cache on `device` has memory for besides those of the decoder."""
    return _cache_type(device).spare_layers


def _cache_type(device: torch.device) -> "type[CopiedKVCache] | type[LinkedKVCache]":
    return LinkedKVCache if is_linked(device) else CopiedKVCache


@cache
def _has_kernel(device: torch.device) -> bool:
    """Return whether the kernel runs on `device`; it is compiled on first use, which needs a C compiler."""
    if triton_attention is None:
        return False
    try:
        one = torch.zeros(1, 1, 16, device=device)
        triton_attention.attend_linked(one, one.view(1, -1), one.view(1, -1), one.new_zeros(1, 1, dtype=torch.int32), 1)
    except Exception as error:  # Triton's compiler raises many kinds of exceptions
        reason = first_line(error)
        warnings.warn(
            f"the attention kernel cannot be compiled ({reason}); continuing without it, which is slower", stacklevel=2
        )
        return False
    return True


class CopiedKVCache:
    """Each prefix has its own copy, [T, R, H, d] in every layer.

    See `decoding.prefix_tokens`.
    """

    spare_layers = 1

    def __init__(self, layers: int, steps: int) -> None:
        spare: list[Tensor] = []
        self._layers = [PrefixTokens(steps, spare) for _ in range(layers)]
        self._parents: Tensor | None = None

    def begin(self, rows: int, like: Tensor) -> None:
        """See `KVCache`."""
        if self._parents is not None:
            for each in self._layers:
                each.select(self._parents)
            self._parents = None

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """See `KVCache`."""
        keys, values = self._layers[layer].append(key.unsqueeze(2), value.unsqueeze(2))
        return F.scaled_dot_product_attention(query.unsqueeze(2), keys, values).squeeze(2)

    def reorder(self, parents: Tensor) -> None:
        """See `KVCache`; done in one pass before the next step, even after several calls."""
        self._parents = parents if self._parents is None else self._parents[parents]


class LinkedKVCache:
    """Each token's keys and values are stored once, [N, H * d] in every layer; a prefix is a row of indices into N."""

    spare_layers = 0

    def __init__(self, layers: int, steps: int) -> None:
        self._steps, self._tokens, self._used = steps, 0, 0
        self._kept: list[tuple[Tensor, Tensor] | None] = [None] * layers
        self._links = torch.empty(0, 0, dtype=torch.int32)  # [R, steps]
        self._new = slice(0, 0)

    def begin(self, rows: int, like: Tensor) -> None:
        """See `KVCache`."""
        if self._tokens == 0:
            self._links = torch.zeros(rows, self._steps, dtype=torch.int32, device=like.device)
        self._new = slice(self._used, self._used + rows)
        self._links[:, self._tokens] = torch.arange(
            self._new.start, self._new.stop, dtype=torch.int32, device=like.device
        )
        self._used, self._tokens = self._new.stop, self._tokens + 1

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """See `KVCache`."""
        kept = self._reserve(layer, key)
        for block, new in zip(kept, (key, value), strict=True):
            block[self._new] = new.flatten(1)
        assert triton_attention is not None  # or `create` had chosen the copied cache
        return triton_attention.attend_linked(query, *kept, self._links, self._tokens)

    def _reserve(self, layer: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the layer's blocks with room for this step."""
        kept = self._kept[layer]
        if kept is None or len(kept[0]) < self._used:
            # A search has about the same number of prefixes at each step; a sweep's number grows slightly.
            to_come = len(like) * (self._steps - self._tokens)
            rows = self._used + (to_come if kept is None else to_come * 5 // 4)
            before, width = kept, math.prod(like.shape[1:])
            kept = self._kept[layer] = (like.new_empty(rows, width), like.new_empty(rows, width))
            for block, old in zip(kept, before or (), strict=False):
                block[: self._new.start] = old[: self._new.start]
        return kept

    def reorder(self, parents: Tensor) -> None:
        """See `KVCache`."""
        self._links = self._links.index_select(0, parents)
