"""Datasets as they lie on disk, read into one form: COCO, the course's layout, Flickr8k, a bare folder of photos.

Knows files and formats and checks them where they enter. Opens no photo: whether one can be used shows when it is read.
"""

import hashlib
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from engine.data.files import id_text, parse_json, quoted, read_text, rows
from engine.data.photos import is_photo

HOLD_OUT = 100
"""Photos held out as `val` of a dataset that brings no splits."""


class DatasetError(ValueError):
    """A dataset that makes no sense; the message names the file, the entry, and what was expected."""


@dataclass(frozen=True)
class Box:
    """A labelled object, in pixels."""

    label: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Example:
    """A photo with what is known about it."""

    image_id: str
    """The file name without folder and extension."""
    file_name: str
    """Relative to the dataset's root."""
    references: tuple[str, ...] = ()
    objects: tuple[Box, ...] = ()
    """In pixels of the photo that was annotated; see `boxes_on`."""
    conditions: tuple[str, ...] = ()
    label: str | None = None
    """The class, in a classification set."""
    source_id: str | None = None
    """The id that the annotation file gives the image, where there is one."""
    annotated_size: tuple[float, float] | None = None
    """Width and height of the photo that the boxes were drawn on, where the annotations say it."""

    def boxes_on(self, width: int, height: int) -> tuple[Box, ...]:
        """The boxes in pixels of a `width` x `height` copy of the photo.

        As they are where the annotated size is not known, or is that of the photo lying on its side.
        """
        if self.annotated_size in (None, (width, height), (height, width)) or not width or not height:
            return self.objects
        across, down = width / self.annotated_size[0], height / self.annotated_size[1]
        return tuple(
            Box(box.label, box.x * across, box.y * down, box.width * across, box.height * down) for box in self.objects
        )


@dataclass(frozen=True)
class Dataset:
    """The examples of one split, in a fixed order (by image id)."""

    name: str
    format: str
    path: Path
    """What was asked for."""
    split: str
    root: Path
    """The folder of the photos."""
    examples: tuple[Example, ...]
    labels: tuple[str, ...] = ()
    """All classes, in the dataset's order, in a classification set."""
    label_ids: tuple[str, ...] = ()
    """Their numbers as the file names have them."""
    tokenizer: Path | None = None
    """A tokenizer file that comes with the dataset."""

    def photo(self, example: Example) -> Path:
        """Where the photo lies."""
        return self.root / example.file_name

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that change with any photo's name or size, any reference, box or label."""
        digest = hashlib.sha256()
        for example in self.examples:
            path = self.photo(example)
            size = path.stat().st_size if path.is_file() else -1
            parts = (example.file_name, size, example.references, example.objects, example.conditions, example.label)
            digest.update(repr(parts).encode())
        return digest.hexdigest()[:16]

    def on_disk(self) -> "Dataset":
        """Only the examples whose photo is there."""
        return self.subset(example for example in self.examples if self.photo(example).is_file())

    def subset(self, examples: Iterable[Example]) -> "Dataset":
        """The same dataset with these examples."""
        return replace(self, examples=tuple(examples))


def load(path: Path, format: str | None = None, split: str | None = None, hold_out: int = HOLD_OUT) -> Dataset:
    """Reads a captioning dataset.

    Args:
        path: a folder, or an annotation file of it.
        format: one of FORMATS; recognised by what is there if None.
        split: `train`, `val`, `test`, a split's full name (`val2017`), or `all`. None takes `val` where the dataset has
            splits, else everything.
        hold_out: photos that make `val` where the dataset brings no splits; the rest is `train`.

    Raises:
        DatasetError: nothing to read there, or a dataset that contradicts itself.
    """
    if not path.exists():
        raise DatasetError(f"{path}: there is no such file or folder; expected a dataset ({', '.join(FORMATS)})")
    if format is not None and format not in FORMATS:
        raise DatasetError(f"format {format!r}: expected one of {', '.join(FORMATS)}")
    name = format or _recognise(path)
    return _checked(_named_as_on_disk(FORMATS[name](path, split, hold_out)))


