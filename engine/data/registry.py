"""Load datasets of any supported format: choose the reader of a path and check what it returns."""

from pathlib import Path

from engine import protocols
from engine.data.checks import checked, named_as_on_disk
from engine.data.coco import CocoReader
from engine.data.course import CourseReader
from engine.data.dataset import Dataset, DatasetError
from engine.data.flickr8k import Flickr8kReader
from engine.data.folder import FolderReader
from engine.data.splits import HOLD_OUT
from engine.protocols import DatasetReader, PluginError

READERS: dict[str, DatasetReader] = {
    reader.name: reader for reader in (CourseReader(), CocoReader(), Flickr8kReader(), FolderReader())
}
"""The built-in formats in the order in which they are tried. `folder` accepts any folder, so it is last."""


def load(path: Path, format: str | None = None, split: str | None = None, hold_out: int = HOLD_OUT) -> Dataset:
    """Read a captioning dataset.

    Args:
        path: a folder, or an annotation file.
        format: one of `formats()`, or `package.module:factory` of a reader; None detects the format.
        split: `train`, `val`, `test`, a split's full name (`val2017`), or `all`. None takes `val` if the dataset has
            splits, else everything.
        hold_out: number of photos in `val` if the dataset has no splits; the rest is `train`.

    Raises:
        DatasetError: the dataset does not exist, cannot be read, or is inconsistent.
        PluginError: the reader cannot be loaded.
    """
    if not path.exists():
        raise DatasetError(f"{path}: there is no such file or folder; expected a dataset ({', '.join(formats())})")
    reader = _recognise(path) if format is None else _named(format)
    dataset = reader.read(path, split, hold_out)
    if not isinstance(dataset, Dataset):
        raise PluginError(f"the reader {reader.name!r} returned {dataset!r}, expected a Dataset")
    return checked(named_as_on_disk(checked(dataset)))


def formats() -> list[str]:
    """Return the names of all formats, installed plugins last."""
    return [*READERS, *(name for name in protocols.installed("datasets") if name not in READERS)]


def _named(format: str) -> DatasetReader:
    if format in READERS:
        return READERS[format]
    if ":" not in format and format not in formats():
        raise DatasetError(f"format {format!r}: expected one of {', '.join(formats())}, or package.module:factory")
    return protocols.plugin("datasets", format)


def _recognise(path: Path) -> DatasetReader:
    """Return the reader of `path`. Installed plugins are tried first, because they are more specific than `folder`.

    Raises:
        DatasetError: no reader, or more than one plugin, recognises it.
    """
    plugins = [protocols.plugin("datasets", name) for name in protocols.installed("datasets")]
    found = [reader for reader in plugins if reader.recognises(path)]
    if len(found) > 1:
        names = " and ".join(reader.name for reader in found[:2])
        raise DatasetError(f"{path}: the plugins {names} both read it; choose one with --format")
    found += [reader for reader in READERS.values() if reader.recognises(path)]
    if not found:
        raise DatasetError(f"{path}: expected a folder, a COCO captions .json or a Flickr8k captions .txt")
    return found[0]
