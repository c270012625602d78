import pytest

from engine.data import class_predictions, predictions, registry
from engine.data.predictions import PredictedCaption, PredictionsError
from tests.conftest import SHARED, needs_shared
from tests.support import tiny


@pytest.mark.parametrize(
    "content",
    [
        [{"image_id": 1, "caption": "a dog"}, {"image_id": 2, "caption": "a  bus\n"}],
        {"000000000001": "a dog", "000000000002.jpg": "a bus"},
        [{"img_id": "000000000001.jpg", "prediction": ["a dog", "b"]}, {"img_id": "2", "prediction": ["a bus"]}],
    ],
)
def test_three_forms_give_the_same_captions(tmp_path, content):
    dataset = registry.load(tiny.coco(tmp_path / "data", count=2))
    path = tiny.write_json(tmp_path / "p.json", content)
    matched = predictions.match(predictions.read(path), dataset, path, partial=False)
    assert matched == {"000000000001": "a dog", "000000000002": "a bus"}


def test_an_accent_is_the_same_as_one_sign_and_as_two(tmp_path):
    tiny.photo(tmp_path / "data" / "e\u0301te\u0301.jpg")
    dataset = registry.load(tmp_path / "data")
    path = tiny.write_json(tmp_path / "p.json", {"\u00e9t\u00e9.jpg": "a summer"})
    found = predictions.match(predictions.read(path), dataset, path, partial=False)
    assert found == {"e\u0301te\u0301": "a summer"}


def test_an_id_that_ends_like_a_file_name_is_found(tmp_path):
    tiny.photo(tmp_path / "data" / "bike.jpg.png")
    dataset = registry.load(tmp_path / "data")
    for name in ("bike.jpg", "bike.jpg.png"):
        path = tiny.write_json(tmp_path / "p.json", {name: "a bike"})
        assert predictions.match(predictions.read(path), dataset, path, partial=False) == {"bike.jpg": "a bike"}


@needs_shared("course/pred_a.json")
@pytest.mark.parametrize("name", ["pred_a", "pred_b"])
def test_the_courses_real_predictions_are_read_whole(name):
    assert len(predictions.read(SHARED / "course" / f"{name}.json")) == 1789


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("3", "the JSON is 3; expected {image_id, caption}"),
        ("{}", "contains no predictions"),
        ('{"1": 5}', "the caption of '1' is 5, expected text"),
        ('{"1": "a", "1": "b"}', "the image '1' occurs twice"),
        ('{"1": "a", "1.jpg": "b"}', "the image '1.jpg' occurs twice"),
        ('[{"id": 1}]', "the entry {'id': 1} is not a prediction; expected"),
        ('[{"image_id": [1], "caption": "a"}]', r"the image id \[1\] is not an id"),
        ('{"1": "a \\ud83d"}', r"the surrogate '\\ud83d' after .*a ' is unpaired; write the whole"),
        ("[" * 100_000, "nested too deeply"),
        ('{"1": ' + "9" * 5000 + "}", "a number has 5,000 digits, expected at most 4,000"),
    ],
)
def test_a_bad_file_names_the_entry(tmp_path, text, message):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(PredictionsError, match=message):
        predictions.read(tmp_path / "p.json")


@needs_shared("course/zero_shot_vit_b32_prompt0.csv")
@pytest.mark.parametrize(("prompt", "accuracy"), [(0, 0.6084), (1, 0.6784), (2, 0.5496)])
def test_the_studys_zero_shot_predictions_have_their_published_accuracy(prompt, accuracy):
    found = class_predictions.read(SHARED / "course" / f"zero_shot_vit_b32_prompt{prompt}.csv")
    assert len(found) == 2500
    assert sum(each.predicted == each.true for each in found) / 2500 == accuracy


def test_the_folder_of_a_class_photo_is_not_part_of_its_label(tmp_path):
    (tmp_path / "p.csv").write_text("filename,label\nval/12_0.png,12\np1_data\\val\\3_0.png,4\n")
    first, second = class_predictions.read(tmp_path / "p.csv")
    assert (first.file_name, first.true, first.predicted) == ("12_0.png", "12", "12")
    assert (second.file_name, second.true, second.predicted) == ("3_0.png", "3", "4")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,label\n", "expected the header filename,label"),
        ("filename,label\n", "contains no predictions"),
        ("filename,label\na.png\n", "line 2 is 'a.png'"),
        ("filename,label\n0_1.png,0\n0_1.png,1\n", "'0_1.png' occurs twice"),
    ],
)
def test_a_bad_file_of_classes_names_the_line(tmp_path, text, message):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(PredictionsError, match=message):
        class_predictions.read(tmp_path / "p.csv")


def test_a_large_value_is_quoted_short(tmp_path):
    text = "word " * 100_000
    for content in ({"results": [{"image_id": 1, "caption": text}] * 10}, {text: 1}, [{text: text}], [[text] * 10]):
        path = tiny.write_json(tmp_path / "p.json", content)
        with pytest.raises(PredictionsError) as caught:
            predictions.read(path)
        assert len(str(caught.value)) < len(str(path)) + 250


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("filename,label\ncaf\xe9_1.png,0\n".encode("latin-1"), "not UTF-8 text"),
        ("filename,label\n0_1.png,0\n".encode("utf-16"), "not UTF-8 text"),
        (b"filename,label\n0_1.png," + b"0" * 200_000, "line 2: field larger than field limit"),
        (b'filename,label\n0_1.png,0\n"0_2.png,0\n0_3.png,0\n', "line 3 is"),
    ],
)
def test_an_odd_file_of_classes_is_one_clear_error(tmp_path, content, message):
    (tmp_path / "p.csv").write_bytes(content)
    with pytest.raises(PredictionsError, match=message):
        class_predictions.read(tmp_path / "p.csv")


