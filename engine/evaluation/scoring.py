"""From captions, references and photos to the tables `scores` and `corpus_scores`, and CLIP's features on the way.

Knows which metric needs what, what is missing for which image, and each number's signature. The metrics themselves are
in `metrics`, the models in `clip`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from engine.data.dataset import Dataset
from engine.data.photos import PhotoError, open_photo, read_ahead
from engine.diagnosis import tags as failures
from engine.evaluation.run import RunInProgress
from engine.metrics import base
from engine.metrics.human_ratings import Agreement, Rating, RatingsError, agreement
from engine.store import atomic, tables
from engine.store.schema import METRICS

if TYPE_CHECKING:  # loading torch and open_clip takes seconds, and scores by references need neither
    from engine.models.clip import Clip

IMPORTED = 0
"""The beam size of captions that were made elsewhere."""


@dataclass(frozen=True)
class ClipSettings:
    """The CLIP that scores, and the words put before each text."""

    clip: "Clip"
    prefix: str = ""

    def plan(self) -> dict[str, Any]:
        """What must be the same for the same numbers."""
        return {"clip": [self.clip.fingerprint, self.prefix], "clip_setup": self.clip.setup}

    def facts(self) -> dict[str, Any]:
        """What run.json keeps."""
        return {
            "model": self.clip.name,
            "name": self.clip.name,
            "fingerprint": self.clip.fingerprint,
            "setup": self.clip.setup,
            "demo": self.clip.is_demo,
            "prefix": self.prefix,
        }


def write_scores(
    run: RunInProgress,
    images: pa.Table,
    settings: dict[int, list[dict]],
    photos: Sequence[Path | None],
    wanted: Sequence[str],
    clip: ClipSettings | None,
    dataset: Dataset,
    decoding_facts: dict[str, Any],
    further: Mapping[tuple[int, str], failures.Tag] = MappingProxyType({}),
) -> None:
    """Writes `scores` and `corpus_scores`; `further` are tags that rest on more than is known here."""
    captions = {size: [row["caption"] for row in rows] for size, rows in settings.items()}
    references = images["references"].to_pylist()
    found, truncated = measure(run, captions, references, photos, wanted, clip, dataset)
    if clip is not None:
        run.facts["clip"] = clip.facts()
    names = measured(found)
    facts = {"images": len(references), "refs": _reference_range(references), "data": dataset.fingerprint}
    tags = failures.tag_settings(_cases(images, settings))
    for size, each in tags.items():
        for image_id, given in zip(images["image_id"].to_pylist(), each, strict=True):
            if tag := further.get((size, image_id)):
                given.append(tag)
    run.write("scores", _scores_table(images["image_id"].to_pylist(), found, truncated, tags, names))
    corpus = [
        row
        for size, each in found.items()
        for row in _corpus_rows(size, each, names, {**facts, **decoding_facts}, clip)
    ]
    run.write("corpus_scores", tables.table_of("corpus_scores", corpus))
    run.facts["metrics"] = names


def measure(
    run: RunInProgress,
    captions: dict[int, list[str]],
    references: Sequence[Sequence[str]],
    photos: Sequence[Path | None],
    wanted: Sequence[str],
    clip: ClipSettings | None,
    dataset: Dataset,
) -> tuple[dict[int, base.Scores], dict[int, list[bool | None]]]:
    """Every score of each setting's captions, one an image, NaN where an image lacks what a metric needs.

    Returns:
        setting -> scores, and setting -> whether CLIP cut the caption.
    """
    found = {setting: base.Scores() for setting in captions}
    if any(references) and wanted:
        with run.watch.measure("caption metrics"):
            _score_captions(found, captions, references, wanted)
    if clip is None:
        return found, {setting: [None] * len(references) for setting in captions}
    with run.watch.measure("CLIP"):
        return found, _score_clip(run, found, captions, references, photos, clip, dataset)


def measured(found: dict[int, base.Scores]) -> list[str]:
    """The metrics that some setting has, in METRICS' order."""
    return [key for key in METRICS if any(key in each.per_image for each in found.values())]


def _score_captions(
    found: dict[int, base.Scores],
    captions: dict[int, list[str]],
    references: Sequence[Sequence[str]],
    wanted: Sequence[str],
) -> None:
    """Adds the caption metrics; an image without references has none."""
    known = [row for row, texts in enumerate(references) if texts]
    chosen = {size: [texts[row] for row in known] for size, texts in captions.items()}
    for size, each in base.score_captions(chosen, [references[row] for row in known], wanted).items():
        for name, values in each.per_image.items():
            every = np.full(len(references), np.nan)
            every[known] = values
            found[size].per_image[name] = every
        found[size].corpus.update(each.corpus)
        for column, counts in each.counts.items():
            found[size].counts[column] = np.full((len(references), counts.shape[1]), np.nan)
            found[size].counts[column][known] = counts


