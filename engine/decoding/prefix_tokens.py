"""Keys and values of the tokens of captions in one layer, with a copy for each prefix.

Shapes: R prefixes, T tokens, H heads, d width of a head.
"""

import math

import torch
from torch import Tensor


class PrefixTokens:
    """Keys and values [T, R, H, d]; initially empty.

    Time is the first dimension, so that any selection of prefixes is copied in one pass. It is copied into spare
    buffers, which the next layer then uses, because allocating memory in every step costs as much as the copy itself.
    """

    def __init__(self, room: int, spare: list[Tensor]) -> None:
        """Prepare for at most `room` tokens; `spare`: a list, initially empty, that layers of one device share."""
        self.filled = 0
        """Tokens of each prefix."""
        self._room, self._shape = room, torch.Size()
        self._buffers: list[Tensor] = []
        self._spare = spare

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append keys and values [R, H, n, d] of n tokens; return those of all tokens, [R, H, T, d]."""
        if self.filled == 0:
            self._shape = torch.Size((keys.shape[0], keys.shape[1], keys.shape[3]))
            self._reserve(self._buffers, keys)
        start, self.filled = self.filled, self.filled + keys.shape[2]
        for buffer, new in zip(self._buffers, (keys, values), strict=True):
            self._view(buffer)[start : self.filled] = new.permute(2, 0, 1, 3)
        first, second = (self._view(buffer)[: self.filled].permute(1, 2, 0, 3) for buffer in self._buffers)
        return first, second

    def select(self, rows: Tensor) -> None:
        """Replace prefix r by the prefix at rows[r], int64[R']."""
        before = [self._view(buffer)[: self.filled] for buffer in self._buffers]
        self._shape = torch.Size((len(rows), *self._shape[1:]))
        self._reserve(self._spare, self._buffers[0])
        for source, target in zip(before, self._spare, strict=True):
            torch.index_select(source, 1, rows, out=self._view(target)[: self.filled])
        self._buffers[:], self._spare[:] = self._spare[:], self._buffers[:]

    def _reserve(self, buffers: list[Tensor], like: Tensor) -> None:
        size = self._room * math.prod(self._shape)
        if not buffers or buffers[0].numel() < size:
            # The prefixes of a sweep grow slightly at each step; without spare room every step would allocate memory.
            size = size * 5 // 4 if self.filled else size
            buffers.clear()
            buffers += [like.new_empty(size), like.new_empty(size)]

    def _view(self, buffer: Tensor) -> Tensor:
        shape = (self._room, *self._shape)
        return buffer[: math.prod(shape)].view(shape)
