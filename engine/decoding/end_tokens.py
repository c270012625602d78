"""End tokens: a caption ends at any of them."""

from collections.abc import Sequence

import torch
from torch import Tensor


class EndTokens:
    """One or more token ids that end a caption."""

    def __init__(self, ids: int | Sequence[int]) -> None:
        self._ids = (ids,) if isinstance(ids, int) else tuple(ids)
        if not self._ids:
            raise ValueError("no end token, expected at least one")

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, token: int) -> bool:
        return token in self._ids

    def mask(self, tokens: Tensor) -> Tensor:
        """Return which of `tokens` end a caption, bool of the same shape."""
        if len(self._ids) == 1:
            return tokens == self._ids[0]
        return torch.isin(tokens, torch.tensor(self._ids, device=tokens.device))