def _score_clip(
    run: RunInProgress,
    found: dict[int, base.Scores],
    captions: dict[int, list[str]],
    references: Sequence[Sequence[str]],
    photos: Sequence[Path | None],
    settings: ClipSettings,
    dataset: Dataset,
) -> dict[int, list[bool]]:
    """Adds CLIPScore and RefCLIPScore; returns which captions CLIP cut."""
    images, _ = image_features(run.results, settings.clip, photos, dataset.fingerprint)
    known = [row for row, features in enumerate(images) if np.isfinite(features).all()]
    texts = [settings.prefix + text for each in captions.values() for text in each]
    texts += [settings.prefix + text for each in references for text in each]
    encoded = settings.clip.text_features(texts, lambda batches: tqdm(batches, "CLIP texts", unit="batch"))
    start = len(captions) * len(references)
    of_references = np.split(encoded.features[start:], np.cumsum([len(each) for each in references])[:-1])
    truncated = {}
    for number, size in enumerate(captions):
        rows = slice(number * len(references), (number + 1) * len(references))
        features = encoded.features[rows]
        truncated[size] = encoded.truncated[rows].tolist()
        scores = base.clipscore(images, features)
        found[size].per_image["clipscore"] = scores
        found[size].corpus["clipscore"] = base.mean_with_interval(scores)
        both = [row for row in known if references[row]]
        if both:
            every = np.full(len(references), np.nan)
            every[both] = base.refclipscore(scores[both], features[both], [of_references[row] for row in both])
            found[size].per_image["refclipscore"] = every
            found[size].corpus["refclipscore"] = base.mean_with_interval(every)
    return truncated


def image_features(
    results: Path, clip: "Clip", photos: Sequence[Path | None], fingerprint: str
) -> tuple[np.ndarray, list[str | None]]:
    """CLIP features float32[N, D] of photos, kept between runs; NaN rows, with a reason, where there is no photo."""
    names = hashlib.sha256("\n".join(str(path and path.name) for path in photos).encode()).hexdigest()[:16]
    cache = results / ".cache" / "clip" / f"{clip.fingerprint}-{clip.setup}-{fingerprint}-{names}.npz"
    kept = atomic.read_arrays(cache)
    if kept is not None and {"features", "reasons"} <= set(kept):
        reasons = [str(reason) or None for reason in kept["reasons"]]
        # What could not be read may be readable by now, its size the same: a permission given, a disk that came back.
        if not any(_is_readable(path) for path, reason in zip(photos, reasons, strict=True) if path and reason):
            return kept["features"], reasons

    def read(path: Path | None) -> Any:
        try:
            return "there is no such file" if path is None else clip.prepare(open_photo(path))
        except PhotoError as error:
            return str(error)

    features, reasons, batch = [], [], []
    for item in tqdm(read_ahead(photos, read), f"CLIP photos ({clip.name})", len(photos), unit="image"):
        reasons.append(item if isinstance(item, str) else None)
        if not isinstance(item, str):
            batch.append(item)
        if len(batch) == 64:
            features.append(clip.image_features(batch))
            batch = []
    if batch:
        features.append(clip.image_features(batch))
    width = features[0].shape[1] if features else 1
    every = np.full((len(photos), width), np.nan, np.float32)
    rows = [row for row, reason in enumerate(reasons) if reason is None]
    if features:
        every[rows] = np.concatenate(features)
    atomic.write_arrays(cache, features=every, reasons=np.array([reason or "" for reason in reasons]))
    return every, reasons


def _is_readable(path: Path) -> bool:
    try:
        open_photo(path)
    except PhotoError:
        return False
    return True


