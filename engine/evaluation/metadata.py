"""Metadata that runs of every kind record about their data and CLIP."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from engine.data.dataset import Dataset, Example
from engine.data.photos import PhotoError
from engine.evaluation.clip_settings import ClipSettings
from engine.evaluation.run import RunInProgress
from engine.metrics import registry
from engine.store import shards
from engine.store.schema import BUILT_IN


def clip_identity(clip: ClipSettings | None) -> dict[str, Any]:
    """Return the CLIP settings that must be equal for a run to continue."""
    return {"clip": None, "clip_setup": None} if clip is None else clip.identity()


def data_identity(dataset: Dataset) -> dict[str, Any]:
    """Return what identifies the images of a run: the data's fingerprint, and the images chosen by --only."""
    return {"data": dataset.fingerprint, **({"only": list(dataset.only)} if dataset.only else {})}


def metric_identity(names: Sequence[str]) -> dict[str, Any]:
    """Return the versions of other people's metrics, which decide whether a run can be continued."""
    tools = {each.key: each.tool for each in registry.named(names) if each.key not in BUILT_IN}
    return {"metric_tools": tools} if tools else {}


def labels(classes: Dataset) -> str:
    """Return a digest of all classes and their numbers, including classes without photos."""
    return digest([classes.labels, classes.label_ids])


def digest(content: object) -> str:
    """Return 16 hex digits that identify any JSON value."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def nothing_read(run: RunInProgress, dataset: Dataset, skipped: Sequence[dict]) -> PhotoError:
    """Delete an unfinished run in which every photo was skipped, and return the error to raise."""
    run.abandon()
    first = f"{skipped[0]['file_name']}: {skipped[0]['reason']}"
    return PhotoError(
        f"{dataset.root}: none of the {len(skipped):,} photos can be used, expected at least one (first: {first})"
    )


def image_row(
    example: Example, size: tuple[int, int], light: tuple[float | None, float | None] = (None, None)
) -> dict[str, Any]:
    """Return a row of `images`.

    Args:
        size: width and height, (0, 0) if the photo could not be read.
        light: its brightness and contrast, see `photos.light`.
    """
    scaled = example.boxes_on(*size)
    return {
        "image_id": example.image_id,
        "file_name": example.file_name,
        "width": size[0] or None,
        "height": size[1] or None,
        "references": list(example.references),
        "objects": [asdict(box) for box in scaled.objects],
        "crowds": [asdict(box) for box in scaled.crowds],
        "conditions": list(example.conditions),
        "brightness": light[0],
        "contrast": light[1],
    }


def data_metadata(dataset: Dataset, folder: Path) -> dict[str, Any]:
    """Return the entry `data` of `run.json` for the images in a run's folder."""
    images = references = 0
    for rows in shards.row_groups(shards.files_of(folder, "images"), ["references"]):
        images += len(rows)
        references += sum(filter(None, pc.call_function("list_value_length", [rows["references"]]).to_pylist()))
    return {
        "name": dataset.name,
        "format": dataset.format,
        "path": str(dataset.path),
        "split": dataset.split,
        "images": images,
        "references": references,
        "fingerprint": dataset.fingerprint,
        **({"remarks": list(dataset.remarks)} if dataset.remarks else {}),
    }


def count_seen(seen: Mapping[str, int | None], dataset: Dataset, folder: Path) -> int:
    """Return how many images of a run the captioner was trained on, matched by id and file size."""
    if not seen:
        return 0
    count = 0
    for rows in shards.row_groups(shards.files_of(folder, "images"), ["image_id", "file_name"]):
        for row in rows.to_pylist():
            size = seen.get(row["image_id"], -1)  # no file has this size
            count += size is None or size == _size(dataset.root / row["file_name"])
    return count


def _size(path: Path) -> int | None:
    """Return the size of a file in bytes; None if it no longer exists."""
    try:
        return path.stat().st_size
    except OSError:
        return None
