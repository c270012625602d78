"""Models of Hugging Face as `protocols.Captioner`: their photos, prompt and key-value cache, our search.

All beam sizes of a sweep are searched together, as for our own captioners; see `decoding.sweep`.
"""

import json
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from engine.captioners.huggingface import estimates, handover, loading, settings
from engine.captioners.huggingface.errors import HuggingFaceError
from engine.captioners.huggingface.identity import identity
from engine.captioners.huggingface.steps import TransformersSteps, can_share
from engine.captioners.huggingface.words import TokenWords
from engine.config import DecodingConfig
from engine.decoding import memory
from engine.decoding.batched import BatchedSearch
from engine.decoding.steps import TokenHypothesis
from engine.protocols import Hypothesis
from engine.reading import first_line, quoted

DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}

SHARED_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2}
"""Largest difference of logits with keys stored once per photo, as a share of the largest, by type of the weights."""


class _Decoder:
    """A model as `decoding.batched.StepModel`; its images are the photos themselves."""

    def __init__(self, loaded: loading.Loaded, text: str | None, config: DecodingConfig, is_shared: bool) -> None:
        """`is_shared`: keys and values of photo and prompt are stored once per image."""
        self._loaded, self._text, self._config, self._is_shared = loaded, text, config, is_shared

    @property
    def device(self) -> torch.device:
        return self._loaded.device

    def start(self, photos: Sequence[Image.Image], max_length: int) -> TransformersSteps:
        """Encode photos and prompt, and return a decoding with one prefix per photo."""
        return TransformersSteps(self._open(photos), max_length if self._is_shared else None)

    def reader(self, images: Any) -> Any:
        raise NotImplementedError("the study's rule needs a decoder of this project")

    def bytes_per_image(self, photos: Sequence[Image.Image], beams: int, steps: int) -> int:
        """Return the bytes of a search of `beams` prefixes for the largest of the photos."""
        largest = max(photos, key=lambda photo: photo.width * photo.height)
        return estimates.bytes_per_image(estimates.sizes_of(self._open([largest])), beams, steps, self._is_shared)

    def _open(self, photos: Sequence[Image.Image]) -> handover.Batch:
        inputs = handover.model_inputs(self._loaded, photos, self._text)
        return handover.open_batch(self._loaded, inputs, self._config)


