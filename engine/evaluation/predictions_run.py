"""Score a file of captions that were generated elsewhere, as a run without attention.

Needs no captioner; imports no model.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

import pyarrow as pa
from tqdm import tqdm

from engine.data.blocks import SIZE
from engine.data.dataset import Dataset, Example
from engine.data.other_splits import OtherSplits
from engine.data.photos import PhotoError, light, open_photo, read_ahead
from engine.diagnosis.data_doctor.finding import Finding
from engine.evaluation import data_findings, metadata, page_answers, scoring
from engine.evaluation.caption_blocks import CaptionBlocks
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
    splits: OtherSplits | None = None
    """The other splits of the dataset, which checks of the data compare with this one."""
    command: str = ""


def score(settings: PredictionsRun) -> bool:
    """Score captions generated elsewhere; return False if the run was already finished."""
    begun = begin(settings)
    if begun is None:
        return False
    finish(begun)
    return True


@dataclass(frozen=True)
class Begun:
    """A run whose images and captions are written, so that dataset and captions need not stay in memory."""

    run: RunInProgress
    blocks: CaptionBlocks
    wanted: MetricSettings
    findings: list[Finding] = field(default_factory=list)
    """What is wrong with the data."""


def begin(settings: PredictionsRun) -> Begun | None:
    """Write the tables `images`, `skipped` and `captions` of a run; return None if it was already finished."""
    every = settings.dataset.examples
    dataset = settings.dataset.subset(example for example in every if example.image_id in settings.captions)
    digest = metadata.digest(settings.captions)
    identity = {
        "kind": "predictions",
        **metadata.data_identity(dataset),
        "predictions": digest,
        "metrics": list(settings.metrics),
        **metadata.metric_identity(settings.metrics),
        **metadata.clip_identity(settings.clip),
    }
    run = RunInProgress(settings.name, settings.results, identity, settings.command)
    if not run.begin():
        return None
    has_photos = any(dataset.photo(example).is_file() for example in dataset.examples)
    if not has_photos:
        dataset = dataset.remarking(f"the photos are not in {dataset.root}, so the pages show none")
    skipped: list[dict[str, Any]] = []
    run.write_rows("images", _images(dataset, has_photos, skipped))
    run.write("skipped", tables.table_of("skipped", skipped))
    run.write_rows("captions", _captions(dataset, settings.captions))
    run.metadata |= {
        "kind": "predictions",
        "data": metadata.data_metadata(dataset, run.folder) | {"of_images": len(every)},
        "captioner": None,
        "predictions": {"path": str(settings.source), "fingerprint": digest},
        "beam_sizes": [IMPORTED],
        "skipped": len(skipped),
        "partial": len(dataset.examples) < len(every),
    }
    run.metadata.setdefault("roots", {})["images"] = str(dataset.root.resolve())
    missing = frozenset(row["image_id"] for row in skipped) if has_photos else None
    blocks = CaptionBlocks(run.folder, (IMPORTED,), dataset.root, dataset.fingerprint, missing)
    with run.watch.measure("checks of the data"):
        needs_photos = settings.clip is not None
        findings = data_findings.of_data(dataset, settings.captions, settings.splits, needs_photos=needs_photos)
    return Begun(run, blocks, MetricSettings(settings.metrics, settings.clip, settings.results), findings)


def finish(begun: Begun) -> None:
    """Score the captions of a run, and mark it as finished."""
    scored = scoring.score(begun.run, begun.blocks, begun.wanted)
    data_findings.record(begun.run, begun.blocks, scored.corpus_scores, begun.wanted.clip, begun.findings)
    page_answers.write(begun.run)
    begun.run.finish()


def _captions(dataset: Dataset, captions: Mapping[str, str]) -> Iterator[pa.Table]:
    for examples in _parts(dataset):
        texts = [(example.image_id, captions[example.image_id]) for example in examples]
        rows = [
            {"image_id": name, "beam_size": IMPORTED, "caption": text, "words": text.split()} for name, text in texts
        ]
        yield tables.table_of("captions", rows)


def _images(dataset: Dataset, has_photos: bool, skipped: list[dict[str, Any]]) -> Iterator[pa.Table]:
    """Yield parts of the table `images`.

    A photo that cannot be read has no size and is added to `skipped`. Without photos no image has a size.
    """
    photos = _read(dataset) if has_photos else repeat(_Seen())
    for examples in _parts(dataset):
        rows = []
        for example, photo in zip(examples, photos, strict=False):
            rows.append(metadata.image_row(example, photo.size, photo.light))
            if photo.reason is not None:
                skipped.append({"image_id": example.image_id, "file_name": example.file_name, "reason": photo.reason})
        yield tables.table_of("images", rows)


def _parts(dataset: Dataset) -> Iterator[Sequence[Example]]:
    """Yield the examples, some at a time; a part at least, so that a table has its columns."""
    for start in range(0, max(len(dataset.examples), 1), SIZE):
        yield dataset.examples[start : start + SIZE]


@dataclass(frozen=True)
class _Seen:
    """What is stored of a photo, or why it cannot be read."""

    size: tuple[int, int] = (0, 0)
    light: tuple[float | None, float | None] = (None, None)
    reason: str | None = None


def _read(dataset: Dataset) -> Iterator[_Seen]:
    """Yield what is stored of each photo."""

    def read(example: Example) -> _Seen:
        try:
            photo = open_photo(dataset.photo(example))
        except PhotoError as error:
            return _Seen(reason=str(error))
        return _Seen(photo.size, light(photo))

    yield from tqdm(read_ahead(dataset.examples, read), "read photos", len(dataset.examples), unit="image")
