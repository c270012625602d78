"""Read COCO: `annotations/captions_<split>.json`, with boxes from `instances_<split>.json` if it exists."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from engine.data.checks import caption_text, entry, entry_id, inside_name, ordered, read_json_file
from engine.data.dataset import Box, Dataset, DatasetError, Example
from engine.data.files import id_text, quoted
from engine.data.splits import choose_split, hashed_split


def coco_files(path: Path) -> dict[str, Path]:
    """Return the captions files by split name."""
    found = sorted([*path.glob("captions_*.json"), *path.glob("annotations/captions_*.json")])
    return {file.stem.removeprefix("captions_"): file for file in found}


class CocoReader:
    """Reads COCO's caption files, one per split."""

    name = "coco"

    def recognises(self, path: Path) -> bool:
        """Return whether `path` is in this format."""
        return path.suffix == ".json" if path.is_file() else bool(coco_files(path))

    def read(self, path: Path, split: str | None, hold_out: int) -> Dataset:
        """Read a split; see `protocols.DatasetReader`."""
        if path.is_file():
            files = {path.stem.removeprefix("captions_"): path}
            base = path.parent.parent if path.parent.name == "annotations" else path.parent
        else:
            files, base = coco_files(path), path
            if not files:
                raise DatasetError(f"{path}: no annotations/captions_<split>.json; expected COCO's caption files")
        alone = next(iter(files)) if len(files) == 1 else None
        # A single file whose name is not a split holds the whole dataset; it is split like a folder of photos.
        is_whole = alone is not None and not alone.startswith(("train", "val", "test"))
        is_made = is_whole and split in ("train", "val", "all")
        name = alone if alone is not None and is_made else choose_split(files, split or alone or "val", path)
        root = _coco_photos(base, name, files[name])
        examples = coco_examples(files[name], files[name].with_name(f"instances_{name}.json"))
        dataset = Dataset(base.resolve().name, "coco", path, name, root, examples)
        return hashed_split(dataset, split, hold_out) if is_made else dataset


def _coco_photos(base: Path, split: str, captions: Path) -> Path:
    for folder in (base / split, base / "images" / split, base / "images"):
        if folder.is_dir():
            return folder
    raise DatasetError(f"{captions}: its photos are missing; expected them in {base / split} or {base / 'images'}")


def coco_examples(captions: Path, instances: Path) -> tuple[Example, ...]:
    """Return the examples of a captions file, with boxes if the file `instances` exists."""
    content = _coco_content(captions)
    files: dict[str, str] = {}
    conditions: dict[str, tuple[str, ...]] = {}
    for image in content["images"]:
        key, name = entry_id(captions, image, "id"), entry(captions, image, "file_name")
        if key in files:
            raise DatasetError(
                f"{captions}: the image id {quoted(key)} occurs twice ({quoted(files[key])} and {quoted(name)})"
            )
        files[key] = inside_name(name, captions)
        conditions[key] = _conditions(captions, image)
    references: dict[str, list[str]] = defaultdict(list)
    for annotation in content["annotations"]:
        key, caption = entry_id(captions, annotation, "image_id"), entry(captions, annotation, "caption")
        where = f"{captions}: caption {quoted(annotation.get('id'))}"
        if key not in files:
            raise DatasetError(f"{where} is for the image {quoted(key)}, which is not listed")
        references[key].append(caption_text(caption, where))
    boxes, sizes = _coco_boxes(instances, files) if instances.is_file() else ({}, {})
    return ordered(
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
        raise DatasetError(f"{captions}: the conditions {quoted(found)} are not a list")
    return tuple(each if isinstance(each, str) else quoted(each) for each in found)


def _coco_boxes(path: Path, files: dict[str, str]) -> tuple[dict[str, list[Box]], dict[str, tuple[float, float]]]:
    """Return the boxes of each image id, and the sizes of the annotated photos that the file contains."""
    content = _coco_content(path)
    categories = content.get("categories") or []
    if not isinstance(categories, list):
        raise DatasetError(f"{path}: the categories {quoted(categories)} are not a list")
    names = {entry_id(path, item, "id"): str(entry(path, item, "name")) for item in categories}
    boxes: dict[str, list[Box]] = defaultdict(list)
    for item in content["annotations"]:
        key, category = entry_id(path, item, "image_id"), entry_id(path, item, "category_id")
        box = entry(path, item, "bbox")
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
    """Return (image id, (width, height)) of an entry, or None: not all tools write sizes."""
    if not isinstance(image, dict) or (key := id_text(image.get("id"))) is None:
        return None
    width, height = image.get("width"), image.get("height")
    known = isinstance(width, int | float) and isinstance(height, int | float) and width > 0 and height > 0
    return (key, (width, height)) if known else None


def _coco_content(path: Path) -> dict[str, Any]:
    content = read_json_file(path)
    for name in ("images", "annotations"):
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            raise DatasetError(f"{path}: expected a COCO object with the lists 'images' and 'annotations'")
    return content
