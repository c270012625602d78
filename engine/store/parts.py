"""Chunks of a long stage: stored as they are finished, next to the tables of the run, until all are there."""

import errno
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.reading import first_line, read_object
from engine.store import shards
from engine.store.atomic import write_json
from engine.store.errors import ResultsError
from engine.store.schema import schema_of
from engine.store.tables import check_table, count_rows, read_table, write_table
from engine.writing import publish_folder

PARTS = ".parts"
"""The folder in a run's folder."""

HELD = "held"
"""The lock file in it of the process that writes the run; those of parts have names that begin so."""

RECORD = "computed.json"


def write_part(
    folder: Path, stage: str, index: int, tables: dict[str, pa.Table], record: Mapping[str, Any] | None = None
) -> None:
    """Keep chunk `index` of `stage`: all its tables and a record of how it was computed, or none of them.

    Several processes may write the same chunk at the same time, because the same chunk has the same tables.
    """
    target = part_folder(folder, stage, index)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    for table, rows in tables.items():
        write_table(temporary, table, rows)
    write_json(temporary / RECORD, dict(record or {}))
    if is_part(folder, stage, index, list(tables)):  # another process was faster
        shutil.rmtree(temporary, ignore_errors=True)
        return
    shutil.rmtree(target, ignore_errors=True)
    try:
        publish_folder(temporary, target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        shutil.rmtree(temporary, ignore_errors=True)  # another process published it since


def is_part(folder: Path, stage: str, index: int, tables: list[str]) -> bool:
    """Return whether chunk `index` of `stage` is stored, by the descriptions of its tables."""
    part = part_folder(folder, stage, index)
    # A part without a column of ADDED was written before there was one, and parts are joined to one table.
    return all(check_table(part, table) is None and _is_current(part, table) for table in tables)


def _is_current(part: Path, table: str) -> bool:
    found = pq.read_schema(shards.files_of(part, table)[0]).names
    return found == schema_of(table, found).names


def part_rows(folder: Path, stage: str, index: int, table: str) -> int:
    """Return the number of rows of a table of a stored chunk."""
    return count_rows(part_folder(folder, stage, index), table)


def read_part_record(folder: Path, stage: str, index: int) -> dict[str, Any]:
    """Return the record of a chunk, empty if it is missing or damaged."""
    try:
        return read_object(part_folder(folder, stage, index) / RECORD, ResultsError)
    except (ResultsError, OSError):
        return {}


def read_part_table(folder: Path, stage: str, index: int, table: str) -> pa.Table:
    """Return one table of a stored chunk.

    Raises:
        ResultsError: the chunk is damaged. It is deleted, so that the next run computes it again.
    """
    part = part_folder(folder, stage, index)
    try:
        return read_table(part, table)
    except ResultsError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise ResultsError(
            f"chunk {index} of {folder} was damaged and has been deleted ({first_line(error)}); "
            "run the same command again, which computes it again"
        ) from error


def has_parts(folder: Path) -> bool:
    """Return whether a run has finished chunks."""
    return any(not path.name.startswith(".") for path in (folder / PARTS).glob("*/*"))


def drop_parts(folder: Path) -> None:
    """Delete the chunks of a run whose tables are complete."""
    shutil.rmtree(folder / PARTS, ignore_errors=True)


def drop_stage(folder: Path, stage: str) -> None:
    """Delete the chunks of a stage."""
    shutil.rmtree(stage_folder(folder, stage), ignore_errors=True)


def drop_chunks(folder: Path) -> None:
    """Delete the chunks of an unfinished run, but not the lock that is held."""
    for stage in (folder / PARTS).iterdir():
        if stage.is_dir():
            shutil.rmtree(stage)


def stage_folder(folder: Path, stage: str) -> Path:
    """Return the folder of the chunks of a stage."""
    return folder / PARTS / stage


def part_folder(folder: Path, stage: str, index: int) -> Path:
    """Return the folder of a chunk."""
    return stage_folder(folder, stage) / f"{index:06d}"
