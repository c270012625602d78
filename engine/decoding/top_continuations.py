"""The best continuations of each image's beams; on a CPU, to the last tie, those of a sort of everything.

Knows log-probabilities of prefixes and running totals. Knows no tokens, no ends and no search.

A beam search asks for the 2K best of K * V sums. Only the blocks of the vocabulary whose maxima are among the 2K best
can hold one, so the sums are formed for those blocks alone and the vocabulary is read once, however many searches ask.
Where two of the best are equal, which one is taken is up to `torch.topk`; on a CPU then, and only then, it is asked
about all sums, as the field's reference asks it. On a GPU to look for ties would make the host wait at every step, and
bf16 has them everywhere: there any of two equals may be taken.
"""

from functools import cached_property

import torch
from torch import Tensor

BLOCK = 64
"""Tokens in a block: the first stage then looks at V / 64 maxima a beam, the second at 64 tokens a block."""

FEW_ON_GPU = 1024
"""Prefixes below which a GPU is faster by one top-k of everything; on an H200, 256 images of 3 beams took as long by
blocks, those of 10 half as long, those of 100 a third."""


class Continuations:
    """Every prefix with every token after it."""

    def __init__(self, logprobs: Tensor) -> None:
        """`logprobs`: float32[R, V] of the token after each of R prefixes."""
        self._logprobs = logprobs

    def best(self, prefixes: Tensor, running: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """The `count` largest logprobs[prefixes[b, k], v] + running[b, k] of each image b, best first.

        Args:
            prefixes: int64[B, K], the image's beams; several may be the same.
            running: float32[B, K].

        Returns:
            Beams k and tokens v, int64[B, count], and the sums, float32[B, count]; fewer where K * V is less.
        """
        beams, vocabulary = prefixes.shape[1], self._logprobs.shape[1]
        count = min(count, beams * vocabulary)
        on_cpu = self._logprobs.device.type == "cpu"
        if prefixes.numel() < (0 if on_cpu else FEW_ON_GPU) or beams * (vocabulary // BLOCK) <= count + 1:
            return self.of_all(prefixes, running, count)
        if not on_cpu:
            return self._of_blocks(prefixes, running, count)
        found = self._of_blocks(prefixes, running, count + 1)
        tied = (found[2][:, 1:] == found[2][:, :-1]).any(1)
        found = tuple(each[:, :count] for each in found)
        if bool(tied.any()):
            for each, exact in zip(found, self.of_all(prefixes[tied], running[tied], count), strict=True):
                each[tied] = exact
        return found

    def of_all(self, prefixes: Tensor, running: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """As `best`, by forming every sum."""
        found = (self._logprobs[prefixes] + running.unsqueeze(-1)).flatten(1).topk(count, dim=-1)
        vocabulary = self._logprobs.shape[1]
        return found.indices // vocabulary, found.indices % vocabulary, found.values

    def are_distinct(self, prefixes: Tensor, count: int) -> bool:
        """Whether each of prefixes int64[B] has a token beyond its `count` best, and no two of these are equal."""
        if self._logprobs.shape[1] <= count:
            return False
        best = self._logprobs[prefixes].topk(count + 1, dim=-1).values
        return bool((best[:, 1:] < best[:, :-1]).all())

    @cached_property
    def _peaks(self) -> Tensor:
        """The largest of each block, [R, ceil(V / BLOCK)]."""
        whole = self._logprobs.shape[1] // BLOCK * BLOCK
        peaks = self._logprobs[:, :whole].unflatten(-1, (-1, BLOCK)).amax(-1)
        if whole == self._logprobs.shape[1]:
            return peaks
        return torch.cat([peaks, self._logprobs[:, whole:].amax(-1, keepdim=True)], dim=-1)

    def _of_blocks(self, prefixes: Tensor, running: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        vocabulary, blocks = self._logprobs.shape[1], self._peaks.shape[1]
        peaks = self._peaks[prefixes] + running.unsqueeze(-1)
        chosen = peaks.flatten(1).topk(count, dim=-1, sorted=False).indices  # [B, count]
        beams, first = chosen // blocks, chosen % blocks * BLOCK
        tokens = first.unsqueeze(-1) + torch.arange(BLOCK, device=first.device)  # beyond V in the last block
        inside = tokens.clamp(max=vocabulary - 1)
        sums = self._logprobs.flatten()[prefixes.gather(1, beams).unsqueeze(-1) * vocabulary + inside]
        sums = sums + running.gather(1, beams).unsqueeze(-1)
        if vocabulary % BLOCK:
            sums = sums.masked_fill(tokens >= vocabulary, -torch.inf)
        found = sums.flatten(1).topk(count, dim=-1)
        return beams.gather(1, found.indices // BLOCK), inside.flatten(1).gather(1, found.indices), found.values
