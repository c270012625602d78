"""Trained captioners as `protocols.Captioner` and `protocols.Explainer`: from photos to captions and word maps.

Each image is encoded once; the memory of the last chunk is kept to compute its maps.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from engine.captioners.native import checkpoints
from engine.captioners.native.captioner import CaptionerModel
from engine.captioners.native.gradients import gradients
from engine.captioners.native.replay import replay
from engine.captioners.native.scoring import token_scores
from engine.config import DecodingConfig
from engine.decoding import memory
from engine.decoding.batched import BatchedSearch, in_jobs, jobs_for
from engine.decoding.cuda_graphs import GraphCache
from engine.decoding.steps import TokenHypothesis
from engine.explain.attention import WordMaps
from engine.explain.gradient import Gradients
from engine.explain.token_scores import TokenScores
from engine.models import fingerprints
from engine.models.tokenizer import CaptionTokenizer
from engine.protocols import Hypothesis
from engine.store.schema import ATTENTION_PASSES

CHUNK = 64
"""Images per chunk: they are encoded and stored together, so an interruption loses at most one chunk."""

CHUNK_ON_GPU = 256
"""The same on a GPU with at least ROOMY bytes, which smaller chunks do not keep busy."""

ROOMY = 24 * 10**9
"""Memory of a GPU, in bytes, that fits the photos, keys and values of CHUNK_ON_GPU images."""

TIMED = 16
"""Minimum number of images for timing each beam size separately; in a sweep the sizes share their time."""

SCORED = 32
"""Captions that are read together for their distributions, which take 70 MB at the study's vocabulary."""

ENCODE, DECODE = "encode", "decode"
_DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class _Chunk:
    """The photos of the last call of `caption`, their memory float[N, P, D] and their search."""

    photos: Sequence[np.ndarray]
    encoded: torch.Tensor
    search: BatchedSearch
    sizes: tuple[int, ...]


def chunk_size_on(device: torch.device) -> int:
    """Return the number of images that are encoded together on a device."""
    if device.type == "cuda" and torch.cuda.get_device_properties(device).total_memory >= ROOMY:
        return CHUNK_ON_GPU
    return CHUNK


