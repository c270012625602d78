"""Read a folder of photos without references."""

from collections.abc import Sequence
from pathlib import Path

from engine.data.checks import ordered, photo_ids
from engine.data.dataset import Dataset, DatasetError, Example
from engine.data.photo_formats import NAMED, Files, files_below, files_in
from engine.data.splits import hashed_split
from engine.reading import some_of


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
        top, every = files_in(path), files_below(path)
        used = top if top.photos else every
        names = [photo.relative_to(path).as_posix() for photo in used.photos]
        examples = ordered(Example(image_id, name) for image_id, name in zip(photo_ids(names), names, strict=True))
        dataset = Dataset(path.resolve().name, "folder", path, "all", path, examples)
        deeper = sorted(set(every.photos).difference(used.photos))
        return hashed_split(dataset.remarking(no_photos(used, path), _in_subfolders(deeper, path)), split, hold_out)


def no_photos(files: Files, folder: Path) -> str:
    """Return a remark that names the files of a folder that are not photos, or ""."""
    if not files.others:
        return ""
    names = some_of([file.relative_to(folder).as_posix() for file in files.others])
    counted = "1 other file is" if len(files.others) == 1 else f"{len(files.others):,} other files are"
    return f"{counted} not a {NAMED} image: {names}"


def _in_subfolders(photos: Sequence[Path], folder: Path) -> str:
    if not photos:
        return ""
    folders = list(dict.fromkeys(photo.relative_to(folder).parts[0] for photo in photos))
    counted, are = ("1 photo", "is") if len(photos) == 1 else (f"{len(photos):,} photos", "are")
    return f"{counted} in subfolders ({some_of(folders)}) {are} not used, because the folder itself has photos"
