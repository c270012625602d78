"""Repetition constraints: a penalty on tokens that already occur, and n-grams that may not occur twice.

Both are defined as in transformers and include the start token: greedy search and sampling change logits, beam search
changes log-probabilities and does not normalise them again.
"""

import torch
from torch import Tensor

from engine.config import DecodingConfig


def constrain(scores: Tensor, tokens: Tensor, config: DecodingConfig) -> Tensor:
    """Apply the config's constraints to scores [B, K, V] of the next token after tokens int64[B, K, T]."""
    if config.repetition_penalty != 1.0:
        scores = _penalise(scores, tokens, config.repetition_penalty)
    if config.no_repeat_ngram:
        scores = _ban(scores, tokens, config.no_repeat_ngram)
    return scores


def _penalise(scores: Tensor, tokens: Tensor, penalty: float) -> Tensor:
    """Divide the scores of tokens that already occur by the penalty; multiply scores below zero."""
    there = scores.gather(-1, tokens)
    return scores.scatter(-1, tokens, torch.where(there < 0, there * penalty, there / penalty))


def _ban(scores: Tensor, tokens: Tensor, size: int) -> Tensor:
    """Set the scores of tokens that would repeat an n-gram of `size` tokens to -inf."""
    length = tokens.shape[-1]
    if length < size:
        return scores
    grams = tokens.unfold(-1, size, 1)  # [B, K, T - size + 1, size]
    begun = tokens[..., length - size + 1 :].unsqueeze(-2)
    again = (grams[..., :-1] == begun).all(-1)
    banned = torch.zeros_like(scores).scatter_add_(-1, grams[..., -1], again.to(scores.dtype))
    return scores.masked_fill(banned > 0, -torch.inf)
