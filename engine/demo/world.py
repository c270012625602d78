"""Write the generated world as a dataset, in COCO's layout or in that of the study's course.

Each split has its own block of seeds. `python -m engine.demo.world --out data/demo` writes the data for `make
evaluate`, with `--layout course` those for `make study`.
"""

import argparse
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from pycocotools import mask as rle
from tqdm import tqdm

from engine.demo.backdrops import SIDE
from engine.demo.scenes import Picture, Scene, compose, describe, draw, portrait

VERSION = 1  # increased whenever the same seed gives another picture or reference
BLOCK = 1_000_000  # seeds per split; a seed is also the image id, so ids of different splits differ
FIRST_SEED = {"train": 1 * BLOCK, "val": 2 * BLOCK, "test": 3 * BLOCK, "classes": 4 * BLOCK, "named": 5 * BLOCK}
WORTH = 100  # minimum pictures per process; for fewer, starting a process takes longer than drawing
MIN_AREA = 16  # pixels; smaller visible parts are not annotated
# COCO's ids and supercategories.
CATEGORIES: dict[str, tuple[int, str]] = {
    "person": (1, "person"), "bicycle": (2, "vehicle"), "car": (3, "vehicle"), "bus": (6, "vehicle"),
    "boat": (9, "vehicle"), "bench": (15, "outdoor"), "bird": (16, "animal"), "cat": (17, "animal"),
    "dog": (18, "animal"), "horse": (19, "animal"), "sheep": (20, "animal"), "cow": (21, "animal"),
    "umbrella": (28, "accessory"), "skis": (35, "sports"), "kite": (38, "sports"), "surfboard": (42, "sports"),
    "cup": (47, "kitchen"), "pizza": (59, "food"), "cake": (61, "food"), "chair": (62, "furniture"),
    "couch": (63, "furniture"), "potted plant": (64, "furniture"), "dining table": (67, "furniture"),
    "tv": (72, "electronic"), "laptop": (73, "electronic"),
}  # fmt: skip
# A table is under every plate, so it is not a class.
CLASSES = tuple(name for name in CATEGORIES if name != "dining table")

LAYOUTS = ("coco", "course")
NAMED_PHOTOS = {"bike": "bicycle", "girl": "girl", "sheep": "sheep", "ski": "skis", "umbrella": "umbrella"}
"""The photos of the study's third problem, with the kind or role of the main object."""
TOKENIZER = Path(__file__).parent / "captioner" / "tokenizer.json"

Item = TypeVar("Item")
Made = TypeVar("Made")


def _on_all_cores(work: Callable[[Item], Made], items: Sequence[Item], **bar: str) -> Iterator[Made]:
    """Run `map(work, items)` with a progress bar, in one process per core if there are enough items."""
    processes = min(os.cpu_count() or 1, len(items) // WORTH)
    if processes < 2:
        yield from map(work, tqdm(items, **bar))
        return
    # An interrupt reaches every process; only the parent should handle it.
    with ProcessPoolExecutor(processes, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)) as pool:
        yield from tqdm(pool.map(work, items, chunksize=10), total=len(items), **bar)


def _instances(scene: Scene, picture: Picture) -> list[dict]:
    """Return COCO annotations of the visible part of each object."""
    found = []
    for number, (thing, mask) in enumerate(zip(scene.things, picture.masks, strict=True)):
        area = int(mask.sum())
        if area < MIN_AREA:
            continue
        ys, xs = np.nonzero(mask)
        encoded = rle.encode(np.asfortranarray(mask))
        found.append({
            "id": scene.seed * 100 + number, "image_id": scene.seed, "category_id": CATEGORIES[thing.kind][0],
            "bbox": [int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1], "area": area,
            "segmentation": {"size": [SIDE, SIDE], "counts": encoded["counts"].decode()}, "iscrowd": 0,
        })  # fmt: skip
    return found


def _image(scene: Scene) -> dict:
    return {"id": scene.seed, "file_name": f"{scene.seed:012d}.jpg", "width": SIDE, "height": SIDE,
            "conditions": list(scene.conditions)}  # fmt: skip