class HuggingFaceCaptioner:
    """A model that transformers loads as AutoModelForImageTextToText, without maps; see `explainer`."""

    reason_without_maps: str | None = "it is not known where the image tokens of this model lie in the photo"

    def __init__(self, loaded: loading.Loaded, prompt: str | None = None) -> None:
        self._loaded, self.name = loaded, loaded.name
        settings.check(loaded.name, loaded.model.generation_config)
        self._prompt = handover.prompt_text(loaded, prompt)
        self._is_shared: bool | None = None
        self._is_whole = False
        self.seconds = {"encode": 0.0, "decode": 0.0}
        """Seconds spent in the parts of `caption` so far."""

    @cached_property
    def fingerprint(self) -> str:
        """Return text that changes with everything that changes captions."""
        return json.dumps(self.identity, sort_keys=True)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Return what must be equal for a run to continue, see `identity.identity`."""
        return identity(self._loaded, self._prompt)

    @property
    def metadata(self) -> dict[str, Any]:
        """Return the captioner's entries in `run.json`."""
        config = self._loaded.model.config
        text = config.get_text_config(decoder=True)
        vision = getattr(config, "vision_config", None) or getattr(config, "encoder", None)
        return {
            "family": self._loaded.family.title,
            "model_type": config.model_type,
            "encoder": getattr(vision, "model_type", config.model_type),
            "decoder_layers": text.num_hidden_layers,
            "heads": text.num_attention_heads,
            "d_model": text.hidden_size,
            **{name: value for name, value in self.identity.items() if name != "captioner"},
            **({"maps": self.reason_without_maps} if self.reason_without_maps else {}),
        }

    def check(self, config: DecodingConfig) -> None:
        """Raise `HuggingFaceError` if the model cannot be searched with these settings."""
        if config.rule == "study":
            raise HuggingFaceError(f"hf:{self.name}: --rule study needs a captioner of this project; remove --rule")

    def read(self, photo: Image.Image) -> np.ndarray:
        """Return the photo; the model's own processor prepares it."""
        return np.asarray(photo, dtype=np.uint8)

    def caption(
        self, photos: Sequence[np.ndarray], image_ids: Sequence[str], config: DecodingConfig
    ) -> dict[int, list[list[Hypothesis]]]:
        """Return the hypotheses of each photo at every beam size, best first; samples are in the order drawn."""
        start = time.perf_counter()
        pictures = [Image.fromarray(photo) for photo in photos]
        probe, is_shared = self._probe(pictures[0], config)
        words = TokenWords(self._loaded.tokenizer, probe.end_ids, probe.pad_id)
        # Repetition constraints are among the model's rules, which count the prompt as transformers does.
        plain = replace(config, repetition_penalty=1.0, no_repeat_ngram=0)
        decoder = _Decoder(self._loaded, self._prompt, config, is_shared)
        search = BatchedSearch(decoder, pictures, 0, probe.end_ids, plain, image_ids)
        with self._failures():
            found = search.run()
        self.seconds["decode"] += time.perf_counter() - start
        return {
            size: [[_hypothesis(each, words) for each in image] for image in every] for size, every in found.items()
        }

    def _probe(self, photo: Image.Image, config: DecodingConfig) -> tuple[handover.Batch, bool]:
        """Return one photo, ready for its first step, and whether keys can be stored once per photo.

        Raises:
            HuggingFaceError: the model or its processor fails; captions of this length do not fit the model.
        """
        with self._failures():
            probe = self._open([photo], config)
            self._check_length(probe, config)
            self._check_weights(photo, config)
            if self._is_shared is None:  # tried at the first call
                tolerance = SHARED_TOLERANCE[self._loaded.model.dtype]
                self._is_shared = can_share(lambda: self._open([photo, photo], config), tolerance)
                if not self._is_shared:
                    tqdm.write("this model needs more memory: its keys and values are stored per beam, not per photo")
        return probe, self._is_shared

    def _check_weights(self, photo: Image.Image, config: DecodingConfig) -> None:
        if self._loaded.missing and not self._is_whole:
            with torch.inference_mode():
                logits = TransformersSteps(self._open([photo], config)).step(torch.empty(0, dtype=torch.long))
            if bool(logits.isnan().any()):
                raise HuggingFaceError(
                    f"hf:{self.name}: its files lack {loading.listed(self._loaded.missing)}, which captions "
                    "need; copy the model's folder again"
                )
            self._is_whole = True

    def _open(self, photos: Sequence[Image.Image], config: DecodingConfig) -> handover.Batch:
        return handover.open_batch(self._loaded, handover.model_inputs(self._loaded, photos, self._prompt), config)

    def _check_length(self, probe: handover.Batch, config: DecodingConfig) -> None:
        limit = getattr(probe.model.config.get_text_config(decoder=True), "max_position_embeddings", None)
        # The last token of a caption is not read.
        needed = probe.ids.shape[1] + config.max_length - 1
        if isinstance(limit, int) and needed > limit:
            most = limit + 1 - probe.ids.shape[1]
            raise HuggingFaceError(
                f"hf:{self.name}: --max-length {config.max_length}: the model has {limit} positions, the prompt takes "
                f"{probe.ids.shape[1]}; use at most --max-length {most}"
            )

    @contextmanager
    def _failures(self) -> Generator[None]:
        """Turn errors of the model or its processor, whose settings are those of other people, into one sentence."""
        try:
            yield
        except (HuggingFaceError, memory.MemoryShort, torch.OutOfMemoryError):
            raise
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError) as error:
            if memory.is_out_of_memory(error):
                raise
            parts = "--prompt, and the model's processor, tokenizer and config"
            parts = parts if self._prompt is not None else parts.removeprefix("--prompt, and ")
            raise HuggingFaceError(
                f"hf:{self.name}: the model cannot caption a photo ({type(error).__name__}: "
                f"{quoted(first_line(error))}); check {parts}"
            ) from error


def _hypothesis(found: TokenHypothesis, words: TokenWords) -> Hypothesis:
    spoken = tuple(word.text for word in words.words(found.tokens))
    return Hypothesis(words.text(found.tokens), spoken, found.tokens, found.logprob, found.score, found.finished)
