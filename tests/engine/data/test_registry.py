import csv
import os
from dataclasses import replace

import pytest

from engine.data import registry
from engine.data.classes import load_classes
from engine.data.dataset import Box, DatasetError
from tests.conftest import SHARED, needs_shared
from tests.support import tiny


@needs_shared("coco")
@pytest.mark.parametrize(("split", "instances"), [("train", 465), ("val", 377)])
def test_coco_has_its_captions_and_boxes(split, instances):
    dataset = registry.load(SHARED / "coco", split=split)
    assert (dataset.format, dataset.split, len(dataset.examples)) == ("coco", f"{split}2017", 50)
    assert sum(len(example.references) for example in dataset.examples) == 250
    assert sum(len(example.objects) for example in dataset.examples) == instances
    assert sum(len(example.crowds) for example in dataset.examples) == 5
    assert all(dataset.photo(example).is_file() for example in dataset.examples)


@needs_shared("flickr8k")
def test_flickr8k_has_five_captions_for_each_of_8091_photos():
    dataset = registry.load(SHARED / "flickr8k")
    assert (dataset.format, len(dataset.examples), len(dataset.on_disk().examples)) == ("flickr8k", 8091, 1000)
    assert {len(example.references) for example in dataset.examples} == {5}


@needs_shared("flickr8k")
def test_a_dataset_without_splits_holds_the_same_photos_out_every_time():
    train, val = (registry.load(SHARED / "flickr8k", split=split, hold_out=100) for split in ("train", "val"))
    held = {example.image_id for example in val.examples}
    assert (len(train.examples), len(held)) == (900, 100)
    assert not held & {example.image_id for example in train.examples}
    # Of the photos held out at 50, all are held out at 100: the order is a hash of the name.
    assert {each.image_id for each in registry.load(SHARED / "flickr8k", split="val", hold_out=50).examples} <= held


def test_a_hold_out_that_leaves_a_split_empty_is_refused(tmp_path):
    photos = tiny.coco(tmp_path) / "val"
    with pytest.raises(DatasetError, match="--hold-out 9: expected 1 to 4, .* has 5 photos"):
        registry.load(photos, split="val", hold_out=9)
    for photo in sorted(photos.iterdir())[1:]:
        photo.unlink()
    with pytest.raises(DatasetError, match="photos on disk: 1; train and val need two"):
        registry.load(photos, split="val", hold_out=1)


def test_coco_examples_carry_references_boxes_and_conditions(tmp_path):
    folder = tiny.coco(tmp_path / "world")
    dataset = registry.load(folder)
    example = dataset.examples[0]
    assert (dataset.name, dataset.format, dataset.split) == ("world", "coco", "val")
    assert example.references == (tiny.SENTENCES[1], tiny.SENTENCES[2])
    assert example.objects == (Box("dog", 10, 5, 30, 20),)


def test_an_annotation_file_may_be_given_itself(tmp_path):
    folder = tiny.coco(tmp_path)
    assert len(registry.load(folder / "annotations" / "captions_val.json").examples) == 5


def course(folder):
    world = tiny.coco(folder / "made", split="val")
    (folder / "hw3" / "p2_data" / "images").mkdir(parents=True)
    (world / "val").rename(folder / "hw3" / "p2_data" / "images" / "val")
    (world / "annotations" / "captions_val.json").rename(folder / "hw3" / "p2_data" / "val.json")
    tiny.tokenizer().save(folder / "hw3" / "caption_tokenizer.json")
    tiny.classes(folder / "hw3")
    return folder / "hw3"


def test_the_courses_layout_is_recognised_with_its_tokenizer(tmp_path):
    dataset = registry.load(course(tmp_path))
    assert (dataset.format, dataset.split, len(dataset.examples)) == ("course", "val", 5)
    assert dataset.tokenizer.name == "caption_tokenizer.json"


