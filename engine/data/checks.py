"""Check the entries of annotation files, and whole datasets."""

import math
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.data.dataset import Box, Dataset, DatasetError, Example
from engine.data.files import id_text
from engine.reading import parse_json, quoted, read_lines, read_text

_LONGEST_NAME = 255
"""Bytes of a file or folder name that file systems take."""

_LONGEST_PATH = 1000


def named_as_on_disk(dataset: Dataset) -> Dataset:
    """Return the dataset with file names in the Unicode form found on disk.

    macOS stores an é as two code points; annotations usually have one.
    """
    examples = dataset.examples
    if all(example.file_name.isascii() for example in examples):
        return dataset
    return dataset.subset(replace(each, file_name=_spelling(dataset.root, each.file_name)) for each in examples)


def _spelling(root: Path, name: str) -> str:
    if name.isascii():
        return name
    spellings = (name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name))
    return next((each for each in spellings if (root / each).is_file()), name)


def checked(dataset: Dataset) -> Dataset:
    """Return the dataset if it has images with unique ids and valid file names; raise `DatasetError` otherwise."""
    if not dataset.examples and dataset.format in ("folder", "classes"):
        raise DatasetError("; ".join((f"{dataset.root}: contains no photos", *dataset.remarks)))
    if not dataset.examples:
        raise DatasetError(f"{dataset.path}: no images in split {dataset.split!r}; expected photos in {dataset.root}")
    for example in dataset.examples:
        _check_example(dataset, example)
    counts = Counter(example.image_id for example in dataset.examples)
    twice = next((image_id for image_id, count in counts.items() if count > 1), None)
    if twice is not None:
        files = [example.file_name for example in dataset.examples if example.image_id == twice]
        both = ", ".join(map(quoted, files[:2]))
        raise DatasetError(f"{dataset.path}: the image {quoted(twice)} occurs twice ({both}); keep one of them")
    return dataset


def _check_example(dataset: Dataset, example: Example) -> None:
    """Check an example of any reader: other people's readers do not check all of this themselves."""
    named = f"{dataset.path}: the example {quoted(example.image_id)}"
    if not isinstance(example.image_id, str) or not isinstance(example.file_name, str):
        raise DatasetError(f"{named} with the file {quoted(example.file_name)}: expected text for both")
    try:
        example.file_name.encode()
    except UnicodeEncodeError:
        name = quoted(example.file_name)
        raise DatasetError(f"{dataset.root}: the file name {name} is not UTF-8; rename the file") from None
    inside_name(example.file_name, dataset.path)
    if isinstance(example.references, str) or not all(isinstance(text, str) for text in example.references):
        raise DatasetError(f"{named} has the references {quoted(example.references)}, expected a tuple of texts")
    for box in (*example.objects, *example.crowds):
        if not isinstance(box, Box) or not all(map(is_finite, (box.x, box.y, box.width, box.height))):
            raise DatasetError(f"{named} has the object {quoted(box)}, expected a Box of finite numbers")


def is_finite(value: object) -> bool:
    """Return whether `value` is a finite number that fits into a float: JSON numbers can have any number of digits."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def ordered(examples: Iterable[Example]) -> tuple[Example, ...]:
    """Return the examples ordered by image id, then file name."""
    return tuple(sorted(examples, key=lambda example: (example.image_id, example.file_name)))


def inside_name(name: object, file: Path) -> str:
    """Return `name` as text; raise `DatasetError` if it is not a name or points outside the photos' folder."""
    if not isinstance(name, str | int) or isinstance(name, bool):
        raise DatasetError(f"{file}: the file name {quoted(name)} is not text")
    text = str(name).strip()
    parts = text.replace("\\", "/").split("/")
    if not text or not parts[0] or ".." in parts or re.match(r"[A-Za-z]:", text):
        raise DatasetError(
            f"{file}: the file name {quoted(name)} points outside the photos' folder; expected a relative path"
        )
    is_long = len(text) > _LONGEST_PATH or any(len(os.fsencode(part)) > _LONGEST_NAME for part in parts)
    if "\0" in text or is_long:
        raise DatasetError(f"{file}: {quoted(name)} cannot be a file name; expected a relative path")
    return text


def photo_ids(names: Sequence[str]) -> list[str]:
    """Return the ids of photos: file names without extension; if these are not unique, with folders; else with both."""
    forms = (_stem, lambda name: Path(name).with_suffix("").as_posix())
    every = ([form(name) for name in names] for form in forms)
    return next((ids for ids in every if len(set(ids)) == len(ids)), list(names))


def _stem(name: str) -> str:
    """Return `Path(name).stem`, for names without folders in a tenth of the time."""
    dot = name.rfind(".")
    if "/" in name or dot == 0:
        return Path(name).stem
    return name[:dot] if 0 < dot < len(name) - 1 else name


def split_name(stem: str) -> str:
    """Return the split that an annotation file's name contains, such as `val2017`, else the whole name."""
    words = re.split(r"[_\-. ]+", stem)
    return next((word for word in words if re.fullmatch(r"(train|val|test|dev|restval)\d*", word)), stem)


def caption_text(value: object, where: str) -> str:
    """Return a caption with white space collapsed; raise `DatasetError` if it is not text."""
    if not isinstance(value, str):
        raise DatasetError(f"{where} is {quoted(value)}, expected text")
    return " ".join(value.split())


def entry(file: Path, item: object, name: str) -> Any:
    """Return `item[name]`; raise `DatasetError` if there is none."""
    if not isinstance(item, dict) or name not in item:
        raise DatasetError(f"{file}: the entry {quoted(item)} has no {name!r}")
    return item[name]


def entry_id(file: Path, item: object, name: str) -> str:
    """Return the id `item[name]` as text; raise `DatasetError` if it is not an id."""
    value = entry(file, item, name)
    found = id_text(value)
    if found is None:
        raise DatasetError(f"{file}: the {name!r} {quoted(value)} is not an id; expected a number or text")
    return found


def read_json_file(file: Path) -> Any:
    """Return the value of a JSON file; raise `DatasetError` if it is not JSON."""
    return parse_json(read_text_file(file), str(file), DatasetError)


def text_lines(file: Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 file; raise `DatasetError` for another encoding."""
    return read_lines(file, DatasetError)


def read_text_file(file: Path) -> str:
    """Return the text of a UTF-8 file; raise `DatasetError` for another encoding."""
    return read_text(file, DatasetError)
