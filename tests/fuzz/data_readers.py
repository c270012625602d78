"""The readers of datasets, photos, predictions and ratings, each with a valid input."""

import json
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from engine.data import class_predictions, placement, predictions, registry
from engine.data.classes import load_classes
from engine.data.photo_formats import FORMATS
from engine.data.photos import open_photo
from engine.metrics import human_ratings
from tests.fuzz.harness import Reader

PHOTO = "a.jpg"
CAPTIONS = ("a dog runs", 'a "red" bus, on a street', "two men | ride")


def _write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def _photo(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise((24, 16), 60).convert("RGB").save(path)


def _annotations(folder: Path) -> list[Path]:
    suffixes = (".json", ".jsonl", ".csv", ".tsv", ".txt", ".token")
    return sorted(path for path in folder.rglob("*") if path.suffix in suffixes)


def _coco(folder: Path) -> None:
    _photo(folder / "val" / PHOTO)
    images = [{"id": 1, "file_name": PHOTO, "width": 24, "height": 16, "conditions": ["blur"]}]
    captions = [{"id": n, "image_id": 1, "caption": text, "is_rejected": n == 2} for n, text in enumerate(CAPTIONS)]
    boxes = [{"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 2, 3.5, 4], "iscrowd": 0}]
    _write_json(folder / "annotations" / "captions_val.json", {"images": images, "annotations": captions})
    content = {"images": images, "annotations": boxes, "categories": [{"id": 7, "name": "dog"}]}
    _write_json(folder / "annotations" / "instances_val.json", content)


def _karpathy(folder: Path) -> None:
    _photo(folder / "val2014" / PHOTO)
    sentences = [{"raw": text, "tokens": text.split(), "sentid": n} for n, text in enumerate(CAPTIONS)]
    image = {"filepath": "val2014", "filename": PHOTO, "cocoid": 5, "split": "val", "sentences": sentences}
    _write_json(folder / "dataset_coco.json", {"images": [image, {**image, "filename": "b.jpg", "split": "restval"}]})


def _course(folder: Path) -> None:
    _coco(folder / "coco")
    _photo(folder / "p2_data" / "images" / "val" / PHOTO)
    for name, source in (("val.json", "captions_val.json"), ("instances_val.json", "instances_val.json")):
        (folder / "coco" / "annotations" / source).rename(folder / "p2_data" / name)


def _table(name: str, header: str, row: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        _photo(folder / "images" / PHOTO)
        lines = [header, *(row.format(number, text) for number, text in enumerate(CAPTIONS))]
        (folder / name).write_text("\n".join(filter(None, lines)) + "\n", encoding="utf-8")

    return write


def _pairs(folder: Path) -> None:
    _photo(folder / "images" / PHOTO)
    _write_json(folder / "val.json", [{"image": PHOTO, "caption": list(CAPTIONS)}, {"image": "b.jpg", "caption": "a"}])


def _classes(folder: Path) -> None:
    _write_json(folder / "id2label.json", {"0": "dog", "1": "cat", "10": "red car"})
    for name in ("0_1.png", "10_2.png"):
        _photo(folder / "val" / name)


def _photos(folder: Path) -> None:
    picture = Image.effect_noise((40, 32), 60).convert("RGB")
    exif = picture.getexif()
    exif[0x0112] = 6
    for number, format in enumerate(FORMATS):
        more = {"exif": exif} if format in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF") else {}
        picture.save(folder / f"{number}.jpg", format, **more)
    picture.save(folder / "lzw.tif", compression="tiff_lzw")


def read_dataset(folder: Path) -> object:
    """Read a dataset as the commands do, its photos included."""
    dataset = registry.load(folder)
    placement.check_photos(dataset)
    for example in dataset.examples:
        example.boxes_on(24, 16)
    return dataset.fingerprint


def read_photos(folder: Path) -> None:
    """Open every photo; one that is broken is reported after the others."""
    errors = []
    for path in sorted(folder.iterdir()):
        try:
            open_photo(path)
        except ValueError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def _predictions(name: str, text: str) -> Reader:
    def write(folder: Path) -> None:
        (folder / f"p{Path(name).suffix}").write_text(text, encoding="utf-8")
        for number in (1, 2):
            _photo(folder / "data" / f"{number:04d}.jpg")

    def read(folder: Path) -> object:
        path = folder / f"p{Path(name).suffix}"
        found = predictions.read(path)
        return predictions.match(found, registry.load(folder / "data"), path, partial=True)

    return Reader(f"predictions-{name}", write, read, lambda folder: sorted(folder.glob("p.*")))


def _ratings(folder: Path) -> None:
    lines = [{"image": PHOTO, "caption": text, "human_mean": n, "system": "s"} for n, text in enumerate(CAPTIONS)]
    (folder / "r.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _class_predictions(folder: Path) -> None:
    _classes(folder)
    (folder / "p.csv").write_text("filename,label\n0_1.png,0\n10_2.png,1.0\nx/1_3.png,red car\n")


def _dataset(name: str, write: Callable[[Path], None]) -> Reader:
    return Reader(name, write, read_dataset, _annotations)


READERS = (
    _dataset("coco", _coco),
    _dataset("karpathy", _karpathy),
    _dataset("course", _course),
    _dataset("flickr8k", _table("captions.txt", "image,caption", "a.jpg,{1}")),
    _dataset("flickr8k-tokens", _table("Flickr8k.token.txt", "", "a.jpg#{0}\t{1}")),
    _dataset("flickr30k", _table("results.csv", "image_name| comment_number| comment", "a.jpg| {0}| {1}")),
    _dataset("pairs-json", _pairs),
    _dataset("pairs-tsv", _table("val.tsv", "image\tcaption", "a.jpg\t{1}")),
    _dataset("pairs-csv", _table("val.csv", "file_name,text,x", "a.jpg,a dog {0},1")),
    _dataset("pairs-lines", _table("val.jsonl", "", '{{"image": "a.jpg", "n": {0}, "caption": ["x", "y"]}}')),
    Reader("classes", _classes, load_classes, _annotations),
    Reader("photos", _photos, read_photos),
    _predictions("coco.json", '[{"image_id": 1, "caption": "a dog"}, {"image_id": "0002.jpg", "caption": "two"}]'),
    _predictions("names.json", '{"0001.jpg": "a dog", "2": ["two"]}'),
    _predictions(
        "lists.json", '[{"img_id": "0001.jpg", "prediction": ["a dog", "a"]}, {"img_id": 2, "prediction": ["b"]}]'
    ),
    _predictions("lines.jsonl", '{"image": "0001.jpg", "caption": "a dog"}\n{"image": "0002.jpg", "caption": "two"}\n'),
    _predictions("table.csv", 'image_id,caption\n1,"a dog, red"\n2,two\n'),
    _predictions("table.tsv", "image\tcaption\n0001.jpg\ta dog\n0002.jpg\ttwo\n"),
    Reader(
        "predicted-classes",
        _class_predictions,
        lambda folder: class_predictions.read(folder / "p.csv", load_classes(folder)),
        lambda folder: [folder / "p.csv"],
    ),
    Reader("ratings", _ratings, lambda folder: human_ratings.read(folder / "r.jsonl", "system")),
)
