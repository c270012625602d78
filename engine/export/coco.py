"""COCO results: the list of {"image_id", "caption"} that COCO's caption evaluation and its test server read."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from engine.data import registry
from engine.export.source import ExportError, Source
from engine.export.target import new_file
from engine.protocols import PluginError

_COCO_NAME = re.compile(r"(?:COCO_[a-z]+\d{4}_)?\d{12}", re.ASCII)
"""File names of COCO's photos, without extension: the digits are the image's id."""


def file_name(source: Source) -> str:
    """Return the name that COCO's test server expects, such as `captions_val2014_NAME_results.json`."""
    return f"captions_{re.sub(r'[^A-Za-z0-9]+', '-', source.text('data', 'split')) or 'all'}_{source.name}_results.json"


def write(source: Source, target: Path) -> str:
    """Write the captions as COCO results and return a sentence on the ids.

    Raises:
        ExportError: `target` exists, or two images have the same id.
    """
    names = source.cases.image_id.tolist()
    ids, said = _ids(source, names)
    if len(set(ids)) != len(ids):
        raise ExportError(f"run {source.run!r}: two images have the same COCO id; export csv or parquet instead")
    captions = source.cases.caption.fillna("").tolist()
    rows = [{"image_id": each, "caption": caption} for each, caption in zip(ids, captions, strict=True)]
    with new_file(target) as temporary:
        temporary.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return said


def _ids(source: Source, names: Sequence[str]) -> tuple[Sequence[int | str], str]:
    """Return the COCO id of each image: that of the annotation file, else the digits of COCO's file names."""
    known = _annotated(source)
    if known and all(name in known for name in names):
        return [known[name] for name in names], "image ids are those of the annotation file"
    if names and all(_COCO_NAME.fullmatch(name) for name in names):
        return [int(name.rpartition("_")[2]) for name in names], "image ids are the numbers in COCO's file names"
    return names, "image ids are the names of the photos, because the images have no ids of COCO"


def _annotated(source: Source) -> dict[str, int | str]:
    """Return image id -> id in the annotation file that the run was made from, if it is in COCO's form and there."""
    path, split = source.text("data", "path"), source.text("data", "split")
    if source.text("data", "format") != "coco" or not path:
        return {}
    try:
        dataset = registry.load(Path(path), "coco", split or None)
    except (ValueError, OSError, PluginError):  # moved or changed since
        return {}
    found = {each.image_id: each.source_id for each in dataset.examples if each.source_id is not None}
    is_numbered = all(value.isdecimal() and str(int(value)) == value for value in found.values())
    return {key: int(value) for key, value in found.items()} if is_numbered else dict(found)
