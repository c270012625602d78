"""The stage from attention maps to the table `grounding`: do maps of nouns peak inside the objects they name."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.compute import field

from engine.data.dataset import Box
from engine.diagnosis.grounding import GroundingInput, ground
from engine.evaluation.caption_blocks import boxes_of
from engine.explain.attention import from_bytes
from engine.store import tables

_FACTS = ["image_id", "beam_size", "words", "grid_height", "grid_width", "crop"]
_MAPS = ["image_id", "beam_size", "weights", "scale", "shape"]
_CAPTIONS = 256
"""Captions whose rows are made together."""

Boxes = Mapping[str, tuple[Sequence[Box], Sequence[Box]]]
"""Image id -> its objects and its regions of several objects."""


def grounding_of(images: pa.Table, folder: Path) -> Iterator[pa.Table]:
    """Yield parts of the `grounding` table, one beam size after the other.

    Images without annotated objects have no rows. The maps are read from the run's folder, a few at a time.
    """
    columns = (boxes_of(images, "objects"), boxes_of(images, "crowds"))
    boxes: Boxes = dict(zip(images["image_id"].to_pylist(), zip(*columns, strict=True), strict=True))
    path = tables.table_path(folder, "attention")
    sizes = set(pq.read_table(path, columns=["beam_size"])["beam_size"].to_pylist())
    for size in sorted(sizes):
        inputs = {row["image_id"]: _input(row, *boxes[row["image_id"]]) for row in _rows(path, _FACTS, size, boxes)}
        maps = (from_bytes(row["weights"], row["scale"], row["shape"]) for row in _rows(path, _MAPS, size, boxes))
        found = zip(inputs, ground(list(inputs.values()), maps), strict=True)
        while some := list(islice(found, _CAPTIONS)):
            rows = [{"image_id": name, "beam_size": size, **asdict(each)} for name, every in some for each in every]
            yield tables.table_of("grounding", rows)


def _rows(path: Path, columns: list[str], size: int, boxes: Boxes) -> Iterator[dict[str, Any]]:
    """Yield the rows of a beam size whose image has objects."""
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            for row in file.read_row_group(group, columns).filter(field("beam_size") == size).to_pylist():
                if boxes[row["image_id"]][0]:
                    yield row


def _input(row: dict[str, Any], objects: Sequence[Box], crowds: Sequence[Box]) -> GroundingInput:
    crop = row["crop"]
    return GroundingInput(
        words=row["words"],
        grid=(row["grid_height"], row["grid_width"]),
        crop=(crop["x"], crop["y"], crop["width"], crop["height"]),
        regions=objects,
        crowds=frozenset(box.label for box in crowds),
    )
