"""A model's key-value cache in which prompt and image are stored once per image (see `shared_keys`).

Importing this module needs transformers.
"""

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicLayer, EncoderDecoderCache

from engine.captioners.huggingface.shared_keys import SharedStates
from engine.decoding.folds import Folds


class _PromptLayer(DynamicLayer):
    """A layer of a decoder: the tokens of the prompt belong to images, those of the caption to prefixes."""

    def __init__(self, filled: DynamicLayer, folds: Folds) -> None:
        super().__init__()
        assert filled.keys is not None and filled.values is not None
        self.prompt, self.folds = (filled.keys, filled.values), folds

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        own, folds = super().update(key_states, value_states), self.folds.to(key_states.device)
        keys, values = (SharedStates(shared, each, folds) for shared, each in zip(self.prompt, own, strict=True))
        return keys, values

    def get_seq_length(self) -> int:
        return self.prompt[0].shape[2] + super().get_seq_length()

    def choose(self, folds: Folds, stay: Tensor, parents: Tensor) -> None:
        """Keep the images `stay` and the prefixes `parents`."""
        self.folds, self.prompt = folds, _kept(self.prompt, stay)
        if self.is_initialized:
            assert self.keys is not None and self.values is not None
            rows = parents.to(self.keys.device)
            self.keys, self.values = self.keys.index_select(0, rows), self.values.index_select(0, rows)


class _EncoderLayer:
    """A layer of cross-attention: all its tokens belong to images."""

    def __init__(self, filled: DynamicLayer) -> None:
        assert filled.keys is not None and filled.values is not None
        self._layer, self._encoded = filled, (filled.keys, filled.values)

    def choose(self, folds: Folds, stay: Tensor, parents: Tensor) -> None:
        """Keep the images `stay`; models read keys and values from the layer."""
        self._encoded = _kept(self._encoded, stay)
        on_device = folds.to(self._encoded[0].device)
        self._layer.keys, self._layer.values = (SharedStates(each, None, on_device) for each in self._encoded)


def _kept(states: tuple[Tensor, Tensor], stay: Tensor) -> tuple[Tensor, Tensor]:
    keys, values = states
    if len(stay) == len(keys):
        return states
    rows = stay.to(keys.device)
    return keys.index_select(0, rows), values.index_select(0, rows)


class SharedCache:
    """The cache of a model after its first step, changed so that prefixes share what belongs to their image."""

    def __init__(self, cache: Any, images: int, device: torch.device) -> None:
        """`cache` holds one prefix for each of `images`.

        Raises:
            NotImplementedError: a layer of the cache is of another kind, such as a sliding window.
        """
        self.folds, self._own = Folds.even(images, 1, device), None
        if isinstance(cache, EncoderDecoderCache):
            _check(cache.self_attention_cache.layers)
            _check(cache.cross_attention_cache.layers)
            # What a decoder with an encoder has read before the caption is a token or two.
            self._own = cache.self_attention_cache
            self._layers = [_EncoderLayer(layer) for layer in cache.cross_attention_cache.layers]
        else:
            _check(cache.layers)
            self._layers = cache.layers = [_PromptLayer(layer, self.folds) for layer in cache.layers]

    def reorder(self, parents: Tensor) -> Tensor:
        """Replace prefix r by the prefix at parents[r], int64[R'], ascending.

        Returns:
            int64[B'], the images that have prefixes left; the others are dropped.
        """
        self.folds, stay = self.folds.chosen(parents)
        for layer in self._layers:
            layer.choose(self.folds, stay, parents)
        if self._own is not None:
            self._own.reorder_cache(parents)
        return stay


def _check(layers: Any) -> None:
    other = next((layer for layer in layers if type(layer) is not DynamicLayer or layer.keys is None), None)
    if other is not None:
        raise NotImplementedError(f"{type(other).__name__}: keys of this layer cannot be shared")
