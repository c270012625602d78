"""A FiftyOne dataset as a folder: photos by path, captions, scores, failure tags, references and boxes.

The format is FiftyOne's own (`fiftyone.types.FiftyOneDataset`): `metadata.json` has the fields, `samples.json` the
samples. Writing it needs no FiftyOne; `fiftyone.Dataset.from_dir` reads it.
"""

import hashlib
import json
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from engine.export.flat import tags_of, texts_of
from engine.export.source import ExportError, Source
from engine.export.target import new_folder
from engine.reading import quoted
from engine.store.frames import named_rows

VERSION = "1.22.1"
"""The version of FiftyOne whose form of the documents is written; it must be that of the extra in pyproject.toml.

Later versions convert the documents when they read them.
"""

_FIELDS = "fiftyone.core.fields."
_EMBEDDED = f"{_FIELDS}EmbeddedDocumentField"
_OWN = {"id", "filepath", "metadata", "media_type", "created_at", "last_modified_at", "evidence"}
"""Fields of a sample that a metric of the same name would replace."""


def write(source: Source, target: Path) -> str:
    """Write the folder `target`, and return how it is opened.

    Raises:
        ExportError: `target` exists, or the record of the run names no photo folder.
        OSError: the folder cannot be written.
    """
    samples = [_sample(source, row) for row in named_rows(source.cases)]
    with new_folder(target) as folder:
        _write(folder / "metadata.json", metadata(source))
        _write(folder / "samples.json", {"samples": samples})
    arguments = f"{str(target)!r}, dataset_type=fiftyone.types.FiftyOneDataset"
    opened = f"open it in Python with fiftyone.Dataset.from_dir({arguments})"
    if find_spec("fiftyone") is None:
        opened += "; FiftyOne is not installed here, run: pip install 'captionscope[fiftyone]'"
    return opened


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, allow_nan=False), encoding="utf-8")


# Fields


def metadata(source: Source) -> dict[str, Any]:
    """Return the document of the dataset: its name, its fields, and the run with its corpus values."""
    scores = [_field(_name(metric.key), "FloatField", description=metric.definition) for metric in source.metrics]
    texts = {name: "StringField" for name in ("image_id", "caption")}
    fields = [
        *_default_fields(),
        *(_field(name, kind) for name, kind in texts.items()),
        _field("beam_size", "IntField"),
        _list("references"),
        _list("evidence", description="evidence of the failure tags, which are the tags of the sample"),
        *scores,
        _embedded("objects", "fiftyone.core.labels.Detections", [_detections()]),
    ]
    made = _now()
    return {
        "_id": _id(source.name),
        "name": source.name,
        "slug": source.name.lower().replace("_", "-").replace(".", "-"),
        "version": VERSION,
        "created_at": made,
        "last_modified_at": made,
        "last_loaded_at": made,
        "sample_collection_name": f"samples.{_id(source.name)['$oid']}",
        "persistent": False,
        "media_type": "image",
        "group_media_types": {},
        "tags": [],
        "info": _info(source),
        "app_config": {"grid_media_field": "filepath", "modal_media_field": "filepath", "media_fields": ["filepath"]},
        "classes": {},
        "default_classes": [],
        "mask_targets": {},
        "default_mask_targets": {},
        "skeletons": {},
        "sample_fields": fields,
        "frame_fields": [],
        "saved_views": [],
        "workspaces": [],
        "annotation_runs": {},
        "brain_methods": {},
        "evaluations": {},
        "runs": {},
    }


def _info(source: Source) -> dict[str, Any]:
    corpus = {
        row.metric: {"value": row.value, "signature": row.signature if isinstance(row.signature, str) else ""}
        for row in named_rows(source.corpus)
        if pd.notna(row.value)
    }
    return {"run": source.run, "beam_size": source.beam_size, "corpus_scores": corpus}


def _default_fields() -> list[dict[str, Any]]:
    """Return the fields that every dataset of FiftyOne has."""
    image = {"size_bytes": "IntField", "mime_type": "StringField"}
    image |= dict.fromkeys(("width", "height", "num_channels"), "IntField")
    members = [_field(name, kind) for name, kind in image.items()]
    return [
        _field("id", "ObjectIdField", "_id"),
        _field("filepath", "StringField"),
        _list("tags"),
        _embedded("metadata", "fiftyone.core.metadata.ImageMetadata", members),
        _field("created_at", "DateTimeField", read_only=True),
        _field("last_modified_at", "DateTimeField", read_only=True),
        _field("_media_type", "StringField"),
        _field("_rand", "FloatField"),
        _field("_dataset_id", "ObjectIdField"),
    ]


