"""Find the folder in which the photos of an annotation file are."""

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from engine.data.dataset import Dataset, DatasetError


def place(base: Path, names: Sequence[str], hints: Sequence[Path]) -> tuple[Path, list[str]]:
    """Return the folder of the photos and the file name of each photo in it.

    If `hints` have none of the photos, `base` and the folders in it and in its `images` are searched. A folder with
    all photos is preferred; else each photo is looked up by itself, because the images of a split are sometimes spread
    over the folders of others. A name with folders is also looked up without them, and
    with slashes for backslashes. Photos that are nowhere keep their
    names.

    Args:
        base: the folder of the dataset.
        names: file names in the annotation file, relative.
        hints: folders below `base` in which this format usually has its photos; messages name the first.
    """
    for folders in (hints, _folders(base)):
        found = _search([folder for folder in folders if folder.is_dir()], names)
        used = list(dict.fromkeys(folder for folder, _ in filter(None, found)))
        if not used:
            continue
        if len(used) == 1:
            return used[0], [name if each is None else each[1] for name, each in zip(names, found, strict=True)]
        return base, [
            name if each is None else (each[0] / each[1]).relative_to(base).as_posix()
            for name, each in zip(names, found, strict=True)
        ]
    return next((folder for folder in hints if folder.is_dir()), hints[0]), list(names)


def check_photos(dataset: Dataset) -> None:
    """Raise `DatasetError` if not one photo of the dataset is there."""
    if not any(dataset.photo(example).is_file() for example in dataset.examples):
        raise DatasetError(f"{dataset.path}: its photos are missing; expected them in {dataset.root}")


def _folders(base: Path) -> list[Path]:
    """Return `base` and the visible folders in it and in its `images`."""
    tops = [top for top in (base, base / "images") if top.is_dir()]
    return [base] + [
        folder
        for top in tops
        for folder in sorted(top.iterdir())
        if not folder.name.startswith(".") and folder.is_dir()
    ]


def _search(folders: Sequence[Path], names: Sequence[str]) -> list[tuple[Path, str] | None]:
    """Return the folder of each photo and its name there; of several folders with all photos, the first."""
    files = cache(lambda folder: frozenset(os.listdir(folder)))

    def has(folder: Path, name: str) -> bool:
        return (folder / name).is_file() if "/" in name else name in files(folder)

    slashed = [name.replace("\\", "/") for name in names]  # as written on Windows
    bare = [name.rpartition("/")[2] for name in slashed]
    for form in (names, slashed, bare):
        for folder in folders:
            if all(has(folder, name) for name in form):
                return [(folder, name) for name in form]
    return [
        next(((folder, name) for name in forms for folder in folders if has(folder, name)), None)
        for forms in zip(names, slashed, bare, strict=True)
    ]