def test_the_courses_classes_have_labels_from_the_file_name(tmp_path):
    classes = load_classes(course(tmp_path))
    assert (classes.labels, classes.label_ids) == (("dog", "bus", "cat"), ("0", "1", "2"))
    assert classes.name == load_classes(tmp_path / "hw3" / "p1_data").name == "hw3"
    (tmp_path / "hw3" / "p1_data").rename(tmp_path / "mine")
    assert load_classes(tmp_path / "mine").name == "mine"
    assert [example.label for example in classes.examples] == ["dog", "dog", "bus", "bus", "cat", "cat"]


def flickr(folder, rows, name="captions.txt"):
    for photo in {row[0].split("#")[0] for row in rows}:
        tiny.photo(folder / "Images" / photo)
    with open(folder / name, "w", newline="", encoding="utf-8") as file:
        if name == "captions.txt":
            csv.writer(file).writerows([("image", "caption"), *rows])
        else:
            file.write("".join(f"{key}\t{caption}\n" for key, caption in rows))
    return folder


def test_flickr8k_reads_captions_with_commas_and_quotes(tmp_path):
    folder = flickr(tmp_path, [("a.jpg", 'a man , a "dog"'), ("a.jpg", "two"), ("b.jpg", "three")])
    dataset = registry.load(folder)
    assert dataset.examples[0].references == ('a man , a "dog"', "two")


@pytest.mark.parametrize("text", ["a dog\nruns fast", "a dog\u2028runs fast", "a dog\x85runs fast"])
@pytest.mark.parametrize("name", ["captions.txt", "Flickr8k.token.txt"])
def test_a_line_break_in_a_caption_is_white_space(tmp_path, name, text):
    if name == "captions.txt":
        rows = [("a.jpg", text), ("b.jpg", "two")]
    else:
        rows = [("a.jpg#0", text.replace("\n", " ")), ("b.jpg#0", "two")]
    first, second = registry.load(flickr(tmp_path, rows, name)).examples
    assert (first.references, second.references) == (("a dog runs fast",), ("two",))


def test_a_quote_that_is_never_closed_swallows_no_captions(tmp_path):
    folder = flickr(tmp_path, [("a.jpg", "one"), ("b.jpg", "two")])
    (folder / "captions.txt").write_text('image,caption\na.jpg,one\na.jpg,"a dog\nb.jpg,two\nb.jpg,three\n')
    with pytest.raises(DatasetError, match="line 3 opens a quote .* not closed before the next caption, in line 4"):
        registry.load(folder)
    (folder / "captions.txt").write_text('image,caption\na.jpg,one\na.jpg,"a dog\n' + "b.jpg,two\n" * 20_000)
    with pytest.raises(DatasetError, match="line 3: field larger than field limit .*a quote that is never closed"):
        registry.load(folder)
    (folder / "captions.txt").write_text('image,caption\na.jpg,one\nb.jpg,a "dog\nb.jpg,"last\n')
    assert registry.load(folder).examples[1].references == ('a "dog', "last")


def test_conditions_that_are_null_are_none(tmp_path):
    content = {"images": [{**IMAGE, "conditions": None}], "annotations": []}
    (tmp_path / "val").mkdir()
    tiny.write_json(tmp_path / "annotations" / "captions_val.json", content)
    assert registry.load(tmp_path).examples[0].conditions == ()


def test_a_photo_whose_name_is_not_utf8_is_named(tmp_path):
    source = tiny.photo(tmp_path / "ok.jpg")
    try:
        source.rename(tmp_path / os.fsdecode(b"caf\xe9.jpg"))
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    with pytest.raises(DatasetError, match=r"the file name 'caf\\udce9.jpg' is not UTF-8; rename the file"):
        registry.load(tmp_path)


def test_the_older_token_file_reads_the_same(tmp_path):
    folder = flickr(tmp_path, [("a.jpg#0", "one"), ("a.jpg#1", "two, three")], "Flickr8k.token.txt")
    assert registry.load(folder).examples[0].references == ("one", "two, three")


