"""--only: chosen images of a split, as part of a run's identity."""

import json

import pytest

from engine import __main__ as command
from engine.store import records, tables
from tests.support import tiny


@pytest.fixture
def score(tmp_path):
    """Return a function that scores captions of five images with further options, and returns the exit status."""
    data = tiny.coco(tmp_path / "data")
    captions = tiny.write_json(tmp_path / "captions.json", {f"{n:012d}": "a dog runs" for n in range(1, 6)})
    arguments = ["score", str(captions), "--data", str(data), "--metrics", "rouge_l", "--results", str(tmp_path / "r")]
    return lambda run, *more: command.main([*arguments, "--run", run, *more])


def images(tmp_path, run: str) -> list[str]:
    return tables.read_table(records.run_folder(tmp_path / "r", run), "images")["image_id"].to_pylist()


def test_only_the_chosen_images_are_scored(score, tmp_path):
    assert score("some", "--only", "000000000004", "000000000002") == 0
    assert images(tmp_path, "some") == ["000000000002", "000000000004"]
    record = json.loads((tmp_path / "r" / "runs" / "some" / "run.json").read_text(encoding="utf-8"))
    assert record["plan"]["only"] == ["000000000002", "000000000004"]


def test_a_file_names_the_images(score, tmp_path):
    (tmp_path / "ids.txt").write_text("000000000003\n\n", encoding="utf-8")
    assert score("file", "--only", f"@{tmp_path / 'ids.txt'}") == 0
    assert images(tmp_path, "file") == ["000000000003"]


def test_a_finished_run_of_other_images_is_refused(score, capsys):
    assert score("same", "--only", "000000000003") == 0
    assert score("same") == 2
    assert "already exists with other settings" in capsys.readouterr().err


def test_unknown_images_and_files_are_one_sentence(score, tmp_path, capsys):
    (tmp_path / "empty.txt").write_text("\n", encoding="utf-8")
    for wrong, sentence in (
        ("nine", "error: --only 'nine': "),
        (f"@{tmp_path / 'empty.txt'}", f"error: --only @{tmp_path / 'empty.txt'}: the file is empty"),
        (f"@{tmp_path / 'none.txt'}", "error: "),
    ):
        assert score("wrong", "--only", wrong) == 2
        assert capsys.readouterr().err.startswith(sentence)