def load_classes(path: Path) -> Dataset:
    """Reads a classification set in the course's layout: `val/{label}_{id}.png` beside `id2label.json`.

    `path` is that folder, or one that holds it as `p1_data`.

    Raises:
        DatasetError: no such layout there, two classes of one name, a photo whose label is unknown, or no photo at all.
    """
    folder = path / "p1_data" if (path / "p1_data").is_dir() else path
    table = folder / "id2label.json"
    if not table.is_file():
        raise DatasetError(f"{path}: no id2label.json; expected {{label}}_{{id}}.png under val/ beside id2label.json")
    names = _read_json(table)
    if not isinstance(names, dict) or not all(isinstance(value, str) for value in names.values()):
        raise DatasetError(f"{table}: expected an object from label number to class name")
    _check_class_names(table, names)
    root = folder / "val" if (folder / "val").is_dir() else folder
    examples = []
    for photo in sorted(filter(is_photo, root.iterdir())):
        number = photo.stem.split("_")[0]
        if number not in names:
            raise DatasetError(
                f"{photo}: its label {quoted(number)} is not in {table.name}; expected {{label}}_{{id}}{photo.suffix}"
            )
        examples.append(Example(photo.stem, photo.name, label=names[number]))
    ids = tuple(sorted(names, key=lambda key: (len(key), key)))
    labels = tuple(names[key] for key in ids)
    real = folder.resolve()
    name = real.parent.name if real.name == "p1_data" else real.name
    dataset = Dataset(name, "classes", path, "val", root, _ordered(examples), labels, ids)
    return _checked(dataset)


def _check_class_names(table: Path, names: dict[str, str]) -> None:
    """CLIP and the tables tell classes apart by name: of two with one name (ImageNet's cranes), neither is right."""
    first: dict[str, str] = {}
    for number, name in names.items():
        other = first.setdefault(" ".join(name.split()), number)
        if other != number:
            raise DatasetError(
                f"{table}: the classes {other} and {number} are both named {quoted(name)}, which CLIP reads alike; "
                f"give them different names, such as {quoted(name + ' (a kind of ...)')}"
            )


# Recognition


def _recognise(path: Path) -> str:
    if path.is_file():
        if path.suffix == ".json":
            return "coco"
        if path.suffix in (".txt", ".csv"):
            return "flickr8k"
        raise DatasetError(f"{path}: expected a folder, a COCO captions .json or a Flickr8k captions .txt")
    if (path / "p2_data").is_dir() or ((path / "images").is_dir() and (path / "val.json").is_file()):
        return "course"
    if _coco_files(path):
        return "coco"
    if _flickr_file(path) is not None:
        return "flickr8k"
    return "folder"


def _coco_files(path: Path) -> dict[str, Path]:
    """Split name -> captions file."""
    found = sorted([*path.glob("captions_*.json"), *path.glob("annotations/captions_*.json")])
    return {file.stem.removeprefix("captions_"): file for file in found}


def _flickr_file(path: Path) -> Path | None:
    for name in ("captions.txt", "Flickr8k.token.txt"):
        for folder in (path, path / "Flickr8k_text"):
            if (folder / name).is_file():
                return folder / name
    return None


# COCO


def _load_coco(path: Path, split: str | None, hold_out: int) -> Dataset:
    if path.is_file():
        files = {path.stem.removeprefix("captions_"): path}
        base = path.parent.parent if path.parent.name == "annotations" else path.parent
    else:
        files, base = _coco_files(path), path
        if not files:
            raise DatasetError(f"{path}: no annotations/captions_<split>.json; expected COCO's caption files")
    alone = next(iter(files)) if len(files) == 1 else None
    # One file that is named after no split holds all there is: its splits are made, as a bare folder's are.
    is_whole = alone is not None and not alone.startswith(("train", "val", "test"))
    is_made = is_whole and split in ("train", "val", "all")
    name = alone if is_made else _choose(files, split or alone or "val", path)
    root = _coco_photos(base, name, files[name])
    examples = _coco_examples(files[name], files[name].with_name(f"instances_{name}.json"))
    dataset = Dataset(base.resolve().name, "coco", path, name, root, examples)
    return _hashed_split(dataset, split, hold_out) if is_made else dataset


def _choose(files: dict[str, Path], split: str, path: Path) -> str:
    if split in files:
        return split
    close = [name for name in files if name.startswith(split)]
    if len(close) != 1:
        raise DatasetError(
            f"{path}: split {split!r} is not there; it has {', '.join(files)}; choose one with --split, or add "
            f"captions_{split}.json (a training needs val)"
        )
    return close[0]


def _coco_photos(base: Path, split: str, captions: Path) -> Path:
    for folder in (base / split, base / "images" / split, base / "images"):
        if folder.is_dir():
            return folder
    raise DatasetError(f"{captions}: its photos are not there; expected them in {base / split} or {base / 'images'}")


