"""Search: from a step function over token ids to the best caption of each image.

Knows ids, log-probabilities and a `Steps` to ask for more of them. Knows no image, no text and no network: the tests
search small tables.

The beam search is the field's standard one, as Hugging Face transformers defines it: of the 2K best continuations of an
image, those among the first K that end are candidates, the K best that do not end go on; a candidate ranks by
logprob / tokens ** length_penalty, its end token counted; an image is done when no running beam can beat its worst
candidate (or, with early_stopping, at its K-th candidate). Beam size 1 is greedy search.

`search_study` is the rule of the original study, so that its checkpoints give its numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from engine.config import DecodingConfig

_NEVER = -1e9  # a score that loses against everything and still adds up, unlike -inf


class Steps(Protocol):
    """A decoding in progress over B images with K beams each; `captioner.Decoding` is one."""

    def step(self, tokens: Tensor) -> Tensor:
        """The beams' newest tokens int64[B, K] -> logits [B, K, V] of the tokens after them."""

    def reorder(self, parents: Tensor) -> None:
        """Beam k of image b goes on from what was its beam parents[b, k]; int64[B, K'], K' may differ from K."""

    def keep(self, images: Tensor) -> None:
        """Images that are not in `images` (int64 positions, ascending) leave."""


@dataclass(frozen=True)
class Hypothesis:
    """A finished caption in ids: new tokens only, the end token included where one was produced."""

    tokens: tuple[int, ...]
    logprob: float
    """Nats, summed over the tokens."""
    score: float
    """What ranked it: logprob / tokens ** length_penalty."""
    finished: bool
    """Whether it ended before the maximum length."""


def search(
    steps: Steps, images: int, beam_size: int, bos_id: int, eos_id: int, config: DecodingConfig, device: torch.device
) -> list[Hypothesis]:
    """The best hypothesis of each of `images` at one beam size; `steps` must be fresh.

    Returns:
        One hypothesis an image, in order.
    """
    with torch.inference_mode():
        if beam_size == 1:
            return _greedy(steps, images, bos_id, eos_id, config, device)
        return _Beams(images, beam_size, eos_id, config, device).run(steps, bos_id)


def _greedy(
    steps: Steps, images: int, bos_id: int, eos_id: int, config: DecodingConfig, device: torch.device
) -> list[Hypothesis]:
    tokens: list[list[int]] = [[] for _ in range(images)]
    logprobs = [0.0] * images
    active = list(range(images))
    newest = torch.full((images, 1), bos_id, device=device)
    for length in range(1, config.max_length + 1):
        best = steps.step(newest).float().log_softmax(-1).max(-1)
        for image, token, logprob in zip(active, best.indices[:, 0].tolist(), best.values[:, 0].tolist(), strict=True):
            tokens[image].append(token)
            logprobs[image] += logprob
        going = [row for row, image in enumerate(active) if tokens[image][-1] != eos_id]
        if not going or length == config.max_length:
            break
        newest = best.indices
        if len(going) < len(active):
            rows = torch.tensor(going, device=device)
            steps.keep(rows)
            newest = newest[rows]
            active = [active[row] for row in going]
    return [_hypothesis(found, logprob, eos_id, config) for found, logprob in zip(tokens, logprobs, strict=True)]


def _hypothesis(tokens: list[int], logprob: float, eos_id: int, config: DecodingConfig) -> Hypothesis:
    score = logprob / len(tokens) ** config.length_penalty
    return Hypothesis(tuple(tokens), logprob, score, tokens[-1] == eos_id)


