"""From logits of finished captions to the scores of their tokens."""

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.explain.token_scores import TokenScores


def token_scores(
    logits: Tensor, targets: Tensor, lengths: Sequence[int], candidates: Sequence[int]
) -> list[TokenScores]:
    """Return the scores of N captions.

    Args:
        logits: float[N, T, V] at the step of each token.
        targets: int64[N, T], the tokens.
        lengths: tokens of each caption; values beyond them are not used.
        candidates: tokens whose log-probabilities are returned as well.
    """
    logprobs = logits.float().log_softmax(-1)
    own = logprobs.gather(-1, targets.unsqueeze(-1))
    ranks = (logprobs > own).sum(-1, dtype=torch.int32) + 1
    # A token that a model never produces has -inf, and 0 * -inf is not a number.
    entropies = -(logprobs.exp() * logprobs).nan_to_num(0.0).sum(-1)
    chosen = logprobs[..., torch.tensor(list(candidates), dtype=torch.long, device=logprobs.device)]
    arrays = [each.cpu().numpy() for each in (own.squeeze(-1), ranks, entropies, chosen)]
    return [TokenScores(*(each[row, :length] for each in arrays)) for row, length in enumerate(lengths)]
