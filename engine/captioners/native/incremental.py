"""Incremental decoding: one step for all prefixes, with cached keys and values.

Works on a decoder's layers and on the keys and values of images; `captioner` uses this module.

Shapes: B images, R prefixes, T tokens, P memory tokens, D model width, H heads, d = D / H, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.captioners.native import kv_cache
from engine.decoding.folds import Folds


class Product:
    """`x W^T + b` with W packed once for oneDNN on a CPU.

    Steps multiply few rows by large matrices. Plain products pack the matrix every time, which takes two to three times
    as long as the product.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        self._weight, self._bias = weight.detach(), None if bias is None else bias.detach()
        self._packed = None
        if _can_pack(weight):
            self._packed = torch.ops.mkldnn._reorder_linear_weight(self._weight.contiguous())

    def __call__(self, x: Tensor) -> Tensor:
        """Return the product of x [R, in], [R, out]."""
        if self._packed is None or torch.is_autocast_enabled(x.device.type):
            return F.linear(x, self._weight, self._bias)
        return torch.ops.mkldnn._linear_pointwise(x, self._packed, self._bias, "none", [], "")


def _can_pack(weight: Tensor) -> bool:
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if not hasattr(torch.ops.mkldnn, "_reorder_linear_weight") or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    if weight.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float32


class _Layer:
    """One decoder layer's products and norms."""

    def __init__(self, layer: Any) -> None:  # a `captioner.DecoderLayer`
        own, cross = layer.self_attn, layer.multihead_attn
        width = own.out_proj.in_features
        self.own = Product(own.in_proj_weight, own.in_proj_bias)
        self.own_out = Product(own.out_proj.weight, own.out_proj.bias)
        self.cross_query = Product(cross.in_proj_weight[:width], cross.in_proj_bias[:width])
        self.cross_memory = Product(cross.in_proj_weight[width:], cross.in_proj_bias[width:])
        self.cross_out = Product(cross.out_proj.weight, cross.out_proj.bias)
        self.inner = Product(layer.linear1.weight, layer.linear1.bias)
        self.outer = Product(layer.linear2.weight, layer.linear2.bias)
        self.norms = layer.norm1, layer.norm2, layer.norm3
        self.activation = layer.activation


Embed = Callable[[Tensor, int], Tensor]
"""Ids [R, T] and the position of the first -> embeddings [R, T, D]."""


class DecoderWeights:
    """The weights of a decoder and its head, in the layout for steps."""

    def __init__(self, decoder: Any, head: nn.Linear, heads: int, embed: Embed) -> None:  # a `captioner.Decoder`
        self.layers = [_Layer(layer) for layer in decoder.layers]
        self.head = Product(head.weight, head.bias)
        self.heads, self.width = heads, head.in_features // heads
        self.embed = embed
        self.device = head.weight.device


def state_of(*modules: nn.Module) -> list[tuple[int, int, torch.dtype]]:
    """Return a value that changes whenever a weight of `modules` is written, moved or cast."""
    parameters = [parameter for module in modules for parameter in module.parameters()]
    return [(each.data_ptr(), 0 if each.is_inference() else each._version, each.dtype) for each in parameters]


@dataclass(frozen=True)
class CrossAttentionCache:
    """Cross-attention keys and values of images: computed once, used at every beam size of a sweep."""

    layers: tuple[tuple[Tensor, Tensor], ...]
    """Keys and values of each layer, [B, H, P, d] each."""

    def __len__(self) -> int:
        return len(self.layers[0][0])

    @property
    def device(self) -> torch.device:
        """The device of the keys and values."""
        return self.layers[0][0].device

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one layer's keys, [B, H, P, d]."""
        return tuple(self.layers[0][0].shape)

    def __getitem__(self, images: slice) -> "CrossAttentionCache":
        return CrossAttentionCache(tuple((key[images], value[images]) for key, value in self.layers))

    def copy(self) -> "CrossAttentionCache":
        """Return a copy in separate memory."""
        return CrossAttentionCache(tuple((key.clone(), value.clone()) for key, value in self.layers))

    def take(self, other: "CrossAttentionCache") -> None:
        """Copy the content of another cache of the same shape."""
        for own, new in zip(self.layers, other.layers, strict=True):
            for each, source in zip(own, new, strict=True):
                each.copy_(source)

    def keep(self, images: Tensor) -> "CrossAttentionCache":
        """Return the cache of only the images at positions `images` (int64)."""
        kept = ((key.index_select(0, images), value.index_select(0, images)) for key, value in self.layers)
        return CrossAttentionCache(tuple(kept))


