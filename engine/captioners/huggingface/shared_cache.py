"""A model's key-value cache in which prompt and image are stored once per image (see `shared_keys`).

Importing this module needs transformers.
"""

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicLayer, EncoderDecoderCache

from engine.captioners.huggingface.shared_keys import SharedStates
from engine.decoding.folds import Folds
from engine.decoding.prefix_tokens import PrefixTokens


class _OwnLayer(DynamicLayer):
    """A layer of a decoder with an encoder: a token or two before the caption, and the caption, belong to prefixes."""

    def __init__(self, filled: DynamicLayer, room: int, spare: list[Tensor]) -> None:
        super().__init__()
        keys, values = _states(filled)
        self.tokens = PrefixTokens(keys.shape[2] + room, spare)
        self.tokens.append(keys, values)
        self.device, self.is_initialized = keys.device, True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        return self.tokens.append(key_states, value_states)

    def get_seq_length(self) -> int:
        return self.tokens.filled

    def choose(self, folds: Folds, stay: Tensor, parents: Tensor) -> None:
        """Keep the prefixes `parents`."""
        self.tokens.select(parents.to(self.device))


class _PromptLayer(DynamicLayer):
    """A layer of a decoder: the tokens of the prompt belong to images, those of the caption to prefixes."""

    def __init__(self, filled: DynamicLayer, folds: Folds, room: int, spare: list[Tensor]) -> None:
        super().__init__()
        self.prompt, self.folds = _states(filled), folds
        self.tokens = PrefixTokens(room, spare)
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        own, folds = self.tokens.append(key_states, value_states), self.folds.to(key_states.device)
        keys, values = (SharedStates(shared, each, folds) for shared, each in zip(self.prompt, own, strict=True))
        return keys, values

    def get_seq_length(self) -> int:
        return self.prompt[0].shape[2] + self.tokens.filled

    def choose(self, folds: Folds, stay: Tensor, parents: Tensor) -> None:
        """Keep the images `stay` and the prefixes `parents`."""
        self.folds, self.prompt = folds, _kept(self.prompt, stay)
        if self.tokens.filled:
            self.tokens.select(parents.to(self.prompt[0].device))


class _EncoderLayer:
    """A layer of cross-attention: all its tokens belong to images."""

    def __init__(self, filled: DynamicLayer) -> None:
        self._layer, self._encoded = filled, _states(filled)

    def choose(self, folds: Folds, stay: Tensor, parents: Tensor) -> None:
        """Keep the images `stay`; models read keys and values from the layer."""
        self._encoded = _kept(self._encoded, stay)
        on_device = folds.to(self._encoded[0].device)
        self._layer.keys, self._layer.values = (SharedStates(each, None, on_device) for each in self._encoded)


def _states(layer: DynamicLayer) -> tuple[Tensor, Tensor]:
    assert layer.keys is not None and layer.values is not None
    return layer.keys, layer.values


def _kept(states: tuple[Tensor, Tensor], stay: Tensor) -> tuple[Tensor, Tensor]:
    keys, values = states
    if len(stay) == len(keys):
        return states
    rows = stay.to(keys.device)
    return keys.index_select(0, rows), values.index_select(0, rows)


class SharedCache:
    """The cache of a model after its first step, changed so that prefixes share what belongs to their image."""

    def __init__(self, cache: Any, images: int, room: int, device: torch.device) -> None:
        """Change a cache that holds one prefix for each of `images`, with room for the tokens of a caption.

        Raises:
            NotImplementedError: a layer of the cache is of another kind, such as a sliding window.
        """
        self.folds = Folds.even(images, 1, device)
        spare: dict[torch.device | None, list[Tensor]] = defaultdict(list)
        if isinstance(cache, EncoderDecoderCache):
            own, crossed = cache.self_attention_cache, cache.cross_attention_cache
            _check([*own.layers, *crossed.layers])
            own.layers = [_OwnLayer(layer, room, spare[layer.device]) for layer in own.layers]
            self._layers = [*own.layers, *(_EncoderLayer(layer) for layer in crossed.layers)]
        else:
            _check(cache.layers)
            prompts = [_PromptLayer(layer, self.folds, room, spare[layer.device]) for layer in cache.layers]
            self._layers = cache.layers = prompts

    def reorder(self, parents: Tensor) -> Tensor:
        """Replace prefix r by the prefix at parents[r], int64[R'], ascending.

        Returns:
            int64[B'], the images that have prefixes left; the others are dropped.
        """
        self.folds, stay = self.folds.chosen(parents)
        for layer in self._layers:
            layer.choose(self.folds, stay, parents)
        return stay


def _check(layers: Any) -> None:
    other = next((layer for layer in layers if type(layer) is not DynamicLayer or layer.keys is None), None)
    if other is not None:
        raise NotImplementedError(f"{type(other).__name__}: keys of this layer cannot be shared")
