"""The best continuations of each image's beams, to the last tie those of a sort of everything.

Knows log-probabilities and running totals. Knows no tokens, no ends and no search.

A beam search asks for the 2K best of K * V sums. Only the blocks of the vocabulary whose maxima are among the 2K best
can hold one, so the sums are formed for those blocks alone and the vocabulary is read once. Where two of the best are
equal, which one is taken is up to `torch.topk`; then, and only then, it is asked about all sums, as the field's
reference asks it.
"""

import torch
from torch import Tensor

BLOCK = 64
"""Tokens in a block: the first stage then looks at V / 64 maxima a beam, the second at 64 tokens a block."""


def best(logprobs: Tensor, running: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest logprobs[b, k, v] + running[b, k] of each image, best first.

    Args:
        logprobs: float32[B, K, V].
        running: float32[B, K].

    Returns:
        Positions k * V + v, int64[B, count], and the sums, float32[B, count]; fewer where K * V is less.
    """
    beams, vocabulary = logprobs.shape[1:]
    count = min(count, beams * vocabulary)
    # On a GPU the one large top-k is cheap and to look for ties would make the host wait.
    if logprobs.device.type != "cpu" or beams * (vocabulary // BLOCK) <= count + 1:
        return of_all(logprobs, running, count)
    positions, sums = _of_blocks(logprobs, running, count + 1)
    tied = (sums[:, 1:] == sums[:, :-1]).any(1)
    positions, sums = positions[:, :count], sums[:, :count]
    if bool(tied.any()):
        positions[tied], sums[tied] = of_all(logprobs[tied], running[tied], count)
    return positions, sums


def of_all(logprobs: Tensor, running: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """As `best`, by forming every sum."""
    found = (logprobs + running.unsqueeze(-1)).flatten(1).topk(count, dim=-1)
    return found.indices, found.values


def _of_blocks(logprobs: Tensor, running: Tensor, count: int) -> tuple[Tensor, Tensor]:
    images, beams, vocabulary = logprobs.shape
    whole = vocabulary // BLOCK * BLOCK
    peaks = logprobs[..., :whole].unflatten(-1, (-1, BLOCK)).amax(-1)
    if whole < vocabulary:
        peaks = torch.cat([peaks, logprobs[..., whole:].amax(-1, keepdim=True)], dim=-1)
    blocks = (peaks + running.unsqueeze(-1)).flatten(1).topk(count, dim=-1, sorted=False).indices  # [B, count]
    beam, token = blocks // peaks.shape[-1], blocks % peaks.shape[-1] * BLOCK
    inside = torch.arange(BLOCK, device=logprobs.device)
    tokens = (token.unsqueeze(-1) + inside).flatten(1)  # [B, count * BLOCK], beyond V in the last block
    positions = beam.repeat_interleave(BLOCK, dim=1) * vocabulary + tokens.clamp(max=vocabulary - 1)
    sums = logprobs.flatten(1).gather(1, positions)
    sums = sums + running.gather(1, beam).repeat_interleave(BLOCK, dim=1)
    if whole < vocabulary:
        sums = sums.masked_fill(tokens >= vocabulary, -torch.inf)
    found = sums.topk(count, dim=-1)
    return positions.gather(1, found.indices), found.values
