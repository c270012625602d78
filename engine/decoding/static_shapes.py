"""Search with static shapes: finished images stay in the batch; no device-to-host synchronisation between steps.

This lets a search be captured once and replayed (see `cuda_graphs`). Results equal those of `sweep`, because finished
images do not change. Constraints are not supported, because they can leave an image without any token.

Shapes: B images, K beams.
"""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from engine.config import DecodingConfig
from engine.decoding.beam_search import BeamSearch
from engine.decoding.end_tokens import EndTokens
from engine.decoding.steps import NextTokenScores, TokenHypothesis

State = tuple[Tensor, ...]
"""The intermediate result of a search, as tensors."""


class StaticSteps(Protocol):
    """A decoding in progress as in `steps.Steps`, but with the same number of prefixes for every image."""

    def step(self, tokens: Tensor) -> Tensor:
        """Return logits [B * K, V] of the token after each prefix's newest token int64[B * K]."""

    def reorder_static(self, parents: Tensor) -> None:
        """Replace prefix r by the prefix at parents[r], int64[B * K]."""


class StaticRule(Protocol):
    """A search rule at one beam size."""

    def place(self, prefixes: Tensor) -> None:
        """Set the positions int64[B * K] of the prefixes chosen last; before the first step, one per image."""

    def advance_static(self, scores: NextTokenScores, length: int) -> tuple[Tensor, Tensor, Tensor]:
        """Choose the tokens at `length`: prefixes and tokens int64[B * K], and whether any image is unfinished."""

    def state(self) -> State:
        """Return what was found so far."""

    def found(self, state: State) -> list[list[TokenHypothesis]]:
        """Return the hypotheses of each image in a state, best first."""


class StaticGreedySearch:
    """Chooses the most probable token at each step."""

    def __init__(self, images: int, eos_id: int, config: DecodingConfig, device: torch.device) -> None:
        self._eos_id, self._config = eos_id, config
        self._rows = torch.arange(images, device=device)
        self._open = torch.ones(images, dtype=torch.bool, device=device)
        self._tokens = torch.full((images, config.max_length), -1, device=device)
        self._logprob = torch.zeros(images, dtype=torch.float64, device=device)  # summed in float64 as in `greedy`

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
    """Return the search for a beam size; 1 is greedy."""
    if size == 1:
        return StaticGreedySearch(images, eos_id, config, device)
    return BeamSearch(images, size, EndTokens(eos_id), config, device, is_static=True)


def run(
    steps: StaticSteps, search: StaticRule, images: int, bos_id: int, config: DecodingConfig, device: torch.device
) -> Iterator[tuple[Tensor, State]]:
    """Yield after each step whether any image is unfinished, bool[], and what was found so far."""
    tokens = torch.full((images, 1), bos_id, device=device)
    prefixes = torch.arange(images, device=device)
    for length in range(1, config.max_length + 1):
        search.place(prefixes)
        scores = NextTokenScores(steps.step(tokens[:, -1]), tokens, config)
        parents, newest, is_open = search.advance_static(scores, length)
        yield is_open, search.state()
        steps.reorder_static(parents)
        tokens = torch.cat([tokens[parents], newest.unsqueeze(1)], dim=1)
        prefixes = torch.arange(len(parents), device=device)
