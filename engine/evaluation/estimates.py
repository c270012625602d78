"""Estimate the duration of a part of a long command from a few timed images.

Estimates are usually within a factor of two: photos differ in size, captions in length, and the load of the machine
varies.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F

from engine.captioners.native.captioner import CaptionerModel
from engine.config import DecodingConfig, Recipe
from engine.data.dataset import Dataset, Example
from engine.data.photos import PhotoError, open_photo
from engine.decoding.batched import BatchedSearch
from engine.models.clip import Clip
from engine.models.tokenizer import CaptionTokenizer
from engine.training.build import build_captioner

PROBE = 16
"""Number of timed images, after one for warm-up; fewer if one takes long."""

_PATIENCE = 10.0  # maximum seconds of a probe, extrapolated from the first image

Item = TypeVar("Item")


def clip_images(clip: Clip, dataset: Dataset) -> float:
    """Return the estimated seconds that CLIP takes for the photos of `dataset`."""
    photos = _photos(dataset)
    each = _seconds_per_item(lambda some: clip.image_features([clip.prepare(photo) for photo in some]), photos)
    return each * len(dataset.examples)


def captioning(
    captioner: CaptionerModel, tokenizer: CaptionTokenizer, dataset: Dataset, decoding: DecodingConfig
) -> float:
    """Return the estimated seconds of encoding and decoding `dataset`, all beam sizes together."""

    def work(photos: Sequence) -> None:
        windows = torch.from_numpy(np.stack([captioner.preprocessing.window_bytes(photo) for photo in photos]))
        with torch.inference_mode():
            encoded = captioner.encode(captioner.pixels(windows.to(captioner.device)).to(captioner.head.weight.dtype))
            cross = captioner.precompute_cross_attention(encoded)
        ids = (tokenizer.bos_id, tokenizer.eos_id)
        BatchedSearch(captioner, cross, *ids, decoding, [str(row) for row in range(len(photos))]).run()

    return _seconds_per_item(work, _photos(dataset)) * len(dataset.examples)


def learning(recipe: Recipe, train_set: Dataset, device: str) -> float:
    """Return the estimated seconds of a training without validation, timed with random weights."""
    config = recipe.training
    bare = replace(recipe, training=replace(config, pretrained=False, encoder_weights=None))
    words = CaptionTokenizer.load(train_set.tokenizer).vocab_size if train_set.tokenizer else config.vocab_size
    captioner = build_captioner(bare, words).to(device)
    captions = sum(len(example.references) for example in train_set.examples)
    steps = math.ceil(captions / config.batch_size) * config.epochs
    keeps = config.freeze_encoder and not config.augment
    encoded = len(train_set.examples) if keeps else steps * config.batch_size
    return _encode_seconds(captioner, config.freeze_encoder) * encoded + _step_seconds(captioner, recipe) * steps


def _encode_seconds(captioner: CaptionerModel, frozen: bool) -> float:
    """Return seconds per photo, including gradients if the encoder is trained."""
    size = captioner.config.image_size

    def work(rows: Sequence[int]) -> None:
        with torch.set_grad_enabled(not frozen):
            features = captioner.features(torch.zeros(len(rows), 3, size, size, device=captioner.device))
        if not frozen:
            features.sum().backward()

    return _seconds_per_item(work, range(1 + PROBE))


def _step_seconds(captioner: CaptionerModel, recipe: Recipe) -> float:
    """Return seconds of the decoder per batch, forward and backward."""
    config, shape = recipe.training, captioner.config
    with torch.no_grad():
        width = captioner.features(torch.zeros(1, 3, shape.image_size, shape.image_size, device=captioner.device))

    def work(rows: Sequence[int]) -> None:
        ids = torch.randint(shape.vocab_size, (len(rows), config.max_length), device=captioner.device)
        memory = captioner.projection(width).expand(len(rows), -1, -1)
        with torch.autocast(captioner.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            if config.scheduled_sampling:
                with torch.no_grad():
                    captioner.logits(ids, memory)
            logits = captioner.logits(ids, memory)
        F.cross_entropy(logits.float().flatten(0, 1), ids.flatten()).backward()

    return _seconds_per_item(work, range(1 + PROBE)) * config.batch_size


def _photos(dataset: Dataset) -> list:
    """Return the first photos that can be opened, at most 1 + PROBE."""
    found: list = []
    for example in dataset.examples:
        if len(found) > PROBE:
            break
        photo = _opened(dataset, example)
        found += [] if photo is None else [photo]
    return found


def _opened(dataset: Dataset, example: Example):
    try:
        return open_photo(dataset.photo(example))
    except PhotoError:
        return None  # reported later, when the whole dataset is read


def _seconds_per_item(work: Callable[[Sequence[Item]], object], items: Sequence[Item]) -> float:
    """Return seconds per item, timed without the first item; 0 for fewer than two items."""
    if len(items) < 2:
        return 0.0
    start = time.perf_counter()
    work(items[:1])
    first = time.perf_counter() - start
    rest = items[1 : 1 + max(1, min(PROBE, int(_PATIENCE / first)))]
    start = time.perf_counter()
    work(rest)
    return (time.perf_counter() - start) / len(rest)


def text(seconds: float) -> str:
    """Return a duration such as `about 40 seconds`, `about 12 minutes` or `about 3 hours`."""
    units = {"hour": 3600, "minute": 60, "second": 1}
    unit = next((name for name, size in units.items() if seconds >= 1.5 * size), "second")
    count = max(1, round(seconds / units[unit]))
    return f"about {count} {unit}" + ("" if count == 1 else "s")