def precompute_cross_attention(weights: DecoderWeights, memory: Tensor) -> CrossAttentionCache:
    """Return the cross-attention keys and values of memory [B, P, D]."""
    images, tokens, _ = memory.shape
    shape = (images, tokens, 2, weights.heads, weights.width)
    joint = (layer.cross_memory(memory.flatten(0, 1)).view(shape) for layer in weights.layers)
    # Contiguous [P, d] for each head: it is read in every step, so one copy pays off.
    blocks = (each.permute(2, 0, 3, 1, 4).contiguous() for each in joint)
    return CrossAttentionCache(tuple((block[0], block[1]) for block in blocks))


class IncrementalDecoder:
    """Decodes R prefixes of B images step by step; every key and value is computed once.

    Cross-attention keys and values belong to images and are never copied per prefix: the prefixes of an image are
    folded into the length of the query. Self-attention keys and values belong to prefixes (see `kv_cache`). Decoding
    starts with one prefix per image.
    """

    def __init__(self, weights: DecoderWeights, cross: CrossAttentionCache, max_length: int) -> None:
        self._weights, self._cross = weights, cross
        self._position = 0
        self._folds = Folds.even(len(cross), 1, weights.device)
        self._kv_cache = kv_cache.create(weights.device, len(weights.layers), max_length)

    def step(self, tokens: Tensor) -> Tensor:
        """Return logits [R, V] of the token after each prefix's newest token int64[R]."""
        x = self._weights.embed(tokens.unsqueeze(1), self._position).squeeze(1)
        self._kv_cache.begin(len(tokens), x)
        for number, (layer, cross) in enumerate(zip(self._weights.layers, self._cross.layers, strict=True)):
            x = self._layer_step(number, layer, x, cross)
        self._position += 1
        return self._weights.head(x)

    def _layer_step(self, number: int, layer: _Layer, x: Tensor, cross: tuple[Tensor, Tensor]) -> Tensor:
        """Apply one layer to x [R, D]."""
        heads = (self._weights.heads, self._weights.width)
        query, key, value = layer.own(x).unflatten(-1, (3, *heads)).unbind(1)
        own = self._kv_cache.attend(number, query, key, value).flatten(1)
        x = layer.norms[0](x + layer.own_out(own))
        query = self._folds.fold(layer.cross_query(x)).unflatten(-1, heads).transpose(1, 2)
        seen = attend(query, *cross).transpose(1, 2).flatten(2)
        x = layer.norms[1](x + layer.cross_out(self._folds.unfold(seen)))
        return layer.norms[2](x + layer.outer(layer.activation(layer.inner(x))))

    def reorder(self, parents: Tensor) -> None:
        """Replace prefix r by the prefix at parents[r], int64[R']; the prefixes of an image stay adjacent.

        Images without prefixes are dropped.
        """
        images = self._folds.images
        same = len(parents) == len(images) and bool((parents == torch.arange(len(images), device=parents.device)).all())
        if same:
            return
        self._kv_cache.reorder(parents)
        self._folds, stay = self._folds.chosen(parents)
        if len(stay) < len(self._cross):
            self._cross = self._cross.keep(stay)

    def reorder_static(self, parents: Tensor) -> None:
        """Reorder without device synchronisation; every image must keep the same number of prefixes."""
        images = len(self._cross)
        self._kv_cache.reorder(parents)
        self._folds = Folds.even(images, len(parents) // images, parents.device)


FEW = 5
"""Up to this many prefixes per image, plain products are faster than fused attention on a CPU."""


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return the attention [B, H, K, d] of queries [B, H, K, d] over keys and values [B, H, P, d].

    With few queries, reading keys and values dominates the time. MKL reads them up to twice as fast as the fused
    attention if the keys are the left operand.
    """
    if query.shape[2] > FEW or query.device.type != "cpu" or query.dtype != torch.float32:
        return F.scaled_dot_product_attention(query, key, value)
    scaled = (query * query.shape[-1] ** -0.5).flatten(0, 1)
    weights = torch.bmm(key.flatten(0, 1), scaled.transpose(1, 2)).transpose(1, 2).softmax(-1)
    return torch.bmm(weights, value.flatten(0, 1)).view(query.shape)


class FullPrefixReader:
    """Reads whole prefixes at each step without a causal mask, for the study's rule.

    Keys and values of a prefix cannot be cached, because each token also sees later ones. Those of images can, and the
    last layer computes only the last token.
    """

    def __init__(self, weights: DecoderWeights, cross: CrossAttentionCache) -> None:
        self._weights, self._cross = weights, cross

    def __call__(self, ids: Tensor, images: Tensor) -> Tensor:
        """Return the next token's logits [R, V] of prefixes int64[R, T]; equal `images` int64[R] must be adjacent."""
        x, _ = self._read(ids, images)
        return self._weights.head(x)

    def attention(self, ids: Tensor, images: Tensor) -> Tensor:
        """Return the cross-attention of the newest token, which predicts the next one, float32[R, layers, H, P].

        The arguments are those of `__call__`.
        """
        _, queries = self._read(ids, images)
        keys = (key.index_select(0, images) for key, _ in self._cross.layers)
        return torch.stack([_weights(query, key) for query, key in zip(queries, keys, strict=True)], dim=1)

    def _read(self, ids: Tensor, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the output [R, D] and each layer's cross-attention query [R, H, d] of each prefix's newest token."""
        found = torch.unique_consecutive(images, return_counts=True)
        groups = list(zip(found[0].tolist(), found[1].tolist(), strict=True))
        x, queries = self._weights.embed(ids, 0), []
        for layer, cross in zip(self._weights.layers, self._cross.layers, strict=True):
            x, query = self._layer(layer, x, cross, groups, only_last=layer is self._weights.layers[-1])
            queries.append(query)
        return x[:, -1], queries

    def _layer(
        self, layer: _Layer, x: Tensor, cross: tuple[Tensor, Tensor], groups: list[tuple[int, int]], only_last: bool
    ) -> tuple[Tensor, Tensor]:
        """Apply one layer to x [R, T, D]; return [R, T, D] or [R, 1, D], and the newest tokens' queries [R, H, d]."""
        heads = (self._weights.heads, self._weights.width)
        joint = layer.own(x.flatten(0, 1)).view(*x.shape[:2], 3, *heads)
        query, key, value = joint.permute(2, 0, 3, 1, 4)
        if only_last:
            x, query = x[:, -1:], query[:, :, -1:]
        shape, x = x.shape, x.flatten(0, 1)
        own = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(x.shape)
        x = layer.norms[0](x + layer.own_out(own))
        query = layer.cross_query(x).unflatten(-1, heads).transpose(0, 1)  # [H, R * T, d]
        counts = [count * shape[1] for _, count in groups]
        seen = [
            F.scaled_dot_product_attention(part, cross[0][image], cross[1][image])
            for (image, _), part in zip(groups, query.split(counts, dim=1), strict=True)
        ]
        x = layer.norms[1](x + layer.cross_out(torch.cat(seen, dim=1).transpose(0, 1).flatten(1)))
        newest = query.unflatten(1, shape[:2])[:, :, -1].transpose(0, 1)
        return layer.norms[2](x + layer.outer(layer.activation(layer.inner(x)))).view(shape), newest


def _weights(query: Tensor, key: Tensor) -> Tensor:
    """Return attention weights float32[R, H, P] of queries [R, H, d] and keys [R, H, P, d]."""
    scores = (key @ query.unsqueeze(-1)).squeeze(-1) * query.shape[-1] ** -0.5
    return scores.float().softmax(-1)
