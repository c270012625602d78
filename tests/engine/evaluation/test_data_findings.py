"""Findings about real datasets and runs: photos, other splits, CLIP's cut, a CIDEr of 0, and where they are shown."""

import json
import shutil

import pytest

from engine import __main__ as command
from engine.data import registry
from engine.data.other_splits import OtherSplits
from engine.evaluation import data_findings
from engine.store import records
from tests.support import tiny


def keys(folder, split="val", captions=None, **more):
    dataset = registry.load(folder, split=split)
    return [each.key for each in data_findings.of_data(dataset, captions, OtherSplits.of(dataset), **more)]


def score(folder, captions, tmp_path, *more):
    """Score captions by the number of the image, and return the findings in the run's record."""
    file = tiny.write_json(
        tmp_path / "captions.json", [{"image_id": key, "caption": captions[key]} for key in captions]
    )
    results = tmp_path / "results"
    shutil.rmtree(results, ignore_errors=True)
    arguments = ["score", str(file), "--data", str(folder), "--run", "x", "--results", str(results), *more]
    assert command.main(arguments) == 0
    return records.read_record(records.run_folder(results, "x")).get("findings", [])


@pytest.fixture
def coco(tmp_path):
    return tiny.coco(tmp_path / "data", 6)


def photo(folder, number, split="val"):
    return folder / split / f"{number:012d}.jpg"


def test_sound_photos_raise_nothing(coco):
    assert keys(coco) == []


def test_copies_of_photos_are_found_by_content(coco):
    shutil.copy(photo(coco, 1), photo(coco, 4))
    assert keys(coco) == ["duplicates"]


def test_missing_photos_are_found(coco):
    photo(coco, 3).unlink()
    assert keys(coco) == ["missing_photos"] and keys(coco, needs_photos=False) == ["missing_photos"]
    for number in (1, 2, 4, 5):
        photo(coco, number).unlink()
    assert keys(coco) == ["missing_photos"] and keys(coco, needs_photos=False) == []


def test_training_images_are_found_by_content_and_not_by_name(coco):
    tiny.coco(coco, 6, "train")
    for number in range(1, 7):
        tiny.photo(photo(coco, number, "train"), seed=100 + number)
    assert keys(coco) == []
    shutil.copy(photo(coco, 2), photo(coco, 5, "train"))
    assert keys(coco) == ["training_images"]


def test_without_photos_the_same_name_and_reference_is_a_training_image(coco):
    tiny.coco(coco, 6, "train")
    for number in range(1, 7):
        photo(coco, number).unlink()
        photo(coco, number, "train").unlink()
    assert keys(coco) == ["training_images"]


def test_a_finding_is_above_the_scores_and_in_the_record(coco, tmp_path, capsys):
    found = score(coco, dict.fromkeys(range(1, 7), "a dog"), tmp_path)
    assert [each["key"] for each in found] == ["one_caption"]
    printed = capsys.readouterr().out
    assert printed.index("! 6 of 6 images have the caption") < printed.index("CIDEr")
    assert found[0]["remedy"] in printed


def test_captions_that_clip_cuts_are_counted_with_its_context(coco, tmp_path):
    clip = tiny.clip_folder(tmp_path / "clip")
    long = {number: f"a {'dog ' * 12}{'cat ' * number}" for number in range(1, 7)}
    found = score(coco, long, tmp_path, "--clip", str(clip))
    assert "6 of 6 captions are cut at CLIP's 12 tokens" in found[0]["title"]


@pytest.mark.parametrize(
    ("captions", "reason"),
    [
        ({number: f"x{number} y{number}" for number in range(1, 7)}, "shares a word"),
        ({1: "a dog"}, "no word is rarer than another"),
    ],
)
def test_a_cider_of_0_is_explained(coco, tmp_path, captions, reason):
    found = score(coco, captions, tmp_path, "--partial")
    assert [each["key"] for each in found] == ["cider_zero"] and reason in found[0]["title"]


def test_a_split_that_has_the_images_is_named(coco, tmp_path, capsys):
    tiny.coco(coco, 9, "test")
    file = tiny.write_json(tmp_path / "c.json", [{"image_id": each, "caption": "a dog"} for each in range(1, 10)])
    more = ["--run", "x", "--results", str(tmp_path / "r")]
    assert command.main(["score", str(file), "--data", str(coco), "--split", "val", *more]) == 2
    assert "split 'test' has the images" in capsys.readouterr().err


def test_doctor_checks_data_and_captions_without_a_run(coco, tmp_path, capsys):
    assert command.main(["doctor", "--data", str(coco)]) == 0
    assert "nothing is wrong" in capsys.readouterr().out
    file = tiny.write_json(tmp_path / "c.json", [{"image_id": each, "caption": ""} for each in range(1, 7)])
    assert command.main(["doctor", "--data", str(coco), "--predictions", str(file)]) == 0
    assert "6 of 6 images have an empty caption" in capsys.readouterr().out
    assert command.main(["doctor", "--predictions", str(file)]) == 2
    assert "add --data" in capsys.readouterr().err


def test_an_evaluation_records_findings(tmp_path, coco):
    captioner = tiny.captioner_folder(tmp_path / "captioner")
    shutil.copy(photo(coco, 1), photo(coco, 4))
    arguments = ["evaluate", "--data", str(coco), "--captioner", str(captioner), "--beams", "1", "--explain", "none"]
    assert command.main([*arguments, "--run", "x", "--results", str(tmp_path / "r")]) == 0
    record = json.loads((records.run_folder(tmp_path / "r", "x") / "run.json").read_text())
    assert "duplicates" in [each["key"] for each in record["findings"]]