def _coco_examples(captions: Path, instances: Path) -> tuple[Example, ...]:
    content = _coco_content(captions)
    files: dict[str, str] = {}
    conditions: dict[str, tuple[str, ...]] = {}
    for image in content["images"]:
        key, name = _id(captions, image, "id"), _entry(captions, image, "file_name")
        if key in files:
            raise DatasetError(
                f"{captions}: the image id {quoted(key)} stands there twice ({quoted(files[key])} and {quoted(name)})"
            )
        files[key] = _file_name(name, captions)
        conditions[key] = _conditions(captions, image)
    references: dict[str, list[str]] = defaultdict(list)
    for annotation in content["annotations"]:
        key, caption = _id(captions, annotation, "image_id"), _entry(captions, annotation, "caption")
        where = f"{captions}: caption {quoted(annotation.get('id'))}"
        if key not in files:
            raise DatasetError(f"{where} is for the image {quoted(key)}, which is not listed")
        references[key].append(_caption(caption, where))
    boxes, sizes = _coco_boxes(instances, files) if instances.is_file() else ({}, {})
    return _ordered(
        Example(
            Path(name).stem,
            name,
            tuple(references[key]),
            tuple(boxes.get(key, ())),
            conditions[key],
            source_id=key,
            annotated_size=sizes.get(key),
        )
        for key, name in files.items()
    )


def _conditions(captions: Path, image: dict[str, Any]) -> tuple[str, ...]:
    found = image.get("conditions")
    if found is None:
        return ()
    if not isinstance(found, list):
        raise DatasetError(f"{captions}: the conditions {quoted(found)} are no list")
    return tuple(each if isinstance(each, str) else quoted(each) for each in found)


def _coco_boxes(path: Path, files: dict[str, str]) -> tuple[dict[str, list[Box]], dict[str, tuple[float, float]]]:
    """The boxes of each image id, and the sizes of the photos they were drawn on, as far as they are given."""
    content = _coco_content(path)
    categories = content.get("categories") or []
    if not isinstance(categories, list):
        raise DatasetError(f"{path}: the categories {quoted(categories)} are no list")
    names = {_id(path, item, "id"): str(_entry(path, item, "name")) for item in categories}
    boxes: dict[str, list[Box]] = defaultdict(list)
    for item in content["annotations"]:
        key, category = _id(path, item, "image_id"), _id(path, item, "category_id")
        box = _entry(path, item, "bbox")
        where = f"{path}: instance {quoted(item.get('id'))}"
        if key not in files:
            raise DatasetError(f"{where} is for the image {quoted(key)}, which has no captions entry")
        if category not in names:
            raise DatasetError(f"{where} has the category {quoted(category)}, which is not listed")
        if not (isinstance(box, list) and len(box) == 4 and all(isinstance(side, int | float) for side in box)):
            raise DatasetError(f"{where} has the box {quoted(box)}, expected [x, y, width, height]")
        boxes[key].append(Box(names[category], *map(float, box)))
    return boxes, dict(filter(None, map(_annotated_size, content["images"])))


def _annotated_size(image: object) -> tuple[str, tuple[float, float]] | None:
    """(image id, (width, height)) of an entry that has them: not all tools write sizes."""
    if not isinstance(image, dict) or (key := id_text(image.get("id"))) is None:
        return None
    size = image.get("width"), image.get("height")
    return (key, size) if all(isinstance(side, int | float) and side > 0 for side in size) else None


def _coco_content(path: Path) -> dict[str, Any]:
    content = _read_json(path)
    for name in ("images", "annotations"):
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            raise DatasetError(f"{path}: expected a COCO object with the lists 'images' and 'annotations'")
    return content


# The course's layout


def _load_course(path: Path, split: str | None, hold_out: int) -> Dataset:
    folder = path / "p2_data" if (path / "p2_data").is_dir() else path
    name = split or "val"
    file, root = folder / f"{name}.json", folder / "images" / name
    if not file.is_file() or not root.is_dir():
        raise DatasetError(f"{path}: expected {file} and {root}; choose a split with --split")
    examples = _coco_examples(file, folder / f"instances_{name}.json")
    tokenizer = next((each for each in (folder, path) if (each / "caption_tokenizer.json").is_file()), None)
    found = tokenizer / "caption_tokenizer.json" if tokenizer else None
    return Dataset(path.resolve().name, "course", path, name, root, examples, tokenizer=found)


# Flickr8k


