"""The generated world as files: COCO's layout, the course layout, and nothing half written."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from engine.data import registry
from engine.data.classes import load_classes
from engine.demo import world
from engine.demo.backdrops import SIDE


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("coco")
    world.write_split(folder, "val", 12)
    return folder


def fingerprint(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_split_reads_as_coco(split, capsys):
    instances = COCO(split / "annotations" / "instances_val.json")
    captions = COCO(split / "annotations" / "captions_val.json")
    assert sorted(instances.imgs) == sorted(captions.imgs) == list(range(2_000_000, 2_000_012))
    assert all(len(captions.getAnnIds(image)) == 5 for image in captions.imgs)
    assert {category["id"]: category["name"] for category in instances.cats.values()}[18] == "dog"


def test_every_image_exists_with_its_size_and_twelve_digits(split):
    images = json.loads((split / "annotations" / "captions_val.json").read_text())["images"]
    for image in images:
        assert image["file_name"] == f"{image['id']:012d}.jpg"
        assert Image.open(split / "val" / image["file_name"]).size == (image["width"], image["height"]) == (SIDE, SIDE)
        assert isinstance(image["conditions"], list)


def test_boxes_and_areas_are_those_of_the_visible_mask(split, capsys):
    coco = COCO(split / "annotations" / "instances_val.json")
    assert coco.anns
    for annotation in coco.anns.values():
        mask = coco.annToMask(annotation)
        ys, xs = np.nonzero(mask)
        assert annotation["area"] == mask.sum() >= world.MIN_AREA
        left, top, width, height = annotation["bbox"]
        assert (left, top, left + width - 1, top + height - 1) == (xs.min(), ys.min(), xs.max(), ys.max())
        assert annotation["iscrowd"] == 0


def test_annotation_ids_are_unique(split):
    for name in ("captions_val.json", "instances_val.json"):
        ids = [note["id"] for note in json.loads((split / "annotations" / name).read_text())["annotations"]]
        assert len(ids) == len(set(ids))


def test_writing_a_split_twice_gives_the_same_files(split, tmp_path):
    world.write_split(tmp_path, "val", 12)
    assert fingerprint(tmp_path) == fingerprint(split)


def test_processes_draw_what_one_draws(split, tmp_path, monkeypatch):
    monkeypatch.setattr(world, "WORTH", 1)
    monkeypatch.setattr(world.os, "cpu_count", lambda: 3)
    world.write_split(tmp_path / "many", "val", 12)
    assert fingerprint(tmp_path / "many") == fingerprint(split)
    world.write_classes(tmp_path / "many", per_class=2)
    monkeypatch.setattr(world, "WORTH", 10**6)
    world.write_classes(tmp_path / "one", per_class=2)
    assert fingerprint(tmp_path / "many" / "p1_data") == fingerprint(tmp_path / "one" / "p1_data")


def test_a_split_may_not_reach_into_the_next_one(tmp_path):
    with pytest.raises(ValueError, match="at most 1000000"):
        world.write_split(tmp_path, "val", 10, first_seed=world.FIRST_SEED["test"] - 5)


def test_the_splits_have_blocks_of_their_own():
    blocks = sorted(first // world.BLOCK for first in world.FIRST_SEED.values())
    assert len(set(blocks)) == len(world.FIRST_SEED)


def test_classes_follow_the_course_layout(tmp_path):
    world.write_classes(tmp_path, per_class=2)
    labels = json.loads((tmp_path / "p1_data" / "id2label.json").read_text())
    assert len(labels) >= 20 and list(labels) == [str(label) for label in range(len(labels))]
    names = sorted(path.name for path in (tmp_path / "p1_data" / "val").iterdir())
    assert names == sorted(f"{label}_{number}.png" for label in labels for number in range(2))


def test_a_world_is_written_once_and_then_left_alone(tmp_path):
    folder = tmp_path / "demo"
    assert world.write_world(folder, val=2, test=2, classes=1) is True
    before = fingerprint(folder)
    assert world.write_world(folder, val=2, test=2, classes=1) is False
    assert fingerprint(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_a_world_of_another_size_replaces_the_old_one(tmp_path):
    folder = tmp_path / "demo"
    world.write_world(folder, val=1, test=1, classes=1)
    assert world.write_world(folder, val=2, test=1, classes=1) is True
    assert len(list((folder / "val").iterdir())) == 2


def test_a_killed_write_leaves_no_world_behind_and_the_next_one_succeeds(tmp_path, monkeypatch):
    folder = tmp_path / "demo"
    with monkeypatch.context() as patch:
        patch.setattr(world, "write_classes", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            world.write_world(folder, val=1, test=1, classes=1)
    assert not folder.exists()
    assert world.write_world(folder, val=1, test=1, classes=1) is True


def test_other_folders_are_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="another --out"):
        world.write_world(tmp_path, val=1, test=1, classes=1)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_the_courses_layout_reads_as_the_course_with_its_five_photos_and_tokenizer(tmp_path):
    folder = tmp_path / "hw3_data"
    assert world.write_world(folder, val=3, classes=1, train=2, layout="course")
    for split, count in (("val", 3), ("train", 2)):
        found = registry.load(folder, split=split)
        assert (found.format, len(found.examples)) == ("course", count)
        assert all(len(each.references) == 5 and each.objects for each in found.examples)
    assert found.tokenizer == folder / "caption_tokenizer.json"
    assert found.tokenizer.read_bytes() == world.TOKENIZER.read_bytes()
    assert len(load_classes(folder).examples) == len(world.CLASSES)
    photos = registry.load(folder / "p3_data")
    assert [each.image_id for each in photos.examples] == ["bike", "girl", "sheep", "ski", "umbrella"]
    pictures = {(folder / "p3_data" / each.file_name).read_bytes() for each in photos.examples}
    assert len(pictures) == 5
    assert not world.write_world(folder, val=3, classes=1, train=2, layout="course")


def test_the_two_layouts_show_the_same_scenes(tmp_path):
    world.write_split(tmp_path / "coco", "val", 2)
    world.write_course_split(tmp_path / "course", "val", 2)
    ours, theirs = registry.load(tmp_path / "coco"), registry.load(tmp_path / "course")
    assert [each.references for each in ours.examples] == [each.references for each in theirs.examples]
    assert ours.photo(ours.examples[0]).read_bytes() == theirs.photo(theirs.examples[0]).read_bytes()
