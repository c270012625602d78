"""Keys and values of the prefixes' own tokens: what self-attention reads of them, and how prefixes go on from others.

Knows tensors of one step and where the earlier ones lie. Knows no layer's weights, no image and no search.

On a CPU every prefix has its own copy (`CopiedKVCache`): gathering all of them is one pass, and the attention then
reads them in order. On a GPU that pass would take longer than the rest of a step, and the library's attention is made
for many queries, not one: there each token's keys and values are kept once, where they were written, and our own kernel
follows each prefix's links to them (`LinkedKVCache`).

Shapes: R prefixes, T tokens, H heads, d width of a head.
"""

import math
import warnings
from functools import cache
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.data.files import first_line

try:
    from engine.captioners.native import triton_attention
except ImportError:  # no Triton, as on systems other than Linux
    triton_attention = None


class KVCache(Protocol):
    """The past of all prefixes in every layer; begins empty."""

    def begin(self, rows: int, like: Tensor) -> None:
        """A step begins: `rows` prefixes get a token more, of the type and on the device of `like`."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Keeps the new token's key and value; what its query sees of the whole prefix. All [R, H, d]."""

    def reorder(self, parents: Tensor) -> None:
        """Prefix r goes on from what was prefix parents[r]; int64[R']."""


def create(device: torch.device, layers: int, steps: int) -> KVCache:
    """An empty past of at most `steps` tokens, in the way that is faster on `device`."""
    return _way(device)(layers, steps)


def is_linked(device: torch.device) -> bool:
    """Whether a past on `device` is a linked one: on a GPU where the kernel can be built."""
    return device.type == "cuda" and _has_kernel(device)


def copies(device: torch.device) -> int:
    """How many times a past on `device` holds each prefix's tokens."""
    return _way(device).copies


def _way(device: torch.device) -> "type[CopiedKVCache] | type[LinkedKVCache]":
    return LinkedKVCache if is_linked(device) else CopiedKVCache


@cache
def _has_kernel(device: torch.device) -> bool:
    """Whether the kernel runs here: it is compiled on first use, which takes a C compiler."""
    if triton_attention is None:
        return False
    try:
        one = torch.zeros(1, 1, 16, device=device)
        triton_attention.attend_linked(one, one.view(1, -1), one.view(1, -1), one.new_zeros(1, 1, dtype=torch.int32), 1)
    except Exception as error:  # Triton's compiler and what it calls raise many kinds
        reason = first_line(error)
        warnings.warn(f"the attention kernel cannot be built ({reason}); decoding goes on without it", stacklevel=2)
        return False
    return True


class CopiedKVCache:
    """Each prefix has its own copy, [T, R, H, d] in every layer.

    Time comes first, so that the past of any choice of prefixes is gathered in one pass from one block into another;
    two buffers take turns, because fresh memory for every step costs as much as the copy itself.
    """

    copies = 2

    def __init__(self, layers: int, steps: int) -> None:
        self._layers = [_Copies(steps) for _ in range(layers)]
        self._parents: Tensor | None = None

    def begin(self, rows: int, like: Tensor) -> None:
        """See `KVCache`."""
        if self._parents is not None:
            for each in self._layers:
                each.select(self._parents)
            self._parents = None

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """See `KVCache`."""
        return F.scaled_dot_product_attention(query.unsqueeze(2), *self._layers[layer].append(key, value)).squeeze(2)

    def reorder(self, parents: Tensor) -> None:
        """See `KVCache`; done in one pass before the next step, however often prefixes changed."""
        self._parents = parents if self._parents is None else self._parents[parents]


class _Copies:
    """One layer's."""

    def __init__(self, steps: int) -> None:
        self._steps, self._filled, self._shape = steps, 0, torch.Size()
        self._now: list[Tensor] = []
        self._next: list[Tensor] = []

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Adds one step's [R, H, d]; returns all steps so far, [R, H, T, d]."""
        if self._filled == 0:
            self._shape = key.shape
            self._reserve(self._now, key)
        read = []
        for buffer, new in zip(self._now, (key, value), strict=True):
            past = self._view(buffer)
            past[self._filled] = new
            read.append(past[: self._filled + 1].permute(1, 2, 0, 3))
        self._filled += 1
        return read[0], read[1]

    def select(self, rows: Tensor) -> None:
        """Row i goes on from what was row rows[i]."""
        before = [self._view(buffer)[: self._filled] for buffer in self._now]
        self._shape = torch.Size((len(rows), *self._shape[1:]))
        self._reserve(self._next, self._now[0])
        for source, target in zip(before, self._next, strict=True):
            torch.index_select(source, 1, rows, out=self._view(target)[: self._filled])
        self._now, self._next = self._next, self._now

    def _reserve(self, buffers: list[Tensor], like: Tensor) -> None:
        size = self._steps * math.prod(self._shape)
        if not buffers or buffers[0].numel() < size:
            # A sweep's prefixes become a few more at each step; without room for them each step would take new memory.
            size = size * 5 // 4 if self._filled else size
            buffers.clear()
            buffers += [like.new_empty(size), like.new_empty(size)]

    def _view(self, buffer: Tensor) -> Tensor:
        shape = (self._steps, *self._shape)
        return buffer[: math.prod(shape)].view(shape)


class LinkedKVCache:
    """Each token's keys and values are kept once, [N, H * d] in every layer; a prefix is a row of N's places."""

    copies = 1

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
        kept = self._roomy(layer, key)
        for block, new in zip(kept, (key, value), strict=True):
            block[self._new] = new.flatten(1)
        return triton_attention.attend_linked(query, *kept, self._links, self._tokens)

    def _roomy(self, layer: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """The layer's blocks with room for this step."""
        kept = self._kept[layer]
        if kept is None or len(kept[0]) < self._used:
            # The prefixes of a search are about as many at each step; a sweep's become a few more.
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
