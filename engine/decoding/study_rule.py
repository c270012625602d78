"""The search rule of the original study, which reproduces the numbers of its checkpoints.

Each step reads whole prefixes, without a causal mask. The first step takes the K best tokens; an end token among them
does not end a hypothesis. At each further step the remaining beams are the best continuations by log-probability. A
continuation that ends, or reaches the maximum length, leaves the beam, which narrows by one; its score is its
log-probability divided by its number of tokens, start token included. The hypothesis with the best score wins, the
first one of equals. Beam size 1 is the study's greedy search, which has no first step.

Works on token ids, log-probabilities and a function that reads prefixes; needs no model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.decoding.steps import TokenHypothesis

Read = Callable[[Tensor, Tensor], Tensor]
"""Prefixes int64[R, T] and their images int64[R], ascending -> logits [R, V] of the next token."""


@dataclass(frozen=True)
class _Prefix:
    """A running beam."""

    image: int
    tokens: tuple[int, ...]
    """The start token included."""
    logprob: float


def sweep(
    read: Read,
    images: int,
    sizes: Sequence[int],
    bos_id: int,
    eos_id: int,
    max_length: int,
    device: torch.device,
    n_best: int = 1,
) -> dict[int, list[list[TokenHypothesis]]]:
    """Return the `n_best` hypotheses of each of `images` at each of the beam sizes, best first.

    All sizes are searched together, and a prefix that several of them need is read once.
    """
    searches = {size: _StudySearch(images, size, bos_id, eos_id, max_length) for size in sizes}
    for length in range(1, max_length + 1):
        running = {(each.image, each.tokens) for search in searches.values() for each in search.running}
        if not running:
            break
        order = sorted(running)
        logprobs = _read(read, order, device)
        rows = {key: row for row, key in enumerate(order)}
        for each in searches.values():
            each.advance(logprobs, rows, length)
    return {size: each.results(n_best) for size, each in searches.items()}


def _read(read: Read, prefixes: Sequence[tuple[int, tuple[int, ...]]], device: torch.device) -> Tensor:
    """Return log-probabilities float32[R, V] of the token after each (image, tokens)."""
    ids = torch.tensor([tokens for _, tokens in prefixes], device=device)
    images = torch.tensor([image for image, _ in prefixes], device=device)
    with torch.inference_mode():
        return read(ids, images).float().log_softmax(-1)


class _StudySearch:
    """One beam size over all images."""

    def __init__(self, images: int, size: int, bos_id: int, eos_id: int, max_length: int) -> None:
        self.running = [_Prefix(image, (bos_id,), 0.0) for image in range(images)]
        self._left: list[list[TokenHypothesis]] = [[] for _ in range(images)]
        self._size, self._eos_id, self._max_length = size, eos_id, max_length

    def advance(self, logprobs: Tensor, rows: dict[tuple[int, tuple[int, ...]], int], length: int) -> None:
        """Extend the prefixes by one token; `rows` maps prefixes to rows of `logprobs`."""
        is_first = length == 1 and self._size > 1
        by_image: dict[int, list[_Prefix]] = {}
        for prefix in self.running:
            by_image.setdefault(prefix.image, []).append(prefix)
        self.running = []
        for image, beams in by_image.items():
            own = logprobs[[rows[image, beam.tokens] for beam in beams]]
            width = self._size if is_first else len(beams)
            for prefix in _best(own, beams, width):
                if length == self._max_length or not is_first and prefix.tokens[-1] == self._eos_id:
                    self._left[image].append(self._ended(prefix))
                else:
                    self.running.append(prefix)

    def _ended(self, prefix: _Prefix) -> TokenHypothesis:
        score = prefix.logprob / len(prefix.tokens)
        return TokenHypothesis(prefix.tokens[1:], prefix.logprob, score, prefix.tokens[-1] == self._eos_id)

    def results(self, n_best: int) -> list[list[TokenHypothesis]]:
        """Return the best hypotheses of each image."""
        return [sorted(left, key=lambda each: -each.score)[:n_best] for left in self._left]


def _best(logprobs: Tensor, beams: Sequence[_Prefix], width: int) -> list[_Prefix]:
    """Return the `width` best continuations of an image's beams, given logprobs [len(beams), V] of the next token."""
    totals = logprobs + torch.tensor([beam.logprob for beam in beams], device=logprobs.device).unsqueeze(1)
    best = totals.flatten().topk(min(width, totals.numel()))
    found = []
    for logprob, at in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        beam, token = divmod(at, totals.shape[1])
        found.append(_Prefix(beams[beam].image, (*beams[beam].tokens, token), logprob))
    return found
