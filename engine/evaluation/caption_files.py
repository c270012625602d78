"""The course's files of captions, `{image id: caption}`: one per beam size, and `pred.json` for the best CIDEr."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow.compute import field

from engine.data.blocks import SIZE
from engine.store import shards
from engine.writing import replacing


def write(folder: Path, beam_sizes: Sequence[int], corpus: pa.Table) -> None:
    """Write the files of a run from its table `captions`."""
    for size in beam_sizes:
        _write_size(folder, size)
    ciders = {row["beam_size"]: row["value"] for row in corpus.to_pylist() if row["metric"] == "cider"}
    best = max(beam_sizes, key=lambda size: (ciders.get(size, 0.0), -size))
    with replacing(folder / "pred.json") as temporary:
        shutil.copyfile(_file(folder, best), temporary)


def _file(folder: Path, size: int) -> Path:
    return folder / f"pred_beam{size}.json"


def _write_size(folder: Path, size: int) -> None:
    """Write the captions of a beam size, by image id."""
    files = shards.files_of(folder, "captions")
    parts = [
        rows.filter(field("beam_size") == size).select(["image_id", "caption"])
        for rows in shards.batches(files, SIZE, ["image_id", "beam_size", "caption"])
    ]
    rows = pa.concat_tables(parts).sort_by("image_id")  # as columns, which take a tenth of a dict
    with replacing(_file(folder, size)) as temporary, temporary.open("w", encoding="utf-8") as file:
        separator = "{\n"
        for batch in rows.to_batches(SIZE):
            for image_id, caption in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                file.write(f"{separator}  {_text(image_id)}: {_text(caption)}")
                separator = ",\n"
        file.write("\n}\n")


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
