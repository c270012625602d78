"""A table as one file, or as several files (shards) of at least 64 MB if it is larger.

Readers skip shards and row groups by their smallest and largest image id, so rows should be in the order of images.
"""

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from engine.store.schema import RENAMED_TABLES
from engine.writing import no_space, publish, publish_folder

BYTES = 64 * 2**20
"""Minimum size of a shard that is not the last: opening a file costs as much as reading a megabyte."""

MOST = 64
"""About how many shards a table has at most: each one is opened by every query."""

_NAME = re.compile(r"(\d{3,})-of-(\d{3,})\.parquet")
_ADDED = re.compile(r"added-([0-9a-f]{16})\.parquet")


def files_of(folder: Path, table: str) -> list[Path]:
    """Return the files of a table in a run's folder, in order; of a missing table, the name it would have.

    In an older run the file may have the name of RENAMED_TABLES.
    """
    path, older = folder / f"{table}.parquet", folder / f"{RENAMED_TABLES.get(table, table)}.parquet"
    if not path.is_file() and older.is_file():
        return [older]
    within = sorted((folder / table).glob("*.parquet"))
    added = [each for each in within if _ADDED.fullmatch(each.name)]
    numbered = [each for each in within if each not in added]
    return [*(numbered if numbered and not path.is_file() else [path]), *added]


def table_of(path: Path) -> str:
    """Return the table that a file holds, by its name or its folder's, now or before RENAMED."""
    is_shard = _NAME.fullmatch(path.name) or _ADDED.fullmatch(path.name)
    name = path.parent.name if is_shard else path.stem
    return {older: table for table, older in RENAMED_TABLES.items()}.get(name, name)


def missing(paths: list[Path]) -> str | None:
    """Return the name of a shard that is not among the files of a table, or None."""
    found = [_NAME.fullmatch(path.name) for path in paths]
    counts = {int(each[2]) for each in found if each}
    there = {int(each[1]) for each in found if each}
    lost = sorted(set(range(1, max(counts, default=0) + 1)) - there)
    return _name(lost[0], max(counts)) if lost else None


def _name(number: int, count: int) -> str:
    return f"{number:03d}-of-{count:03d}.parquet"


def added_file(folder: Path, table: str, name: str) -> Path:
    """Return the file of rows that are added to a finished table; `name` is 16 hex digits that identify them."""
    return folder / table / f"added-{name}.parquet"


class ShardWriter:
    """Writes the row groups of a table; afterwards all of them have their names, or none."""

    def __init__(self, folder: Path, table: str, schema: pa.Schema, rows: int | None) -> None:
        """Prepare to write.

        Args:
            rows: how many rows will come, if known: then large tables have about MOST shards.
        """
        self._target, self._single = folder / table, folder / f"{table}.parquet"
        self._temporary, self._schema, self._rows = folder / f"{table}.tmp", schema, rows
        self._written = self._in_shard = 0
        self._files: list[Path] = []
        self._open: ExitStack | None = None

    def __enter__(self) -> "ShardWriter":
        shutil.rmtree(self._temporary, ignore_errors=True)
        self._temporary.mkdir(parents=True)
        return self

    def write(self, group: pa.Table) -> None:
        """Write one row group."""
        if self._open is None or self._handle.tell() >= self._size():
            self._next()
        # In one piece, because the pages of a file follow the pieces.
        self._writer.write_table(group.combine_chunks(), row_group_size=len(group))
        self._written += len(group)
        self._in_shard += len(group)

    def _size(self) -> int:
        """Return the bytes of the present shard."""
        if self._rows is None:
            return BYTES * 2 ** (max(len(self._files) - 1, 0) // (MOST // 4))
        return max(BYTES, self._handle.tell() * self._rows // max(self._in_shard, 1) // MOST)

    def _next(self) -> None:
        self._close()
        self._files.append(self._temporary / f"{len(self._files):06d}.parquet")
        self._open, self._in_shard = ExitStack(), 0
        self._handle = self._open.enter_context(self._files[-1].open("wb"))
        self._writer = self._open.enter_context(pq.ParquetWriter(self._handle, self._schema, compression="zstd"))

    def _close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            try:
                if not self._files:
                    self._next()
                self._close()
                self._publish()
                return
            except Exception as raised:
                error = raised
        full = no_space(self._single, error) if isinstance(error, Exception) else None
        self._abandon()
        if full is not None:
            raise full from error
        raise error

    def _publish(self) -> None:
        if len(self._files) == 1:
            publish(self._files[0], self._single)
            shutil.rmtree(self._temporary)
            shutil.rmtree(self._target, ignore_errors=True)
            return
        for number, file in enumerate(self._files, 1):
            publish(file, self._temporary / _name(number, len(self._files)))
        shutil.rmtree(self._target, ignore_errors=True)
        publish_folder(self._temporary, self._target)
        self._single.unlink(missing_ok=True)

    def _abandon(self) -> None:
        """Delete what was written; the old files stay."""
        try:
            self._close()
        except Exception:  # the error that ended the writing is the one to show
            self._open = None
        shutil.rmtree(self._temporary, ignore_errors=True)


def row_groups(paths: list[Path], columns: list[str]) -> Iterator[pa.Table]:
    """Yield the row groups of a table one after the other."""
    for path in paths:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns)


def batches(paths: Sequence[Path], size: int, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """Yield the rows of a table, at most `size` at a time, with some or all columns."""
    for path in paths:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(size, columns=columns):
                yield pa.table(batch)