def _load_flickr8k(path: Path, split: str | None, hold_out: int) -> Dataset:
    base = path.parent if path.is_file() else path
    file = path if path.is_file() else _flickr_file(path)
    if file is None:
        raise DatasetError(f"{path}: no captions.txt or Flickr8k.token.txt; expected Flickr8k's captions")
    base = base.parent if base.name == "Flickr8k_text" else base
    folders = (base / name for name in ("Images", "images", "Flicker8k_Dataset", "Flickr8k_Dataset"))
    root = next((folder for folder in folders if folder.is_dir()), None)
    if root is None:
        raise DatasetError(f"{file}: its photos are not there; expected them in {base / 'Images'}")
    references: dict[str, list[str]] = defaultdict(list)
    for name, caption in _flickr_captions(file):
        references[name].append(caption)
    examples = _ordered(Example(Path(name).stem, name, tuple(texts)) for name, texts in references.items())
    dataset = Dataset(base.resolve().name, "flickr8k", path, "all", root, examples)
    lists = _flickr_splits(file.parent, base)
    return _listed_split(dataset, lists, split) if lists else _hashed_split(dataset, split, hold_out)


def _flickr_captions(file: Path) -> Iterable[tuple[str, str]]:
    """(file name, caption) of `captions.txt` (CSV with a header) or `Flickr8k.token.txt` (name#n, tab, caption)."""
    text = _read_text(file)
    if "\t" in text.split("\n", 1)[0]:
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            name, tab, caption = line.partition("\t")
            if not tab or "#" not in name:
                raise DatasetError(f"{file}: line {number} is {quoted(line)}, expected name#number, a tab, a caption")
            yield _file_name(name.rpartition("#")[0], file), _caption(caption, f"{file}: line {number}")
        return
    table = rows(text, file, DatasetError)
    _, _, header = next(table, (0, 0, []))
    if [name.strip() for name in header] != ["image", "caption"]:
        raise DatasetError(f"{file}: the first line is {quoted(header)}, expected the header image,caption")
    lines = text.split("\n")
    for first, last, row in table:
        # A caption with a comma stands unquoted in some copies of the file: everything after the name is caption.
        if len(row) < 2:
            raise DatasetError(f"{file}: line {first} is {quoted(row)}, expected image,caption")
        swallowed = next((n for n in range(first + 1, last + 1) if is_photo(Path(lines[n - 1].split(",")[0]))), None)
        if swallowed is not None:
            raise DatasetError(
                f"{file}: line {first} opens a quote that is not closed before the next caption, in line {swallowed}"
            )
        yield _file_name(row[0], file), _caption(",".join(row[1:]), f"{file}: line {first}")


def _flickr_splits(*folders: Path) -> dict[str, set[str]]:
    lists = {}
    for split, word in (("train", "train"), ("val", "dev"), ("test", "test")):
        for folder in folders:
            file = folder / f"Flickr_8k.{word}Images.txt"
            if file.is_file():
                lists[split] = {line.strip() for line in _read_text(file).splitlines() if line.strip()}
    return lists


def _listed_split(dataset: Dataset, lists: dict[str, set[str]], split: str | None) -> Dataset:
    name = split or "val"
    if name == "all":
        return dataset
    if name not in lists:
        raise DatasetError(f"{dataset.path}: split {name!r} is not there; it has {', '.join(lists)} and all")
    chosen = replace(dataset, split=name)
    return chosen.subset(example for example in dataset.examples if example.file_name in lists[name])


def _hashed_split(dataset: Dataset, split: str | None, hold_out: int) -> Dataset:
    """Splits by a hash of the image id among the photos on disk: adding a photo moves few others."""
    if split in (None, "all"):
        return dataset
    if split not in ("train", "val"):
        raise DatasetError(
            f"{dataset.path}: split {split!r} is not there; without split files it has train, val and all"
        )
    here = _named_as_on_disk(dataset).on_disk()
    count = len(here.examples)
    if count < 2:
        raise DatasetError(f"{dataset.path}: photos on disk: {count}; train and val need two, choose --split all")
    if not 0 < hold_out < count:
        raise DatasetError(f"--hold-out {hold_out}: expected 1 to {count - 1}, {dataset.path} has {count} photos")
    ranked = sorted(here.examples, key=lambda example: hashlib.sha256(example.image_id.encode()).digest())
    held = {example.image_id for example in ranked[:hold_out]}
    chosen = replace(here, split=split)
    return chosen.subset(example for example in here.examples if (example.image_id in held) == (split == "val"))


