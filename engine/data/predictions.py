"""Read files of predicted captions, check them, and match them with a dataset.

JSON files are COCO results `[{"image_id", "caption"}]`, the course's `{name: caption}` or `{name: [caption]}`, and
lists of `{"img_id", "prediction": [caption, ...]}`, of which the first caption counts. The same entries may also be
JSON lines, or rows of a CSV or TSV with a header.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.data.dataset import Dataset
from engine.data.files import id_text, rows
from engine.data.image_names import ImageNames, without_extension
from engine.data.pairs import CAPTION_KEYS, IMAGE_KEYS, JSON_LINES, TABLES
from engine.reading import parse_json, quoted, read_lines, read_text

_NAME_KEYS = ("image_id", "img_id", *IMAGE_KEYS)
_WRAPPERS = ("annotations", "predictions", "results")
"""Keys under which programs write the list of predictions."""

_TEXT_KEYS = (*CAPTION_KEYS, "prediction")
_FORMS = (
    "expected {image_id, caption} or {img_id, prediction} in a JSON list, JSON lines, CSV or TSV; or {name: caption}"
)


class PredictionsError(ValueError):
    """A predictions file that cannot be used; the message names the file and the entry."""


@dataclass(frozen=True, slots=True)
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
        raise PredictionsError(f"{path}: there is no such file; expected a file of predicted captions")
    found: dict[str, PredictedCaption] = {}
    for name, caption, is_id in _entries(path):
        if not isinstance(caption, str):
            raise PredictionsError(f"{path}: the caption of {quoted(name)} is {quoted(caption)}, expected text")
        # With folders: photos of one name may lie in several.
        if (whole := without_extension(name.replace("\\", "/"))) in found:
            raise PredictionsError(f"{path}: {_twice(found[whole].name, name)}")
        found[whole] = PredictedCaption(name, " ".join(caption.split()), is_id)
    if not found:
        raise PredictionsError(f"{path}: contains no predictions")
    return list(found.values())


def match(found: Sequence[PredictedCaption], dataset: Dataset, path: Path, partial: bool) -> dict[str, str]:
    """Return the captions by image id of the dataset; see `ImageNames` for how names are looked up.

    Raises:
        PredictionsError: the dataset does not have the image of a prediction, several file names end in its number, an
            image has two predictions, or, unless `partial`, an image has none.
    """
    images = ImageNames(dataset, path, PredictionsError)
    matched: dict[str, str] = {}
    for each in found:
        image_id = images.find(each.name, each.is_id)
        if image_id in matched:
            first = next(other.name for other in found if images.find(other.name, other.is_id) == image_id)
            raise PredictionsError(f"{path}: {_twice(first, each.name)}")
        matched[image_id] = each.caption
    missing = [] if partial else sorted(image_id for image_id in images.known if image_id not in matched)
    if missing:
        raise PredictionsError(
            f"{path}: {len(missing)} of {len(images.known)} images have no caption, the first is {quoted(missing[0])}; "
            "use --partial to score only the others (CIDEr's document frequencies are then computed over these alone)"
        )
    return matched


def _entries(path: Path) -> Iterator[tuple[str, Any, bool]]:
    """Yield (name, caption, whether the name is a COCO id) of each entry."""
    suffix = path.suffix.lower()
    if suffix in TABLES:
        yield from _table(path, TABLES[suffix])
    elif suffix in JSON_LINES or _is_lines(path):
        for number, line in enumerate(read_lines(path, PredictionsError), 1):
            if line.strip():
                yield _entry(path, parse_json(line, f"{path}: line {number}", PredictionsError))
    else:
        yield from _json_entries(path, read_text(path, PredictionsError))


def _is_lines(path: Path) -> bool:
    """Return whether a file is JSON lines, which are often saved as .json."""
    filled = (line.strip() for line in read_lines(path, PredictionsError) if line.strip())
    first, second = next(filled, ""), next(filled, "")
    return first.startswith("{") and first.endswith("}") and second.startswith("{")


def _json_entries(path: Path, text: str) -> Iterator[tuple[str, Any, bool]]:
    try:
        content = parse_json(text, str(path), PredictionsError, _reject_twice)
    except KeyError as error:
        raise PredictionsError(f"{path}: {_twice(error.args[0], error.args[0])}") from error
    if isinstance(content, dict):
        content = next((inner for key in _WRAPPERS if _is_entries(inner := content.get(key))), content)
    if isinstance(content, dict):
        yield from ((name, _only(path, name, caption), False) for name, caption in content.items())
    elif isinstance(content, list):
        yield from (_entry(path, item) for item in content)
    else:
        raise PredictionsError(f"{path}: the JSON is {quoted(content)}; {_FORMS}")


def _is_entries(content: Any) -> bool:
    return isinstance(content, list) and all(isinstance(each, dict) for each in content)


def _only(path: Path, name: str, caption: Any) -> Any:
    """Return the caption of a list of one."""
    if not isinstance(caption, list):
        return caption
    if len(caption) != 1:
        raise PredictionsError(f"{path}: {quoted(name)} has {len(caption)} captions, expected one; keep the best")
    return caption[0]


def _entry(path: Path, item: Any) -> tuple[str, Any, bool]:
    if isinstance(item, dict):
        if "img_id" in item and isinstance(item.get("prediction"), list):
            first = item["prediction"][0] if item["prediction"] else None
            return _id(path, item["img_id"]), first, False
        name = next((name for name in _NAME_KEYS if name in item), None)
        caption = next((name for name in _TEXT_KEYS if name in item), None)
        if name and caption:
            return _id(path, item[name]), _only(path, str(item[name]), item[caption]), name == "image_id"
    raise PredictionsError(f"{path}: the entry {quoted(item)} is not a prediction; {_FORMS}")


def _table(path: Path, delimiter: str) -> Iterator[tuple[str, str, bool]]:
    table = rows(read_lines(path, PredictionsError), path, PredictionsError, delimiter)
    _, _, header = next(table, (0, 0, []))
    names = [cell.strip() for cell in header]
    name = next((name for name in _NAME_KEYS if name in names), None)
    caption = next((name for name in _TEXT_KEYS if name in names), None)
    if name is None or caption is None:
        raise PredictionsError(f"{path}: the first line is {quoted(header)}; {_FORMS}")
    for line, _, row in table:
        if len(row) != len(header):
            raise PredictionsError(
                f"{path}: line {line} has {len(row)} columns, expected {len(header)}; put captions with a separator in "
                "quotes"
            )
        yield row[names.index(name)].strip(), row[names.index(caption)], name == "image_id"


def _id(path: Path, value: object) -> str:
    found = id_text(value)
    if found is None:
        raise PredictionsError(f"{path}: the image id {quoted(value)} is not an id; expected a number or text")
    return found


def _twice(first: str, second: str) -> str:
    also = "" if first == second else f", also as {quoted(first)}"
    return f"the image {quoted(second)} occurs twice{also}; keep one caption"


def _reject_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise KeyError(key)
        content[key] = value
    return content
