"""One row per image as CSV or Parquet: caption, every metric, failure tags, references."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from engine.export.source import Source
from engine.export.target import new_file
from engine.store.csv_safety import safe_cell
from engine.store.schema import schema_of

_FIRST = ("image_id", "file_name", "beam_size", "caption")
_LAST = ("tags", "references")


def write_csv(source: Source, target: Path) -> None:
    """Write one line per image: id, file, beam size, caption, every metric, tags, references.

    Numbers have all their digits, a missing value is an empty cell. Tags are separated by "; ", references are a JSON
    list. Texts are made safe for spreadsheets and terminals, see `csv_safety`.

    Raises:
        ExportError: `target` exists.
    """
    names = [*_FIRST, *(metric.key for metric in source.metrics), *_LAST]
    with new_file(target) as temporary, open(temporary, "w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([safe_cell(cell) for cell in row] for row in _rows(source.cases, names))


def _rows(cases: pd.DataFrame, names: Sequence[str]) -> Iterator[tuple[object, ...]]:
    columns = [cases[name].tolist() for name in names]
    for row in zip(*columns, strict=True):
        yield tuple(_cell(name, value) for name, value in zip(names, row, strict=True))


def _cell(name: str, value: Any) -> object:
    if name == "tags":
        return "; ".join(tags_of(value))
    if name == "references":
        return json.dumps(texts_of(value), ensure_ascii=False)
    return "" if pd.isna(value) else value


def write_parquet(source: Source, target: Path) -> None:
    """Write a table with a row per image and the columns of the CSV, more of the caption, and boxes.

    Columns and units are those of the tables `captions`, `scores` and `images` of the results contract.

    Raises:
        ExportError: `target` exists.
    """
    contracts = [schema_of(table, [metric.key for metric in source.metrics]) for table in _TABLES]
    types = {each.name: each.type for contract in contracts for each in contract}
    schema = pa.schema({"run": pa.string()} | {name: types[name] for name in _columns(source)})
    rows = source.cases.assign(run=source.run)
    arrays = [pa.array(_plain(rows[name]), field.type) for name, field in zip(schema.names, schema, strict=True)]
    with new_file(target) as temporary:
        pq.write_table(pa.Table.from_arrays(arrays, schema=schema), temporary, compression="zstd")


_TABLES = ("captions", "images", "scores")


def _columns(source: Source) -> list[str]:
    metrics = [metric.key for metric in source.metrics]
    of_caption = ["logprob", "finished", "clip_truncated"]
    return [*_FIRST, *of_caption, *metrics, *_LAST, "conditions", "width", "height", "objects"]


def _plain(column: pd.Series) -> list[Any]:
    """Return the values of a column as Python objects; a missing value is None."""
    return [_known(value) for value in column.tolist()]


def _known(value: Any) -> Any:
    if hasattr(value, "__len__") and not isinstance(value, str):
        return list(value)
    return None if pd.isna(value) else value


def tags_of(value: Any) -> list[str]:
    """Return the names of the failure tags of a case, each once: a tag may have several pieces of evidence."""
    return list(dict.fromkeys(each["tag"] for each in texts_of(value)))


def texts_of(value: Any) -> list[Any]:
    """Return a list column's value as a list; a missing one is empty."""
    return [] if value is None or isinstance(value, float) else list(value)
