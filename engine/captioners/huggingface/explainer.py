"""Word maps of Hugging Face's captioners: `protocols.Explainer`.

The weights of a finished caption over the image tokens are read in one pass, and each token is placed in the photo.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from engine.captioners.huggingface import handover, loading, places, replay, scoring
from engine.captioners.huggingface.families import FAMILIES
from engine.captioners.huggingface.grids import Grid, grid_over
from engine.captioners.huggingface.pipeline import DTYPES, HuggingFaceCaptioner
from engine.captioners.huggingface.qformer import query_maps
from engine.captioners.huggingface.words import TokenWords
from engine.config import DecodingConfig
from engine.decoding import memory
from engine.explain.attention import WordMaps, pooling
from engine.explain.tam import Activations
from engine.explain.token_scores import TokenScores
from engine.models.tokenizer import Word
from engine.protocols import Hypothesis
from engine.store.schema import END_WORD

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2}
"""Largest difference between one pass and the search's own steps, by the type of the weights."""

INSIDE = {"llava", "llava_next", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "paligemma", "smolvlm", "idefics3"}
"""Families whose image tokens are among those of the prompt."""

BATCH = 16
"""Captions whose weights are read together, if memory allows."""

KEPT = 4
"""Batches of photos that are kept for the other beam sizes: those of a chunk of 64."""

LARGEST = 65_536
"""Weights of a word, over layers, heads and cells; larger maps are averaged over heads."""


def load(
    name: str,
    device: str = "cpu",
    precision: str = "float32",
    prompt: str | None = None,
    device_map: str | dict[str, Any] | None = None,
) -> HuggingFaceCaptioner:
    """Load a captioner by `hf:NAME`, with maps if its family is supported; see `loading.load`."""
    loaded = loading.load(name, device, DTYPES[precision], device_map)
    kind = loaded.model.config.model_type
    if kind in INSIDE:
        return HuggingFaceActivations(loaded, prompt)
    return (HuggingFaceExplainer if kind in FAMILIES else HuggingFaceCaptioner)(loaded, prompt)