def test_unknown_and_missing_images_are_named(tmp_path):
    dataset = registry.load(tiny.coco(tmp_path, count=2))
    first, unknown = PredictedCaption("1", "a"), PredictedCaption("77", "a")
    with pytest.raises(PredictionsError, match="the image '77' is not in"):
        predictions.match([unknown], dataset, tmp_path, partial=True)
    with pytest.raises(PredictionsError, match="1 of 2 images have no caption, the first is '000000000002'"):
        predictions.match([first], dataset, tmp_path, partial=False)
    assert predictions.match([first], dataset, tmp_path, partial=True) == {"000000000001": "a"}


def shifted(folder):
    """COCO data whose images 1 and 2 are the files photo_2.jpg and photo_3.jpg."""
    for number in (2, 3):
        tiny.photo(folder / "val" / f"photo_{number}.jpg", seed=number)
    images = [{"id": number, "file_name": f"photo_{number + 1}.jpg"} for number in (1, 2)]
    tiny.write_json(folder / "annotations" / "captions_val.json", {"images": images, "annotations": []})
    return folder


@pytest.mark.parametrize(
    "content",
    [
        [{"image_id": 1, "caption": "first"}, {"image_id": "2", "caption": "second"}],
        [{"image_id": "photo_2", "caption": "first"}, {"image_id": "photo_3.jpg", "caption": "second"}],
        {"photo_2.jpg": "first", "val/photo_3.jpg": "second"},
        {"1": "first", "002": "second"},
    ],
)
def test_an_id_is_that_of_the_annotation_file_whatever_digits_the_file_names_have(tmp_path, content):
    path = tiny.write_json(tmp_path / "p.json", content)
    matched = predictions.match(predictions.read(path), registry.load(shifted(tmp_path / "d")), path, partial=False)
    assert matched == {"photo_2": "first", "photo_3": "second"}


def test_the_digits_of_a_file_name_are_not_an_id(tmp_path):
    dataset = registry.load(shifted(tmp_path))
    for name in ("3", "2.jpg"):
        with pytest.raises(PredictionsError, match=f"the image '{name}' is not in"):
            predictions.match([PredictedCaption(name, "a")], dataset, tmp_path, partial=True)


def test_a_name_that_is_also_an_id_is_resolved_by_its_form(tmp_path):
    images = [{"id": 1, "file_name": "2.jpg"}, {"id": 2, "file_name": "1.jpg"}]
    (tmp_path / "val").mkdir()
    tiny.write_json(tmp_path / "annotations" / "captions_val.json", {"images": images, "annotations": []})
    dataset = registry.load(tmp_path)
    results, named = PredictedCaption("1", "a", is_id=True), PredictedCaption("1", "a")
    assert predictions.match([results], dataset, tmp_path, partial=True) == {"2": "a"}
    assert predictions.match([named], dataset, tmp_path, partial=True) == {"1": "a"}


@pytest.mark.parametrize(
    "content",
    [
        {"1": "a dog", "000000000001": "a cat"},
        [{"image_id": 1, "caption": "a dog"}, {"image_id": "000000000001", "caption": "a cat"}],
    ],
)
def test_two_captions_of_one_image_are_both_named(tmp_path, content):
    dataset = registry.load(tiny.coco(tmp_path / "data", count=1))
    path = tiny.write_json(tmp_path / "p.json", content)
    with pytest.raises(PredictionsError, match="the image '000000000001' occurs twice, also as '1'"):
        predictions.match(predictions.read(path), dataset, path, partial=True)


def test_without_ids_a_number_finds_the_file_name_that_ends_in_it(tmp_path):
    for name in ("a_1.jpg", "b_2.jpg", "c_2.jpg"):
        tiny.photo(tmp_path / name)
    dataset = registry.load(tmp_path)
    assert predictions.match([PredictedCaption("001", "x")], dataset, tmp_path, partial=True) == {"a_1": "x"}
    with pytest.raises(PredictionsError, match="the image '2' matches both 'b_2' and 'c_2'; use the file names"):
        predictions.match([PredictedCaption("2", "x")], dataset, tmp_path, partial=True)


def test_a_coco_2014_file_name_is_found_by_its_id(tmp_path):
    folder = tiny.coco(tmp_path, count=1)
    path = folder / "annotations" / "captions_val.json"
    path.write_text(path.read_text().replace("000000000001.jpg", "COCO_val2014_000000000001.jpg"))
    (folder / "annotations" / "instances_val.json").unlink()
    matched = predictions.match([PredictedCaption("1", "a")], registry.load(folder), path, partial=False)
    assert [*matched] == ["COCO_val2014_000000000001"]


def test_photos_of_one_name_in_two_folders_are_matched_by_their_folders(tmp_path):
    for folder in ("cat", "dog"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").write_bytes(b"")
    dataset = registry.load(tmp_path, "folder")
    found = [PredictedCaption("dog/1.png", "a dog"), PredictedCaption("cat\\1", "a cat")]
    assert predictions.match(found, dataset, tmp_path, partial=False) == {"dog/1": "a dog", "cat/1": "a cat"}
    with pytest.raises(PredictionsError, match="the image '1.png' is not in"):
        predictions.match([PredictedCaption("1.png", "x")], dataset, tmp_path, partial=True)
