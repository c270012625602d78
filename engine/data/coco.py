"""Read captions in COCO's form: COCO itself, nocaps, VizWiz and what others write that way.

Boxes come from `instances_<split>.json` next to the captions. References that VizWiz marks as rejected or precanned
("Quality issues are too severe ...") do not describe the photo and are left out, as in VizWiz's own evaluation.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.data.checks import (
    caption_text,
    entry,
    entry_id,
    inside_name,
    is_finite,
    ordered,
    read_json_file,
    split_name,
)
from engine.data.dataset import Box, Dataset, DatasetError, Example
from engine.data.files import id_text
from engine.data.placement import place
from engine.data.splits import choose_split, hashed_split
from engine.reading import head, quoted

_NO_REFERENCE = ("is_precanned", "is_rejected")
_OTHER_FILES = ("instances_", "person_keypoints_", "stuff_", "panoptic_", "image_info_", "dataset_")
_LARGEST_SIDE = 1e9


def coco_files(path: Path) -> dict[str, Path]:
    """Return the captions files of a folder by split name."""
    folders = (path, path / "annotations")
    named = [file for folder in folders for file in sorted(folder.glob("captions_*.json"))]
    if named:
        return {file.stem.removeprefix("captions_"): file for file in named}
    found: dict[str, Path] = {}
    for file in (file for folder in folders for file in sorted(folder.glob("*.json"))):
        if not file.name.startswith((*_OTHER_FILES, ".")) and "image_info" not in file.name and is_coco(file):
            name = split_name(file.stem)
            found[file.stem if name in found else name] = file
    return found


def is_coco(file: Path) -> bool:
    """Return whether a file seems to have captions in COCO's form, by its beginning."""
    start = head(file)
    is_object = start.lstrip().startswith("{") and re.search(r'"(images|annotations)"\s*:\s*\[', start)
    return bool(is_object) and not re.search(r'"(sentences|sentids|segmentation|bbox)"\s*:', start)


class CocoReader:
    """Reads captions files in COCO's form, one per split."""

    name = "coco"

    def recognises(self, path: Path) -> bool:
        """Return whether `path` is in this format."""
        if path.is_file():
            return path.suffix == ".json" and (path.name.startswith("captions_") or is_coco(path))
        return bool(coco_files(path))

    def files(self, folder: Path) -> list[Path]:
        """Return the annotation files of a folder."""
        return list(coco_files(folder).values())

    def read(self, path: Path, split: str | None, hold_out: int) -> Dataset:
        """Read a split; see `protocols.DatasetReader`."""
        if path.is_file():
            files = {split_name(path.stem.removeprefix("captions_")): path}
            base = path.parent.parent if path.parent.name == "annotations" else path.parent
        else:
            files, base = coco_files(path), path
            if not files:
                raise DatasetError(f"{path}: no annotations/captions_<split>.json; expected COCO's caption files")
        alone = next(iter(files)) if len(files) == 1 else None
        # A single file whose name is not a split holds the whole dataset; it is split like a folder of photos.
        is_whole = alone is not None and not alone.startswith(("train", "val", "test"))
        is_made = is_whole and split in ("train", "val")
        is_all = alone is not None and (is_made or split == "all")
        name = alone if alone is not None and is_all else choose_split(files, split or alone or "val", path)
        content = coco_content(files[name], files[name].with_name(f"instances_{name}.json"))
        hints = (base / name, base / "images" / name, base / "images")
        dataset = content.dataset(base, path, "coco", name, hints)
        return hashed_split(dataset, split, hold_out) if is_made else dataset


