"""Read files of predicted captions or classes, check them, and match them with a dataset.

Three forms of captions are supported: COCO results `[{"image_id", "caption"}]`, the course's `{name: caption}`, and a
list of `{"img_id", "prediction": [caption]}`. Classes are read from the course's CSV, `filename,label`.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.data.dataset import Dataset
from engine.data.files import id_text, parse_json, quoted, read_text, rows


class PredictionsError(ValueError):
    """A predictions file that cannot be used; the message names the file and the entry."""


@dataclass(frozen=True)
class PredictedCaption:
    """A caption and the name of its image, both as in the file."""

    name: str
    caption: str
    is_id: bool = False
    """Whether `name` was given as COCO's `image_id`; such a name is looked up as an id first, then as a file name."""


def read(path: Path) -> list[PredictedCaption]:
    """Return the captions of a file, in its order, with white space collapsed.

    Raises:
        PredictionsError: the file is missing or has an unknown form, a caption is not text, or an image occurs twice.
    """
    if not path.is_file():
        raise PredictionsError(f"{path}: there is no such file; expected a JSON file of predicted captions")
    try:
        content = parse_json(read_text(path, PredictionsError), str(path), PredictionsError, _reject_twice)
    except KeyError as error:
        raise PredictionsError(f"{path}: {_twice(error.args[0], error.args[0])}") from error
    found: dict[str, PredictedCaption] = {}
    for name, caption, is_id in _entries(path, content):
        if not isinstance(caption, str):
            raise PredictionsError(f"{path}: the caption of {quoted(name)} is {quoted(caption)}, expected text")
        if (key := _key(name)) in found:
            raise PredictionsError(f"{path}: {_twice(found[key].name, name)}")
        found[key] = PredictedCaption(name, " ".join(caption.split()), is_id)
    if not found:
        raise PredictionsError(f"{path}: contains no predictions")
    return list(found.values())


def match(found: Sequence[PredictedCaption], dataset: Dataset, path: Path, partial: bool) -> dict[str, str]:
    """Return the captions by image id of the dataset.

    COCO's `image_id` is looked up among the ids of the annotation file, then among the file names; any other name is
    looked up in the opposite order. A number matches the file name that ends in it only if the dataset has no ids.

    Raises:
        PredictionsError: the dataset does not have the image of a prediction, several file names end in its number, an
            image has two predictions, or, unless `partial`, an image has none.
    """
    images = _Images(dataset, path)
    named: dict[str, str] = {}
    matched: dict[str, str] = {}
    for each in found:
        image_id = images.find(each)
        if image_id in named:
            raise PredictionsError(f"{path}: {_twice(named[image_id], each.name)}")
        named[image_id], matched[image_id] = each.name, each.caption
    missing = sorted(images.known - set(matched))
    if missing and not partial:
        raise PredictionsError(
            f"{path}: {len(missing)} of {len(images.known)} images have no caption, the first is {quoted(missing[0])}; "
            "use --partial to score only the others (CIDEr's document frequencies are then computed over these alone)"
        )
    return matched


class _Images:
    """The images of a dataset, looked up by any name that a predictions file may use."""

    def __init__(self, dataset: Dataset, path: Path) -> None:
        self._dataset, self._path = dataset, path
        self.known = {example.image_id for example in dataset.examples}
        self._by_spelling = {_spelling(image_id): image_id for image_id in self.known}
        self._by_id = {each.source_id: each.image_id for each in dataset.examples if each.source_id is not None}
        self._by_number: dict[str, list[str]] = {}
        if self._by_id:
            numbers = ((source_id, image_id) for source_id, image_id in self._by_id.items())
        else:
            numbers = ((image_id.rpartition("_")[2], image_id) for image_id in sorted(self.known))
        for text, image_id in numbers:
            if text.isdecimal():
                self._by_number.setdefault(_number(text), []).append(image_id)

    def find(self, each: PredictedCaption) -> str:
        """Return the image id that a prediction belongs to."""
        key = _key(each.name)
        by_name = self._by_name(each.name.replace("\\", "/"), key)
        # A name with a photo's extension is a file name; its digits are not an id.
        by_id = self._by_id.get(each.name) if key == each.name else None
        image_id = (by_id or by_name) if each.is_id else (by_name or by_id)
        return image_id or self._by_digits(each.name, key)

    def _by_name(self, whole: str, key: str) -> str | None:
        # Ids include folders, or even extensions, if file names are not unique; the id of a.jpg.png is a.jpg.
        names = whole, _without_extension(whole), key
        spelled = (self._by_spelling.get(_spelling(name)) for name in names)
        return next((name for name in names if name in self.known), next(filter(None, spelled), None))

    def _by_digits(self, name: str, key: str) -> str:
        is_file_name = key != name and self._by_id
        close = self._by_number.get(_number(key), []) if key.isdecimal() and not is_file_name else []
        if len(close) > 1:
            raise PredictionsError(
                f"{self._path}: the image {quoted(name)} matches both {quoted(close[0])} and {quoted(close[1])}; "
                f"use the file names of {self._dataset.path} instead"
            )
        if not close:
            raise PredictionsError(
                f"{self._path}: the image {quoted(name)} is not in {self._dataset.path} (split {self._dataset.split}, "
                f"{len(self.known)} images); choose the dataset or --split that the predictions were made for"
            )
        return close[0]