class NativeCaptioner:
    """A captioner of this project, or the study's own checkpoint."""

    attention_passes = ATTENTION_PASSES
    """Search rule -> the pass that maps are read from."""

    def __init__(
        self,
        model: CaptionerModel,
        tokenizer: CaptionTokenizer,
        folder: Path,
        device: str = "cpu",
        precision: str = "float32",
    ) -> None:
        # Before casting: the fingerprint is that of the stored weights.
        self.fingerprint = fingerprints.remembered(
            fingerprints.files_in(folder), "native captioner", lambda: checkpoints.fingerprint(model)
        )
        self.model, self.tokenizer, self.folder = model.to(device, _DTYPES[precision]), tokenizer, folder
        self.name = folder.resolve().name
        self.seconds = {ENCODE: 0.0, DECODE: 0.0}
        """Seconds spent in the parts of `caption` so far."""
        self._graphs = GraphCache()
        self._chunk: _Chunk | None = None

    @classmethod
    def load(
        cls,
        folder: Path,
        tokenizer: Path | None = None,
        fallback: Path | None = None,
        device: str = "cpu",
        precision: str = "float32",
    ) -> "NativeCaptioner":
        """Load a captioner from its folder; see `checkpoints.load` for arguments and errors."""
        # What is recorded of the training is needed when all captions are there: damage must show before.
        checkpoints.trained_on(folder)
        checkpoints.training_settings(folder)
        return cls(*checkpoints.load(folder, tokenizer, fallback), folder, device, precision)

    @property
    def metadata(self) -> dict[str, Any]:
        """Return the captioner's entries in `run.json`."""
        config = self.model.config
        return {
            "name": self.name,
            "path": str(self.folder),
            "encoder": config.encoder,
            "decoder_layers": config.num_layers,
            "heads": config.nhead,
            "d_model": config.d_model,
            "training": checkpoints.training_settings(self.folder),
            "fingerprint": self.fingerprint,
        }

    @cached_property
    def tokenizer_json(self) -> str:
        """Return the tokenizer as JSON, which identifies it: another tokenizer changes captions."""
        return self.tokenizer.to_json()

    @cached_property
    def chunk_size(self) -> int:
        """Return the best number of photos per call of `caption`."""
        return chunk_size_on(self.model.device)

    def trained_on(self) -> dict[str, int | None]:
        """Return the training images as id -> file size in bytes, None if only the name is known."""
        return checkpoints.trained_on(self.folder)

    @cached_property
    def _preprocessing(self):
        return self.model.preprocessing

    def read(self, photo: Image.Image) -> np.ndarray:
        """Return the crop that the model sees, uint8[S, S, 3]."""
        return self._preprocessing.window_bytes(photo)

    def crop(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Return the part of a photo that the model sees: x, y, width, height in pixels."""
        found = self._preprocessing.crop(width, height)
        return found.x, found.y, found.width, found.height

    def caption(
        self, photos: Sequence[np.ndarray], image_ids: Sequence[str], config: DecodingConfig
    ) -> dict[int, list[list[Hypothesis]]]:
        """Return the hypotheses of each photo at every beam size, best first; samples are in the order drawn."""
        start = time.perf_counter()
        before = self._chunk
        encoded = before.encoded if before is not None and before.photos is photos else self._encode(photos)
        with torch.inference_mode():
            cross = self.model.precompute_cross_attention(encoded)
        ids = (self.tokenizer.bos_id, self.tokenizer.eos_id)
        search = BatchedSearch(self.model, cross, *ids, config, image_ids, self._graphs)
        if self.model.device.type == "cuda":
            torch.cuda.synchronize(self.model.device)  # otherwise encoding time would count as decoding
        middle = time.perf_counter()
        found = search.run()
        self.seconds[ENCODE] += middle - start
        self.seconds[DECODE] += time.perf_counter() - middle
        self._chunk = _Chunk(photos, encoded, search, config.beam_sizes)
        return {size: [[self._hypothesis(each) for each in image] for image in every] for size, every in found.items()}

    def _hypothesis(self, found: TokenHypothesis) -> Hypothesis:
        text = self.tokenizer.decode(found.tokens)
        words = tuple(word.text for word in self.tokenizer.words(found.tokens))
        return Hypothesis(text, words, found.tokens, found.logprob, found.score, found.finished)

    def _encode(self, photos: Sequence[np.ndarray]) -> torch.Tensor:
        """Return the memory of photos, float[N, P, D], in the model's precision."""
        windows = torch.from_numpy(np.stack(photos))

        def encode(start: int, stop: int) -> list[torch.Tensor]:
            with torch.inference_mode():
                pixels = self.model.pixels(windows[start:stop].to(self.model.device))
                return list(self.model.encode(pixels.to(self.model.head.weight.dtype)))

        return torch.stack(memory.in_batches(encode, len(windows), len(windows)))

    def time_alone(self) -> dict[int, float]:
        """Return seconds per image of each beam size alone, measured on the last chunk; {} for a single size.

        Searches as many images of the chunk again as fill a batch.
        """
        if self._chunk is None or len(self._chunk.sizes) == 1:
            return {}
        search, on_cpu, found = self._chunk.search, self.model.device.type == "cpu", {}
        rows = (
            memory.ROWS if on_cpu else memory.ROWS_ON_GPU // 4
        )  # within 10 % of the speed per image of larger batches
        for size in self._chunk.sizes:
            images, times = min(len(search), max(TIMED, rows // size)), []
            for _ in range(1 if on_cpu else 3):  # the first run on a GPU is slower because it loads code
                before = time.perf_counter()
                search.run([size], images)
                times.append(time.perf_counter() - before)
            found[size] = min(times) / images
        self._graphs.clear()  # from here on the sizes are searched together, which is not replayed
        return found

    def maps(
        self, photos: Sequence[np.ndarray], captions: Sequence[Hypothesis], config: DecodingConfig, merge: str
    ) -> list[WordMaps]:
        """Return the word maps of captions, computed by the kind of pass that the search rule uses."""
        chunk = self._chunk
        encoded = chunk.encoded if chunk is not None and chunk.photos is photos else self._encode(photos)
        tokens = [caption.tokens or () for caption in captions]

        def some(start: int, stop: int) -> list[WordMaps]:
            part = (encoded[start:stop], tokens[start:stop])
            return replay(self.model, self.tokenizer, *part, merge, config.rule)

        def in_batches(first: int, last: int) -> list[WordMaps]:
            return memory.in_batches(lambda at, end: some(first + at, first + end), last - first, last - first)

        # As in the search: without a mask each length is a separate small pass, and cores that share one would wait.
        jobs = jobs_for(len(tokens), self.model.device) if config.rule == "study" else 1
        return in_jobs(in_batches, len(tokens), jobs)

    @property
    def fill(self) -> tuple[int, int, int]:
        """Return the mean colour of the encoder's training photos, RGB."""
        red, green, blue = (round(255 * each) for each in self._preprocessing.mean)
        return red, green, blue

    def region(self, photo: np.ndarray) -> tuple[float, float, float, float]:
        """Return the part of a photo of `read` that maps cover: all of it."""
        return 0.0, 0.0, float(photo.shape[1]), float(photo.shape[0])

    def token_scores(
        self,
        photos: Sequence[np.ndarray],
        captions: Sequence[Hypothesis],
        config: DecodingConfig,
        candidates: Sequence[int] = (),
    ) -> list[TokenScores]:
        """Read N captions with N photos; see `protocols.TokenScorer`."""
        encoded, rows = self._encoded(photos)
        tokens = [caption.tokens or () for caption in captions]

        def some(start: int, stop: int) -> list[TokenScores]:
            part = (encoded, rows[start:stop], tokens[start:stop])
            return token_scores(self.model, self.tokenizer, *part, candidates, config.rule)

        return memory.in_batches(some, len(tokens), SCORED)

    def _encoded(self, photos: Sequence[np.ndarray]) -> tuple[torch.Tensor, list[int]]:
        """Return the memory of the different photos, float[I, P, D], and the row of each photo.

        Photos of the last call of `caption` are not encoded again.
        """
        different = {id(photo): photo for photo in photos}
        at = {key: row for row, key in enumerate(different)}
        chunk = self._chunk
        known = {} if chunk is None else dict(zip(map(id, chunk.photos), chunk.encoded, strict=True))
        new = [photo for key, photo in different.items() if key not in known]
        encoded = iter(self._encode(new)) if new else iter(())
        parts = [known[key] if key in known else next(encoded) for key in different]
        return torch.stack(parts), [at[id(photo)] for photo in photos]

    def word_spans(self, caption: Hypothesis) -> list[tuple[int, int]]:
        """Return the first token and one past the last token of each word."""
        return [(word.start, word.stop) for word in self.tokenizer.words(caption.tokens or ())]

    def first_tokens(self, names: Sequence[str]) -> list[int]:
        """Return the first token of each name."""
        return [self.tokenizer.encode(name)[1] for name in names]

    def gradients(self, photo: np.ndarray, caption: Hypothesis, spans: Sequence[tuple[int, int]]) -> Gradients:
        """Return gradients of log p of the tokens of each span; see `protocols.GradientSource`."""
        return gradients(self.model, self.tokenizer, photo, caption.tokens or (), spans)
