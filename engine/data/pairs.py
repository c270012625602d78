"""Read lists of images and captions: JSON as in BLIP and LAVIS, JSON lines, TSV and CSV.

An entry has a file name and a caption, or several captions; a file name may occur in several entries. Names of the two
columns are in IMAGE_KEYS and CAPTION_KEYS, as BLIP, LAVIS and Hugging Face's image folders use them. Further columns
become conditions of the images, see `own_columns`.
"""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from engine.data.checks import caption_text, inside_name, ordered, photo_ids, read_json_file, split_name, text_lines
from engine.data.dataset import Dataset, DatasetError, Example
from engine.data.files import rows
from engine.data.own_columns import conditions
from engine.data.photo_formats import has_photo_suffix
from engine.data.placement import place
from engine.data.splits import choose_split, hashed_split
from engine.reading import head, parse_json, quoted, some_of

IMAGE_KEYS = ("image", "file_name", "filename", "image_path", "img_path")
CAPTION_KEYS = ("caption", "captions", "text", "sentence")
JSON_LINES = (".jsonl", ".ndjson")
TABLES = {".tsv": "\t", ".csv": ","}


class PairsReader:
    """Reads lists of images and captions, one file per split, or one for the whole dataset."""

    name = "pairs"

    def recognises(self, path: Path) -> bool:
        """Return whether `path` is in this format."""
        return is_pairs(path) if path.is_file() else bool(_files(path))

    def files(self, folder: Path) -> list[Path]:
        """Return the annotation files of a folder."""
        return _files(folder)

    def read(self, path: Path, split: str | None, hold_out: int) -> Dataset:
        """Read a split; see `protocols.DatasetReader`."""
        files = [path] if path.is_file() else _files(path)
        if not files:
            raise DatasetError(f"{path}: no list of images and captions, as .json, .jsonl, .tsv or .csv")
        by_split = {split_name(file.stem): file for file in files}
        if len(by_split) < len(files):
            raise DatasetError(
                f"{path}: {len(files)} files have images and captions ({some_of([file.name for file in files])}); "
                "choose one of them as --data"
            )
        name, file = next(iter(by_split.items()))
        is_whole = len(files) == 1 and not re.match("train|val|test", name)
        if not is_whole and not (len(files) == 1 and split in (None, "all")):
            name = choose_split(by_split, split or "val", path)
            file = by_split[name]
        dataset = _dataset(file, path, "all" if is_whole else name)
        return hashed_split(dataset, split, hold_out) if is_whole else dataset


def is_pairs(file: Path) -> bool:
    """Return whether a file is such a list, by its beginning."""
    start, suffix = head(file).lstrip(), file.suffix.lower()
    if suffix == ".json":
        keys = _first_keys(start.removeprefix("[").lstrip())
    elif suffix in JSON_LINES:
        keys = _first_keys(start)
    elif suffix in TABLES:
        cells = [cell.strip().strip('"') for cell in start.split("\n", 1)[0].split(TABLES[suffix])]
        keys = set(cells)
        if suffix == ".tsv" and len(cells) == 2 and has_photo_suffix(cells[0]):
            return True
    else:
        return False
    return bool(keys.intersection(IMAGE_KEYS) and keys.intersection(CAPTION_KEYS))


def _first_keys(text: str) -> set[str]:
    """Return the keys of the object with which `text` begins."""
    try:
        found, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return set()
    return set(found) if isinstance(found, dict) else set()


def _files(folder: Path) -> list[Path]:
    every = [file for place in (folder, folder / "annotations") if place.is_dir() for file in sorted(place.iterdir())]
    suffixes = {".json", *JSON_LINES, *TABLES}
    return [file for file in every if file.suffix.lower() in suffixes and file.name[0] != "." and is_pairs(file)]


def _dataset(file: Path, path: Path, split: str) -> Dataset:
    base = file.parent.parent if file.parent.name == "annotations" else file.parent
    references: dict[str, list[str]] = {}
    further: dict[str, dict[str, list[Any]]] = {}
    for where, image, captions, columns in _entries(file):
        name = inside_name(image, file)
        own = references.setdefault(name, [])
        for column, value in columns.items():
            further.setdefault(name, {}).setdefault(column, []).append(value)
        own += [caption_text(caption, where) for caption in (captions if isinstance(captions, list) else [captions])]
    root, names = place(base, list(references), [base / "images"])
    stated = conditions([further.get(key, {}) for key in references])
    examples = []
    for image_id, name, key, own in zip(photo_ids(names), names, list(references), stated, strict=True):
        captions = tuple(references.pop(key))  # not all of them twice in memory
        examples.append(Example(image_id, name, captions, conditions=own))
    return Dataset(base.resolve().name, PairsReader.name, path, split, root, ordered(examples))


def _entries(file: Path) -> Iterator[tuple[str, Any, Any, dict[str, Any]]]:
    """Yield (where the entry is, for messages; file name; caption or list of captions; further columns).

    JSON lines may also be in a file named .json.
    """
    suffix = file.suffix.lower()
    if suffix in TABLES:
        yield from _table(file, TABLES[suffix])
        return
    if head(file).lstrip().startswith("["):
        numbered = ((f"{file}: entry {number}", item) for number, item in enumerate(read_json_file(file), 1))
    else:
        lines = ((f"{file}: line {number}", line) for number, line in enumerate(text_lines(file), 1) if line.strip())
        numbered = ((where, parse_json(line, where, DatasetError)) for where, line in lines)
    for where, item in numbered:
        found = [_value(item, keys) for keys in (IMAGE_KEYS, CAPTION_KEYS)]
        if None in found:
            raise DatasetError(f"{where} is {quoted(item)}, expected an object with an image and a caption")
        yield where, *found, {name: value for name, value in item.items() if name not in _KEYS}


def _value(item: Any, keys: Sequence[str]) -> Any:
    """Return the value of the first of `keys` that an object has, or None."""
    return next((item[key] for key in keys if key in item), None) if isinstance(item, dict) else None


_KEYS = {*IMAGE_KEYS, *CAPTION_KEYS}


def _table(file: Path, delimiter: str) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    table = rows(text_lines(file), file, DatasetError, delimiter)
    first = next(table, (0, 0, []))
    header = [cell.strip() for cell in first[2]]
    twice = next((name for name in header if name and header.count(name) > 1), None)
    if twice is not None:
        raise DatasetError(f"{file}: the header has {quoted(twice)} twice; rename one of the columns")
    at = [next((header.index(key) for key in keys if key in header), -1) for keys in (IMAGE_KEYS, CAPTION_KEYS)]
    has_header = True
    if -1 in at:
        if len(header) != 2 or not has_photo_suffix(header[0]):
            raise DatasetError(
                f"{file}: the first line is {quoted(first[2])}, expected a header with image and caption"
            )
        at, table, has_header = [0, 1], iter([first, *table]), False
    for line, _, row in table:
        where = f"{file}: line {line}"
        if len(row) <= max(at) or (len(row) > len(header)):
            raise DatasetError(f"{where} is {quoted(row)}, expected {len(header)} columns")
        image, caption = (_unquoted(row[column]) if delimiter == "\t" else row[column] for column in at)
        further = {name: cell for name, cell in zip(header, row, strict=False) if name and name not in _KEYS}
        yield where, image, caption, further if has_header else {}


def _unquoted(cell: str) -> str:
    """Return a cell of a TSV without the quotes that spreadsheets write around cells that contain quotes."""
    inner = cell[1:-1]
    is_quoted = len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if is_quoted else cell
