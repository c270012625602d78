"""Which captions a training step uses, and how they are divided among ranks and micro-batches."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.config import TrainingConfig

Pair = tuple[int, list[int]]
"""A row of the training images, and the token ids of one of its captions."""


@dataclass(frozen=True)
class Part:
    """The captions that one rank computes at once, as positions in the list of pairs."""

    positions: np.ndarray
    is_counted: bool = True
    """False for a caption that a rank without captions computes with weight 0, because all ranks exchange gradients."""


def order(pairs: Sequence[Pair], config: TrainingConfig, epoch: int) -> list[np.ndarray]:
    """Return the positions in `pairs` of each step of an epoch."""
    generator, size = np.random.default_rng([config.seed, epoch]), config.batch_size
    if not config.group_captions:
        positions = generator.permutation(len(pairs))
    else:
        by_image: dict[int, list[int]] = {}
        for position, (image, _) in enumerate(pairs):
            by_image.setdefault(image, []).append(position)
        images = list(by_image.values())
        positions = np.concatenate([images[number] for number in generator.permutation(len(images))])
    return [positions[at : at + size] for at in range(0, len(positions), size)]


def divide(batch: np.ndarray, rank: int, ranks: int, accumulate: int) -> list[Part]:
    """Return the micro-batches of one rank for a step with the captions of `batch`.

    The captions are divided into ranks x accumulate parts of nearly equal size, so that one rank with
    `accumulate = 4` computes the same parts as four ranks. Every rank has the same number of micro-batches; those that
    would be empty on all ranks are left out.
    """
    parts = np.array_split(batch, ranks * accumulate)  # the larger parts come first
    rounds = [parts[at : at + ranks] for at in range(0, len(parts), ranks)]
    mine = [each[rank] for each in rounds if len(each[0])]
    return [Part(part) if len(part) else Part(batch[:1], is_counted=False) for part in mine]


def token_count(captions: Sequence[Sequence[int]], pad_id: int) -> int:
    """Return the number of tokens to predict: all but the start token and padding."""
    return sum(token != pad_id for ids in captions for token in ids[1:])


def pad(captions: Sequence[list[int]], pad_id: int) -> Tensor:
    """Return captions of different lengths as int64[B, T], padded on the right."""
    width = max(map(len, captions))
    return torch.tensor([ids + [pad_id] * (width - len(ids)) for ids in captions])
