"""Real photos in the layout of the study's course: COCO photos with captions, classes cropped from their boxes.

    python -m tests.support.real_course FOLDER

Reads the shared COCO sample where it lies; nothing of it is part of the project.
"""

import shutil
import sys
from collections import defaultdict
from pathlib import Path

from PIL import Image

from engine.data.dataset import Dataset
from engine.data.registry import load
from tests.conftest import SHARED
from tests.support import tiny

CLASSES, PER_CLASS, SMALLEST = 10, 12, 60  # classes, crops each at most, pixels of a crop's shorter side at least
PHOTOS = {"bike": "bicycle", "girl": "person", "sheep": "sheep", "ski": "skis", "umbrella": "umbrella"}
"""The study's names, each with the category that its photo shows where COCO's sample has one."""


def write(folder: Path, coco: Path = SHARED / "coco") -> Path:
    """Write `p1_data` (crops of ten classes), `p2_data` (50 training and 50 validation photos) and `p3_data`."""
    splits = {split: load(coco, "coco", f"{split}2017") for split in ("train", "val")}
    for split, dataset in splits.items():
        _write_split(folder / "p2_data", split, dataset, coco)
    _write_classes(folder / "p1_data", list(splits.values()))
    _write_photos(folder / "p3_data", splits["val"])
    return folder


def _write_split(folder: Path, split: str, dataset: Dataset, coco: Path) -> None:
    shutil.copytree(dataset.root, folder / "images" / split)
    for source, name in (("captions", split), ("instances", f"instances_{split}")):
        shutil.copyfile(coco / "annotations" / f"{source}_{split}2017.json", folder / f"{name}.json")


def _write_classes(folder: Path, datasets: list[Dataset]) -> None:
    crops: dict[str, list[tuple[Path, tuple[int, int, int, int]]]] = defaultdict(list)
    for dataset in datasets:
        for example in dataset.examples:
            for box in example.objects:
                if min(box.width, box.height) >= SMALLEST:
                    corners = (box.x, box.y, box.x + box.width, box.y + box.height)
                    crops[box.label].append((dataset.photo(example), tuple(map(int, corners))))
    labels = sorted(sorted(crops), key=lambda label: -len(crops[label]))[:CLASSES]
    (folder / "val").mkdir(parents=True)
    for number, label in enumerate(labels):
        for place, (path, corners) in enumerate(crops[label][:PER_CLASS]):
            Image.open(path).convert("RGB").crop(corners).save(folder / "val" / f"{number}_{place}.png")
    tiny.write_json(folder / "id2label.json", {str(number): label for number, label in enumerate(labels)})


def _write_photos(folder: Path, dataset: Dataset) -> None:
    """The first photo with each category; where none has it, the first photo that is not taken yet."""
    folder.mkdir(parents=True)
    taken: set[str] = set()
    for name, category in PHOTOS.items():
        free = [example for example in dataset.examples if example.image_id not in taken]
        fits = [example for example in free if category in {box.label for box in example.objects}]
        chosen = (fits or free)[0]
        taken.add(chosen.image_id)
        shutil.copyfile(dataset.photo(chosen), folder / f"{name}.jpg")


if __name__ == "__main__":
    print(write(Path(sys.argv[1])))