def test_flickr8ks_split_files_decide_the_splits(tmp_path):
    folder = flickr(tmp_path, [("a.jpg", "one"), ("b.jpg", "two")])
    (folder / "Flickr_8k.trainImages.txt").write_text("a.jpg\n")
    (folder / "Flickr_8k.devImages.txt").write_text("b.jpg\n")
    assert [each.image_id for each in registry.load(folder).examples] == ["b"]
    assert [each.image_id for each in registry.load(folder, split="train").examples] == ["a"]
    with pytest.raises(DatasetError, match="there is no split 'test'; it has train, val and all"):
        registry.load(folder, split="test")


def test_a_bare_folder_has_photos_and_no_captions(tmp_path):
    for name in ("bike.jpg", "sheep.png", "notes.txt", ".hidden.jpg"):
        tiny.photo(tmp_path / name) if name.endswith(("jpg", "png")) else (tmp_path / name).write_text("")
    dataset = registry.load(tmp_path)
    assert dataset.format == "folder"
    assert [(each.image_id, each.references) for each in dataset.examples] == [("bike", ()), ("sheep", ())]


def test_photos_lie_in_folders_of_a_folder_and_behind_links_each_once(tmp_path):
    tiny.photo(tmp_path / "far" / "away" / "bike.jpg")
    tiny.photo(tmp_path / "mine" / "near" / "sheep.jpg")
    for name in ("twice", "linked"):
        (tmp_path / "mine" / name).symlink_to(tmp_path / "far")
    (tmp_path / "mine" / "round").symlink_to(tmp_path / "mine")
    dataset = registry.load(tmp_path / "mine")
    assert [each.file_name for each in dataset.examples] == ["linked/away/bike.jpg", "near/sheep.jpg"]


@pytest.mark.parametrize("whole", ["_mine", ""])
def test_one_coco_file_that_names_no_split_is_split_here(tmp_path, whole):
    folder = tiny.coco(tmp_path, 6)
    (folder / "val").rename(folder / "images")
    (folder / "annotations" / "captions_val.json").rename(folder / "annotations" / f"captions{whole}.json")
    path = folder if whole else folder / "annotations" / "captions.json"
    train, val = (registry.load(path, split=split, hold_out=2) for split in ("train", "val"))
    assert (len(train.examples), len(val.examples), train.split, val.split) == (4, 2, "train", "val")
    assert not {each.image_id for each in train.examples} & {each.image_id for each in val.examples}
    assert len(registry.load(path).examples) == len(registry.load(path, split="all").examples) == 6


@pytest.mark.parametrize("splits", [["all"], ["train", "val"]])
def test_an_accent_written_as_two_signs_on_disk_is_the_one_of_the_captions(tmp_path, splits):
    rows = [("\u00e9t\u00e9.jpg", "a summer"), ("b.jpg", "two")]
    folder = flickr(tmp_path, rows)
    (folder / "Images" / rows[0][0]).rename(folder / "Images" / "e\u0301te\u0301.jpg")
    sets = [registry.load(folder, split=split, hold_out=1) for split in splits]
    examples = sorted((each for one in sets for each in one.examples), key=lambda each: each.image_id)
    assert [each.image_id for each in examples] == ["b", "\u00e9t\u00e9"]
    assert all(sets[0].photo(each).is_file() for each in examples)


def test_boxes_follow_a_photo_that_was_scaled_after_it_was_annotated(tmp_path):
    example = registry.load(tiny.coco(tmp_path)).examples[0]  # annotated at 80 x 60
    box = Box("dog", 10, 5, 30, 20)
    assert example.boxes_on(80, 60).objects == example.objects == (box,)
    assert example.boxes_on(40, 15).objects == (Box("dog", 5, 1.25, 15, 5),)
    assert (
        example.boxes_on(60, 80).objects == example.boxes_on(0, 0).objects == (box,)
    )  # lying on its side, and not there
    assert replace(example, annotated_size=None).boxes_on(40, 15).objects == (box,)