class _Beams:
    """The running beams and the best candidates of every image that is not done; rows are images."""

    def __init__(self, images: int, size: int, eos_id: int, config: DecodingConfig, device: torch.device) -> None:
        self._size, self._eos_id, self._config, self._device = size, eos_id, config, device
        self._image = list(range(images))
        self._logprob = torch.zeros(images, 1, device=device)
        self._tokens = torch.empty(images, 1, 0, dtype=torch.long, device=device)
        self._ended_score = torch.full((images, size), _NEVER, device=device)
        self._ended_logprob = torch.full((images, size), _NEVER, device=device)
        self._ended_tokens = torch.full((images, size, config.max_length), -1, dtype=torch.long, device=device)
        self._results: dict[int, Hypothesis] = {}

    def run(self, steps: Steps, bos_id: int) -> list[Hypothesis]:
        images = len(self._image)
        newest = torch.full((images, 1), bos_id, device=self._device)
        for length in range(1, self._config.max_length + 1):
            parents, tokens, logprobs = self._best_continuations(steps.step(newest))
            ends = tokens == self._eos_id
            self._collect(parents, tokens, logprobs, ends | (length == self._config.max_length), length)
            if length == self._config.max_length:
                self._leave(torch.arange(len(self._image), device=self._device))
                break
            parents, newest = self._go_on(parents, tokens, logprobs, ends)
            done = self._done(length)
            if bool(done.any()):
                self._leave(done.nonzero()[:, 0])
                rows = (~done).nonzero()[:, 0]
                if len(rows) == 0:
                    break
                steps.keep(rows)
                self._keep(rows)
                parents, newest = parents[rows], newest[rows]
            steps.reorder(parents)
        return [self._results[image] for image in range(images)]

    def _best_continuations(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The 2K best (parents, tokens, log-probabilities), each [B, 2K], best first; fewer in a tiny vocabulary."""
        vocabulary = logits.shape[-1]
        total = logits.float().log_softmax(-1) + self._logprob.unsqueeze(-1)
        best = total.flatten(1).topk(min(2 * self._size, total[0].numel()), dim=-1)
        return best.indices // vocabulary, best.indices % vocabulary, best.values

    def _collect(self, parents: Tensor, tokens: Tensor, logprobs: Tensor, ends: Tensor, length: int) -> None:
        """Keeps the best K of the candidates so far and those among the first K continuations that end."""
        count = min(self._size, tokens.shape[1])
        new = torch.full_like(self._ended_tokens[:, :count], -1)
        new[:, :, : length - 1] = self._gather(self._tokens, parents[:, :count])
        new[:, :, length - 1] = tokens[:, :count]
        score = (logprobs[:, :count] / length**self._config.length_penalty).where(ends[:, :count], _NEVER)
        if self._config.early_stopping:  # an image with K candidates takes no more
            score = score.where((self._ended_score == _NEVER).any(1, keepdim=True), _NEVER)
        merged = torch.cat([self._ended_score, score], dim=1).topk(self._size, dim=-1)
        self._ended_score = merged.values
        self._ended_logprob = torch.cat([self._ended_logprob, logprobs[:, :count]], 1).gather(1, merged.indices)
        self._ended_tokens = self._gather(torch.cat([self._ended_tokens, new], dim=1), merged.indices)

    def _go_on(self, parents: Tensor, tokens: Tensor, logprobs: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
        """The K best continuations that do not end become the running beams: their parents and newest tokens."""
        best = logprobs.where(~ends, _NEVER).topk(min(self._size, tokens.shape[1]), dim=-1)
        parents, newest = parents.gather(1, best.indices), tokens.gather(1, best.indices)
        self._logprob = best.values
        self._tokens = torch.cat([self._gather(self._tokens, parents), newest.unsqueeze(-1)], dim=-1)
        return parents, newest

    def _done(self, length: int) -> Tensor:
        """bool[B]: no running beam can beat the image's worst candidate, or it has all it may have."""
        full = (self._ended_score > _NEVER).all(1)
        if self._config.early_stopping:
            return full | (self._logprob[:, 0] <= _NEVER)
        possible = self._logprob[:, 0] / length**self._config.length_penalty
        return full & (possible <= self._ended_score[:, -1]) | (self._logprob[:, 0] <= _NEVER)

    def _leave(self, rows: Tensor) -> None:
        for row in rows.tolist():
            tokens = self._ended_tokens[row, 0]
            found = tokens[tokens >= 0].tolist()
            logprob, score = float(self._ended_logprob[row, 0]), float(self._ended_score[row, 0])
            self._results[self._image[row]] = Hypothesis(tuple(found), logprob, score, found[-1] == self._eos_id)

    def _keep(self, rows: Tensor) -> None:
        self._image = [self._image[row] for row in rows.tolist()]
        for name in ("_logprob", "_tokens", "_ended_score", "_ended_logprob", "_ended_tokens"):
            setattr(self, name, getattr(self, name)[rows])

    @staticmethod
    def _gather(sequences: Tensor, beams: Tensor) -> Tensor:
        """Sequences [B, K, L], beams [B, N] -> [B, N, L]."""
        return sequences.gather(1, beams.unsqueeze(-1).expand(-1, -1, sequences.shape[-1]))


# The study's rule

Read = Callable[[Tensor, Tensor], Tensor]
"""Prefixes int64[R, T] and their images int64[R] -> logits [R, V] of the next token, the prefix read anew."""


@dataclass
class _Prefix:
    """A running beam of the study's rule."""

    image: int
    tokens: list[int]
    """The start token included."""
    logprob: float


def search_study(
    read: Read, images: int, beam_size: int, bos_id: int, eos_id: int, max_length: int, device: torch.device
) -> list[Hypothesis]:
    """The best caption of each image by the study's rule.

    The first step takes the K best tokens, an end token among them being no end. At each further step the best
    continuations by log-probability fill what is left of the beam; one that ends, or reaches `max_length` new tokens,
    leaves with its log-probability over its number of tokens, start token included, and the beam narrows by one. The
    best of those that left wins, the first of equals. Beam size 1 is the study's greedy search: it has no first step.
    """
    left: list[list[Hypothesis]] = [[] for _ in range(images)]
    running = [_Prefix(image, [bos_id], 0.0) for image in range(images)]
    for length in range(1, max_length + 1):
        if not running:
            break
        first = length == 1 and beam_size > 1
        widths = [beam_size if first else 0] * images
        if not first:
            for prefix in running:
                widths[prefix.image] += 1
        running = _continue(read, running, widths, device)
        for prefix in [each for each in running if not first and each.tokens[-1] == eos_id or length == max_length]:
            left[prefix.image].append(_leaving(prefix, eos_id))
            running.remove(prefix)
    return [max(found, key=lambda hypothesis: hypothesis.score) for found in left]


def _continue(read: Read, running: list[_Prefix], widths: list[int], device: torch.device) -> list[_Prefix]:
    """The best continuations of each image's prefixes, as many as its width."""
    ids = torch.tensor([prefix.tokens for prefix in running], device=device)
    rows = torch.tensor([prefix.image for prefix in running], device=device)
    with torch.inference_mode():
        logprobs = read(ids, rows).float().log_softmax(-1)
    total = logprobs + torch.tensor([prefix.logprob for prefix in running], device=device).unsqueeze(1)
    found = []
    for image in dict.fromkeys(prefix.image for prefix in running):
        own = [number for number, prefix in enumerate(running) if prefix.image == image]
        best = total[own].flatten().topk(min(widths[image], total[own].numel()))
        for logprob, at in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            parent, token = divmod(at, total.shape[1])
            found.append(_Prefix(image, [*running[own[parent]].tokens, token], logprob))
    return found


def _leaving(prefix: _Prefix, eos_id: int) -> Hypothesis:
    score = prefix.logprob / len(prefix.tokens)
    return Hypothesis(tuple(prefix.tokens[1:]), prefix.logprob, score, prefix.tokens[-1] == eos_id)
