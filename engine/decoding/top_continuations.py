"""Exact top-k over beams and vocabulary, in two stages.

A beam search needs the C best of K * V sums (C is 2K or more). They can only be in the blocks of the vocabulary whose
maxima are among the C best, so sums are computed for these blocks only, and the vocabulary is read once for all
searches.

If two of the best sums are equal, `torch.topk` decides between them. On a CPU, ties are detected and topk is then
computed over all sums, as in transformers. On a GPU any of the equal sums may be returned: detecting ties would
synchronise the host at every step, and they are frequent in bf16.
"""

from functools import cached_property

import torch
from torch import Tensor

BLOCK = 64
"""Tokens per block: the first stage reads V / 64 maxima per beam, the second 64 tokens per block."""

FEW_ON_GPU = 1024
"""Below this number of prefixes, one top-k over all sums is faster on a GPU. On an H200, blocks took the same time for
256 images with 3 beams, half for 10 beams and a third for 100 beams."""


class Continuations:
    """All continuations of a set of prefixes by one token."""

    def __init__(self, logprobs: Tensor) -> None:
        """`logprobs`: float32[R, V] of the token after each of R prefixes."""
        self._logprobs = logprobs

    def best(self, prefixes: Tensor, running: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the `count` largest logprobs[prefixes[b, k], v] + running[b, k] of each image b, best first.

        Args:
            prefixes: int64[B, K], the image's beams; they may repeat.
            running: float32[B, K].

        Returns:
            Beams k and tokens v, int64[B, count], and the sums, float32[B, count]; fewer if K * V is less.
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
        beams, tokens, sums = (each[:, :count] for each in found)
        if bool(tied.any()):
            for each, exact in zip(
                (beams, tokens, sums), self.of_all(prefixes[tied], running[tied], count), strict=True
            ):
                each[tied] = exact
        return beams, tokens, sums

    def of_all(self, prefixes: Tensor, running: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the same as `best`, computed over all sums."""
        found = (self._logprobs[prefixes] + running.unsqueeze(-1)).flatten(1).topk(count, dim=-1)
        vocabulary = self._logprobs.shape[1]
        return found.indices // vocabulary, found.indices % vocabulary, found.values

    def are_distinct(self, prefixes: Tensor, count: int) -> bool:
        """Return whether the best `count` + 1 tokens after each of prefixes int64[B] exist and have distinct scores."""
        if self._logprobs.shape[1] <= count:
            return False
        best = self._logprobs[prefixes].topk(count + 1, dim=-1).values
        return bool((best[:, 1:] < best[:, :-1]).all())

    @cached_property
    def _peaks(self) -> Tensor:
        """The maximum of each block, [R, ceil(V / BLOCK)]."""
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
