"""What runs of every kind write down of their data and their CLIP: parts of the plan, the record and `images`.

Knows datasets and settings. Computes no score and runs no model.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from engine.data.dataset import Dataset, Example
from engine.data.photos import PhotoError
from engine.evaluation.run import RunInProgress
from engine.evaluation.scoring import ClipSettings


def clip_plan(clip: ClipSettings | None) -> dict[str, Any]:
    return {"clip": None, "clip_setup": None} if clip is None else clip.plan()


def labels(classes: Dataset) -> str:
    """The classes to choose among, with their numbers; also those that no photo has."""
    return digest([classes.labels, classes.label_ids])


def digest(content: object) -> str:
    """16 hex digits of anything JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def nothing_read(run: RunInProgress, dataset: Dataset, aside: Sequence[dict]) -> PhotoError:
    """What to say where no photo at all could be used; the run is as if it had not been begun."""
    run.abandon()
    first = f"{aside[0]['file_name']}: {aside[0]['reason']}"
    return PhotoError(f"{dataset.root}: no photo of {len(aside):,} can be used, expected at least one (first: {first})")


def image_row(example: Example, size: tuple[int, int]) -> dict[str, Any]:
    return {
        "image_id": example.image_id,
        "file_name": example.file_name,
        "width": size[0] or None,
        "height": size[1] or None,
        "references": list(example.references),
        "objects": [asdict(box) for box in example.boxes_on(*size)],
        "conditions": list(example.conditions),
    }


def data_facts(dataset: Dataset, images: pa.Table) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "format": dataset.format,
        "path": str(dataset.path),
        "split": dataset.split,
        "images": len(images),
        "references": sum(map(len, images["references"].to_pylist())),
        "fingerprint": dataset.fingerprint,
    }