@dataclass
class CocoContent:
    """The content of a captions file and its instances file, by image id."""

    captions: Path
    files: dict[str, str] = field(default_factory=dict)
    """Image id -> file name."""
    conditions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    references: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    objects: dict[str, list[Box]] = field(default_factory=lambda: defaultdict(list))
    crowds: dict[str, list[Box]] = field(default_factory=lambda: defaultdict(list))
    sizes: dict[str, tuple[float, float]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def dataset(self, base: Path, path: Path, format: str, split: str, hints: Iterable[Path]) -> Dataset:
        """Return the dataset, with its photos in one of the folders `hints` or elsewhere below `base`."""
        root, names = place(base, list(self.files.values()), tuple(hints))
        examples = (self._example(key, name) for key, name in zip(self.files, names, strict=True))
        return Dataset(base.resolve().name, format, path, split, root, ordered(examples), remarks=tuple(self.remarks))

    def _example(self, key: str, name: str) -> Example:
        return Example(
            Path(name).stem,
            name,
            tuple(self.references.get(key, ())),
            tuple(self.objects.get(key, ())),
            tuple(self.crowds.get(key, ())),
            self.conditions.get(key, ()),
            source_id=key,
            annotated_size=self.sizes.get(key),
        )


def coco_content(captions: Path, instances: Path) -> CocoContent:
    """Return the content of a captions file, with boxes if the file `instances` exists.

    Raises:
        DatasetError: the message names the file, the entry and what was expected.
    """
    content = CocoContent(captions)
    found = _lists(captions, optional=("annotations",))
    for image in found["images"]:
        _add_image(content, image)
    if "annotations" not in found:
        content.remarks.append("the annotation file has no captions, as those of test splits")
        found["annotations"] = []
    excluded = [annotation for annotation in found["annotations"] if not _add_reference(content, annotation)]
    if excluded:
        content.remarks.append(
            f"{len(excluded):,} of {len(found['annotations']):,} references are marked {' or '.join(_NO_REFERENCE)} "
            "and are not used"
        )
    if instances.is_file():
        _add_boxes(content, instances)
    return content


def _add_image(content: CocoContent, image: object) -> None:
    captions, files = content.captions, content.files
    key, name = entry_id(captions, image, "id"), entry(captions, image, "file_name")
    if key in files:
        raise DatasetError(
            f"{captions}: the image id {quoted(key)} occurs twice ({quoted(files[key])} and {quoted(name)})"
        )
    files[key] = inside_name(name, captions)
    assert isinstance(image, dict)  # `entry` has checked it
    content.conditions[key] = _conditions(captions, image)


def _add_reference(content: CocoContent, annotation: object) -> bool:
    """Add a reference; return False if it is marked as no description."""
    captions = content.captions
    key, caption = entry_id(captions, annotation, "image_id"), entry(captions, annotation, "caption")
    assert isinstance(annotation, dict)  # `entry` has checked it
    where = f"{captions}: caption {quoted(annotation.get('id'))}"
    if key not in content.files:
        raise DatasetError(f"{where} is for the image {quoted(key)}, which is not listed")
    text = caption_text(caption, where)
    if any(annotation.get(mark) for mark in _NO_REFERENCE):
        return False
    content.references[key].append(text)
    return True


def _conditions(captions: Path, image: dict[str, Any]) -> tuple[str, ...]:
    """Return the conditions of a photo; nocaps calls its only one the domain."""
    found = image.get("conditions")
    if found is None:
        domain = image.get("domain")
        return (domain,) if isinstance(domain, str) and domain else ()
    if not isinstance(found, list):
        raise DatasetError(f"{captions}: the conditions {quoted(found)} are not a list")
    return tuple(each if isinstance(each, str) else quoted(each) for each in found)


def _add_boxes(content: CocoContent, path: Path) -> None:
    """Add the boxes and photo sizes of an instances file; images that have no captions entry are left out."""
    found = _lists(path)
    categories = found.get("categories") or []
    if not isinstance(categories, list):
        raise DatasetError(f"{path}: the categories {quoted(categories)} are not a list")
    names = {entry_id(path, item, "id"): str(entry(path, item, "name")) for item in categories}
    content.sizes.update(filter(None, map(_annotated_size, found["images"])))
    listed = {id_text(image.get("id")) for image in found["images"] if isinstance(image, dict)}
    for item in found["annotations"]:
        key, box = entry_id(path, item, "image_id"), _box(path, item, names)
        if key in content.files:
            boxes = content.crowds if item.get("iscrowd") else content.objects
            boxes[key].append(box)
        elif key not in listed:
            raise DatasetError(
                f"{path}: instance {quoted(item.get('id'))} is for the image {quoted(key)}, which is not listed"
            )


def _box(path: Path, item: dict[str, Any], names: dict[str, str]) -> Box:
    category, box = entry_id(path, item, "category_id"), entry(path, item, "bbox")
    where = f"{path}: instance {quoted(item.get('id'))}"
    if category not in names:
        raise DatasetError(f"{where} has the category {quoted(category)}, which is not listed")
    if not (isinstance(box, list) and len(box) == 4 and all(map(is_finite, box))):
        raise DatasetError(f"{where} has the box {quoted(box)}, expected [x, y, width, height]")
    return Box(names[category], *map(float, box))


def _annotated_size(image: object) -> tuple[str, tuple[float, float]] | None:
    """Return (image id, (width, height)) of an entry, or None: not all tools write sizes."""
    if not isinstance(image, dict) or (key := id_text(image.get("id"))) is None:
        return None
    sides = [image.get("width"), image.get("height")]
    known = [side for side in sides if isinstance(side, int | float) and 0 < side <= _LARGEST_SIDE]
    return (key, (known[0], known[1])) if len(known) == 2 else None


def _lists(path: Path, optional: tuple[str, ...] = ()) -> dict[str, Any]:
    content = read_json_file(path)
    for name in ("images", "annotations"):
        if isinstance(content, dict) and name in optional and name not in content:
            continue
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            raise DatasetError(f"{path}: expected a COCO object with the lists 'images' and 'annotations'")
    return content