def rated(
    ratings: Sequence[Rating], dataset: Dataset, results: Path, wanted: Sequence[str], clip: ClipSettings | None
) -> dict[str, Agreement]:
    """Metric -> how it agrees with people over captions that were rated; CLIP's where the photo is there.

    Raises:
        RatingsError: a rated image that the dataset does not have, or has no references for.
    """
    examples = {example.image_id: example for example in dataset.examples if example.references}
    unknown = next((each.image_id for each in ratings if each.image_id not in examples), None)
    if unknown is not None:
        raise RatingsError(f"the rated image {unknown!r} has no references in {dataset.path}; choose the data of these")
    captions = [each.caption for each in ratings]
    references = [examples[each.image_id].references for each in ratings]
    found = base.score_captions({IMPORTED: captions}, references, wanted)[IMPORTED]
    if clip is not None:
        images = dict.fromkeys(each.image_id for each in ratings)
        photos = [path if (path := dataset.photo(examples[image])).is_file() else None for image in images]
        features, _ = image_features(results, clip.clip, photos, dataset.fingerprint)
        rows = {image: row for row, image in enumerate(images)}
        _add_clip(found, captions, references, features[[rows[each.image_id] for each in ratings]], clip)
    people = np.array([each.rating for each in ratings])
    return {name: agreement(found.per_image[name], people) for name in METRICS if name in found.per_image}


def _add_clip(
    found: base.Scores,
    captions: Sequence[str],
    references: Sequence[Sequence[str]],
    images: np.ndarray,
    settings: ClipSettings,
) -> None:
    """CLIPScore and RefCLIPScore of pairs, per image; images float[N, D] are NaN where there is no photo."""
    flat = [text for texts in references for text in texts]
    encoded = settings.clip.text_features([settings.prefix + text for text in (*captions, *flat)]).features
    own = encoded[: len(captions)]
    of_references = np.split(encoded[len(captions) :], np.cumsum([len(texts) for texts in references])[:-1])
    scores = base.clipscore(images, own)
    found.per_image["clipscore"] = scores
    found.per_image["refclipscore"] = base.refclipscore(scores, own, of_references)


def _cases(images: pa.Table, settings: Mapping[int, Sequence[dict]]) -> dict[int, list[failures.Case]]:
    """The captions of each setting with what is known of their images."""
    references = images["references"].to_pylist()
    labels = [[box["label"] for box in boxes] for boxes in images["objects"].to_pylist()]
    return {
        size: [
            failures.Case(row["caption"], row["words"], row.get("finished"), texts, named)
            for row, texts, named in zip(rows, references, labels, strict=True)
        ]
        for size, rows in settings.items()
    }


def _scores_table(
    image_ids: Sequence[str],
    found: dict[int, base.Scores],
    truncated: dict[int, list],
    tags: dict[int, list[list[failures.Tag]]],
    names: Sequence[str],
) -> pa.Table:
    rows = []
    for size, each in found.items():
        for row, image_id in enumerate(image_ids):
            values = {name: _number(each.per_image[name][row]) for name in names if name in each.per_image}
            own = {"clip_truncated": truncated[size][row], "tags": [asdict(tag) for tag in tags[size][row]]}
            own |= {column: _counts(counts[row]) for column, counts in each.counts.items()}
            rows.append({"image_id": image_id, "beam_size": size, **own, **values})
    return tables.table_of("scores", rows, list(names))


def _corpus_rows(
    size: int, found: base.Scores, names: Sequence[str], facts: dict[str, Any], clip: ClipSettings | None
) -> list[dict[str, Any]]:
    rows = []
    for name in names:
        if name not in found.corpus:
            continue
        corpus, images = found.corpus[name], int(np.isfinite(found.per_image[name]).sum())
        rows.append(
            {
                "beam_size": size,
                "metric": name,
                "value": _number(corpus.value),
                "low": corpus.low,
                "high": corpus.high,
                "images": images,
                "signature": _signature(name, size, facts | {"images": images}, clip),
            }
        )
    return rows


def _signature(name: str, size: int, facts: dict[str, Any], clip: ClipSettings | None) -> str:
    own: dict[str, Any] = {"beam": "imported" if size == IMPORTED else size, **facts}
    if "clip" in name and clip is not None:
        own |= {"clip": clip.clip.name, "weights": clip.clip.fingerprint, "clip_setup": clip.clip.setup}
        own |= {"dtype": "float32", "prefix": json.dumps(clip.prefix)}
    else:
        own |= {"tok": "ptb"}
    variant = {"cider": "CIDEr-D"}.get(name, METRICS[name].title)
    return base.signature(variant, **own)


def _reference_range(references: Sequence[Sequence[str]]) -> str:
    counts = {len(texts) for texts in references}
    return "-".join(str(count) for count in sorted({min(counts), max(counts)}))


def _counts(values: np.ndarray) -> list[float] | None:
    """One image's counts, whole where they are; None where it has no references."""
    return [int(value) for value in values] if np.isfinite(values).all() else None


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
