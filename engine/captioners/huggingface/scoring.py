"""Distributions at the steps of finished captions, for models of Hugging Face.

They are the model's own: rules of its generation settings, such as a repetition penalty, do not change them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.captioners.huggingface import replay
from engine.captioners.huggingface.handover import Batch
from engine.captioners.huggingface.steps import TransformersSteps
from engine.captioners.logits import token_scores
from engine.explain.token_scores import TokenScores


def one_pass(batch: Batch, captions: Sequence[Sequence[int]]) -> Tensor:
    """Return logits float[B, T, V] of B captions from one pass over the cached prompt."""
    width = max(map(len, captions))
    return replay.read_again(batch, captions).logits[:, -width:].float()


def step_by_step(batch: Batch, captions: Sequence[Sequence[int]]) -> Tensor:
    """Return the same from the steps of a search that is forced to the captions; slower, for any model."""
    steps, width = TransformersSteps(batch), max(map(len, captions))
    tokens = replay.padded(captions, width, batch)
    with torch.inference_mode():
        return torch.stack([steps.step(tokens[:, at - 1]).float() for at in range(width)], dim=1)


def difference(first: Tensor, second: Tensor, captions: Sequence[Sequence[int]]) -> float:
    """Return the largest difference of log-probabilities over the tokens of the captions, nats."""
    if first.shape != second.shape:
        return float("inf")
    pairs = zip(first.log_softmax(-1), second.log_softmax(-1), captions, strict=True)
    return max(
        float((one[at] - other[at])[list(tokens)].abs().max())
        for one, other, tokens in pairs
        for at in range(len(tokens))
    )


def scores(
    logits: Tensor, batch: Batch, captions: Sequence[Sequence[int]], candidates: Sequence[int]
) -> list[TokenScores]:
    """Return the scores of captions from logits float[B, T, V]."""
    targets = replay.padded(captions, logits.shape[1], batch)
    return token_scores(logits, targets, [len(tokens) for tokens in captions], candidates)


def hidden_states(batch: Batch, tokens: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the last hidden states of the prompt float[K, D] and of the steps of one caption float[T, D]."""
    copied = batch.copied()
    inputs = {name: value for name, value in copied.inputs.items() if name != "logits_to_keep"}
    with torch.inference_mode():
        prompt = batch.model.prepare_inputs_for_generation(copied.ids, is_first_iteration=True, **inputs)
        first = batch.model(**prompt, return_dict=True, output_hidden_states=True)
    second = replay.read_again(batch.copied(), [tokens], output_hidden_states=True)
    return first.hidden_states[-1][0].float().cpu(), second.hidden_states[-1][0][-len(tokens) :].float().cpu()
