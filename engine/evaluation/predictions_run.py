"""Score a file of captions that were generated elsewhere, as a run without attention.

Needs no captioner; imports no model.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from engine.data.dataset import Dataset, Example
from engine.data.photos import PhotoError, open_photo, read_ahead
from engine.evaluation import metadata, page_answers, scoring
from engine.evaluation.clip_settings import ClipSettings
from engine.evaluation.run import RunInProgress
from engine.evaluation.scoring import IMPORTED, MetricSettings
from engine.metrics.coco import CAPTION_METRICS
from engine.store import tables


@dataclass(frozen=True)
class PredictionsRun:
    """Settings of a run that scores captions generated elsewhere, image id -> caption."""

    name: str
    results: Path
    dataset: Dataset
    captions: dict[str, str]
    source: Path
    metrics: tuple[str, ...] = CAPTION_METRICS
    clip: ClipSettings | None = None
    command: str = ""


def score(settings: PredictionsRun) -> bool:
    """Score captions generated elsewhere; return False if the run was already finished."""
    every = settings.dataset.examples
    dataset = settings.dataset.subset(example for example in every if example.image_id in settings.captions)
    digest = metadata.digest(settings.captions)
    identity = {
        "kind": "predictions",
        "data": dataset.fingerprint,
        "predictions": digest,
        "metrics": list(settings.metrics),
        **metadata.metric_identity(settings.metrics),
        **metadata.clip_identity(settings.clip),
    }
    run = RunInProgress(settings.name, settings.results, identity, settings.command)
    if not run.begin():
        return False
    has_photos = any(dataset.photo(example).is_file() for example in dataset.examples)
    if not has_photos:
        dataset = dataset.remarking(f"the photos are not in {dataset.root}, so the pages show none")
    images, skipped = (
        _image_tables(dataset) if has_photos else (_without_photos(dataset), tables.table_of("skipped", []))
    )
    rows = [_imported_row(image_id, settings.captions[image_id]) for image_id in images["image_id"].to_pylist()]
    run.write("images", images)
    run.write("skipped", skipped)
    run.write("captions", tables.table_of("captions", rows))
    missing = skipped["image_id"].to_pylist() if has_photos else images["image_id"].to_pylist()
    split = scoring.split_of(images, dataset, frozenset(missing))
    wanted = MetricSettings(settings.metrics, settings.clip, settings.results)
    scoring.write(run, scoring.score(split, {IMPORTED: rows}, wanted, timed=run.watch.measure), settings.clip)
    run.metadata |= {
        "kind": "predictions",
        "data": metadata.data_metadata(dataset, images) | {"of_images": len(every)},
        "captioner": None,
        "predictions": {"path": str(settings.source), "fingerprint": digest},
        "beam_sizes": [IMPORTED],
        "skipped": len(skipped),
        "partial": len(dataset.examples) < len(every),
    }
    run.metadata.setdefault("roots", {})["images"] = str(dataset.root.resolve())
    page_answers.write(run)
    run.finish()
    return True


def _imported_row(image_id: str, caption: str) -> dict[str, Any]:
    return {"image_id": image_id, "beam_size": IMPORTED, "caption": caption, "words": caption.split()}


def _without_photos(dataset: Dataset) -> pa.Table:
    """Return the table `images` of a dataset whose photos are elsewhere."""
    return tables.table_of("images", [metadata.image_row(example, (0, 0)) for example in dataset.examples])


def _image_tables(dataset: Dataset) -> tuple[pa.Table, pa.Table]:
    """Return the tables `images` and `skipped`; a photo that cannot be read is in both, without a size."""

    def read(example: Example) -> tuple[int, int] | str:
        try:
            return open_photo(dataset.photo(example)).size
        except PhotoError as error:
            return str(error)

    images, skipped = [], []
    bar = tqdm(read_ahead(dataset.examples, read), "read photos", len(dataset.examples), unit="image")
    for example, photo in zip(dataset.examples, bar, strict=True):
        is_unreadable = isinstance(photo, str)
        images.append(metadata.image_row(example, (0, 0) if is_unreadable else photo))
        if is_unreadable:
            skipped.append({"image_id": example.image_id, "file_name": example.file_name, "reason": photo})
    return tables.table_of("images", images), tables.table_of("skipped", skipped)