def test_the_fingerprint_changes_with_any_reference(tmp_path):
    before = registry.load(tiny.coco(tmp_path)).fingerprint
    assert registry.load(tiny.coco(tmp_path)).fingerprint == before
    path = tmp_path / "annotations" / "captions_val.json"
    path.write_text(path.read_text().replace("a dog runs", "a dog walks"))
    assert registry.load(tmp_path).fingerprint != before


IMAGE = {"id": 1, "file_name": "a.jpg"}
CAPTION = {"id": 7, "image_id": 1, "caption": "a dog"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"images": [IMAGE], "annotations": [{**CAPTION, "image_id": 9}]},
            "caption 7 is for the image '9', which is not",
        ),
        ({"images": [IMAGE, IMAGE], "annotations": []}, "the image id '1' occurs twice"),
        ({"images": [IMAGE, {"id": 2, "file_name": "b/a.jpg"}], "annotations": []}, "the image 'a' occurs twice"),
        ({"images": [], "annotations": []}, "no images in split 'val'"),
        ({"images": [{"id": 1}], "annotations": []}, "has no 'file_name'"),
        (
            {"images": [{"id": 1, "file_name": "../../etc/x.jpg"}], "annotations": []},
            "points outside the photos' folder",
        ),
        ({"images": [IMAGE], "annotations": [{**CAPTION, "caption": None}]}, "caption 7 is None, expected text"),
        ({"images": [IMAGE], "annotations": {}}, "expected a COCO object with the lists"),
        ({"images": [{**IMAGE, "conditions": 3}], "annotations": []}, "the conditions 3 are not a list"),
        ({"images": [{**IMAGE, "id": [1]}], "annotations": []}, r"the 'id' \[1\] is not an id"),
        ({"images": [IMAGE], "annotations": [{**CAPTION, "caption": "a \ud83d"}]}, r"the surrogate '\\ud83d'"),
        ({"images": [IMAGE], "annotations": [{**CAPTION, "caption": ["a"] * 9999}]}, r"caption 7 is \['a', .{,99}$"),
    ],
)
def test_captions_that_make_no_sense_name_the_file_and_the_entry(tmp_path, content, message):
    (tmp_path / "val").mkdir()
    file = tiny.write_json(tmp_path / "annotations" / "captions_val.json", content)
    with pytest.raises(DatasetError, match=message) as caught:
        registry.load(tmp_path)
    assert str(file) in str(caught.value) or str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["cat/1.png", "dog/2.png"], ["1", "2"]),
        (["cat/1.png", "dog/1.png"], ["cat/1", "dog/1"]),
        (["a/1.jpg", "a/1.png"], ["a/1.jpg", "a/1.png"]),
    ],
)
def test_photos_with_equal_names_get_ids_with_folder_then_extension(tmp_path, names, ids):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = registry.load(tmp_path, "folder").examples
    assert [each.image_id for each in found] == ids
    assert [each.file_name for each in found] == names


def test_a_missing_folder_an_empty_one_and_an_unknown_format_are_one_sentence_each(tmp_path):
    with pytest.raises(DatasetError, match="there is no such file or folder"):
        registry.load(tmp_path / "nothing")
    with pytest.raises(DatasetError, match="contains no photos"):
        registry.load(tmp_path)
    with pytest.raises(
        DatasetError, match="expected one of course, coco, karpathy, flickr30k, flickr8k, pairs, folder"
    ):
        registry.load(tmp_path, format="voc")


def test_a_class_photo_with_an_unknown_label_is_named(tmp_path):
    folder = tiny.classes(tmp_path)
    tiny.photo(folder / "p1_data" / "val" / "9_0.png")
    with pytest.raises(DatasetError, match="9_0.png: its label '9' is not in id2label.json"):
        load_classes(folder)


def test_two_classes_of_one_name_are_an_error_that_names_both(tmp_path):
    folder = tiny.classes(tmp_path)
    tiny.write_json(folder / "p1_data" / "id2label.json", {"0": "crane", "1": "bus", "2": "crane"})
    with pytest.raises(DatasetError, match="the classes 0 and 2 have the same name 'crane'.*give them different names"):
        load_classes(folder)