class HuggingFaceExplainer(HuggingFaceCaptioner):
    """A model of a supported family, with word maps."""

    reason_without_maps = None

    def __init__(self, loaded: loading.Loaded, prompt: str | None = None) -> None:
        super().__init__(loaded, prompt)
        self._grids: dict[tuple[int, int], Grid] = {}
        self._token_counts: dict[tuple[int, int], int] = {}
        self._kept: dict[tuple[int, ...], tuple[list[np.ndarray], dict[str, Any], handover.Batch]] = {}

    _is_exact: bool | None = None
    """Whether one pass gives the weights of the search's own steps, known after the first batch."""

    _scores_at_once: bool | None = None
    """The same for the distributions."""

    @property
    def attention_passes(self) -> dict[str, str]:
        """Return the pass that maps are read from, by search rule."""
        return {"standard": "one pass over the finished caption, as in the search"}

    def crop(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Return the part of a photo that the maps cover: x, y, width, height in pixels."""
        return self._grid((width, height), self._tokens_of((width, height))).crop

    def maps(
        self, photos: Sequence[np.ndarray], captions: Sequence[Hypothesis], config: DecodingConfig, merge: str
    ) -> list[WordMaps]:
        """Return the word maps of captions; the end token is kept as the word END_WORD."""

        def some(start: int, stop: int) -> list[WordMaps]:
            tokens = [caption.tokens or () for caption in captions[start:stop]]
            return self._maps(photos[start:stop], tokens, config, merge)

        return memory.in_batches(some, len(photos), BATCH)

    def _maps(
        self, photos: Sequence[np.ndarray], captions: Sequence[tuple[int, ...]], config: DecodingConfig, merge: str
    ) -> list[WordMaps]:
        inputs, batch = self._opened(photos, config)
        weights = self._weights(batch, captions)
        columns = self._image_columns(batch, inputs, weights)
        words = TokenWords(self._loaded.tokenizer, batch.end_ids, batch.pad_id)
        queries = query_maps(self._loaded.model, inputs) if self._has_queries else None
        maps = []
        for row, (photo, tokens) in enumerate(zip(photos, captions, strict=True)):
            spans = words.words(tokens)
            if tokens and tokens[-1] in batch.end_ids:
                spans.append(Word(END_WORD, len(tokens) - 1, len(tokens)))
            own = weights.values[row][..., columns[row]].cpu()
            own = own if queries is None else own @ queries[row]
            height, width = photo.shape[:2]
            maps.append(self._on_photo(own, spans, (width, height), merge))
        return maps

    @property
    def fill(self) -> tuple[int, int, int]:
        """Return the mean colour that the image processor subtracts, RGB; grey if it does not name one."""
        mean = getattr(self._loaded.image_processor, "image_mean", None)
        if not isinstance(mean, list | tuple) or len(mean) != 3:
            return 127, 127, 127
        red, green, blue = (min(255, max(0, round(255 * float(each)))) for each in mean)
        return red, green, blue

    def region(self, photo: np.ndarray) -> tuple[float, float, float, float]:
        """Return the part of a photo that the maps cover: x, y, width, height in pixels."""
        height, width = photo.shape[:2]
        return self.crop(width, height)

    def token_scores(
        self,
        photos: Sequence[np.ndarray],
        captions: Sequence[Hypothesis],
        config: DecodingConfig,
        candidates: Sequence[int] = (),
    ) -> list[TokenScores]:
        """Read N captions with N photos; see `protocols.TokenScorer`."""

        def some(start: int, stop: int) -> list[TokenScores]:
            tokens = [caption.tokens or () for caption in captions[start:stop]]
            pictures = [Image.fromarray(photo) for photo in photos[start:stop]]
            batch = handover.open_batch(
                self._loaded, handover.model_inputs(self._loaded, pictures, self._prompt), config
            )
            return scoring.scores(self._logits(batch, tokens), batch, tokens, candidates)

        return memory.in_batches(some, len(captions), BATCH)

    def _logits(self, batch: handover.Batch, captions: Sequence[tuple[int, ...]]) -> Tensor:
        """Return logits by one pass, if it agrees with the search's own steps on the first batch."""
        if self._scores_at_once is None:
            quick, slow = (way(batch.copied(), captions) for way in (scoring.one_pass, scoring.step_by_step))
            most = scoring.difference(quick, slow, captions)
            self._scores_at_once = most <= 10 * TOLERANCE[self._loaded.model.dtype]
            return slow
        return (scoring.one_pass if self._scores_at_once else scoring.step_by_step)(batch.copied(), captions)

    def word_spans(self, caption: Hypothesis) -> list[tuple[int, int]]:
        """Return the first token and one past the last token of each word."""
        return [(word.start, word.stop) for word in self._token_words.words(caption.tokens or ())]

    def first_tokens(self, names: Sequence[str]) -> list[int]:
        """Return the first token of each name as it follows another word."""
        found = []
        for name in names:
            ids = self._loaded.tokenizer(f"a {name}", add_special_tokens=False)["input_ids"]
            words = self._token_words.words(ids)
            found.append(int(ids[words[1].start if len(words) > 1 else -1]))
        return found

    @cached_property
    def _token_words(self) -> TokenWords:
        config = DecodingConfig(beam_sizes=(1,), max_length=2)
        batch = handover.open_batch(
            self._loaded, handover.model_inputs(self._loaded, [Image.new("RGB", (64, 64))], self._prompt), config
        )
        return TokenWords(self._loaded.tokenizer, batch.end_ids, batch.pad_id)

    def _opened(self, photos: Sequence[np.ndarray], config: DecodingConfig) -> tuple[dict[str, Any], handover.Batch]:
        """Return the inputs and the unused batch of photos; those of a chunk are kept for its other beam sizes."""
        key = tuple(map(id, photos))
        if key not in self._kept:
            if len(self._kept) >= KEPT:
                self._kept.clear()
            inputs = handover.model_inputs(self._loaded, [Image.fromarray(photo) for photo in photos], self._prompt)
            # The photos are kept as well, so that their ids are not given to others.
            self._kept[key] = list(photos), inputs, handover.open_batch(self._loaded, inputs, config)
        return self._kept[key][1:]

    def _on_photo(self, weights: Tensor, words: Sequence[Word], size: tuple[int, int], merge: str) -> WordMaps:
        """Return the maps of a caption's words from the weights float[L, H, T, tokens] of its tokens."""
        grid = self._grid(size, weights.shape[-1])
        if not words:
            return WordMaps.of((), np.empty(0), (grid.rows, grid.columns))
        pool = torch.from_numpy(pooling([[(word.start, word.stop) for word in words]], weights.shape[2], merge)[0])
        merged = torch.einsum("wt,lhtp->wlhp", pool, weights @ grid.spread)
        if merged[0].numel() > LARGEST:
            merged = merged.mean(2, keepdim=True)
        return WordMaps.of([word.text for word in words], merged.numpy(), (grid.rows, grid.columns))

    def _weights(self, batch: handover.Batch, captions: Sequence[tuple[int, ...]]) -> replay.Weights:
        """Return the weights by one pass, if it agrees with the search's own steps on the first batch."""
        if self._is_exact is None:
            quick, slow = (way(batch.copied(), captions) for way in (replay.one_pass, replay.step_by_step))
            most = replay.difference(quick, slow, captions)
            self._is_exact = most <= TOLERANCE[self._loaded.model.dtype]
            if not self._is_exact:
                tqdm.write(f"attention is read step by step, because one pass differs by {most:.2g}")
            return slow
        return (replay.one_pass if self._is_exact else replay.step_by_step)(batch.copied(), captions)

    @property
    def _has_queries(self) -> bool:
        return self._loaded.model.config.model_type == "blip-2"

    def _image_columns(self, batch: handover.Batch, inputs: dict, weights: replay.Weights) -> Tensor:
        """Return which keys are image tokens, bool[B, K], in order."""
        config, keys = self._loaded.model.config, weights.values.shape[-1]
        known = (getattr(config, key, None) for key in ("image_token_id", "image_token_index"))
        token = next((found for found in known if found is not None), None)
        ids = inputs.get("input_ids") if weights.is_cross else batch.ids
        if token is not None and ids is not None and ids.shape[1] == keys and bool((ids == token).any()):
            return ids == token
        columns = torch.ones(len(batch.ids), keys, dtype=torch.bool, device=batch.ids.device)
        if not weights.is_cross:  # GIT: keys of the image come before those of the ids
            columns[:, keys - batch.ids.shape[1] :] = False
        return columns

    def _tokens_of(self, size: tuple[int, int]) -> int:
        """Return the number of image tokens of a photo of a size."""
        if size not in self._token_counts:
            config = DecodingConfig(beam_sizes=(1,), max_length=2)
            inputs = handover.model_inputs(self._loaded, [Image.new("RGB", size)], self._prompt)
            batch = handover.open_batch(self._loaded, inputs, config)
            weights = replay.one_pass(batch, [(batch.end_ids[0],)])
            columns = self._image_columns(batch, inputs, weights)
            count = int(columns.sum())
            if self._has_queries:
                count = query_maps(self._loaded.model, inputs).shape[-1]
            self._token_counts[size] = count
        return self._token_counts[size]

    def _grid(self, size: tuple[int, int], tokens: int) -> Grid:
        """Return the grid over a photo of a size; photos of one size share it."""
        self._token_counts[size] = tokens
        if size not in self._grids:
            self._grids[size] = grid_over(places.token_boxes(self._loaded, self._prompt, size, tokens))
        return self._grids[size]


class HuggingFaceActivations(HuggingFaceExplainer):
    """A model whose language model reads the image tokens, with token activation maps."""

    def activations(self, photo: np.ndarray, caption: Hypothesis) -> Activations:
        """Return the logits of a caption's tokens at the image tokens; see `protocols.ActivationSource`."""
        tokens = caption.tokens or ()
        inputs, batch = self._opened([photo], DecodingConfig(beam_sizes=(1,), max_length=max(len(tokens), 1)))
        columns = self._image_columns(batch, inputs, self._weights(batch, [tokens]))[0].cpu()
        prompt, steps = scoring.hidden_states(batch, tokens)
        words = self._loaded.model.get_output_embeddings().weight.detach()[list(tokens)].float().cpu()
        image = words @ prompt[columns].T
        height, width = photo.shape[:2]
        return Activations(
            (image @ self._grid((width, height), image.shape[1]).spread).numpy(), (words @ steps.T).numpy()
        )
