"""Greedy search and sampling: each sequence is extended independently, one token at a time."""

import torch
from torch import Tensor

from engine.config import DecodingConfig
from engine.decoding import sampling
from engine.decoding.end_tokens import EndTokens
from engine.decoding.steps import NextTokenScores, TokenHypothesis


class GreedySearch:
    """`width` independent sequences per image; an image is finished once all of its sequences have ended."""

    def __init__(
        self, images: int, width: int, ends: EndTokens, config: DecodingConfig, numbers: Tensor | None
    ) -> None:
        """`numbers`: uniform random numbers float64[images, width, steps] for sampling; None searches greedily."""
        self._images, self._width, self._end_tokens, self._config = images, width, ends, config
        self._numbers = numbers
        self._active = list(range(images))
        self._prefixes = torch.empty(0, dtype=torch.long)  # [B, K]
        self._tokens: list[list[int]] = [[] for _ in range(images * width)]
        self._logprobs = [0.0] * (images * width)

    def place(self, prefixes: Tensor) -> None:
        """See `steps.SearchRule`; before the first step all sequences of an image share its one prefix."""
        self._prefixes = prefixes.view(len(self._active), -1).expand(-1, self._width)

    def advance(self, scores: NextTokenScores, length: int) -> tuple[Tensor, Tensor]:
        """See `steps.SearchRule`."""
        logits = scores.logits(self._prefixes.flatten()).unflatten(0, self._prefixes.shape)
        newest, logprobs = self._choose(logits, length)
        self._append(newest.tolist(), logprobs.tolist())
        kept = [row for row, image in enumerate(self._active) if not self._ended(image)]
        if length == self._config.max_length:
            kept = []
        rows = torch.tensor(kept, dtype=torch.long, device=newest.device)
        self._active = [self._active[row] for row in kept]
        return self._prefixes[rows].flatten(), newest[rows].flatten()

    def _choose(self, logits: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Return tokens int64[B, K] and their log-probabilities, which temperature, top-k and top-p do not change."""
        if self._numbers is None:
            newest = logits.argmax(-1)
        else:
            newest = sampling.draw(sampling.warp(logits, self._config), self._numbers[self._active, :, length - 1])
        return newest, logits.log_softmax(-1).gather(-1, newest.unsqueeze(-1)).squeeze(-1)

    def _append(self, newest: list[list[int]], logprobs: list[list[float]]) -> None:
        for image, tokens, values in zip(self._active, newest, logprobs, strict=True):
            for path, token, value in zip(self._paths(image), tokens, values, strict=True):
                if not self._tokens[path] or self._tokens[path][-1] not in self._end_tokens:
                    self._tokens[path].append(token)
                    self._logprobs[path] += value

    def _paths(self, image: int) -> range:
        return range(image * self._width, (image + 1) * self._width)

    def _ended(self, image: int) -> bool:
        return all(self._tokens[path][-1] in self._end_tokens for path in self._paths(image))

    def results(self) -> list[list[TokenHypothesis]]:
        """See `steps.SearchRule`."""
        return [
            [self._hypothesis(self._tokens[path], self._logprobs[path]) for path in self._paths(image)]
            for image in range(self._images)
        ]

    def _hypothesis(self, tokens: list[int], logprob: float) -> TokenHypothesis:
        score = logprob / len(tokens) ** self._config.length_penalty
        return TokenHypothesis(tuple(tokens), logprob, score, tokens[-1] in self._end_tokens)
