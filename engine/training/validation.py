"""Validation: greedy captions of held-out images, and their scores."""

from pathlib import Path

import numpy as np
import torch

from engine.captioners.native.captioner import CaptionerModel
from engine.config import DecodingConfig, TrainingConfig
from engine.data.dataset import Dataset
from engine.data.photos import open_photo
from engine.data.split import Split
from engine.decoding import sweep
from engine.metrics import registry
from engine.metrics.clipscore import ClipFamily
from engine.metrics.measure import measure
from engine.models.clip import Clip
from engine.models.tokenizer import CaptionTokenizer
from engine.training import images
from engine.training.images import ENCODE_BATCH
from engine.training.loss import autocast


class Validation:
    """The held-out images with their features, and the CLIP that scores their captions if there is one."""

    def __init__(
        self,
        captioner: CaptionerModel,
        tokenizer: CaptionTokenizer,
        dataset: Dataset,
        config: TrainingConfig,
        features: Path,
        clip: Clip | None,
    ) -> None:
        self._captioner, self._tokenizer, self._dataset, self._config = captioner, tokenizer, dataset, config
        self._clip, self._device = clip, captioner.device
        self._images = images.create(captioner, dataset, config, features, self._device)
        self._clip_images: np.ndarray | None = None

    def scores(self) -> tuple[dict[str, float], str]:
        """Return CIDEr, and CLIPScore if there is a CLIP, of the captions; and the first caption."""
        captions = self._greedy_captions()
        split = _split(self._dataset)
        cider = measure({1: captions}, split, registry.named(["cider"]))[1].corpus["cider"].value
        found = {"validation_cider": cider}
        if self._clip is not None:
            found["validation_clipscore"] = self._clipscore(self._clip, captions, split)
        return found, captions[0]

    def _greedy_captions(self) -> list[str]:
        self._captioner.eval()
        captions, config = [], DecodingConfig(beam_sizes=(1,), max_length=self._config.max_length)
        rows = list(range(len(self._dataset.examples)))
        batches = [rows[at : at + ENCODE_BATCH] for at in range(0, len(rows), ENCODE_BATCH)]
        for batch, source in zip(batches, self._images.batches(batches), strict=True):
            with torch.inference_mode(), autocast(self._device, self._config):
                memory = self._images.memory(source)
                steps = self._captioner.start(memory, config.max_length)
                bos, eos = self._tokenizer.bos_id, self._tokenizer.eos_id
                found = sweep.search(steps, len(batch), 1, bos, eos, config, self._device)
            captions += [self._tokenizer.decode(hypothesis.tokens) for hypothesis in found]
        return captions

    def _clipscore(self, clip: Clip, captions: list[str], split: Split) -> float:
        if self._clip_images is None:
            photos = (self._dataset.photo(example) for example in self._dataset.examples)
            self._clip_images = clip.image_features([clip.prepare(open_photo(path)) for path in photos])
        features = self._clip_images
        clipscore, _ = ClipFamily(clip, lambda _: features).metrics
        return measure({1: captions}, split, [clipscore])[1].corpus["clipscore"].value


def _split(dataset: Dataset) -> Split:
    """Return the validation images as a `Split` for metrics."""
    return Split(
        tuple(example.image_id for example in dataset.examples),
        tuple(tuple(example.references) for example in dataset.examples),
        tuple(dataset.photo(example) for example in dataset.examples),
        fingerprint=dataset.fingerprint,
    )
