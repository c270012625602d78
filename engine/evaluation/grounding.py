"""The stage from attention maps to the table `grounding`: do maps of nouns peak inside the objects they name."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow.compute import field

from engine.data.blocks import SIZE
from engine.data.dataset import Box
from engine.diagnosis.grounding import GroundingInput, ground
from engine.evaluation.caption_blocks import boxes_of
from engine.explain.attention import from_bytes
from engine.store import shards, tables

_FACTS = ["image_id", "beam_size", "words", "grid_height", "grid_width", "crop"]
_MAPS = ["image_id", "beam_size", "weights", "scale", "shape"]
_CAPTIONS = 256
"""Captions whose rows are made together."""

Boxes = Mapping[str, tuple[Sequence[Box], Sequence[Box]]]
"""Image id -> its objects and its regions of several objects."""


def grounding_of(folder: Path) -> Iterator[pa.Table]:
    """Yield parts of the `grounding` table of a run's folder, one beam size after the other.

    Images without annotated objects have no rows. The maps are read a few at a time.
    """
    files = shards.files_of(folder, "attention")
    sizes = {size for rows in shards.row_groups(files, ["beam_size"]) for size in rows["beam_size"].to_pylist()}
    boxes = _boxes(folder, files)
    for size in sorted(sizes):
        inputs = {row["image_id"]: _input(row, *boxes[row["image_id"]]) for row in _rows(files, _FACTS, size, boxes)}
        maps = (from_bytes(row["weights"], row["scale"], row["shape"]) for row in _rows(files, _MAPS, size, boxes))
        found = zip(inputs, ground(list(inputs.values()), maps), strict=True)
        while some := list(islice(found, _CAPTIONS)):
            rows = [{"image_id": name, "beam_size": size, **asdict(each)} for name, every in some for each in every]
            yield tables.table_of("grounding", rows)


def _boxes(folder: Path, files: list[Path]) -> Boxes:
    """Return the boxes of the images that have maps and objects."""
    found: dict[str, tuple[Sequence[Box], Sequence[Box]]] = {}
    named = {name for rows in shards.row_groups(files, ["image_id"]) for name in rows["image_id"].to_pylist()}
    for rows in shards.batches(shards.files_of(folder, "images"), SIZE):
        columns = (rows["image_id"].to_pylist(), boxes_of(rows, "objects"), boxes_of(rows, "crowds"))
        for name, objects, crowds in zip(*columns, strict=True):
            if objects and name in named:
                found[name] = objects, crowds
    return found


def _rows(files: list[Path], columns: list[str], size: int, boxes: Boxes) -> Iterator[dict[str, Any]]:
    """Yield the rows of a beam size whose image has objects."""
    for rows in shards.row_groups(files, columns):
        for row in rows.filter(field("beam_size") == size).to_pylist():
            if row["image_id"] in boxes:
                yield row


def _input(row: dict[str, Any], objects: Sequence[Box], crowds: Sequence[Box]) -> GroundingInput:
    crop = row["crop"]
    return GroundingInput(
        words=tuple(map(sys.intern, row["words"])),  # one object per word: a run has many captions and few words
        grid=(row["grid_height"], row["grid_width"]),
        crop=(crop["x"], crop["y"], crop["width"], crop["height"]),
        regions=objects,
        crowds=frozenset(box.label for box in crowds),
    )
