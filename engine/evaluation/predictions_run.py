"""A file of captions that were made elsewhere becomes a run: scored like any other, without attention.

Knows the order of the stages. Needs no model unless a CLIP scores, and imports none.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from engine.data.dataset import Dataset, Example
from engine.data.photos import PhotoError, open_photo, read_ahead
from engine.evaluation import metadata
from engine.evaluation.run import RunInProgress
from engine.evaluation.scoring import IMPORTED, ClipSettings, write_scores
from engine.metrics import base
from engine.store import tables


@dataclass(frozen=True)
class PredictionsRun:
    """What `score` is asked for: captions made elsewhere, image id -> caption."""

    name: str
    results: Path
    dataset: Dataset
    captions: dict[str, str]
    source: Path
    metrics: tuple[str, ...] = base.CAPTION_METRICS
    clip: ClipSettings | None = None
    command: str = ""


def score(ask: PredictionsRun) -> bool:
    """Scores predictions like any other run, without attention; False where the run was finished already."""
    dataset = ask.dataset.subset(example for example in ask.dataset.examples if example.image_id in ask.captions)
    digest = metadata.digest(ask.captions)
    plan = {
        "kind": "predictions",
        "data": dataset.fingerprint,
        "predictions": digest,
        "metrics": list(ask.metrics),
        **metadata.clip_plan(ask.clip),
    }
    run = RunInProgress(ask.name, ask.results, plan, ask.command)
    if not run.begin():
        return False
    images, aside = _image_tables(dataset)
    rows = [_imported_row(image_id, ask.captions[image_id]) for image_id in images["image_id"].to_pylist()]
    run.write("images", images)
    run.write("skipped", aside)
    run.write("captions", tables.table_of("captions", rows))
    missing = set(aside["image_id"].to_pylist())
    photos = [
        None if image_id in missing else dataset.root / name
        for image_id, name in zip(images["image_id"].to_pylist(), images["file_name"].to_pylist(), strict=True)
    ]
    write_scores(run, images, {IMPORTED: rows}, photos, ask.metrics, ask.clip, dataset, {})
    run.facts |= {
        "kind": "predictions",
        "data": metadata.data_facts(dataset, images) | {"of_images": len(ask.dataset.examples)},
        "captioner": None,
        "predictions": {"path": str(ask.source), "fingerprint": digest},
        "beam_sizes": [IMPORTED],
        "skipped": len(aside),
        "partial": len(dataset.examples) < len(ask.dataset.examples),
    }
    run.facts.setdefault("roots", {})["images"] = str(dataset.root.resolve())
    run.finish()
    return True


def _imported_row(image_id: str, caption: str) -> dict[str, Any]:
    return {"image_id": image_id, "beam_size": IMPORTED, "caption": caption, "words": caption.split()}


def _image_tables(dataset: Dataset) -> tuple[pa.Table, pa.Table]:
    """Return `images` of all examples, and `skipped`; a photo that cannot be read is in both, without a size."""

    def read(example: Example) -> tuple[int, int] | str:
        try:
            return open_photo(dataset.photo(example)).size
        except PhotoError as error:
            return str(error)

    images, aside = [], []
    bar = tqdm(read_ahead(dataset.examples, read), "read photos", len(dataset.examples), unit="image")
    for example, photo in zip(dataset.examples, bar, strict=True):
        is_unreadable = isinstance(photo, str)
        images.append(metadata.image_row(example, (0, 0) if is_unreadable else photo))
        if is_unreadable:
            aside.append({"image_id": example.image_id, "file_name": example.file_name, "reason": photo})
    return tables.table_of("images", images), tables.table_of("skipped", aside)
