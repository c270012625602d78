"""The stage from photos to captions and their attention maps: the tables of one chunk of images."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from engine.config import DecodingConfig
from engine.data.dataset import Dataset, Example
from engine.data.photos import PhotoError, light, open_photo
from engine.evaluation import explanations, metadata
from engine.evaluation.explanations import ExplainSettings
from engine.evaluation.provenance import Stopwatch
from engine.evaluation.sampling import Sample
from engine.evaluation.word_evidence import EvidenceSettings, sample_rows, word_rows
from engine.explain.attention import WordMaps
from engine.protocols import Captioner, Explainer, Hypothesis, PluginError, TokenScorer
from engine.store import tables

TABLES = ("images", "skipped", "captions", "attention", "hypotheses", "words", "samples")
"""The tables of a chunk."""

DECODE = "decode"
_ALONE = "an image at beam {} alone"


@dataclass(frozen=True)
class CaptionSettings:
    """How captions are generated, and which attention maps are stored."""

    decoding: DecodingConfig
    attention_beams: tuple[int, ...]
    """Beam sizes whose maps are stored; requires a captioner that is an Explainer."""
    merge: str
    sample: Sample | None = None
    """The images whose maps are stored; None stores those of all."""
    evidence: EvidenceSettings | None = None
    """What is computed for every word; None for nothing."""


@dataclass(frozen=True)
class PreparedPhoto:
    """A photo prepared for the captioner and its size, or the reason why it is skipped."""

    prepared: Any
    size: tuple[int, int] = (0, 0)
    reason: str | None = None
    light: tuple[float | None, float | None] = (None, None)
    """Brightness and contrast."""


def reader(dataset: Dataset, captioner: Captioner) -> Callable[[Example], PreparedPhoto]:
    """Return a function that reads the photo of an example, for the reading threads."""

    def read(example: Example) -> PreparedPhoto:
        try:
            photo = open_photo(dataset.photo(example))
        except PhotoError as error:
            return PreparedPhoto(None, reason=str(error))
        return PreparedPhoto(captioner.read(photo), photo.size, light=light(photo))

    return read


def caption(
    captioner: Captioner,
    examples: Sequence[Example],
    photos: Sequence[PreparedPhoto],
    settings: CaptionSettings,
    watch: Stopwatch,
    times_sizes: bool = False,
) -> dict[str, pa.Table]:
    """Return the tables of one chunk, see TABLES; `photos` belong to `examples`.

    Args:
        watch: receives the seconds of each part.
        times_sizes: also time each beam size alone, if the captioner can.
    """
    pairs = list(zip(examples, photos, strict=True))
    usable = [(example, photo) for example, photo in pairs if photo.reason is None]
    skipped = [
        {"image_id": example.image_id, "file_name": example.file_name, "reason": photo.reason}
        for example, photo in pairs
        if photo.reason is not None
    ]
    rows: dict[str, list[dict]] = {each: [] for each in ("captions", "attention", "hypotheses", "words", "samples")}
    if usable:
        prepared = [photo.prepared for _, photo in usable]
        named = [example.image_id for example, _ in usable]
        found = _hypotheses(captioner, prepared, named, settings.decoding, watch)
        time_alone = getattr(captioner, "time_alone", None)  # of our own captioners
        if times_sizes and time_alone is not None:
            watch.add({_ALONE.format(size): seconds for size, seconds in time_alone().items()})
        for size, lists in found.items():
            best = [each[0] for each in lists]
            rows["captions"] += [_caption_row(*pair, size) for pair in zip(named, best, strict=True)]
            if settings.decoding.n_best > 1:
                rows["hypotheses"] += _hypothesis_rows(named, size, lists)
            if isinstance(captioner, Explainer) and size in settings.attention_beams:
                chosen = _sampled(list(zip(usable, best, strict=True)), settings.sample)
                with watch.measure("attention"):
                    rows["attention"] += _map_rows(captioner, prepared, chosen, size, settings)
        if settings.evidence is not None and isinstance(captioner, TokenScorer):
            best = {size: [each[0] for each in lists] for size, lists in found.items()}
            known = (prepared, named)
            with watch.measure("words"):
                rows["words"] = word_rows(
                    captioner, *known, best, rows["attention"], settings.decoding, settings.evidence
                )
            with watch.measure("samples"):
                rows["samples"] = sample_rows(captioner, *known, settings.decoding, settings.evidence)
    images = [metadata.image_row(example, photo.size, photo.light) for example, photo in usable]
    every = {"images": images, "skipped": skipped, **rows}
    return {table: tables.table_of(table, every[table]) for table in TABLES}


def replay(
    captioner: Captioner,
    examples: Sequence[Example],
    photos: Sequence[PreparedPhoto],
    captions: Mapping[int, Mapping[str, Hypothesis]],
    settings: CaptionSettings,
    watch: Stopwatch,
) -> dict[str, pa.Table]:
    """Return the table `attention` of finished captions.

    Args:
        captions: beam size -> image id -> caption; the images are among `examples`.
    """
    usable = [pair for pair in zip(examples, photos, strict=True) if pair[1].reason is None]
    rows = []
    for size in sorted(captions):
        some = [(pair, captions[size][pair[0].image_id]) for pair in usable if pair[0].image_id in captions[size]]
        if some and isinstance(captioner, Explainer):
            with watch.measure("attention"):
                rows += _map_rows(captioner, [], some, size, settings)
    return {"attention": tables.table_of("attention", rows)}


def explain(
    captioner: Captioner,
    examples: Sequence[Example],
    photos: Sequence[PreparedPhoto],
    captions: Mapping[int, Mapping[str, Hypothesis]],
    config: DecodingConfig,
    settings: ExplainSettings,
    watch: Stopwatch,
) -> dict[str, pa.Table]:
    """Return the tables `words`, with the effects of covering only, and `explanations` of finished captions.

    Args:
        captions: beam size -> image id -> caption; the images are among `examples`.
    """
    usable = [pair for pair in zip(examples, photos, strict=True) if pair[1].reason is None]
    rows: dict[str, list[dict[str, Any]]] = {"words": [], "explanations": []}
    if isinstance(captioner, Explainer) and isinstance(captioner, TokenScorer):
        some = _different(usable, captions)
        boxed = [example.boxes_on(*photo.size) for (example, photo), _, _ in some]
        prepared, sizes = [pair[1].prepared for pair, _, _ in some], [pair[1].size for pair, _, _ in some]
        own, table = [caption for _, caption, _ in some], "explanations" if settings.methods else "words"
        with watch.measure("explanations"):
            every = explanations.explained(captioner, captioner, boxed, prepared, sizes, own, config, settings)
            for each, (pair, _, beams) in zip(every, some, strict=True):
                name = pair[0].image_id
                found = explanations.measured(each, settings, name) if settings.methods else explanations.effects(each)
                rows[table] += [{"image_id": name, "beam_size": size, **row} for size in beams for row in found]
    return {table: tables.table_of(table, found) for table, found in rows.items()}


def _different(
    usable: Sequence["_Pair"], captions: Mapping[int, Mapping[str, Hypothesis]]
) -> list[tuple["_Pair", Hypothesis, list[int]]]:
    """Return the different captions of each image with the beam sizes that share them."""
    found: dict[tuple[str, tuple[int, ...] | None], tuple[_Pair, Hypothesis, list[int]]] = {}
    for pair in usable:
        for size in sorted(captions):
            caption = captions[size].get(pair[0].image_id)
            if caption is not None:
                found.setdefault((pair[0].image_id, caption.tokens), (pair, caption, []))[2].append(size)
    return list(found.values())


_Pair = tuple[Example, PreparedPhoto]


def _sampled(every: list[tuple[_Pair, Hypothesis]], sample: Sample | None) -> list[tuple[_Pair, Hypothesis]]:
    return every if sample is None else [each for each in every if sample.has(each[0][0].image_id)]


def _map_rows(
    captioner: Explainer,
    prepared: Sequence[Any],
    chosen: Sequence[tuple[_Pair, Hypothesis]],
    size: int,
    settings: CaptionSettings,
) -> list[dict[str, Any]]:
    """Return rows of `attention` for the chosen captions; `prepared` are the photos of all, as they were captioned."""
    if not chosen:
        return []
    pairs, captions = [pair for pair, _ in chosen], [caption for _, caption in chosen]
    # The same object as in `caption` if it has the photos of all: captioners keep what they computed of it.
    photos = prepared if len(prepared) == len(chosen) else [photo.prepared for _, photo in pairs]
    maps = captioner.maps(photos, captions, settings.decoding, settings.merge)
    _check_maps(getattr(captioner, "name", ""), captions, maps)
    return _attention_rows(captioner, pairs, size, maps)


def _hypotheses(
    captioner: Captioner, photos: Sequence[Any], image_ids: Sequence[str], config: DecodingConfig, watch: Stopwatch
) -> Mapping[int, Sequence[Sequence[Hypothesis]]]:
    """Return the checked hypotheses; add the time to `watch`, separated by part if the captioner measures them."""
    before, start = dict(getattr(captioner, "seconds", {})), time.perf_counter()
    found = captioner.caption(photos, image_ids, config)
    own = {name: seconds - before[name] for name, seconds in getattr(captioner, "seconds", {}).items()}
    watch.add(own or {DECODE: time.perf_counter() - start})
    _check(captioner, found, len(photos), config)
    return found


def alone(seconds: Mapping[str, float], size: int) -> float | None:
    """Return the seconds per image of a beam size alone, None if not measured."""
    return seconds.get(_ALONE.format(size))


def _check(
    captioner: Captioner, found: Mapping[int, Sequence[Sequence[Hypothesis]]], images: int, config: DecodingConfig
) -> None:
    """Check the result of a captioner, which may be a plugin.

    Raises:
        PluginError: the result does not follow the protocol.
    """
    named = f"captioner {captioner.name!r}"
    if not isinstance(found, Mapping) or set(found) != set(config.beam_sizes):
        returned = sorted(found) if isinstance(found, Mapping) else found
        raise PluginError(f"{named} returned beam sizes {returned}, expected {list(config.beam_sizes)}")
    for size, lists in found.items():
        if len(lists) != images:
            raise PluginError(f"{named} returned {len(lists)} lists at beam size {size}, expected {images}")
        for each in lists:
            if not 1 <= len(each) <= config.n_best:
                raise PluginError(f"{named} returned {len(each)} hypotheses of an image, expected 1 to {config.n_best}")
            wrong = next((one for one in each if not _is_hypothesis(one)), None)
            if wrong is not None:
                raise PluginError(
                    f"{named} returned {wrong!r}, expected a Hypothesis with a text, a tuple of words, and numbers"
                )


def _is_hypothesis(found: object) -> bool:
    if not isinstance(found, Hypothesis) or not isinstance(found.text, str) or isinstance(found.words, str):
        return False
    numbers = (each for each in (found.logprob, found.score) if each is not None)
    return all(isinstance(word, str) for word in found.words) and all(isinstance(each, int | float) for each in numbers)


def _check_maps(name: str, captions: Sequence[Hypothesis], maps: Sequence[WordMaps]) -> None:
    named = f"captioner {name!r}"
    if len(maps) != len(captions) or not all(isinstance(each, WordMaps) for each in maps):
        raise PluginError(
            f"{named} returned maps of {len(maps)} captions, expected a WordMaps for each of {len(captions)}"
        )
    for caption, each in zip(captions, maps, strict=True):
        if each.words[: len(caption.words)] != tuple(caption.words):
            raise PluginError(f"{named} returned maps of {list(each.words)}, expected those of {list(caption.words)}")
        if each.share is not None and np.shape(each.share) != (len(each.words),):
            raise PluginError(
                f"{named} returned shares {np.shape(each.share)}, expected one per word ({len(each.words)})"
            )
    shapes = {each.weights.shape[1:3] for each in maps if len(each.words)}  # grids may differ, as photos do
    if len(shapes) > 1:
        raise PluginError(f"{named} returned maps of {sorted(shapes)[:2]} layers and heads, expected the same for all")


def _crop(captioner: Explainer, size: tuple[int, int]) -> dict[str, float]:
    """Return the part of a photo that maps cover, checked."""
    found = tuple(captioner.crop(*size))
    if len(found) != 4 or not all(math.isfinite(side) for side in found) or found[2] <= 0 or found[3] <= 0:
        raise PluginError(
            f"the captioner's crop of a {size[0]} x {size[1]} photo is {found}, expected x, y, width, height"
        )
    return dict(zip(("x", "y", "width", "height"), map(float, found), strict=True))


def _caption_row(image_id: str, found: Hypothesis, size: int) -> dict[str, Any]:
    return {
        "image_id": image_id,
        "beam_size": size,
        "caption": found.text,
        "words": list(found.words),
        "logprob": found.logprob,
        "score": found.score,
        "finished": found.finished,
        "tokens": None if found.tokens is None else list(found.tokens),
    }


def _hypothesis_rows(
    image_ids: Sequence[str], size: int, found: Sequence[Sequence[Hypothesis]]
) -> list[dict[str, Any]]:
    return [
        {
            "image_id": image_id,
            "beam_size": size,
            "rank": rank,
            "caption": each.text,
            "logprob": each.logprob,
            "score": each.score,
            "finished": each.finished,
        }
        for image_id, kept in zip(image_ids, found, strict=True)
        for rank, each in enumerate(kept, 1)
    ]


def _attention_rows(
    captioner: Explainer, usable: Sequence[_Pair], size: int, maps: Sequence[WordMaps]
) -> list[dict[str, Any]]:
    return [
        {
            "image_id": example.image_id,
            "beam_size": size,
            "words": list(each.words),
            "shape": list(each.weights.shape),
            "weights": each.weights.tobytes(),
            "scale": each.scale.ravel(),
            "grid_height": each.grid[0],
            "grid_width": each.grid[1],
            "crop": _crop(captioner, photo.size),
            "share": None if each.share is None else np.asarray(each.share, np.float32),
        }
        for (example, photo), each in zip(usable, maps, strict=True)
    ]
