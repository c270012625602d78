"""Beam search as in Hugging Face transformers, for one beam size.

Of the 2K best continuations of an image (with E end tokens, of the (1 + E) K best), those among the first K that end
become candidates, and the K best that do not end are extended. Candidates are ranked by logprob / tokens **
length_penalty, the end token included. An image is finished once no running beam can beat its worst candidate (with
early_stopping: at its K-th candidate).

If scores are equal, `torch.topk` decides. To get the same decision as transformers, it receives the same numbers in the
same order; this is why _NEVER is added to losing scores instead of removing them.
"""

import torch
from torch import Tensor

from engine.config import DecodingConfig
from engine.decoding.end_tokens import EndTokens
from engine.decoding.steps import NextTokenScores, TokenHypothesis

_NEVER = -1e9  # finite stand-in for -inf: loses every comparison, survives addition


class BeamSearch:
    """The running beams and the best candidates of all unfinished images; rows are images."""

    _STATE = ("_logprob", "_prefixes", "_ended", "_ended_score", "_ended_logprob", "_ended_tokens")

    def __init__(
        self,
        images: int,
        size: int,
        ends: EndTokens,
        config: DecodingConfig,
        device: torch.device,
        is_static: bool = False,
    ) -> None:
        """`is_static`: finished images keep their rows and do not change; for `static_shapes`."""
        self._size, self._end_tokens, self._config, self._device = size, ends, config, device
        # Each beam can end in as many ways as there are end tokens; K continuations that do not end must remain.
        self._considered = max(2, 1 + len(ends)) * size
        self._image = list(range(images))
        # All beams start equal; only the first one counts, so that no hypothesis is found twice.
        self._logprob = torch.full((images, size), _NEVER, device=device)
        self._logprob[:, 0] = 0
        self._prefixes = torch.empty(images, 0, dtype=torch.long, device=device)
        self._ended = torch.zeros(images, size, dtype=torch.bool, device=device)
        self._ended_score = torch.full((images, size), _NEVER, device=device)
        self._ended_logprob = torch.full((images, size), _NEVER, device=device)
        self._ended_tokens = torch.full((images, size, config.max_length), -1, dtype=torch.long, device=device)
        self._open = torch.ones(images, dtype=torch.bool, device=device) if is_static else None
        self._results: dict[int, list[TokenHypothesis]] = {}

    def place(self, prefixes: Tensor) -> None:
        """See `steps.SearchRule`; before the first step all beams of an image share its one prefix."""
        self._prefixes = prefixes.view(len(self._image), -1).expand(-1, self._size)

    def advance(self, scores: NextTokenScores, length: int) -> tuple[Tensor, Tensor]:
        """See `steps.SearchRule`."""
        newest, is_open = self._choose(scores, length)
        is_open = is_open.tolist()
        if not all(is_open):
            self._finish([row for row, each in enumerate(is_open) if not each], scores.tokens, newest)
            open_rows = [row for row, each in enumerate(is_open) if each]
            rows = torch.tensor(open_rows, dtype=torch.long, device=self._device)
            self._keep(rows, is_open)
            newest = newest[rows]
        return self._prefixes.flatten(), newest.flatten()

    def advance_static(self, scores: NextTokenScores, length: int) -> tuple[Tensor, Tensor, Tensor]:
        """See `static_shapes.StaticRule`."""
        newest, is_open = self._choose(scores, length)
        assert self._open is not None  # the search was created as a static one
        self._open = is_open & self._open
        return self._prefixes.flatten(), newest.flatten(), self._open.any()

    def state(self) -> tuple[Tensor, ...]:
        """Return the candidates: existence, tokens, log-probability and score, each [B, K, ...], best first."""
        return self._ended, self._ended_tokens, self._ended_logprob, self._ended_score

    def found(self, state: tuple[Tensor, ...]) -> list[list[TokenHypothesis]]:
        """Return the hypotheses of each row of a `state`; an empty list for a row without candidates.

        All rows are copied to the host at once, because each transfer from a GPU is slow.
        """
        ranks = min(self._config.n_best, self._size)
        return [
            [self._hypothesis(*each) for is_there, *each in zip(*ranked, strict=True) if is_there]
            for ranked in zip(*(each[:, :ranks].tolist() for each in state), strict=True)
        ]

    def _choose(self, scores: NextTokenScores, length: int) -> tuple[Tensor, Tensor]:
        """Return the beams' new tokens int64[B, K], and which images are unfinished, bool[B]."""
        is_last = length == self._config.max_length
        parents, tokens, logprobs = self._best(scores, is_first=length == 1)
        ends = self._end_tokens.mask(tokens) | is_last
        self._collect(scores.tokens, parents, tokens, logprobs, ends, length)
        running = logprobs + ends.float() * _NEVER
        best = running.topk(self._size, dim=-1).indices
        self._logprob, self._prefixes, newest = (each.gather(1, best) for each in (running, parents, tokens))
        return newest, torch.zeros_like(self._ended[:, 0]) if is_last else self._can_improve(length)

    def _best(self, scores: NextTokenScores, is_first: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return the best continuations (prefixes, tokens, log-probabilities), each [B, C], best first."""
        count = self._considered
        if is_first and self._open is None and scores.continuations.are_distinct(self._prefixes[:, 0], count):
            beams, tokens, sums = scores.continuations.best(self._prefixes[:, :1], self._logprob[:, :1], count)
        else:  # with ties or a tiny vocabulary, copies of the first beam can be among the best
            beams, tokens, sums = scores.continuations.best(self._prefixes, self._logprob, count)
        return self._prefixes.gather(1, beams), tokens, sums

    def _collect(
        self, prefixes: Tensor, parents: Tensor, tokens: Tensor, logprobs: Tensor, ends: Tensor, length: int
    ) -> None:
        """Keep the best K of the previous candidates and of the first K continuations that end."""
        new = ends.clone()
        new[:, self._size :] = False
        if self._open is not None:
            new = new & self._open.unsqueeze(1)
        # On a GPU, checking whether anything changes would synchronise the host and take longer than the change.
        if self._device.type == "cpu" and not bool(new.any()):
            return
        score = logprobs / length**self._config.length_penalty
        if self._config.early_stopping:  # an image with K candidates is complete
            score = score + self._ended.all(1, keepdim=True).float() * _NEVER
        score = score + (~new).float() * _NEVER
        merged = torch.cat([self._ended_score, score], dim=1)
        best = merged.topk(self._size, dim=-1).indices
        found = torch.full((*tokens.shape, self._config.max_length), -1, dtype=torch.long, device=self._device)
        found[..., : length - 1] = prefixes[parents, 1:]
        found[..., length - 1] = tokens
        rows = best.unsqueeze(-1).expand(-1, -1, self._config.max_length)
        self._ended_tokens = torch.cat([self._ended_tokens, found], dim=1).gather(1, rows)
        self._ended_score = merged.gather(1, best)
        self._ended_logprob = torch.cat([self._ended_logprob, logprobs], 1).gather(1, best)
        self._ended = torch.cat([self._ended, new], dim=1).gather(1, best)

    def _can_improve(self, length: int) -> Tensor:
        """Return which images are unfinished, bool[B]."""
        possible = self._logprob[:, :1] / length**self._config.length_penalty
        worst = self._ended_score.amin(1, keepdim=True).where(self._ended, _NEVER)
        is_open = (possible > worst).any(1)
        return is_open & ~self._ended.all(1) if self._config.early_stopping else is_open

    def _finish(self, rows: list[int], prefixes: Tensor, newest: Tensor) -> None:
        """Store the hypotheses of the images at `rows`."""
        at = torch.tensor(rows, device=self._device)
        for row, found in zip(rows, self.found(tuple(each[at] for each in self.state())), strict=True):
            self._results[self._image[row]] = found or [self._unended(row, prefixes, newest)]

    def _hypothesis(self, tokens: list[int], logprob: float, score: float) -> TokenHypothesis:
        found = tuple(token for token in tokens if token >= 0)
        return TokenHypothesis(found, logprob, score, found[-1] in self._end_tokens)

    def _unended(self, row: int, prefixes: Tensor, newest: Tensor) -> TokenHypothesis:
        """Return the best beam of an image for which the constraints excluded every token."""
        tokens = (*prefixes[self._prefixes[row, 0], 1:].tolist(), int(newest[row, 0]))
        return TokenHypothesis(tokens, float(self._logprob[row, 0]), float(self._logprob[row, 0]), False)

    def _keep(self, rows: Tensor, is_open: list[bool]) -> None:
        self._image = [image for image, each in zip(self._image, is_open, strict=True) if each]
        for name in self._STATE:
            setattr(self, name, getattr(self, name)[rows])

    def results(self) -> list[list[TokenHypothesis]]:
        """See `steps.SearchRule`."""
        return [self._results[image] for image in sorted(self._results)]
