"""Attention of the tokens of finished captions, from one teacher-forced pass over the cached prompt.

Shapes: B captions, L layers, H heads, T tokens, K keys that are there before the caption (the encoder's tokens, or the
prompt's).
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.captioners.huggingface.handover import CACHES, Batch
from engine.captioners.huggingface.steps import READ_ONCE, TransformersSteps


@dataclass(frozen=True)
class Weights:
    """Attention float[B, L, H, T, K] of the step that predicts each token, and where it is from."""

    values: Tensor
    is_cross: bool
    """Whether the keys are those of an encoder."""


def one_pass(batch: Batch, captions: Sequence[Sequence[int]]) -> Weights:
    """Return the weights of captions from a pass over the prompt and one over the captions.

    The prompt is read without weights, and its last token once more with them: weights of a prompt of 2,900 tokens
    would take 1 GB per layer and image. Over the cache, models whose prompt sees itself both ways are right as well.
    """
    width = max(map(len, captions))
    out = read_again(batch, captions, output_attentions=True)
    is_cross, layers = _looked(out)
    keys = layers[0].shape[-1] - (0 if is_cross else width - 1)
    return Weights(_stacked([layer[..., :keys] for layer in layers], batch), is_cross)


def read_again(batch: Batch, captions: Sequence[Sequence[int]], **asked: Any) -> Any:
    """Read the prompt, and then its last token with the captions; return what the model returns of the second pass.

    Its step t predicts token t of each caption.

    Args:
        asked: what the model is asked for besides logits.
    """
    model, inputs = batch.model, dict(batch.inputs)
    inputs.pop("logits_to_keep", None)  # `generate` asks for the last logits only
    width, is_encoder_decoder = max(map(len, captions)), model.config.is_encoder_decoder
    with torch.inference_mode():
        prompt = model.prepare_inputs_for_generation(batch.ids, is_first_iteration=True, **inputs)
        out = model(**prompt, return_dict=True)
        inputs = model._update_model_kwargs_for_generation(
            out, inputs, is_encoder_decoder=is_encoder_decoder, num_new_tokens=width - 1
        )
        inputs = {name: value for name, value in inputs.items() if not name.startswith(READ_ONCE)}
        next(inputs[name] for name in CACHES if name in inputs).crop(-1)
        ids = torch.cat([batch.ids, padded(captions, width, batch)[:, : width - 1]], dim=1)
        with eager(model) if asked.get("output_attentions") else nullcontext():
            given = model.prepare_inputs_for_generation(ids, next_sequence_length=width, **inputs)
            return model(**given, return_dict=True, **asked)


def step_by_step(batch: Batch, captions: Sequence[Sequence[int]]) -> Weights:
    """Return the same weights from the steps of a search that is forced to the captions; slower, for any model."""
    steps, width, keys = _WatchedSteps(batch), max(map(len, captions)), 0
    tokens, found, is_cross = padded(captions, width, batch), [], False
    with torch.inference_mode(), eager(batch.model):
        for at in range(width):
            steps.step(tokens[:, at - 1])
            is_cross, layers = _looked(steps.out)
            keys = keys or layers[0].shape[-1]
            found.append(_stacked([layer[:, :, -1, :keys] for layer in layers], batch))
    return Weights(torch.stack(found, dim=3), is_cross)


def _stacked(layers: Sequence[Tensor], batch: Batch) -> Tensor:
    """Return the weights of all layers float[B, L, ...] on one device; layers may be on several."""
    return torch.stack([layer.to(batch.ids.device) for layer in layers], dim=1).float()


def difference(first: Weights, second: Weights, captions: Sequence[Sequence[int]]) -> float:
    """Return the largest difference of two weights over the tokens of the captions."""
    return max(
        float((one[..., : len(tokens), :] - other[..., : len(tokens), :]).abs().max())
        for one, other, tokens in zip(first.values, second.values, captions, strict=True)
    )


class _WatchedSteps(TransformersSteps):
    """Steps that also return attention."""

    asked = {"output_attentions": True}


def padded(captions: Sequence[Sequence[int]], width: int, batch: Batch) -> Tensor:
    """Return tokens int64[B, width], filled up with the padding token."""
    rows = [[*tokens, *[batch.pad_id] * (width - len(tokens))] for tokens in captions]
    return torch.tensor(rows, device=batch.ids.device)


def _looked(out: Any) -> tuple[bool, list[Tensor]]:
    """Return whether the attention of a forward pass is cross-attention, and its layers [B, H, queries, keys]."""
    cross = getattr(out, "cross_attentions", None)
    if cross is not None and len(cross) and cross[0] is not None:
        return True, list(cross)
    return False, [layer for layer in out.attentions if layer is not None]


@contextmanager
def eager(model: Any) -> Generator[None]:
    """Compute attention by the implementation that returns weights."""
    before = model.config._attn_implementation
    if before == "eager":
        yield
        return
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)
