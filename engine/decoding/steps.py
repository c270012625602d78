"""The prefixes that searches go on from: what one step says of each of them, and what a finished one is worth.

Knows ids, log-probabilities and a `Steps` to ask for more of them. Knows no rule that chooses among them.

Shapes: R prefixes, T tokens, V vocabulary, B images, K beams.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from engine.config import DecodingConfig
from engine.decoding.constraints import constrain
from engine.decoding.top_continuations import Continuations


class Steps(Protocol):
    """A decoding in progress, fresh with one prefix an image; `stepping.Decoding` is one."""

    def step(self, tokens: Tensor) -> Tensor:
        """Each prefix's newest token int64[R] -> logits [R, V] of the token after it."""

    def reorder(self, parents: Tensor) -> None:
        """Prefix r goes on from what was prefix parents[r]; int64[R'], ascending. Images without one leave."""


@dataclass(frozen=True)
class TokenHypothesis:
    """A finished caption in ids: new tokens only, the end token included where one was produced."""

    tokens: tuple[int, ...]
    logprob: float
    """Nats, summed over the tokens; under constraints, as these changed them."""
    score: float
    """What ranked it: logprob / tokens ** length_penalty."""
    finished: bool
    """Whether it ended before the maximum length."""


class NextTokenScores:
    """What one step says of every prefix, made once for all searches that ask."""

    def __init__(self, logits: Tensor, tokens: Tensor, config: DecodingConfig) -> None:
        """`logits` [R, V] of the token after `tokens` int64[R, T], the start token included."""
        self.tokens, self.vocabulary = tokens, logits.shape[-1]
        self._logits, self._config = logits, config
        self._continuations: Continuations | None = None

    @property
    def continuations(self) -> Continuations:
        """Log-probabilities under the constraints as a beam search has them: not normalised again."""
        if self._continuations is None:
            logprobs = self._logits.log_softmax(-1, dtype=torch.float32)
            if self._config.constrained:
                logprobs = constrain(logprobs, self.tokens, self._config)
            self._continuations = Continuations(logprobs)
        return self._continuations

    def logits(self, prefixes: Tensor) -> Tensor:
        """Logits float32[n, V] of prefixes int64[n], under the constraints as greedy search and sampling have them."""
        return constrain(self._logits[prefixes].float(), self.tokens[prefixes], self._config)


class SearchRule(Protocol):
    """One rule at one beam size over all images; goes on from prefixes it shares with other searches."""

    def advance(self, scores: NextTokenScores, length: int) -> tuple[Tensor, Tensor]:
        """Chooses the tokens at `length`: prefixes int64[n] to go on from and the tokens int64[n] after them.

        None at all once every image is done, at the latest at the maximum length; it is not asked again then.
        """

    def place(self, prefixes: Tensor) -> None:
        """Where the chosen ones lie among the next step's prefixes, int64[n]."""

    def results(self) -> list[list[TokenHypothesis]]:
        """The hypotheses of each image, in order; best first, or as drawn."""


def run(
    steps: Steps,
    searches: Sequence[SearchRule],
    images: int,
    bos_id: int,
    config: DecodingConfig,
    device: torch.device,
) -> None:
    """Lets `searches` go on together until all are done; a prefix that several of them need is read once.

    A prefix's scores do not depend on who asks, so each search finds what it finds alone. Most prefixes of a small
    beam are among those of a large one: a sweep costs little more than its largest size.
    """
    tokens = torch.full((images, 1), bos_id, device=device)
    for search in searches:
        search.place(torch.arange(images, device=device))
    going = list(searches)
    for length in range(1, config.max_length + 1):
        going, parents, newest = _advance(going, NextTokenScores(steps.step(tokens[:, -1]), tokens, config), length)
        if not going:
            return
        steps.reorder(parents)
        tokens = torch.cat([tokens[parents], newest.unsqueeze(1)], dim=1)


def _advance(
    searches: Sequence[SearchRule], scores: NextTokenScores, length: int
) -> tuple[list[SearchRule], Tensor, Tensor]:
    """The searches that go on, and the prefixes they go on from: parents int64[R], ascending, and the token after."""
    chosen = [search.advance(scores, length) for search in searches]
    # Ascending, so that the prefixes of an image stay side by side, in the images' order.
    wanted = torch.cat([parents * scores.vocabulary + newest for parents, newest in chosen])
    prefixes, places = wanted.unique(return_inverse=True)
    going = []
    for search, place in zip(searches, places.split([len(parents) for parents, _ in chosen]), strict=True):
        if len(place):
            search.place(place)
            going.append(search)
    return going, prefixes // scores.vocabulary, prefixes % scores.vocabulary
