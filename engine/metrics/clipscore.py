"""CLIPScore and RefCLIPScore (Hessel et al., EMNLP 2021).

Works on feature arrays and an object with `text_features`; the caller provides the features of photos.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Protocol

import numpy as np

from engine.data.split import Split
from engine.metrics.base import Described, PerImage, with_ones
from engine.protocols import Need

CLIPSCORE_WEIGHT = 2.5
"""Hessel et al., CLIPScore (EMNLP 2021), section 3: w = 2.5 rescales cosines to about [0, 1]."""


class EncodedTexts(Protocol):
    """Features of N texts."""

    @property
    def features(self) -> np.ndarray:
        """Features float[N, D]."""

    @property
    def truncated(self) -> np.ndarray:
        """Whether a text was longer than CLIP's context, bool[N]."""


class TextEncoder(Protocol):
    """The part of a CLIP that is needed here; `models.clip.Clip` is one."""

    name: str
    fingerprint: str
    setup: str

    def text_features(self, texts: Sequence[str], progress: Callable[[Iterable], Iterable] = ...) -> EncodedTexts:
        """Return the features of texts."""


class ClipFamily:
    """CLIPScore and RefCLIPScore of all settings: every distinct text is encoded once."""

    def __init__(
        self,
        clip: TextEncoder,
        images: Callable[[Split], np.ndarray],
        prefix: str = "",
        progress: Callable[[Iterable], Iterable] = lambda batches: batches,
    ) -> None:
        """`images` returns the features float[N, D] of a split's photos; rows of missing photos are NaN."""
        self.clip, self.prefix = clip, prefix
        self._images, self._progress = images, progress
        self.truncated: dict[str, bool] = {}
        """Caption -> whether it was longer than CLIP's context, for all captions scored so far."""

    @property
    def metrics(self) -> "tuple[ClipMetric, ClipMetric]":
        """Return the two metrics of the family."""
        return ClipMetric("clipscore", self), ClipMetric("refclipscore", self)

    def statistics(
        self, keys: Sequence[str], settings: Mapping[int, Sequence[str]], split: Split
    ) -> dict[str, dict[int, np.ndarray]]:
        """Return key -> setting -> statistics float64[N, 2]; NaN rows if an image lacks what the metric needs."""
        every = self.of_features(settings, split.references, self._images(split))
        found = {key: every[key] for key in keys}
        if split.having({"references"}):
            return found
        return {key: by_setting for key, by_setting in found.items() if key != "refclipscore"}

    def of_features(
        self, settings: Mapping[int, Sequence[str]], references: Sequence[Sequence[str]], images: np.ndarray
    ) -> dict[str, dict[int, np.ndarray]]:
        """Return both metrics of the captions of N photos with these features float[N, D]; see `statistics`."""
        texts = [self.prefix + text for each in settings.values() for text in each]
        texts += [self.prefix + text for each in references for text in each]
        encoded = self.clip.text_features(texts, self._progress)
        start = len(settings) * len(images)
        counts = [len(each) for each in references]
        of_references = np.split(encoded.features[start:], np.cumsum(counts)[:-1])
        found: dict[str, dict[int, np.ndarray]] = {"clipscore": {}, "refclipscore": {}}
        for number, (setting, captions) in enumerate(settings.items()):
            rows = slice(number * len(images), (number + 1) * len(images))
            self.truncated.update(zip(captions, encoded.truncated[rows].tolist(), strict=True))
            own = encoded.features[rows]
            scores = clipscore(images, own)
            found["clipscore"][setting] = with_ones(scores)
            found["refclipscore"][setting] = with_ones(_with_references(scores, own, of_references))
        return found


class ClipMetric(Described, PerImage):
    """One metric of the family."""

    def __init__(self, key: str, family: ClipFamily) -> None:
        self.key, self.family = key, family
        self.needs: Collection[Need] = {"photos"} if key == "clipscore" else {"photos", "references"}

    @property
    def tool(self) -> str:
        """Return the version of this package: the number is computed here."""
        return version("captionscope")

    @property
    def signature(self) -> dict[str, Any]:
        """Return the fields of the signature that identify the CLIP."""
        clip = self.family.clip
        named = {"clip": clip.name, "weights": clip.fingerprint, "clip_setup": clip.setup}
        return {**named, "dtype": "float32", "prefix": json.dumps(self.family.prefix)}

    def statistics(self, captions: Sequence[str], split: Split) -> np.ndarray:
        """Return float64[N, 2]; see `protocols.Metric`."""
        return self.family.statistics([self.key], {0: captions}, split)[self.key][0]


def _with_references(scores: np.ndarray, own: np.ndarray, of_references: Sequence[np.ndarray]) -> np.ndarray:
    """Return RefCLIPScore float64[N], NaN for images without a photo or without references."""
    both = [row for row, each in enumerate(of_references) if len(each) and np.isfinite(scores[row])]
    every = np.full(len(scores), np.nan)
    if both:
        every[both] = refclipscore(scores[both], own[both], [of_references[row] for row in both])
    return every


def clipscore(image_features: np.ndarray, text_features: np.ndarray) -> np.ndarray:
    """Return CLIPScore of N pairs: 2.5 * max(cos, 0), float64[N].

    Rows need not be normalised; a NaN row gives NaN.
    """
    return CLIPSCORE_WEIGHT * np.maximum(_cosine(image_features, text_features), 0.0)


def refclipscore(scores: np.ndarray, text_features: np.ndarray, reference_features: Sequence[np.ndarray]) -> np.ndarray:
    """Return RefCLIPScore of N captions, float64[N].

    It is the harmonic mean of CLIPScore and the best max(cos, 0) to a reference.

    Args:
        scores: CLIPScores float64[N].
        text_features: of the captions, float[N, D].
        reference_features: of each image's references, N arrays float[R, D].
    """
    best = np.array(
        [
            max(_cosine(np.broadcast_to(text, references.shape), references).max(), 0.0)
            for text, references in zip(text_features, reference_features, strict=True)
        ]
    )
    total = scores + best
    return np.divide(2 * scores * best, total, out=np.zeros_like(total), where=total != 0)


def _cosine(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    left, right = left.astype(np.float64), right.astype(np.float64)
    norms = np.linalg.norm(left, axis=-1) * np.linalg.norm(right, axis=-1)
    return (left * right).sum(-1) / norms
