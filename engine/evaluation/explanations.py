"""Part of the stage that explains finished captions: what covering cells of the photo does to the nouns of a caption.

For every noun, the cells that attention points at are covered, and the box of the object. For a certificate, methods
are measured on the nouns of some images.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from zlib import crc32

import numpy as np

from engine.config import DecodingConfig
from engine.data.dataset import Box, Example
from engine.diagnosis.grounding import GroundingInput, box_share, inside
from engine.diagnosis.lexicon import Mentions
from engine.explain.certificate import RANDOM
from engine.explain.methods import METHODS, Evidence
from engine.explain.perturbation import Faithfulness, Probe, faithfulness
from engine.explain.token_scores import TokenScores
from engine.protocols import ActivationSource, Explainer, GradientSource, Hypothesis, TokenScorer

REGION = 0.1
"""Share of the cells that are covered: those with the largest weights of a word's map."""


@dataclass(frozen=True)
class ExplainSettings:
    """What is computed for the nouns of finished captions."""

    labels: tuple[str, ...]
    """The objects that a word may name."""
    methods: tuple[str, ...] = ()
    """Methods that are measured; none: only the effects of covering are computed."""
    seed: int = 0
    """Of random masks and random orders."""


def methods_for(captioner: object) -> tuple[str, ...]:
    """Return the methods that a captioner can be explained by; none without maps or without reading captions again."""
    if not isinstance(captioner, Explainer) or not isinstance(captioner, TokenScorer):
        return ()
    has = {"gradients": isinstance(captioner, GradientSource), "activations": isinstance(captioner, ActivationSource)}
    return tuple(name for name, method in METHODS.items() if method.needs is None or has[method.needs])


@dataclass(frozen=True)
class Noun:
    """A noun of a caption."""

    index: int
    label: str
    own: np.ndarray | None
    """bool[P]: the cells inside the object's box; None if the object has none inside the grid."""


@dataclass(frozen=True)
class Explained:
    """A caption that can be explained: its photo, its maps and its nouns."""

    probe: Probe
    maps: np.ndarray
    """float32[words, layers, heads, P]."""
    nouns: Sequence[Noun]


def explained(
    captioner: Explainer,
    scorer: TokenScorer,
    examples: Sequence[Example],
    photos: Sequence[Any],
    sizes: Sequence[tuple[int, int]],
    captions: Sequence[Hypothesis],
    config: DecodingConfig,
    settings: ExplainSettings,
) -> Iterator[Explained]:
    """Yield the captions, whose photos are prepared and have `sizes` in pixels; `scorer` is the same captioner."""
    mentions = Mentions(settings.labels) if settings.labels else None
    every = captioner.maps(photos, captions, config, "mean")
    for example, photo, size, caption, maps in zip(examples, photos, sizes, captions, every, strict=True):
        nouns = [] if mentions is None else list(_nouns(example, caption, maps.grid, captioner.crop(*size), mentions))
        yield Explained(probe_of(scorer, photo, caption, maps.grid, config), maps.floats(), nouns)


def probe_of(
    scorer: TokenScorer, photo: np.ndarray, caption: Hypothesis, grid: tuple[int, int], config: DecodingConfig
) -> Probe:
    """Return a caption of a photo whose cells can be covered."""

    def read(photos: Sequence[np.ndarray]) -> Sequence[TokenScores]:
        return scorer.token_scores(photos, [caption] * len(photos), config)

    return Probe(
        read=read,
        photo=photo,
        words=caption.words,
        spans=scorer.word_spans(caption),
        grid=grid,
        region=scorer.region(photo),
        fill=scorer.fill,
        gradients=partial(scorer.gradients, photo, caption) if isinstance(scorer, GradientSource) else None,
        activations=partial(scorer.activations, photo, caption) if isinstance(scorer, ActivationSource) else None,
    )


def _nouns(
    example: Example,
    caption: Hypothesis,
    grid: tuple[int, int],
    crop: tuple[float, float, float, float],
    mentions: Mentions,
) -> Iterator[Noun]:
    regions: Sequence[Box] = example.objects
    shown = GroundingInput(caption.words, grid, crop, regions)
    for _, stop, label in mentions.spans(caption.words):
        share = box_share(shown, label)
        yield Noun(stop - 1, label, inside(share) if share.any() else None)


def effects(each: Explained) -> list[dict[str, Any]]:
    """Return what covering does to each noun: columns `region_effect`, `object_effect` and `object_lift` of `words`."""
    if not each.nouns:
        return []
    photos = []
    for noun in each.nouns:
        order = np.argsort(-each.maps[noun.index, -1].mean(0), kind="stable")
        region = np.isin(np.arange(each.probe.cells), order[: round(REGION * each.probe.cells)])
        photos += [each.probe.without(region)] + ([] if noun.own is None else [each.probe.without(noun.own)])
    changes = iter(each.probe.differences(photos))
    rows = []
    for noun in each.nouns:
        row = {"word_index": noun.index, "word": each.probe.words[noun.index]}
        row["region_effect"] = float(next(changes)[noun.index])
        if noun.own is not None:
            row |= {"object_effect": float(next(changes)[noun.index]), "object_lift": _lift(each, noun)}
        rows.append(row)
    return rows


def _lift(each: Explained, noun: Noun) -> float:
    """Return the share of a noun's attention that is in its object's box, over the box's share of the cells."""
    map_, own = each.maps[noun.index, -1].mean(0), noun.own
    assert own is not None
    return float(map_[own].sum() / max(map_.sum(), 1e-12) / own.mean())


def measured(each: Explained, settings: ExplainSettings, image_id: str) -> list[dict[str, Any]]:
    """Return rows of the table `explanations`: each method on each noun whose object has a box."""
    nouns = [noun for noun in each.nouns if noun.own is not None]
    if not nouns:
        return []
    words = [noun.index for noun in nouns]
    seed = settings.seed + crc32(image_id.encode())  # images must differ: else all random maps peak at one place
    evidence = Evidence(each.probe, words, each.maps, seed)
    maps = {RANDOM: np.random.default_rng(seed).random((len(words), each.probe.cells))}
    seconds = {RANDOM: 0.0}
    for name in settings.methods:
        start = time.perf_counter()
        maps[name] = np.asarray(METHODS[name].maps(evidence), dtype=np.float64)
        seconds[name] = (time.perf_counter() - start) / len(words)
    rows = []
    for name, own in maps.items():
        for noun, map_, faithful in zip(nouns, own, faithfulness(each.probe, own, words), strict=True):
            rows.append({**_row(each, noun, name, map_, seconds[name]), **_measures(noun, map_, faithful)})
    return rows


def _row(each: Explained, noun: Noun, name: str, map_: np.ndarray, seconds: float) -> dict[str, Any]:
    low, high = float(map_.min()), float(map_.max())
    bytes_ = np.round((map_ - low) / (high - low if high > low else 1) * 255).astype(np.uint8)
    return {
        "word_index": noun.index,
        "word": each.probe.words[noun.index],
        "label": noun.label,
        "method": name,
        "map": bytes_.tobytes(),
        "grid_height": each.probe.grid[0],
        "grid_width": each.probe.grid[1],
        "seconds": seconds,
    }


def _measures(noun: Noun, map_: np.ndarray, faithful: Faithfulness) -> Mapping[str, Any]:
    own = noun.own
    assert own is not None  # nouns without a box are not measured
    return {
        "hit": bool(own[int(map_.argmax())]),
        "chance": float(own.mean()),
        "deletion": faithful.deletion,
        "insertion": faithful.insertion,
    }
