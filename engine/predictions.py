"""Files of predictions that somebody else made, captions and classes: read, checked, and matched with a dataset.

Knows three forms of captions: COCO results `[{"image_id", "caption"}]`, the course's `{name: caption}`, and a list of
`{"img_id", "prediction": [caption]}`; and the course's CSV of classes, `filename,label`. Knows no metric.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.datasets import Dataset


class PredictionsError(ValueError):
    """A predictions file that cannot be used; the message names the file and the entry."""


def read(path: Path) -> dict[str, str]:
    """Image name (without folder and extension) -> caption.

    Raises:
        PredictionsError: no such file, an unknown form, a caption that is no text, an image twice.
    """
    if not path.is_file():
        raise PredictionsError(f"{path}: there is no such file; expected a JSON file of predicted captions")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_reject_twice)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise PredictionsError(f"{path}: not JSON ({error})") from error
    except KeyError as error:
        raise PredictionsError(f"{path}: the image {error.args[0]!r} is there twice; keep one caption") from error
    captions: dict[str, str] = {}
    for name, caption in _entries(path, content):
        if not isinstance(caption, str):
            raise PredictionsError(f"{path}: the caption of {name!r} is {caption!r}, expected text")
        key = _key(name)
        if key in captions:
            raise PredictionsError(f"{path}: the image {name!r} is there twice; keep one caption")
        captions[key] = " ".join(caption.split())
    if not captions:
        raise PredictionsError(f"{path}: no predictions in it")
    return captions


def match(captions: dict[str, str], dataset: Dataset, path: Path, partial: bool) -> dict[str, str]:
    """The captions by the dataset's image ids; a COCO number finds its zero-padded file name.

    Raises:
        PredictionsError: a prediction for an image the dataset does not have, or, unless `partial`, images without one.
    """
    known = {example.image_id for example in dataset.examples}
    numbers = {str(int(image_id)): image_id for image_id in known if image_id.isdecimal()}
    numbers |= {str(int(tail)): each for each in known if (tail := each.rpartition("_")[2]).isdecimal() and "_" in each}
    matched: dict[str, str] = {}
    for name, caption in captions.items():
        image_id = name if name in known else numbers.get(name.lstrip("0") or "0")
        if image_id is None:
            raise PredictionsError(
                f"{path}: the image {name!r} is not in {dataset.path} (split {dataset.split}, {len(known)} images); "
                "choose the data or --split it was made for"
            )
        matched[image_id] = caption
    missing = sorted(known - set(matched))
    if missing and not partial:
        raise PredictionsError(
            f"{path}: {len(missing)} of {len(known)} images have no caption, the first is {missing[0]!r}; score what "
            "is there with --partial (CIDEr's document frequencies are then those of these images)"
        )
    return matched


@dataclass(frozen=True)
class PredictedClass:
    """A photo's predicted class and the true one, both as the numbers the course's file names have."""

    file_name: str
    predicted: str
    true: str


def read_classes(path: Path) -> list[PredictedClass]:
    """Reads the course's `filename,label` file; the true label is the part of the file name before `_`.

    Raises:
        PredictionsError: no such file, another header, a line that is not file name and label, or a photo twice.
    """
    if not path.is_file():
        raise PredictionsError(f"{path}: there is no such file; expected a CSV with the header filename,label")
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        header = next(rows, None)
        if header != ["filename", "label"]:
            raise PredictionsError(f"{path}: the first line is {header}, expected the header filename,label")
        found = [_class_row(path, rows.line_num, row) for row in rows if row]
    twice = next((name for name, count in Counter(each.file_name for each in found).items() if count > 1), None)
    if twice is not None:
        raise PredictionsError(f"{path}: the photo {twice!r} is there twice; keep one label")
    if not found:
        raise PredictionsError(f"{path}: no predictions in it")
    return found


def _class_row(path: Path, line: int, row: list[str]) -> PredictedClass:
    if len(row) != 2 or "_" not in row[0]:
        raise PredictionsError(f"{path}: line {line} is {','.join(row)!r}, expected {{label}}_{{id}}.png,label")
    return PredictedClass(row[0], row[1].strip(), row[0].split("_")[0])


def _entries(path: Path, content: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(content, dict):
        yield from content.items()
        return
    if not isinstance(content, list):
        raise PredictionsError(f"{path}: expected a JSON object or list of predictions")
    for item in content:
        if isinstance(item, dict) and "image_id" in item and "caption" in item:
            yield str(item["image_id"]), item["caption"]
        elif isinstance(item, dict) and "img_id" in item and isinstance(item.get("prediction"), list):
            first = item["prediction"][0] if item["prediction"] else None
            yield str(item["img_id"]), first
        else:
            raise PredictionsError(
                f"{path}: the entry {str(item)[:80]!r} is neither {{image_id, caption}} nor {{img_id, prediction: []}}"
            )


def _key(name: str) -> str:
    """A file name or id without folder and picture extension."""
    last = name.replace("\\", "/").rpartition("/")[2]
    stem, dot, suffix = last.rpartition(".")
    return stem if dot and suffix.lower() in ("jpg", "jpeg", "png", "webp") else last


def _reject_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise KeyError(key)
        content[key] = value
    return content
