"""Search: from a step function over token ids to the best captions of each image.

Knows ids, log-probabilities and a `Steps` to ask for more of them. Knows no image, no text and no network: the tests
search small tables.

The beam search is the field's standard one, as Hugging Face transformers defines it: of the 2K best continuations of an
image, those among the first K that end are candidates, the K best that do not end go on; a candidate ranks by
logprob / tokens ** length_penalty, its end token counted; an image is done when no running beam can beat its worst
candidate (or, with early_stopping, at its K-th candidate). Beam size 1 is greedy search, or sampling.

Where scores are equal the choice is up to `torch.topk`. So that it chooses as in transformers, it is asked about the
same numbers in the same order, which is why losing scores carry _NEVER as a summand here and are not left out.

`search_study` is the rule of the original study, so that its checkpoints give its numbers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from engine import continuations, sampling
from engine.config import DecodingConfig
from engine.constraints import constrain

_NEVER = -1e9  # a score that loses against everything and still adds up, unlike -inf


class Steps(Protocol):
    """A decoding in progress over B images with K beams each; `stepping.Decoding` is one."""

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
    """Nats, summed over the tokens; under constraints, as these changed them."""
    score: float
    """What ranked it: logprob / tokens ** length_penalty."""
    finished: bool
    """Whether it ended before the maximum length."""


def search(
    steps: Steps,
    images: int,
    beam_size: int,
    bos_id: int,
    eos_id: int,
    config: DecodingConfig,
    device: torch.device,
    seeds: Sequence[int] | None = None,
) -> list[Hypothesis]:
    """The first of `search_n_best`: one hypothesis an image, in order."""
    return [found[0] for found in search_n_best(steps, images, beam_size, bos_id, eos_id, config, device, seeds)]


def search_n_best(
    steps: Steps,
    images: int,
    beam_size: int,
    bos_id: int,
    eos_id: int,
    config: DecodingConfig,
    device: torch.device,
    seeds: Sequence[int] | None = None,
) -> list[list[Hypothesis]]:
    """The `config.n_best` hypotheses of each of `images` at one beam size; `steps` must be fresh.

    Args:
        seeds: one an image, where the config samples.

    Returns:
        A list an image, in order: best first, or as drawn. A beam gives at most as many as its size.
    """
    with torch.inference_mode():
        if config.sample:
            if seeds is None or len(seeds) != images:
                raise ValueError(f"seeds: {seeds if seeds is None else len(seeds)}, expected one for each image")
            numbers = sampling.uniforms(seeds, config.n_best, config.max_length)
            return _Paths(images, config.n_best, eos_id, config, numbers).run(steps, bos_id, device)
        if beam_size == 1:
            return _Paths(images, 1, eos_id, config, None).run(steps, bos_id, device)
        return _Beams(images, beam_size, eos_id, config, device).run(steps, bos_id)


class _Paths:
    """One token at a time along paths that never compete: greedy search, or samples of each image."""

    def __init__(self, images: int, width: int, eos_id: int, config: DecodingConfig, numbers: Tensor | None) -> None:
        """`numbers`: uniform, float64[images, width, steps], where tokens are drawn."""
        self._images, self._width, self._eos_id, self._config = images, width, eos_id, config
        self._numbers = numbers
        self._tokens: list[list[int]] = [[] for _ in range(images * width)]
        self._logprobs = [0.0] * (images * width)

    def run(self, steps: Steps, bos_id: int, device: torch.device) -> list[list[Hypothesis]]:
        active = list(range(self._images))
        so_far = torch.full((self._images, 1, 1), bos_id, device=device)
        for length in range(1, self._config.max_length + 1):
            logits = constrain(steps.step(so_far[..., -1]).float(), so_far, self._config)
            if length == 1 and self._width > 1:
                logits, so_far = (each.expand(-1, self._width, -1) for each in (logits, so_far))
            newest, logprobs = self._choose(logits, active, length)
            self._note(active, newest.tolist(), logprobs.tolist())
            going = [row for row, image in enumerate(active) if not self._ended(image)]
            if not going or length == self._config.max_length:
                break
            so_far = torch.cat([so_far, newest.unsqueeze(-1)], dim=-1)
            if len(going) < len(active):
                rows = torch.tensor(going, device=device)
                steps.keep(rows)
                so_far, active = so_far[rows], [active[row] for row in going]
            if length == 1 and self._width > 1:
                steps.reorder(torch.zeros(len(active), self._width, dtype=torch.long, device=device))
        return [self._found(image) for image in range(self._images)]

    def _choose(self, logits: Tensor, active: list[int], length: int) -> tuple[Tensor, Tensor]:
        """Tokens int64[B, K] and their log-probabilities; temperature, top-k and top-p change only which."""
        if self._numbers is None:
            newest = logits.argmax(-1)
        else:
            newest = sampling.draw(sampling.warp(logits, self._config), self._numbers[active, :, length - 1])
        return newest, logits.log_softmax(-1).gather(-1, newest.unsqueeze(-1)).squeeze(-1)

    def _note(self, active: list[int], newest: list[list[int]], logprobs: list[list[float]]) -> None:
        for image, tokens, values in zip(active, newest, logprobs, strict=True):
            for path, token, value in zip(self._paths(image), tokens, values, strict=True):
                if not self._tokens[path] or self._tokens[path][-1] != self._eos_id:
                    self._tokens[path].append(token)
                    self._logprobs[path] += value

    def _paths(self, image: int) -> range:
        return range(image * self._width, (image + 1) * self._width)

    def _ended(self, image: int) -> bool:
        return all(self._tokens[path][-1] == self._eos_id for path in self._paths(image))

    def _found(self, image: int) -> list[Hypothesis]:
        return [self._hypothesis(self._tokens[path], self._logprobs[path]) for path in self._paths(image)]

    def _hypothesis(self, tokens: list[int], logprob: float) -> Hypothesis:
        score = logprob / len(tokens) ** self._config.length_penalty
        return Hypothesis(tuple(tokens), logprob, score, tokens[-1] == self._eos_id)


class _Beams:
    """The running beams and the best candidates of every image that is not done; rows are images."""

    _STATE = ("_logprob", "_tokens", "_ended", "_ended_score", "_ended_logprob", "_ended_tokens")

    def __init__(self, images: int, size: int, eos_id: int, config: DecodingConfig, device: torch.device) -> None:
        self._size, self._eos_id, self._config, self._device = size, eos_id, config, device
        self._image = list(range(images))
        # The beams begin alike: only the first counts, so that none is found twice.
        self._logprob = torch.full((images, size), _NEVER, device=device)
        self._logprob[:, 0] = 0
        self._tokens = torch.empty(images, size, 0, dtype=torch.long, device=device)
        self._ended = torch.zeros(images, size, dtype=torch.bool, device=device)
        self._ended_score = torch.full((images, size), _NEVER, device=device)
        self._ended_logprob = torch.full((images, size), _NEVER, device=device)
        self._ended_tokens = torch.full((images, size, config.max_length), -1, dtype=torch.long, device=device)
        self._results: dict[int, list[Hypothesis]] = {}

    def run(self, steps: Steps, bos_id: int) -> list[list[Hypothesis]]:
        images = len(self._image)
        self._tokens = torch.full((images, self._size, 1), bos_id, device=self._device)
        newest = self._tokens[:, :1, 0]
        for length in range(1, self._config.max_length + 1):
            is_last = length == self._config.max_length
            parents, tokens, logprobs = self._best_continuations(steps.step(newest), is_first=length == 1)
            ends = (tokens == self._eos_id) | is_last
            running = self._running(parents, tokens, logprobs, ends)
            self._collect(parents, tokens, logprobs, ends, length)
            if is_last:
                self._leave(range(len(self._image)))
                break
            parents, newest = self._go_on(*running, is_first=length == 1)
            rows = self._rows_going_on(length)
            if len(rows) < len(self._image):
                if len(rows) == 0:
                    break
                steps.keep(rows)
                self._keep(rows)
                parents, newest = parents[rows], newest[rows]
            steps.reorder(parents)
        return [self._results[image] for image in range(images)]

    def _best_continuations(self, logits: Tensor, is_first: bool) -> tuple[Tensor, Tensor, Tensor]:
        """The 2K best (parents, tokens, log-probabilities), each [B, 2K], best first."""
        logprobs = logits.float().log_softmax(-1)
        vocabulary, count = logprobs.shape[-1], 2 * self._size
        if self._config.constrained:
            logprobs = constrain(logprobs, self._tokens[:, : logprobs.shape[1]], self._config)
        if is_first and self._first_is_enough(logprobs, count):
            positions, sums = continuations.best(logprobs, self._logprob[:, :1], count)
        else:
            positions, sums = continuations.best(logprobs.expand(-1, self._size, -1), self._logprob, count)
        return positions // vocabulary, positions % vocabulary, sums

    @staticmethod
    def _first_is_enough(logprobs: Tensor, count: int) -> bool:
        """Whether no copy of the first beam can be among the best: only a tie or a tiny vocabulary needs all."""
        if logprobs.shape[-1] <= count:
            return False
        best = logprobs[:, 0].topk(count + 1, dim=-1).values
        return bool((best[:, 1:] < best[:, :-1]).all())

    def _running(
        self, parents: Tensor, tokens: Tensor, logprobs: Tensor, ends: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The K best continuations that do not end: parents, tokens and log-probabilities, each [B, K]."""
        going = logprobs + ends.float() * _NEVER
        best = going.topk(self._size, dim=-1).indices
        return parents.gather(1, best), tokens.gather(1, best), going.gather(1, best)

    def _collect(self, parents: Tensor, tokens: Tensor, logprobs: Tensor, ends: Tensor, length: int) -> None:
        """Keeps the best K of the candidates so far and those among the first K continuations that end."""
        new = ends.clone()
        new[:, self._size :] = False
        score = logprobs / length**self._config.length_penalty
        if self._config.early_stopping:  # an image with K candidates takes no more
            score = score + self._ended.all(1, keepdim=True).float() * _NEVER
        score = score + (~new).float() * _NEVER
        merged = torch.cat([self._ended_score, score], dim=1)
        best = merged.topk(self._size, dim=-1).indices
        if bool((best == torch.arange(self._size, device=self._device)).all()):
            return
        found = torch.full((*tokens.shape, self._config.max_length), -1, dtype=torch.long, device=self._device)
        found[..., : length - 1] = _gather(self._tokens[..., 1:], parents)
        found[..., length - 1] = tokens
        self._ended_tokens = _gather(torch.cat([self._ended_tokens, found], dim=1), best)
        self._ended_score = merged.gather(1, best)
        self._ended_logprob = torch.cat([self._ended_logprob, logprobs], 1).gather(1, best)
        self._ended = torch.cat([self._ended, new], dim=1).gather(1, best)

    def _go_on(self, parents: Tensor, tokens: Tensor, logprobs: Tensor, is_first: bool) -> tuple[Tensor, Tensor]:
        """Makes these the running beams; returns what `steps` is to reorder by, and the newest tokens."""
        self._logprob = logprobs
        self._tokens = torch.cat([_gather(self._tokens, parents), tokens.unsqueeze(-1)], dim=-1)
        return torch.zeros_like(parents) if is_first else parents, tokens

    def _rows_going_on(self, length: int) -> Tensor:
        """Positions of the images that are not done; the others leave with their results."""
        possible = self._logprob[:, :1] / length**self._config.length_penalty
        worst = self._ended_score.amin(1, keepdim=True).where(self._ended, _NEVER)
        going = (possible > worst).any(1)
        if self._config.early_stopping:
            going &= ~self._ended.all(1)
        self._leave((~going).nonzero()[:, 0].tolist())
        return going.nonzero()[:, 0]

    def _leave(self, rows: Sequence[int]) -> None:
        count = min(self._config.n_best, self._size)
        for row in rows:
            found = [self._hypothesis(row, rank) for rank in range(count) if bool(self._ended[row, rank])]
            self._results[self._image[row]] = found or [self._unended(row)]

    def _hypothesis(self, row: int, rank: int) -> Hypothesis:
        tokens = self._ended_tokens[row, rank]
        found = tuple(tokens[tokens >= 0].tolist())
        logprob, score = float(self._ended_logprob[row, rank]), float(self._ended_score[row, rank])
        return Hypothesis(found, logprob, score, found[-1] == self._eos_id)

    def _unended(self, row: int) -> Hypothesis:
        """The best beam of an image whose constraints left no token at all to go on with."""
        tokens = tuple(self._tokens[row, 0, 1:].tolist())
        return Hypothesis(tokens, float(self._logprob[row, 0]), float(self._logprob[row, 0]), False)

    def _keep(self, rows: Tensor) -> None:
        self._image = [self._image[row] for row in rows.tolist()]
        for name in self._STATE:
            setattr(self, name, getattr(self, name)[rows])


def _gather(sequences: Tensor, beams: Tensor) -> Tensor:
    """Sequences [B, K, L], beams [B, N] -> [B, N, L]."""
    return sequences.gather(1, beams.unsqueeze(-1).expand(-1, -1, sequences.shape[-1]))


# The study's rule

Read = Callable[[Tensor, Tensor], Tensor]
"""Prefixes int64[R, T] and their images int64[R], ascending -> logits [R, V] of the next token, all read anew."""


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
    """The first of `search_study_n_best`: one hypothesis an image, in order."""
    return [found[0] for found in search_study_n_best(read, images, beam_size, bos_id, eos_id, max_length, device)]


def search_study_n_best(
    read: Read,
    images: int,
    beam_size: int,
    bos_id: int,
    eos_id: int,
    max_length: int,
    device: torch.device,
    n_best: int = 1,
) -> list[list[Hypothesis]]:
    """The `n_best` captions of each image by the study's rule, best first.

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
    return [sorted(found, key=lambda hypothesis: -hypothesis.score)[:n_best] for found in left]


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
