"""The structure that every dataset reader returns: examples with their photos, references and boxes.

Photos are not opened here; an unusable photo is reported when it is read.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path


class DatasetError(ValueError):
    """An inconsistent or unreadable dataset; the message names the file, the entry and what was expected."""


@dataclass(frozen=True, slots=True)
class Box:
    """A labelled object, in pixels."""

    label: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Example:
    """A photo with its annotations."""

    image_id: str
    """The file name without folder and extension."""
    file_name: str
    """Relative to the dataset's root."""
    references: tuple[str, ...] = ()
    objects: tuple[Box, ...] = ()
    """Single objects, in pixels of the annotated photo; see `boxes_on`."""
    crowds: tuple[Box, ...] = ()
    """Regions that hold several objects which are not annotated one by one (COCO's `iscrowd`), in the same pixels."""
    conditions: tuple[str, ...] = ()
    label: str | None = None
    """The class, in a classification set."""
    source_id: str | None = None
    """The image's id in the annotation file, if it has one."""
    annotated_size: tuple[float, float] | None = None
    """Width and height in pixels of the annotated photo, if the annotations contain them."""

    def boxes_on(self, width: int, height: int) -> "Example":
        """Return the example with its boxes in pixels of a `width` x `height` copy of the photo.

        They are not scaled if the annotated size is unknown or equals the given size with the sides swapped.
        """
        if self.annotated_size in (None, (width, height), (height, width)) or not width or not height:
            return self
        across, down = width / self.annotated_size[0], height / self.annotated_size[1]
        objects, crowds = (
            tuple(
                Box(each.label, each.x * across, each.y * down, each.width * across, each.height * down)
                for each in boxes
            )
            for boxes in (self.objects, self.crowds)
        )
        return replace(self, objects=objects, crowds=crowds, annotated_size=(width, height))


@dataclass(frozen=True)
class Dataset:
    """The examples of one split, ordered by image id."""

    name: str
    format: str
    path: Path
    """The path that was passed to the reader."""
    split: str
    root: Path
    """The folder of the photos."""
    examples: tuple[Example, ...]
    labels: tuple[str, ...] = ()
    """All classes of a classification set, in the dataset's order."""
    label_ids: tuple[str, ...] = ()
    """The numbers of the classes in the file names."""
    tokenizer: Path | None = None
    """A tokenizer file that comes with the dataset."""
    only: tuple[str, ...] = ()
    """Ids of the images that were chosen from the split (--only), in order; empty if all are used."""
    remarks: tuple[str, ...] = ()
    """What the reader left out, one clause each without a full stop, for people."""

    def photo(self, example: Example) -> Path:
        """Return the path of the example's photo."""
        return self.root / example.file_name

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that change with any photo's name or file size and with any reference, box or label."""
        digest = hashlib.sha256()
        for example in self.examples:
            path = self.photo(example)
            size = path.stat().st_size if path.is_file() else -1
            parts = (example.file_name, size, example.references, example.objects, example.conditions, example.label)
            digest.update(repr(parts + ((example.crowds,) if example.crowds else ())).encode())
        return digest.hexdigest()[:16]

    def on_disk(self) -> "Dataset":
        """Return the dataset with only the examples whose photo exists."""
        return self.subset(example for example in self.examples if self.photo(example).is_file())

    def remarking(self, *remarks: str) -> "Dataset":
        """Return the dataset with further remarks; empty ones are left out."""
        return replace(self, remarks=(*self.remarks, *filter(None, remarks)))

    def chosen(self, image_ids: Sequence[str]) -> "Dataset":
        """Return the dataset with only these images.

        Raises:
            DatasetError: an image is not in the split.
        """
        wanted = dict.fromkeys(image_ids)
        here = {example.image_id for example in self.examples}
        missing = [image_id for image_id in wanted if image_id not in here]
        if missing:
            raise DatasetError(
                f"--only {missing[0][:100]!r}: {self.path} has no such image in split {self.split!r}, "
                f"expected ids of its {len(here):,} images, such as {min(here, default='none')!r}"
            )
        kept = tuple(example for example in self.examples if example.image_id in wanted)
        return replace(self, examples=kept, only=tuple(example.image_id for example in kept))

    def subset(self, examples: Iterable[Example]) -> "Dataset":
        """Return the same dataset with these examples."""
        return replace(self, examples=tuple(examples))
