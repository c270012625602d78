"""Read the images and captions of a run from its folder, block by block."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
from pyarrow.compute import field as column

from engine.data.blocks import SIZE, Block
from engine.data.dataset import Box
from engine.data.split import Split
from engine.store import shards, tables


@dataclass(frozen=True)
class CaptionBlock(Block):
    """Some images of a run with their captions."""

    words: Mapping[int, Sequence[Sequence[str]]] = field(default_factory=dict)
    """Beam size -> the words of each caption."""
    finished: Mapping[int, Sequence[bool | None]] = field(default_factory=dict)
    """Beam size -> whether each caption has an end token; None if unknown."""


class RunBlocks(Protocol):
    """The blocks of a run; every iteration begins with the first."""

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the dataset."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """The settings of all blocks, in order."""

    def __iter__(self) -> Iterator[Block]: ...

    def splits(self) -> Iterator[Split]:
        """Yield the images of each block."""

    def whole(self) -> tuple[Split, dict[int, list[str]]]:
        """Return all images and the captions of each setting, in memory."""

    def of_size(self, size: int) -> "RunBlocks":
        """Return the same images and captions in blocks of `size` images."""


def joined(blocks: RunBlocks) -> tuple[Split, dict[int, list[str]]]:
    """Return all images and the captions of each setting, for metrics that take the whole split in one call."""
    every, captions = [], {size: [] for size in blocks.sizes}
    for block in blocks:
        every.append(block.split)
        for size, own in block.captions.items():
            captions[size] += own
    names = ("image_ids", "references", "photos", "objects", "crowds")
    columns = (tuple(chain.from_iterable(getattr(each, name) for each in every)) for name in names)
    return Split(*columns, blocks.fingerprint), captions


@dataclass(frozen=True)
class CaptionBlocks:
    """The blocks of a run whose tables `images` and `captions` are written; every iteration reads them again."""

    folder: Path
    """The run's folder."""
    sizes: tuple[int, ...]
    """The beam sizes, in order; every image has a caption of each."""
    dataset_root: Path
    fingerprint: str
    missing: frozenset[str] | None = frozenset()
    """Ids of images without a photo; None if no image has one."""
    size: int = SIZE
    """Images per block."""

    def __iter__(self) -> Iterator[CaptionBlock]:
        captions = _Captions(self._files("captions"), self.sizes)
        for split in self.splits():
            rows = {size: captions.take(size, split.image_ids) for size in self.sizes}
            by_column = [{size: [row[at] for row in each] for size, each in rows.items()} for at in range(3)]
            yield CaptionBlock(split, by_column[0], by_column[1], by_column[2])

    def splits(self) -> Iterator[Split]:
        """Yield the images of each block."""
        for images in _slices(self._files("images"), self.size):
            yield self._split(images)

    def captions(self, size: int) -> Iterator[list[str]]:
        """Yield the captions of a beam size, a part at a time."""
        for rows in shards.batches(self._files("captions"), SIZE, ["beam_size", "caption"]):
            yield rows.filter(column("beam_size") == size)["caption"].to_pylist()

    def whole(self) -> tuple[Split, dict[int, list[str]]]:
        """Return all images and the captions of each beam size, in memory."""
        return joined(self)

    def of_size(self, size: int) -> "CaptionBlocks":
        """Return the same images and captions in blocks of `size` images."""
        return replace(self, size=size)

    @property
    def images(self) -> int:
        """Return the number of images."""
        return tables.count_rows(self.folder, "images")

    def _files(self, table: str) -> list[Path]:
        return shards.files_of(self.folder, table)

    def _split(self, images: pa.Table) -> Split:
        ids, names = images["image_id"].to_pylist(), images["file_name"].to_pylist()
        photos: tuple[Path | None, ...] = (None,) * len(ids)
        if self.missing is not None:
            named = zip(ids, names, strict=True)
            photos = tuple(None if key in self.missing else self.dataset_root / name for key, name in named)
        return Split(
            tuple(ids),
            tuple(map(tuple, images["references"].to_pylist())),
            photos,
            boxes_of(images, "objects"),
            boxes_of(images, "crowds"),
            self.fingerprint,
        )


def boxes_of(images: pa.Table, column: str) -> tuple[tuple[Box, ...], ...]:
    """Return the boxes of each image in a column of `images`; none if a part of an older run lacks the column."""
    if column not in images.column_names:
        return ((),) * len(images)
    return tuple(tuple(Box(**box) for box in boxes or ()) for boxes in images[column].to_pylist())


class _Captions:
    """Captions in the order of the file, which is that of the images up to the chunks in which they were made."""

    def __init__(self, files: Sequence[Path], sizes: Sequence[int]) -> None:
        names = ["beam_size", "image_id", "caption", "words", "finished"]
        self._batches = shards.batches(files, SIZE, names)
        self._waiting: dict[int, dict[str, tuple[Any, ...]]] = {size: {} for size in sizes}

    def take(self, size: int, image_ids: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return (caption, words, finished) of each image, once."""
        own = self._waiting[size]
        while any(image_id not in own for image_id in image_ids):
            columns = (column.to_pylist() for column in next(self._batches).columns)
            for beam_size, image_id, *row in zip(*columns, strict=True):
                self._waiting[beam_size][image_id] = tuple(row)
        return [own.pop(image_id) for image_id in image_ids]


def _slices(files: Sequence[Path], size: int) -> Iterator[pa.Table]:
    """Yield the rows of a table, `size` at a time."""
    waiting: pa.Table | None = None
    for rows in shards.batches(files, size):
        waiting = rows if waiting is None else pa.concat_tables([waiting, rows])
        while len(waiting) >= size:
            yield waiting.slice(0, size)
            waiting = waiting.slice(size)
    if waiting is not None and len(waiting):
        yield waiting
