"""Run several searches over shared prefixes: a prefix that several beam sizes need is computed once.

Works on token ids and log-probabilities. The rules that choose tokens are in `beam_search` and `greedy`.

Shapes: R prefixes, T tokens, V vocabulary, B images, K beams.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from engine.config import DecodingConfig
from engine.decoding.constraints import constrain
from engine.decoding.top_continuations import Continuations


class Steps(Protocol):
    """A decoding in progress, starting with one prefix per image; `native.incremental.IncrementalDecoder` is one."""

    def step(self, tokens: Tensor) -> Tensor:
        """Return logits [R, V] of the token after each prefix's newest token int64[R]."""

    def reorder(self, parents: Tensor) -> None:
        """Replace prefix r by the prefix at parents[r], int64[R'], ascending; images without prefixes are dropped."""


@runtime_checkable
class RuledSteps(Steps, Protocol):
    """A decoding whose model brings rules of its own, such as forced tokens."""

    def apply_rules(self, scores: Tensor) -> Tensor:
        """Return float32[R, V] logits or log-probabilities of the next token with the rules applied."""


@dataclass(frozen=True)
class TokenHypothesis:
    """A finished caption as token ids: new tokens only, with the end token if one was produced."""

    tokens: tuple[int, ...]
    logprob: float
    """Nats, summed over the tokens, after constraints."""
    score: float
    """The ranking score: logprob / tokens ** length_penalty."""
    finished: bool
    """Whether an end token was produced before the maximum length."""


class NextTokenScores:
    """Scores of the next token for every prefix, computed once for all searches."""

    def __init__(
        self, logits: Tensor, tokens: Tensor, config: DecodingConfig, rules: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        """`logits` [R, V] of the token after `tokens` int64[R, T], the start token included; `rules`: of the model."""
        self.tokens, self.vocabulary = tokens, logits.shape[-1]
        self._logits, self._config, self._rules = logits, config, rules
        self._ruled: Tensor | None = None
        self._continuations: Continuations | None = None

    @property
    def continuations(self) -> Continuations:
        """Log-probabilities under constraints for beam search, which does not normalise them again."""
        if self._continuations is None:
            logprobs = self._logits.log_softmax(-1, dtype=torch.float32)
            if self._config.constrained:
                logprobs = constrain(logprobs, self.tokens, self._config)
            if self._rules is not None:
                logprobs = self._rules(logprobs)
            self._continuations = Continuations(logprobs)
        return self._continuations

    def logits(self, prefixes: Tensor) -> Tensor:
        """Return logits float32[n, V] of prefixes int64[n], under constraints, for greedy search and sampling."""
        logits = self._logits
        if self._rules is not None:
            if self._ruled is None:
                self._ruled = self._rules(logits.float())
            logits = self._ruled
        return constrain(logits[prefixes].float(), self.tokens[prefixes], self._config)


class SearchRule(Protocol):
    """A search rule at one beam size over all images; it may share prefixes with other searches."""

    def advance(self, scores: NextTokenScores, length: int) -> tuple[Tensor, Tensor]:
        """Choose the tokens at `length`: the prefixes int64[n] to extend, and the tokens int64[n] after them.

        Both are empty once every image is finished, at the latest at the maximum length; it is not called again then.
        """

    def place(self, prefixes: Tensor) -> None:
        """Set the positions int64[n] of the chosen prefixes among those of the next step."""

    def results(self) -> list[list[TokenHypothesis]]:
        """Return the hypotheses of each image: best first, or as drawn."""


def run(
    steps: Steps,
    searches: Sequence[SearchRule],
    images: int,
    bos_id: int,
    config: DecodingConfig,
    device: torch.device,
) -> None:
    """Run `searches` together until all are finished; a prefix that several of them need is computed once.

    The results equal those of separate searches, because scores depend only on the prefix. Most prefixes of a small
    beam are also those of a large one, so a sweep costs little more than its largest beam size.
    """
    tokens = torch.full((images, 1), bos_id, device=device)
    for search in searches:
        search.place(torch.arange(images, device=device))
    active, rules = list(searches), steps.apply_rules if isinstance(steps, RuledSteps) else None
    for length in range(1, config.max_length + 1):
        scores = NextTokenScores(steps.step(tokens[:, -1]), tokens, config, rules)
        active, parents, newest = _advance(active, scores, length)
        if not active:
            return
        steps.reorder(parents)
        tokens = torch.cat([tokens[parents], newest.unsqueeze(1)], dim=1)


def _advance(
    searches: Sequence[SearchRule], scores: NextTokenScores, length: int
) -> tuple[list[SearchRule], Tensor, Tensor]:
    """Return the unfinished searches and their prefixes: parents int64[R], ascending, and the tokens after them."""
    chosen = [search.advance(scores, length) for search in searches]
    # Ascending, so that the prefixes of an image stay adjacent and the images in order.
    wanted = torch.cat([parents * scores.vocabulary + newest for parents, newest in chosen])
    prefixes, places = wanted.unique(return_inverse=True)
    active = []
    for search, place in zip(searches, places.split([len(parents) for parents, _ in chosen]), strict=True):
        if len(place):
            search.place(place)
            active.append(search)
    return active, prefixes // scores.vocabulary, prefixes % scores.vocabulary