# A bare folder


def _load_folder(path: Path, split: str | None, hold_out: int) -> Dataset:
    if not path.is_dir():
        raise DatasetError(f"{path}: expected a folder of photos")
    photos = sorted(filter(is_photo, path.iterdir())) or sorted(_photos_below(path))
    names = [photo.relative_to(path) for photo in photos]
    named = zip(_photo_ids(names), names, strict=True)
    examples = _ordered(Example(image_id, name.as_posix()) for image_id, name in named)
    return _hashed_split(Dataset(path.resolve().name, "folder", path, "all", path, examples), split, hold_out)


def _photos_below(path: Path) -> Iterator[Path]:
    """The photos of all folders in `path`, linked ones as well; each folder once, wherever links lead."""
    seen: set[Path] = set()
    for folder, folders, names in os.walk(path, followlinks=True):
        real = Path(folder).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()  # where a folder stands there twice, its photos have the same ids on every disk
        yield from filter(is_photo, (Path(folder, name) for name in names))


def _photo_ids(names: Sequence[Path]) -> list[str]:
    """File names without extension; with their folders, then with extensions too, where those alone would be equal."""
    forms = ([name.stem for name in names], [name.with_suffix("").as_posix() for name in names])
    return next((ids for ids in forms if len(set(ids)) == len(ids)), [name.as_posix() for name in names])


FORMATS: dict[str, Callable[[Path, str | None, int], Dataset]] = {
    "coco": _load_coco,
    "course": _load_course,
    "flickr8k": _load_flickr8k,
    "folder": _load_folder,
}
"""The formats by name, each with its reader."""


# Checks


def _named_as_on_disk(dataset: Dataset) -> Dataset:
    """File names spelt as the disk has them: macOS writes an é as two signs, and annotations have one."""
    examples = dataset.examples
    if all(example.file_name.isascii() for example in examples):
        return dataset
    return dataset.subset(replace(each, file_name=_spelling(dataset.root, each.file_name)) for each in examples)


def _spelling(root: Path, name: str) -> str:
    if name.isascii():
        return name
    spellings = (name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name))
    return next((each for each in spellings if (root / each).is_file()), name)


def _checked(dataset: Dataset) -> Dataset:
    if not dataset.examples and dataset.format in ("folder", "classes"):
        raise DatasetError(f"{dataset.root}: there are no photos")
    if not dataset.examples:
        raise DatasetError(f"{dataset.path}: no images in split {dataset.split!r}; expected photos in {dataset.root}")
    for example in dataset.examples:
        _check_name(dataset, example.file_name)
    counts = Counter(example.image_id for example in dataset.examples)
    twice = next((image_id for image_id, count in counts.items() if count > 1), None)
    if twice is not None:
        files = [example.file_name for example in dataset.examples if example.image_id == twice]
        both = ", ".join(map(quoted, files[:2]))
        raise DatasetError(f"{dataset.path}: the image {quoted(twice)} is there twice ({both}); keep one of them")
    return dataset


def _check_name(dataset: Dataset, name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise DatasetError(f"{dataset.root}: the file name {quoted(name)} is not UTF-8; rename the file") from None


def _ordered(examples: Iterable[Example]) -> tuple[Example, ...]:
    return tuple(sorted(examples, key=lambda example: (example.image_id, example.file_name)))


def _file_name(name: object, file: Path) -> str:
    """A file name that stays inside the photos' folder."""
    text = str(name).strip()
    if not text or text.startswith(("/", "\\")) or ".." in Path(text).parts or re.match(r"[A-Za-z]:", text):
        raise DatasetError(f"{file}: the file name {quoted(name)} does not stay inside the photos' folder")
    return text


def _caption(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise DatasetError(f"{where} is {quoted(value)}, expected text")
    return " ".join(value.split())


def _entry(file: Path, item: object, name: str) -> Any:
    if not isinstance(item, dict) or name not in item:
        raise DatasetError(f"{file}: the entry {quoted(item)} has no {name!r}")
    return item[name]


def _id(file: Path, item: object, name: str) -> str:
    value = _entry(file, item, name)
    found = id_text(value)
    if found is None:
        raise DatasetError(f"{file}: the {name!r} {quoted(value)} is no id, expected a number or text")
    return found


def _read_json(file: Path) -> Any:
    return parse_json(_read_text(file), str(file), DatasetError)


def _read_text(file: Path) -> str:
    return read_text(file, DatasetError)
