"""One search whose every step has the same shape: no image leaves, and the device is asked nothing on the way.

That is what a step needs to be captured once and replayed (see `graphs`). It finds what `decoding` finds: an image that
is done changes no more. Only without constraints, under which an image can be left without any token.

Shapes: B images, K beams.
"""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from engine.config import DecodingConfig
from engine.decoding.beam_search import BeamSearch
from engine.decoding.steps import NextTokenScores, TokenHypothesis

State = tuple[Tensor, ...]
"""What a search has found so far, as tensors."""


class StaticSteps(Protocol):
    """A decoding in progress as in `prefixes.Steps`, but with as many prefixes for each image."""

    def step(self, tokens: Tensor) -> Tensor:
        """Each prefix's newest token int64[B * K] -> logits [B * K, V] of the token after it."""

    def reorder_static(self, parents: Tensor) -> None:
        """Prefix r goes on from what was prefix parents[r]; int64[B * K]."""


class StaticRule(Protocol):
    """One rule at one beam size."""

    def place(self, prefixes: Tensor) -> None:
        """Where the prefixes chosen last lie now, int64[B * K]; at first one an image."""

    def advance_static(self, scores: NextTokenScores, length: int) -> tuple[Tensor, Tensor, Tensor]:
        """Chooses the tokens at `length`: prefixes and tokens int64[B * K], and whether any image is not done."""

    def state(self) -> State:
        """What it has found so far."""

    def found(self, state: State) -> list[list[TokenHypothesis]]:
        """A state's hypotheses of each image, best first."""


class StaticGreedySearch:
    """The most probable token at each step."""

    def __init__(self, images: int, eos_id: int, config: DecodingConfig, device: torch.device) -> None:
        self._eos_id, self._config = eos_id, config
        self._rows = torch.arange(images, device=device)
        self._open = torch.ones(images, dtype=torch.bool, device=device)
        self._tokens = torch.full((images, config.max_length), -1, device=device)
        self._logprob = torch.zeros(images, dtype=torch.float64, device=device)  # as `paths` adds them up

    def place(self, prefixes: Tensor) -> None:
        """See `StaticRule`; each image keeps its row."""

    def advance_static(self, scores: NextTokenScores, length: int) -> tuple[Tensor, Tensor, Tensor]:
        """See `StaticRule`."""
        logits = scores.logits(self._rows)
        newest = logits.argmax(-1)
        logprob = logits.log_softmax(-1).gather(-1, newest.unsqueeze(-1)).squeeze(-1)
        self._tokens = self._tokens.clone()
        self._tokens[:, length - 1] = newest.where(self._open, -1)
        self._logprob = self._logprob + logprob.double().where(self._open, 0)
        self._open = self._open & (newest != self._eos_id)
        return self._rows, newest, self._open.any()

    def state(self) -> State:
        """See `StaticRule`."""
        return self._tokens, self._logprob

    def found(self, state: State) -> list[list[TokenHypothesis]]:
        """See `StaticRule`."""
        return [[self._hypothesis(*each)] for each in zip(*(each.tolist() for each in state), strict=True)]

    def _hypothesis(self, tokens: list[int], logprob: float) -> TokenHypothesis:
        found = tuple(token for token in tokens if token >= 0)
        score = logprob / len(found) ** self._config.length_penalty
        return TokenHypothesis(found, logprob, score, found[-1] == self._eos_id)


def create(images: int, size: int, eos_id: int, config: DecodingConfig, device: torch.device) -> StaticRule:
    """The search at a beam size; 1 is greedy."""
    if size == 1:
        return StaticGreedySearch(images, eos_id, config, device)
    return BeamSearch(images, size, eos_id, config, device, is_static=True)


def run(
    steps: StaticSteps, search: StaticRule, images: int, bos_id: int, config: DecodingConfig, device: torch.device
) -> Iterator[tuple[Tensor, State]]:
    """Takes a step each time it is asked: whether any image is not done, bool[], and what was found so far."""
    tokens = torch.full((images, 1), bos_id, device=device)
    prefixes = torch.arange(images, device=device)
    for length in range(1, config.max_length + 1):
        search.place(prefixes)
        scores = NextTokenScores(steps.step(tokens[:, -1]), tokens, config)
        parents, newest, goes_on = search.advance_static(scores, length)
        yield goes_on, search.state()
        steps.reorder_static(parents)
        tokens = torch.cat([tokens[parents], newest.unsqueeze(1)], dim=1)
        prefixes = torch.arange(len(parents), device=device)
