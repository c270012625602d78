"""The images that are scored, with everything that a metric may use."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.data.dataset import Box


@dataclass(frozen=True)
class Split:
    """N images in a fixed order. Row i of every result belongs to image i."""

    image_ids: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]
    """The references of each image; an image may have none."""
    photos: tuple[Path | None, ...] = ()
    """The photo of each image; None if it is missing."""
    objects: tuple[tuple[Box, ...], ...] = ()
    """Annotated single objects, in pixels of the upright photo; an image may have none."""
    crowds: tuple[tuple[Box, ...], ...] = ()
    """Annotated regions that hold several objects, in the same pixels."""
    fingerprint: str = ""
    """The fingerprint of the dataset, see `Dataset.fingerprint`."""

    def __post_init__(self) -> None:
        for name in ("references", "photos", "objects", "crowds"):
            values = getattr(self, name)
            if len(values) not in (0, len(self.image_ids)):
                raise ValueError(
                    f"{name}: {len(values)} values for {len(self.image_ids)} images; expected one per image"
                )

    @classmethod
    def of_references(cls, references: Sequence[Sequence[str]]) -> "Split":
        """Return a split with references only; the image ids are numbers from 0."""
        return cls(tuple(map(str, range(len(references)))), tuple(map(tuple, references)))

    def __len__(self) -> int:
        return len(self.image_ids)

    def having(self, needs: Collection[str]) -> list[int]:
        """Return the rows of the images that have all of `needs`: references, photos, objects."""
        values = [getattr(self, name) for name in needs]
        return [row for row in range(len(self)) if all(each and each[row] for each in values)]

    def every_box(self) -> list[tuple[Box, ...]]:
        """Return the boxes of each image that has any, single objects and crowds together."""
        both = (self.objects, self.crowds or ((),) * len(self.objects))
        return [(*objects, *crowds) for objects, crowds in zip(*both, strict=True)]

    def take(self, rows: Sequence[int]) -> "Split":
        """Return the split of these rows, in their order."""

        def chosen(values: tuple) -> tuple:
            return tuple(values[row] for row in rows) if values else ()

        return Split(
            chosen(self.image_ids),
            chosen(self.references),
            chosen(self.photos),
            chosen(self.objects),
            chosen(self.crowds),
            self.fingerprint,
        )
