"""Datasets as every reader returns them: examples with their photos, references and boxes.

Opens no photo: whether one can be used shows when it is read.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path


class DatasetError(ValueError):
    """A dataset that makes no sense; the message names the file, the entry, and what was expected."""


@dataclass(frozen=True)
class Box:
    """A labelled object, in pixels."""

    label: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Example:
    """A photo with what is known about it."""

    image_id: str
    """The file name without folder and extension."""
    file_name: str
    """Relative to the dataset's root."""
    references: tuple[str, ...] = ()
    objects: tuple[Box, ...] = ()
    """In pixels of the photo that was annotated; see `boxes_on`."""
    conditions: tuple[str, ...] = ()
    label: str | None = None
    """The class, in a classification set."""
    source_id: str | None = None
    """The id that the annotation file gives the image, where there is one."""
    annotated_size: tuple[float, float] | None = None
    """Width and height of the photo that the boxes were drawn on, where the annotations say it."""

    def boxes_on(self, width: int, height: int) -> tuple[Box, ...]:
        """The boxes in pixels of a `width` x `height` copy of the photo.

        As they are where the annotated size is not known, or is that of the photo lying on its side.
        """
        if self.annotated_size in (None, (width, height), (height, width)) or not width or not height:
            return self.objects
        across, down = width / self.annotated_size[0], height / self.annotated_size[1]
        return tuple(
            Box(box.label, box.x * across, box.y * down, box.width * across, box.height * down) for box in self.objects
        )


@dataclass(frozen=True)
class Dataset:
    """The examples of one split, in a fixed order (by image id)."""

    name: str
    format: str
    path: Path
    """What was asked for."""
    split: str
    root: Path
    """The folder of the photos."""
    examples: tuple[Example, ...]
    labels: tuple[str, ...] = ()
    """All classes, in the dataset's order, in a classification set."""
    label_ids: tuple[str, ...] = ()
    """Their numbers as the file names have them."""
    tokenizer: Path | None = None
    """A tokenizer file that comes with the dataset."""

    def photo(self, example: Example) -> Path:
        """Where the photo lies."""
        return self.root / example.file_name

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that change with any photo's name or size, any reference, box or label."""
        digest = hashlib.sha256()
        for example in self.examples:
            path = self.photo(example)
            size = path.stat().st_size if path.is_file() else -1
            parts = (example.file_name, size, example.references, example.objects, example.conditions, example.label)
            digest.update(repr(parts).encode())
        return digest.hexdigest()[:16]

    def on_disk(self) -> "Dataset":
        """Only the examples whose photo is there."""
        return self.subset(example for example in self.examples if self.photo(example).is_file())

    def subset(self, examples: Iterable[Example]) -> "Dataset":
        """The same dataset with these examples."""
        return replace(self, examples=tuple(examples))
