"""Read Karpathy's splits: `dataset_coco.json`, `dataset_flickr8k.json`, `dataset_flickr30k.json`.

The file has the references, and each image names its split: train, val, test or, for COCO, restval. The literature
trains on `train+restval`.
"""

import re
from pathlib import Path
from typing import Any

from engine.data.checks import caption_text, entry, entry_id, inside_name, ordered, photo_ids, read_json_file
from engine.data.dataset import Dataset, DatasetError, Example
from engine.data.placement import place
from engine.data.splits import listed_split
from engine.reading import head, quoted


class KarpathyReader:
    """Reads a file of Karpathy's splits."""

    name = "karpathy"

    def recognises(self, path: Path) -> bool:
        """Return whether `path` is in this format."""
        return _is_karpathy(path) if path.is_file() else len(_files(path)) == 1

    def files(self, folder: Path) -> list[Path]:
        """Return the annotation files of a folder."""
        return _files(folder)

    def read(self, path: Path, split: str | None, hold_out: int) -> Dataset:
        """Read a split; see `protocols.DatasetReader`."""
        files = [path] if path.is_file() else _files(path)
        if len(files) != 1:
            raise DatasetError(f"{path}: expected one dataset_*.json with Karpathy's splits, found {len(files)}")
        file = files[0]
        base = file.parent.parent if file.parent.name == "annotations" else file.parent
        content = read_json_file(file)
        images = content.get("images") if isinstance(content, dict) else None
        if not isinstance(images, list):
            raise DatasetError(f"{file}: expected Karpathy's object with the list 'images'")
        root, names = place(base, [_name(file, image) for image in images], [base / "images"])
        examples, lists = [], {}
        for image, image_id, name in zip(images, photo_ids(names), names, strict=True):
            examples.append(Example(image_id, name, _references(file, image), source_id=_source_id(file, image)))
            lists.setdefault(_split(file, image), set()).add(name)
        dataset = Dataset(base.resolve().name, self.name, path, "all", root, ordered(examples))
        if split == "train" and "restval" in lists:
            more = f"{len(lists['restval']):,} images of restval are not used; --split train+restval has both"
            dataset = dataset.remarking(more)
        return listed_split(dataset, lists, split)


def _files(folder: Path) -> list[Path]:
    found = [*folder.glob("dataset_*.json"), *folder.glob("annotations/dataset_*.json")]
    return sorted(filter(_is_karpathy, found))


def _is_karpathy(file: Path) -> bool:
    start = head(file)
    return file.suffix == ".json" and bool(re.search(r'"(sentences|sentids)"\s*:', start) and '"images"' in start)


def _name(file: Path, image: Any) -> str:
    name, folder = entry(file, image, "filename"), image.get("filepath")
    return inside_name(f"{folder}/{name}" if isinstance(folder, str) and folder else name, file)


def _references(file: Path, image: dict[str, Any]) -> tuple[str, ...]:
    sentences = entry(file, image, "sentences")
    if not isinstance(sentences, list):
        raise DatasetError(f"{file}: the sentences {quoted(sentences)} are not a list")
    where = f"{file}: a sentence of {quoted(image['filename'])}"
    return tuple(caption_text(entry(file, sentence, "raw"), where) for sentence in sentences)


def _split(file: Path, image: dict[str, Any]) -> str:
    split = entry(file, image, "split")
    if not isinstance(split, str) or not split:
        raise DatasetError(f"{file}: the split {quoted(split)} of {quoted(image['filename'])} is not text")
    return split


def _source_id(file: Path, image: dict[str, Any]) -> str | None:
    """Return COCO's id of the image; `imgid` only counts the entries, and results do not use it."""
    return entry_id(file, image, "cocoid") if "cocoid" in image else None
