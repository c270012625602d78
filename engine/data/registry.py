"""Load datasets of any supported format: choose the reader of a path and check what it returns."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from engine import protocols
from engine.data.checks import checked, named_as_on_disk
from engine.data.coco import CocoReader
from engine.data.course import CourseReader
from engine.data.dataset import Dataset, DatasetError
from engine.data.flickr import FLICKR8K, FLICKR30K, is_flickr
from engine.data.folder import FolderReader
from engine.data.karpathy import KarpathyReader
from engine.data.pairs import PairsReader
from engine.data.splits import HOLD_OUT
from engine.protocols import DatasetReader, PluginError
from engine.reading import head, some_of

READERS: dict[str, DatasetReader] = {
    reader.name: reader
    for reader in (
        CourseReader(),
        CocoReader(),
        KarpathyReader(),
        FLICKR30K,
        FLICKR8K,
        PairsReader(),
        FolderReader(),
    )
}
"""The built-in formats in the order in which they are tried. `folder` accepts any folder, so it is last."""


FORMS = (
    "COCO's captions (also nocaps and VizWiz), Karpathy's dataset_*.json, Flickr8k, Flickr30k, or images and captions "
    "as a JSON list, JSON lines, TSV or CSV"
)
"""The supported annotation files, for messages."""

_ANNOTATIONS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".token", ".parquet", ".arrow", ".xml", ".pkl")
_NOT_ANNOTATIONS = ("id2label.json", "caption_tokenizer.json")


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
    if format is None and path.is_dir() and isinstance(dataset, Dataset):
        dataset = dataset.remarking(_unused_files(path, reader))
    if not isinstance(dataset, Dataset):
        raise PluginError(f"the reader {reader.name!r} returned {dataset!r}, expected a Dataset")
    found = checked(dataset)
    named = named_as_on_disk(found)
    return _without_blanks(named if named is found else checked(named))


def _without_blanks(dataset: Dataset) -> Dataset:
    """Return the dataset without blank references, which describe nothing and would lower CIDEr."""
    blank = sum(not text.strip() for example in dataset.examples for text in example.references)
    if not blank:
        return dataset
    kept = dataset.subset(
        replace(example, references=tuple(text for text in example.references if text.strip()))
        for example in dataset.examples
    )
    counted = "1 reference is blank and" if blank == 1 else f"{blank:,} references are blank and"
    return kept.remarking(f"{counted} not used")


def _files(reader: Any, folder: Path) -> list[Path]:
    """Return the annotation files that one of our own readers would read in a folder."""
    return reader.files(folder) if hasattr(reader, "files") else []


def _unused_files(folder: Path, reader: DatasetReader) -> str:
    """Return a remark on annotation files that another reader would read, or ""."""
    own = set(_files(reader, folder))
    others = [file for other in READERS.values() for file in _files(other, folder) if file not in own]
    if not own or not others:
        return ""
    named = some_of([file.name for file in dict.fromkeys(others)])
    return f"other annotation files of the folder are not used: {named}; pass one of them as --data to use it"


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
        raise DatasetError(f"{path}: not an annotation file of a supported form; expected {FORMS}")
    if found[0].name == FolderReader.name:
        _check_unread(path)
    return found[0]


def _check_unread(folder: Path) -> None:
    """Raise `DatasetError` if a folder has annotation files that nobody reads: their references would be lost."""
    inner = sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    for place in inner:
        named = next((name for name, reader in READERS.items() if name != "folder" and reader.recognises(place)), None)
        if named is not None:
            raise DatasetError(
                f"{place} has annotations ({named}); pass that folder, or --format folder for photos alone"
            )
    for place in (folder, *inner):
        for file in sorted(place.iterdir()) if place.is_dir() else ():
            if file.is_file() and file.name[0] != "." and file.name not in _NOT_ANNOTATIONS and _is_annotation(file):
                raise DatasetError(
                    f"{file}: not an annotation file of a supported form; expected {FORMS}; to read only the photos of "
                    f"{folder}, pass --format folder"
                )


def _is_annotation(file: Path) -> bool:
    if file.suffix.lower() == ".txt":
        return is_flickr(file) or "\t" in head(file).split("\n", 1)[0]
    return file.suffix.lower() in _ANNOTATIONS
