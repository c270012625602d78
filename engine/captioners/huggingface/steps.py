"""A decoding of a transformers model, one step for all prefixes at a time: `decoding.steps.RuledSteps`.

Keys and values of prompt and image are stored once per image where the model allows it, and otherwise once per prefix.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from engine.captioners.huggingface.handover import CACHES, Batch

READ_ONCE = ("pixel", "image_", "video", "mm_encoder", "input_features")
"""Beginnings of the names of inputs that only the first step reads."""

_ENCODED = ("encoder_outputs", "encoder_hidden_states")
"""Names of inputs that belong to images where keys are shared."""


class TransformersSteps:
    """Prefixes of a batch with the model's own key-value cache."""

    asked: dict[str, Any] = {}
    """What the model is asked for besides logits."""

    def __init__(self, batch: Batch, shared_room: int | None = None) -> None:
        """`shared_room`: maximum tokens of a caption; stores once what belongs to an image, see `can_share`."""
        self._batch, self._model = batch, batch.model
        self._inputs, self._ids = dict(batch.inputs), batch.ids
        self._rows = torch.arange(len(batch.ids), device=batch.ids.device)
        """The image of each prefix."""
        self._is_first, self._room, self._shared = True, shared_room, None
        self._cache_name = next((name for name in CACHES if name in self._inputs), CACHES[-1])

    @property
    def cache(self) -> Any:
        """Return the model's cache of keys and values; filled by the first step."""
        return self._inputs[self._cache_name]

    def step(self, tokens: Tensor) -> Tensor:
        """Return logits [R, V] of the token after each prefix; the first step reads the prompt instead of `tokens`."""
        model = self._model
        if self._is_first:
            inputs = model.prepare_inputs_for_generation(self._ids, is_first_iteration=True, **self._inputs)
        else:
            self._ids = torch.cat([self._ids, tokens.unsqueeze(1).to(self._ids.device)], dim=1)
            inputs = model.prepare_inputs_for_generation(self._ids, next_sequence_length=1, **self._inputs)
        self.out = out = model(**inputs, return_dict=True, **self.asked)
        is_encoder_decoder = model.config.is_encoder_decoder
        self._inputs = model._update_model_kwargs_for_generation(
            out, self._inputs, is_encoder_decoder=is_encoder_decoder
        )
        if self._is_first:
            self._inputs = {name: value for name, value in self._inputs.items() if not name.startswith(READ_ONCE)}
            self._is_first = False
            if self._room is not None:
                self._shared = self._share(self.cache, self._room)
        return out.logits[:, -1].to(self._ids.device)  # of a model that is spread over devices

    def _share(self, cache: Any, room: int) -> Any:
        from engine.captioners.huggingface.shared_cache import SharedCache  # needs transformers

        return SharedCache(cache, len(self._ids), room, self._ids.device)

    def reorder(self, parents: Tensor) -> None:
        """Replace prefix r by the prefix at parents[r]."""
        count = len(self._ids)
        if len(parents) == count and bool((parents == torch.arange(count, device=parents.device)).all()):
            return
        self._ids, self._rows = self._ids[parents], self._rows[parents]
        encoded = (parents, count)
        if self._shared is not None:
            images = self._shared.folds.count
            encoded = (self._shared.reorder(parents), images)
        for name, value in self._inputs.items():
            if name != self._cache_name:
                self._inputs[name] = _chosen(value, *(encoded if name in _ENCODED else (parents, count)))
            elif self._shared is None:
                value.reorder_cache(parents)

    def apply_rules(self, scores: Tensor) -> Tensor:
        """Return scores under the rules of the model's generation settings."""
        for rule in self._batch.rules:
            scores = _for_prefixes(rule, self._rows)(self._ids, scores)
        return scores


_BEAMS = ((0, 0, 1), (0, 1, 1, 2), (2, 3))
"""Parents in the steps of `can_share`: prefixes are copied, images have different numbers of them, one is dropped."""


def can_share(open_two: Callable[[], Batch], tolerance: float) -> bool:
    """Return whether a model computes the same logits if keys and values are stored once per image.

    Args:
        open_two: returns a new batch of two photos.
        tolerance: largest difference, as a share of the largest logit.

    Raises:
        Exception: of the model, if it fails in any case.
    """
    expected, tokens = _logits(TransformersSteps(open_two()), None)
    try:
        found, _ = _logits(TransformersSteps(open_two(), len(_BEAMS)), tokens)
    except (NotImplementedError, TypeError, ValueError, RuntimeError, AttributeError, IndexError):
        return False  # the model does more with keys than attention
    pairs = zip(expected, found, strict=True)
    return all(float((one - other).abs().max()) <= tolerance * float(one.abs().max()) for one, other in pairs)


def _logits(steps: TransformersSteps, tokens: list[Tensor] | None) -> tuple[list[Tensor], list[Tensor]]:
    """Return the logits of the steps of `can_share`, and the tokens that were read: `tokens`, or the likeliest."""
    with torch.inference_mode():
        found, read = [steps.step(torch.empty(0, dtype=torch.long))], []
        for at, beams in enumerate(_BEAMS):
            parents = torch.tensor(beams, device=found[-1].device)
            read.append(found[-1][parents].argmax(-1) if tokens is None else tokens[at])
            steps.reorder(parents)
            found.append(steps.step(read[-1]))
    return found, read


def _for_prefixes(rule: Any, rows: Tensor) -> Any:
    """Return a rule for prefixes of the images `rows`: lengths of prompts that it keeps are one per image."""
    lengths = getattr(rule, "prompt_ignore_length", None)
    if not isinstance(lengths, Tensor):
        return rule
    own = copy.copy(rule)
    own.prompt_ignore_length = lengths.to(rows.device)[rows]
    return own


def _chosen(value: Any, rows: Tensor, count: int) -> Any:
    """Return the rows of an input that has one row per prefix; anything else unchanged."""
    if isinstance(value, Tensor) and value.ndim:
        rows = rows.to(value.device)
        # Positions of Qwen's models are [3 or 4, prefixes, tokens].
        is_positions = value.ndim == 3 and value.shape[0] in (3, 4) and value.shape[1] == count
        if value.shape[0] == count and not (is_positions and value.dtype == torch.long):
            return value.index_select(0, rows)
        return value.index_select(1, rows) if is_positions else value
    if hasattr(value, "to_tuple"):  # the encoder's output
        chosen = copy.copy(value)
        for name in list(chosen.keys()):
            if isinstance(chosen[name], Tensor):
                chosen[name] = _chosen(chosen[name], rows, count)
        return chosen
    return value
