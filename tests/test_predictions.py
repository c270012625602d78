import json

import pytest

from engine import datasets, predictions
from engine.predictions import PredictionsError
from tests import tiny
from tests.conftest import SHARED, needs_shared


@pytest.mark.parametrize(
    "content",
    [
        [{"image_id": 1, "caption": "a dog"}, {"image_id": 2, "caption": "a  bus\n"}],
        {"000000000001": "a dog", "000000000002.jpg": "a bus"},
        [{"img_id": "000000000001.jpg", "prediction": ["a dog", "b"]}, {"img_id": "2", "prediction": ["a bus"]}],
    ],
)
def test_three_forms_give_the_same_captions(tmp_path, content):
    dataset = datasets.load(tiny.coco(tmp_path / "data", count=2))
    path = tiny.write_json(tmp_path / "p.json", content)
    matched = predictions.match(predictions.read(path), dataset, path, partial=False)
    assert matched == {"000000000001": "a dog", "000000000002": "a bus"}


@needs_shared("course/pred_a.json")
@pytest.mark.parametrize("name", ["pred_a", "pred_b"])
def test_the_courses_real_predictions_are_read_whole(name):
    assert len(predictions.read(SHARED / "course" / f"{name}.json")) == 1789


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("3", "expected a JSON object or list"),
        ("{}", "no predictions in it"),
        ('{"1": 5}', "the caption of '1' is 5, expected text"),
        ('{"1": "a", "1": "b"}', "the image '1' is there twice"),
        ('{"1": "a", "1.jpg": "b"}', "the image '1.jpg' is there twice"),
        ('[{"id": 1}]', "is neither"),
    ],
)
def test_a_bad_file_names_the_entry(tmp_path, text, message):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(PredictionsError, match=message):
        predictions.read(tmp_path / "p.json")


@needs_shared("course/zero_shot_vit_b32_prompt0.csv")
@pytest.mark.parametrize(("prompt", "accuracy"), [(0, 0.6084), (1, 0.6784), (2, 0.5496)])
def test_the_studys_zero_shot_predictions_have_their_published_accuracy(prompt, accuracy):
    found = predictions.read_classes(SHARED / "course" / f"zero_shot_vit_b32_prompt{prompt}.csv")
    assert len(found) == 2500
    assert sum(each.predicted == each.true for each in found) / 2500 == accuracy


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,label\n", "expected the header filename,label"),
        ("filename,label\n", "no predictions in it"),
        ("filename,label\na.png\n", "line 2 is 'a.png'"),
        ("filename,label\n0_1.png,0\n0_1.png,1\n", "'0_1.png' is there twice"),
    ],
)
def test_a_bad_file_of_classes_names_the_line(tmp_path, text, message):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(PredictionsError, match=message):
        predictions.read_classes(tmp_path / "p.csv")


def test_unknown_and_missing_images_are_named(tmp_path):
    dataset = datasets.load(tiny.coco(tmp_path, count=2))
    with pytest.raises(PredictionsError, match="the image '77' is not in"):
        predictions.match({"77": "a"}, dataset, tmp_path, partial=True)
    with pytest.raises(PredictionsError, match="1 of 2 images have no caption, the first is '000000000002'"):
        predictions.match({"1": "a"}, dataset, tmp_path, partial=False)
    assert predictions.match({"1": "a"}, dataset, tmp_path, partial=True) == {"000000000001": "a"}


def test_a_coco_2014_file_name_is_found_by_its_number(tmp_path):
    folder = tiny.coco(tmp_path, count=1)
    path = folder / "annotations" / "captions_val.json"
    path.write_text(path.read_text().replace("000000000001.jpg", "COCO_val2014_000000000001.jpg"))
    (folder / "annotations" / "instances_val.json").unlink()
    dataset = datasets.load(folder)
    assert json.dumps([*predictions.match({"1": "a"}, dataset, path, False)]) == '["COCO_val2014_000000000001"]'