def _detections() -> dict[str, Any]:
    kinds = {"label": "StringField", "mask": "ArrayField", "mask_path": "StringField"}
    kinds |= {"confidence": "FloatField", "index": "IntField"}
    attributes = _embedded("attributes", "fiftyone.core.labels.Attribute", [])
    members = [
        _field("id", "ObjectIdField", "_id"),
        _list("tags"),
        attributes | {"ftype": f"{_FIELDS}DictField", "subfield": _EMBEDDED},
        *(_field(name, kind) for name, kind in kinds.items()),
        _list("bounding_box", "FloatField"),
    ]
    found = _embedded("detections", "fiftyone.core.labels.Detection", members)
    return found | {"ftype": f"{_FIELDS}ListField", "subfield": _EMBEDDED}


def _field(
    name: str, kind: str, stored: str | None = None, description: str | None = None, read_only: bool = False
) -> dict[str, Any]:
    return {
        "name": name,
        "ftype": f"{_FIELDS}{kind}",
        "embedded_doc_type": None,
        "subfield": None,
        "fields": [],
        "db_field": stored or name,
        "description": description,
        "info": None,
        "read_only": read_only,
        "created_at": _now(),
    }


def _list(name: str, of: str = "StringField", description: str | None = None) -> dict[str, Any]:
    return _field(name, "ListField", description=description) | {"subfield": f"{_FIELDS}{of}"}


def _embedded(name: str, kind: str, members: list[dict[str, Any]]) -> dict[str, Any]:
    return _field(name, "EmbeddedDocumentField") | {"embedded_doc_type": kind, "fields": members}


# Samples


def _sample(source: Source, row: Any) -> dict[str, Any]:
    """Return the document of a sample."""
    path = source.photo(row.file_name)
    if path is None:
        raise ExportError(
            f"run {source.run!r}: the photo {quoted(row.file_name)} of image {quoted(row.image_id)} is not in a photo "
            "folder of the run, and FiftyOne needs the path of every photo; export html, csv or parquet instead"
        )
    has_size = all(pd.notna(pixels) and pixels > 0 for pixels in (row.width, row.height))
    size = {"width": int(row.width), "height": int(row.height)} if has_size else {}
    boxes = [_detection(source, row, number, box) for number, box in enumerate(texts_of(row.objects))] if size else []
    values = {_name(metric.key): getattr(row, metric.key) for metric in source.metrics}
    return {
        "_id": _id(source.name, row.image_id),
        "filepath": str(path.absolute()),
        "tags": tags_of(row.tags),
        "metadata": {"_cls": "ImageMetadata", **size} if size else None,
        "_media_type": "image",
        "_rand": int(_digest(row.image_id), 16) / 16**24,
        "image_id": row.image_id,
        "caption": row.caption if isinstance(row.caption, str) else "",
        "beam_size": source.beam_size,
        "references": texts_of(row.references),
        "evidence": [f"{each['tag']}: {each['evidence']}" for each in texts_of(row.tags)],
        **{name: float(value) if pd.notna(value) else None for name, value in values.items()},
        "objects": {"_cls": "Detections", "detections": [box for box in boxes if box is not None]},
    }


def _detection(source: Source, row: Any, number: int, box: dict[str, Any]) -> dict[str, Any] | None:
    """Return a box in shares of the photo's size, cut at its border; None for one outside of the photo."""
    left, right = (_share(x, row.width) for x in (box["x"], box["x"] + box["width"]))
    top, bottom = (_share(y, row.height) for y in (box["y"], box["y"] + box["height"]))
    if right <= left or bottom <= top:
        return None
    return {
        "_id": _id(source.name, row.image_id, str(number)),
        "_cls": "Detection",
        "attributes": {},
        "tags": [],
        "label": box["label"],
        "bounding_box": [left, top, right - left, bottom - top],
    }


def _share(pixels: float, size: float) -> float:
    return float(min(max(pixels / size, 0.0), 1.0))


def _name(key: str) -> str:
    return f"metric_{key}" if key in _OWN else key


def _id(*names: str) -> dict[str, str]:
    """Return an id that is the same in every export of the same images."""
    return {"$oid": _digest(*names)}


def _digest(*names: str) -> str:
    return hashlib.sha256("\0".join(names).encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _now() -> dict[str, str]:
    return {"$date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
