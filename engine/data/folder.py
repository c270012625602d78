"""Read a folder of photos without references."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.data.checks import ordered
from engine.data.dataset import Dataset, DatasetError, Example
from engine.data.photos import is_photo
from engine.data.splits import hashed_split


class FolderReader:
    """Reads the photos of any folder, without references."""

    name = "folder"

    def recognises(self, path: Path) -> bool:
        """Return whether `path` is in this format."""
        return path.is_dir()

    def read(self, path: Path, split: str | None, hold_out: int) -> Dataset:
        """Read a split; see `protocols.DatasetReader`."""
        if not path.is_dir():
            raise DatasetError(f"{path}: expected a folder of photos")
        photos = sorted(filter(is_photo, path.iterdir())) or sorted(_photos_below(path))
        names = [photo.relative_to(path) for photo in photos]
        named = zip(_photo_ids(names), names, strict=True)
        examples = ordered(Example(image_id, name.as_posix()) for image_id, name in named)
        return hashed_split(Dataset(path.resolve().name, "folder", path, "all", path, examples), split, hold_out)


def _photos_below(path: Path) -> Iterator[Path]:
    """Yield the photos of all folders in `path`, following symbolic links; each folder is read once."""
    seen: set[Path] = set()
    for folder, folders, names in os.walk(path, followlinks=True):
        real = Path(folder).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()  # so that a folder reached by two links gets the same ids on every file system
        yield from filter(is_photo, (Path(folder, name) for name in names))


def _photo_ids(names: Sequence[Path]) -> list[str]:
    """Return the ids of photos: file names without extension; if these are not unique, with folders; else with both."""
    forms = ([name.stem for name in names], [name.with_suffix("").as_posix() for name in names])
    return next((ids for ids in forms if len(set(ids)) == len(ids)), [name.as_posix() for name in names])
