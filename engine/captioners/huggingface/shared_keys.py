"""Keys and values of prompt and image, stored once per image instead of once per prefix.

A model reads them from its cache as if every prefix had its own copy. They are tensors without memory of their own,
which compute what attention needs of them: products with queries and weights, and fused attention. Models need not
know; for any other operation they raise an error, and the model is then decoded with copies (see `steps`).

Shapes: R prefixes of B images, H heads and G heads of keys, P shared tokens, T own tokens, L queries, width d.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.decoding.folds import Folds


class SharedStates(Tensor):
    """Keys or values [R, G, P + T, d] of prefixes."""

    shared: Tensor
    """[B, G, P, d]."""
    own: Tensor | None
    """[R, G, T, d]; None if all tokens are shared."""
    folds: Folds

    @staticmethod
    def __new__(cls, shared: Tensor, own: Tensor | None, folds: Folds) -> "SharedStates":
        """Return a tensor of the shape that a model expects, without memory."""
        tokens = shared.shape[2] + (0 if own is None else own.shape[2])
        shape = (len(folds.images), shared.shape[1], tokens, shared.shape[3])
        return torch.Tensor._make_wrapper_subclass(cls, shape, dtype=shared.dtype, device=shared.device)

    def __init__(self, shared: Tensor, own: Tensor | None, folds: Folds) -> None:
        self.shared, self.own, self.folds = shared, own, folds

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = _KNOWN.get(func)
        if found is not None:
            return found(*args, **kwargs or {})
        return super().__torch_function__(func, types, args, kwargs or {})  # shape, device and the like

    @classmethod
    def __torch_dispatch__(cls, func: Any, *given: Any) -> Any:  # ty: ignore[incompatible-method-override]
        """Refuse all other operations: they would need the numbers."""
        raise NotImplementedError(f"{func}: not an operation of attention over shared keys")

    def products(self, queries: Tensor) -> Tensor:
        """Return queries [R, H, L, d] times keys: [R, H, L, P + T]."""
        grouped = self._grouped(queries)
        found = self._unfolded(self._folded(grouped) @ self.shared.transpose(2, 3), grouped)
        if self.own is not None:
            found = torch.cat([found, grouped @ self.own.transpose(2, 3)], dim=-1)
        return found.view(*queries.shape[:3], -1)

    def weighted(self, weights: Tensor) -> Tensor:
        """Return the sums of values by weights [R, H, L, P + T]: [R, H, L, d]."""
        grouped, tokens = self._grouped(weights), self.shared.shape[2]
        found = self._unfolded(self._folded(grouped[..., :tokens]) @ self.shared, grouped)
        if self.own is not None:
            found = found + grouped[..., tokens:] @ self.own
        return found.view(*weights.shape[:3], -1)

    def _grouped(self, x: Tensor) -> Tensor:
        """Return [R, H, L, n] as [R, G, H / G * L, n]: heads that share keys are queries of them."""
        return x.reshape(len(x), self.shared.shape[1], -1, x.shape[-1])

    def _folded(self, x: Tensor) -> Tensor:
        """Return [R, G, l, n] as [B, G, K * l, n], K being the largest number of prefixes of an image."""
        blocks = self.folds.fold(x.flatten(1)).unflatten(-1, x.shape[1:])
        return blocks.transpose(1, 2).flatten(2, 3)

    def _unfolded(self, x: Tensor, like: Tensor) -> Tensor:
        """Return [B, G, K * l, n] as [R, G, l, n]; `like`: [R, G, l, ...]."""
        blocks = x.unflatten(2, (self.folds.room, like.shape[2])).transpose(1, 2)
        return self.folds.unfold(blocks.flatten(2)).view(*like.shape[:3], -1)


class _Transposed:
    """Shared keys [R, G, d, P + T], the right operand of a product."""

    def __init__(self, keys: SharedStates) -> None:
        self.keys = keys

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in _PRODUCTS or kwargs or not isinstance(args[1], cls):
            raise NotImplementedError(f"{func}: not an operation of attention over shared keys")
        return args[1].keys.products(args[0])


def _transpose(states: SharedStates, first: int, second: int) -> _Transposed:
    if {first % 4, second % 4} != {2, 3}:
        raise NotImplementedError(f"transpose({first}, {second}) of shared keys")
    return _Transposed(states)


def _product(weights: Any, states: Any) -> Tensor:
    if not isinstance(states, SharedStates):
        raise NotImplementedError("shared values as the left operand of a product")
    return states.weighted(weights)


def _attention(
    query: Tensor,
    key: Any,
    value: Any,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Compute `scaled_dot_product_attention` over shared keys and values."""
    if dropout_p or is_causal or not (isinstance(key, SharedStates) and isinstance(value, SharedStates)):
        raise NotImplementedError("attention over shared keys with dropout or a causal mask")
    scores = key.products(query * (query.shape[-1] ** -0.5 if scale is None else scale)).float()
    if attn_mask is not None:
        is_choice = attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, -torch.inf) if is_choice else scores + attn_mask
    return value.weighted(scores.softmax(-1).to(query.dtype))


_PRODUCTS = (torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__)
_KNOWN: dict[Any, Any] = {
    torch.transpose: _transpose,
    torch.Tensor.transpose: _transpose,
    F.scaled_dot_product_attention: _attention,
    **dict.fromkeys(_PRODUCTS, _product),
}