@dataclass(frozen=True)
class PredictedClass:
    """A photo's predicted and true class, both as the numbers used in the course's file names."""

    file_name: str
    """Without folders."""
    predicted: str
    true: str


def read_classes(path: Path) -> list[PredictedClass]:
    """Read the course's `filename,label` file. The true label is the part of the file name before `_`.

    Raises:
        PredictionsError: the file is missing or has another header, a line is not a file name and a label, or a photo
            occurs twice.
    """
    if not path.is_file():
        raise PredictionsError(f"{path}: there is no such file; expected a CSV with the header filename,label")
    table = rows(read_text(path, PredictionsError), path, PredictionsError)
    _, _, header = next(table, (0, 0, []))
    if header != ["filename", "label"]:
        raise PredictionsError(f"{path}: the first line is {quoted(header)}, expected the header filename,label")
    found = [_class_row(path, line, row) for line, _, row in table]
    twice = next((name for name, count in Counter(each.file_name for each in found).items() if count > 1), None)
    if twice is not None:
        raise PredictionsError(f"{path}: the photo {quoted(twice)} occurs twice; keep one label")
    if not found:
        raise PredictionsError(f"{path}: contains no predictions")
    return found


def _class_row(path: Path, line: int, row: list[str]) -> PredictedClass:
    name = _base_name(row[0].strip())
    if len(row) != 2 or "_" not in name:
        raise PredictionsError(f"{path}: line {line} is {quoted(','.join(row))}, expected {{label}}_{{id}}.png,label")
    return PredictedClass(name, row[1].strip(), name.split("_")[0])


def _entries(path: Path, content: Any) -> Iterator[tuple[str, Any, bool]]:
    """Yield (name, caption, whether the name is a COCO id) of each entry."""
    if isinstance(content, dict):
        yield from ((name, caption, False) for name, caption in content.items())
        return
    if not isinstance(content, list):
        raise PredictionsError(f"{path}: expected a JSON object or list of predictions")
    for item in content:
        if isinstance(item, dict) and "image_id" in item and "caption" in item:
            yield _id(path, item["image_id"]), item["caption"], True
        elif isinstance(item, dict) and "img_id" in item and isinstance(item.get("prediction"), list):
            first = item["prediction"][0] if item["prediction"] else None
            yield _id(path, item["img_id"]), first, False
        else:
            raise PredictionsError(
                f"{path}: the entry {quoted(item)} is neither {{image_id, caption}} nor {{img_id, prediction: []}}"
            )


def _id(path: Path, value: object) -> str:
    found = id_text(value)
    if found is None:
        raise PredictionsError(f"{path}: the image id {quoted(value)} is not an id; expected a number or text")
    return found


def _twice(first: str, second: str) -> str:
    also = "" if first == second else f", also as {quoted(first)}"
    return f"the image {quoted(second)} occurs twice{also}; keep one caption"


def _number(digits: str) -> str:
    """Return a number without leading zeros."""
    return digits.lstrip("0") or "0"


def _key(name: str) -> str:
    """Return a file name or id without folder and photo extension."""
    return _without_extension(_base_name(name))


def _without_extension(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and suffix.lower() in ("jpg", "jpeg", "png", "webp") else name


def _spelling(name: str) -> str:
    """Return a name in Unicode NFC: an é may be one code point or, on macOS, two."""
    return unicodedata.normalize("NFC", name)


def _base_name(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def _reject_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise KeyError(key)
        content[key] = value
    return content