def _write_json(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def _write_scene(folder: Path, seed: int) -> tuple[dict, list[dict], list[dict]]:
    """Draw the photo into `folder`; return its entries in COCO's files: image, captions, instances."""
    scene = compose(seed)
    picture = draw(scene)
    image = _image(scene)
    picture.image.save(folder / image["file_name"], quality=92)
    captions = [{"id": seed * 10 + k, "image_id": seed, "caption": text}
                for k, text in enumerate(describe(scene, seed))]  # fmt: skip
    return image, captions, _instances(scene, picture)


def _draw_split(photos: Path, split: str, count: int, first_seed: int | None = None) -> tuple[dict, dict]:
    """Draw `count` scenes of a split into `photos`; return COCO's captions and instances of them.

    Seeds run from `first_seed`, by default the split's own block. Raises ValueError if they would leave that block.
    """
    first = FIRST_SEED[split] if first_seed is None else first_seed
    if first // BLOCK != (first + count - 1) // BLOCK:
        raise ValueError(
            f"{count} scenes from seed {first} reach into another split; expected at most {BLOCK} per split"
        )
    photos.mkdir(parents=True, exist_ok=True)
    images, captions, instances = [], [], []
    scenes = _on_all_cores(partial(_write_scene, photos), range(first, first + count), desc=split, unit="image")
    for image, texts, things in scenes:
        images.append(image)
        captions += texts
        instances += things
    info = {"description": "CaptionScope's generated world", "version": str(VERSION)}
    categories = [{"id": number, "name": name, "supercategory": above} for name, (number, above) in CATEGORIES.items()]
    shared = {"info": info, "images": images}
    return (shared | {"annotations": captions}, shared | {"annotations": instances, "categories": categories})


def write_split(folder: Path | str, split: str, count: int, first_seed: int | None = None) -> None:
    """Write `count` scenes as COCO does: photos, captions and instances of one split under `folder`.

    Raises:
        ValueError: as `_draw_split`.
    """
    captions, instances = _draw_split(Path(folder) / split, split, count, first_seed)
    _write_json(Path(folder) / "annotations" / f"captions_{split}.json", captions)
    _write_json(Path(folder) / "annotations" / f"instances_{split}.json", instances)


def write_course_split(folder: Path | str, split: str, count: int) -> None:
    """Write `count` scenes as the study's course does: `p2_data/images/<split>/` next to `p2_data/<split>.json`.

    The course has no boxes; ours are written next to the captions, so that grounding can be measured.
    """
    root = Path(folder) / "p2_data"
    captions, instances = _draw_split(root / "images" / split, split, count)
    _write_json(root / f"{split}.json", captions)
    _write_json(root / f"instances_{split}.json", instances)


def write_named_photos(folder: Path | str) -> None:
    """Write `p3_data/images/{bike,girl,sheep,ski,umbrella}.jpg`: the first plain scene about each of these."""
    photos = Path(folder) / "p3_data" / "images"
    photos.mkdir(parents=True, exist_ok=True)
    first = FIRST_SEED["named"]
    for name, what in NAMED_PHOTOS.items():
        scenes = map(compose, range(first, first + BLOCK))
        scene = next(scene for scene in scenes if _is_about(scene, what) and not scene.conditions)
        draw(scene).image.save(photos / f"{name}.jpg", quality=92)


def _is_about(scene: Scene, what: str) -> bool:
    """Return whether the main group of the scene has this kind, or role of a person."""
    return (scene.groups[0].role or scene.groups[0].kind) == what


def _write_portrait(folder: Path, item: tuple[int, int, int]) -> None:
    label, number, seed = item
    draw(portrait(CLASSES[label], seed)).image.save(folder / f"{label}_{number}.png", compress_level=3)


def write_classes(folder: Path | str, per_class: int = 30, first_seed: int = FIRST_SEED["classes"]) -> None:
    """Write the course layout for zero-shot classification: `p1_data/val/{label}_{id}.png` and `id2label.json`."""
    root = Path(folder) / "p1_data"
    (root / "val").mkdir(parents=True, exist_ok=True)
    _write_json(root / "id2label.json", {str(label): name for label, name in enumerate(CLASSES)})
    items = [(label, number, first_seed + number) for label in range(len(CLASSES)) for number in range(per_class)]
    for _ in _on_all_cores(partial(_write_portrait, root / "val"), items, desc="classes", unit="image"):
        pass


def write_world(
    folder: Path | str, val: int = 600, test: int = 600, classes: int = 30, train: int = 0, layout: str = "coco"
) -> bool:
    """Write splits and classes atomically; return False if they already exist. A count of 0 leaves one out.

    Args:
        layout: one of LAYOUTS; `course` has no test split, but the five named photos and the tokenizer.

    Raises:
        FileExistsError: `folder` contains files that this function did not write.
    """
    folder = Path(folder)
    splits = {"train": train, "val": val} | ({"test": test} if layout == "coco" else {})
    recipe = {"version": VERSION, **splits, "classes": classes} | ({} if layout == "coco" else {"layout": layout})
    mark = folder / "world.json"
    if mark.exists() and json.loads(mark.read_text(encoding="utf-8")) == recipe:
        return False
    if folder.exists() and any(folder.iterdir()) and not mark.exists():
        raise FileExistsError(f"{folder} contains other files; choose another --out, or empty the folder")
    unfinished = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    for split, count in splits.items():
        if count:
            (write_split if layout == "coco" else write_course_split)(unfinished, split, count)
    if classes:
        write_classes(unfinished, classes)
    if layout == "course":
        write_named_photos(unfinished)
        shutil.copyfile(TOKENIZER, unfinished / "caption_tokenizer.json")
    _write_json(unfinished / "world.json", recipe)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the generated world: captioned scenes and 24 classes.")
    parser.add_argument("--out", type=Path, default=Path("data/demo"), help="folder to write (default: %(default)s)")
    parser.add_argument("--val", type=int, default=600, help="images of the val split (default: %(default)s)")
    parser.add_argument(
        "--test", type=int, default=600, help="images of the test split of COCO's layout (default: %(default)s)"
    )
    parser.add_argument("--classes", type=int, default=30, help="images of each class (default: %(default)s)")
    parser.add_argument("--train", type=int, default=0, help="images of a train split (default: none)")
    parser.add_argument("--layout", choices=LAYOUTS, default="coco", help="of the files (default: %(default)s)")
    options = parser.parse_args()
    try:
        counts = (options.val, options.test, options.classes, options.train)
        written = write_world(options.out, *counts, options.layout)
    except (FileExistsError, ValueError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        parser.exit(130, f"\nstopped; {options.out} is as it was\n")
    print(f"{options.out}: {'written' if written else 'complete already, nothing to do'}")


if __name__ == "__main__":
    main()
