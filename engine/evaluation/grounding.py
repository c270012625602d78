"""The stage from attention maps to the table `grounding`: do maps of nouns peak inside the objects they name."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
from pyarrow.compute import field

from engine.data.dataset import Box
from engine.diagnosis.grounding import GroundingInput, ground
from engine.evaluation.scoring import boxes_of
from engine.explain.attention import from_bytes
from engine.store import tables


def grounding_of(images: pa.Table, attention: pa.Table) -> pa.Table:
    """Return the `grounding` table, one beam size after the other; images without annotated objects have no rows."""
    columns = (boxes_of(images, "objects"), boxes_of(images, "crowds"))
    boxes = dict(zip(images["image_id"].to_pylist(), zip(*columns, strict=True), strict=True))
    rows: list[dict[str, Any]] = []
    for size in sorted(set(attention["beam_size"].to_pylist())):
        of_size = attention.filter(field("beam_size") == size).to_pylist()
        chosen = [row for row in of_size if boxes[row["image_id"]][0]]
        inputs = [_input(row, *boxes[row["image_id"]]) for row in chosen]
        for row, found in zip(chosen, ground(inputs), strict=True):
            rows += [{"image_id": row["image_id"], "beam_size": size, **asdict(each)} for each in found]
    return tables.table_of("grounding", rows)


def _input(row: dict[str, Any], objects: Sequence[Box], crowds: Sequence[Box]) -> GroundingInput:
    crop = row["crop"]
    return GroundingInput(
        words=row["words"],
        maps=from_bytes(row["weights"], row["scale"], row["shape"]),
        grid=(row["grid_height"], row["grid_width"]),
        crop=(crop["x"], crop["y"], crop["width"], crop["height"]),
        regions=objects,
        crowds=frozenset(box.label for box in crowds),
    )
