"""The study in one command: what is made, what is skipped with a sentence, and that a killed one continues."""

import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from dashboard.report import exports
from engine import __main__ as command
from engine.captioners.native import pipeline
from engine.captioners.native.captioner import EncoderMissing
from engine.cli import side_by_side
from engine.cli.commands import study as study_command
from engine.config import Recipe, from_dict
from engine.evaluation import captioner_run, estimates, study
from engine.models import clip
from engine.store import parts, records
from engine.store import tables as store
from engine.store.schema import END_WORD
from engine.training import loop
from engine.training.errors import TrainingError
from tests.conftest import ROOT, needs_shared
from tests.support import real_course, tiny

NAMES = ["bike", "girl", "sheep", "ski", "umbrella"]
RECIPE = {
    "model": {**tiny.ENCODER, "d_model": 32, "num_layers": 1, "nhead": 2, "dim_feedforward": 32},
    "training": {"epochs": 1, "batch_size": 4, "warmup_steps": 1, "validation_images": 2, "precision": "float32"},
}


def course(folder: Path, count: int = 5) -> Path:
    """A folder in the course's layout: three classes, two splits, the five named photos, no tokenizer."""
    tiny.classes(folder)
    for split in ("train", "val"):
        made = tiny.coco(folder / "made", count, split)
        shutil.move(made / split, folder / "p2_data" / "images" / split)
        for source, name in (("captions", split), ("instances", f"instances_{split}")):
            shutil.move(made / "annotations" / f"{source}_{split}.json", folder / "p2_data" / f"{name}.json")
    for number, name in enumerate(NAMES):
        tiny.photo(folder / "p3_data" / "images" / f"{name}.jpg", seed=number)
    return folder


@pytest.fixture
def asked(tmp_path) -> study.Study:
    scorer = str(tiny.clip_folder(tmp_path / "clip"))
    return study.Study(
        name="study",
        results=tmp_path / "results",
        data=course(tmp_path / "hw3_data"),
        out=tmp_path / "trained",
        recipe=from_dict(Recipe, RECIPE, "recipe"),
        captioner=tiny.captioner_folder(tmp_path / "captioner"),
        zeroshot_clip=scorer,
        score_clip=scorer,
        beams=(1, 3),
    )


def made(asked: study.Study) -> tuple[str, list[str]]:
    said: list[str] = []
    return study_command.make(asked, said.append), said


def rows(asked: study.Study, run: str, table: str) -> list[dict]:
    return store.read_table(records.run_folder(asked.results, run), table).to_pylist()


def test_every_part_is_a_run_and_a_report_finds_the_others_by_the_record(asked):
    made(asked)
    assert {row["template"] for row in rows(asked, "study-zeroshot", "zero_shot")} == set(study.zeroshot.TEMPLATES)
    captions = rows(asked, "study", "captions")
    assert {row["beam_size"] for row in captions} == {1, 3} and len(captions) == 10
    assert {row["metric"] for row in rows(asked, "study", "corpus_scores")} >= {
        "cider",
        "bleu_4",
        "rouge_l",
        "clipscore",
    }
    record = records.read_record(records.run_folder(asked.results, "study"))
    assert record["study"] == {"zero_shot": "study-zeroshot", "photos": "study-photos"}


def test_the_five_photos_are_captioned_greedily_and_keep_the_map_of_the_end(asked):
    made(asked)
    found = rows(asked, "study-photos", "attention")
    assert sorted(row["image_id"] for row in found) == NAMES and {row["beam_size"] for row in found} == {1}
    finished = {row["image_id"]: row["finished"] for row in rows(asked, "study-photos", "captions")}
    for row in found:
        assert (row["words"][-1] == END_WORD) == finished[row["image_id"]]


def test_a_finished_study_is_checked_and_not_made_again(asked):
    first, said = made(asked)
    assert [line for line in said if "done in" in line] and not any("already" in line for line in said)
    kept = {path: path.read_bytes() for path in asked.results.glob("runs/*/run.json")}
    second, said = made(asked)
    assert second == first and len([line for line in said if line.endswith("finished already")]) == 3
    assert {path: path.read_bytes() for path in kept} == kept


def test_a_killed_study_continues_and_ends_with_the_same_tables(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "CHUNK", 2)
    whole = replace(asked, results=tmp_path / "whole")
    made(whole)
    write, calls = parts.write_part, []

    def killed(*arguments):
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        return write(*arguments)

    monkeypatch.setattr(parts, "write_part", killed)
    with pytest.raises(KeyboardInterrupt):
        made(asked)
    monkeypatch.setattr(parts, "write_part", write)
    _, said = made(asked)
    assert "1/4 zero-shot classification: finished already" in said
    for table in ("captions", "scores", "attention"):
        assert rows(asked, "study", table) == rows(whole, "study", table)


def test_the_captioner_is_trained_where_none_is_given_and_once_only(asked):
    trained = replace(asked, captioner=None)
    _, said = made(trained)
    assert any(line.startswith("2/4 training the captioner: done in") for line in said)
    record = records.read_record(records.run_folder(asked.results, "study"))
    assert record["captioner"]["name"] == "trained"
    assert record["captioner"]["training"] == {"batch_size": 4, "learning_rate": 5e-5, "epochs": 1}
    _, said = made(trained)
    assert "2/4 training the captioner: finished already" in said


def test_another_training_in_the_folder_is_an_error_and_not_taken_for_this_one(asked):
    trained = replace(asked, captioner=None)
    made(trained)
    other = replace(trained.recipe, training=replace(trained.recipe.training, epochs=2))
    with pytest.raises(TrainingError, match="contains another training"):
        made(replace(trained, recipe=other))


def test_a_part_whose_weights_are_missing_is_skipped_with_one_sentence(asked, monkeypatch):
    monkeypatch.setattr(study.clip, "load", missing_clip)
    text, said = made(asked)
    assert "1/4 zero-shot classification: skipped, no weights of ViT" in said
    (scores,) = (line for line in said if line.startswith("CLIPScore: skipped, "))
    assert scores.startswith("CLIPScore: skipped, no weights of ViT; to add CLIPScore later, delete")
    assert text.endswith("1/4 zero-shot classification: skipped, no weights of ViT")  # again, where it is seen
    assert "zero-shot accuracy" not in text.lower() and "CLIPScore, ours" not in text and "1 (greedy)" in text
    assert {row["metric"] for row in rows(asked, "study", "corpus_scores")}.isdisjoint({"clipscore"})


def missing_clip(name, device):
    raise clip.ClipMissing("no weights of ViT")


def test_without_encoder_weights_the_captioner_is_skipped_and_the_rest_runs(asked, monkeypatch):
    def train(*arguments, **named):
        raise EncoderMissing("no weights of the encoder")

    monkeypatch.setattr(loop, "train", train)
    text, said = made(replace(asked, captioner=None))
    assert "2/4 training the captioner: skipped, no weights of the encoder" in said
    assert "3/4 captions, 4/4 the photos of p3_data: skipped, there is no captioner" in said
    assert "zero-shot accuracy" in text and "beam size" not in text


@pytest.mark.parametrize("part", ["p1_data", "p3_data"])
def test_a_part_without_its_data_is_skipped(asked, part):
    shutil.rmtree(asked.data / part)
    _, said = made(asked)
    assert [line for line in said if "skipped" in line and str(asked.data / part) in line]
    assert (records.run_folder(asked.results, "study") / "run.json").is_file()


def test_a_folder_in_another_layout_is_one_sentence(asked, tmp_path):
    with pytest.raises(study.StudyError, match="expected the course's folders p1_data, p2_data and p3_data"):
        made(replace(asked, data=tiny.coco(tmp_path / "coco")))


def test_a_study_of_which_no_part_can_be_made_is_an_error(asked, monkeypatch):
    monkeypatch.setattr(study.clip, "load", missing_clip)
    shutil.rmtree(asked.data / "p2_data")
    shutil.rmtree(asked.data / "p3_data")
    with pytest.raises(study.StudyError, match="no part of the study could run"):
        made(replace(asked, captioner=None))


def test_an_unknown_clip_is_an_error_and_not_a_skipped_part(asked):
    with pytest.raises(clip.ClipError, match="no such model"):
        made(replace(asked, zeroshot_clip="ViT-Z/99"))


def test_a_part_of_minutes_is_announced(asked, monkeypatch):
    monkeypatch.setattr(estimates, "clip_images", lambda *_: 0.0)
    monkeypatch.setattr(estimates, "captioning", lambda *_: 725.0)
    _, said = made(asked)
    assert said.count("  this takes about 12 minutes") == 1


def test_the_studys_own_checkpoint_is_searched_by_its_rule(asked, monkeypatch):
    seen = []
    monkeypatch.setattr(captioner_run, "evaluate", lambda run: seen.append(run.decoding.rule) or True)
    monkeypatch.setattr(study.checkpoints, "is_studys", lambda folder: True)
    made(asked)
    made(replace(asked, rule="standard"))
    assert seen == ["study", "study", "standard", "standard"]


def test_ours_and_the_published_numbers_are_in_the_same_rows(asked):
    text, _ = made(asked)
    scores = {(row["beam_size"], row["metric"]): row["value"] for row in rows(asked, "study", "corpus_scores")}
    line = next(line for line in text.splitlines() if line.split()[:1] == ["3"])
    assert line.split() == ["3", f"{scores[3, 'cider']:.4f}", "0.9413", f"{scores[3, 'clipscore']:.4f}", "0.7311"]
    assert any(line.endswith("72.84%                67.84%") for line in text.splitlines())
    assert "of other images" in text and "of other photos" in text and "batch size 32" in text
    assert "demo's own CLIP" not in text
    assert side_by_side.text(asked.results, "nobody", "nobody") == ""


@needs_shared("coco")
def test_real_photos_in_the_courses_layout_go_through(tmp_path):
    demo = ROOT / "engine" / "demo" / "captioner"
    asked = study.Study(
        name="real",
        results=tmp_path / "results",
        data=real_course.write(tmp_path / "hw3_data"),
        out=tmp_path / "trained",
        recipe=from_dict(Recipe, RECIPE, "recipe"),
        captioner=demo,
        zeroshot_clip="demo",
        score_clip="demo",
        beams=(1,),
    )
    text, _ = made(asked)
    assert len(rows(asked, "real", "captions")) == 50
    assert {row["label"] for row in rows(asked, "real-zeroshot", "zero_shot")} >= {"person", "car", "bus"}
    assert sorted(row["image_id"] for row in rows(asked, "real-photos", "attention")) == NAMES
    assert "zero-shot accuracy" in text and "of other images" in text
    assert "CLIPScore here comes from the demo's own CLIP" in text


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "about 1 second"), (40, "about 40 seconds"), (725, "about 12 minutes"), (9000, "about 2 hours")],
)
def test_an_estimate_reads_as_people_say_it(seconds, said):
    assert estimates.text(seconds) == said


def test_an_estimate_of_work_that_sleeps_is_what_it_takes():
    import time

    found = estimates._seconds_per_item(lambda items: time.sleep(0.01 * len(items)), range(30))
    assert 0.01 <= found < 0.02
    assert estimates._seconds_per_item(len, [1]) == 0.0


def test_a_training_is_estimated_without_its_weights(asked):
    recipe = replace(asked.recipe, training=replace(asked.recipe.training, pretrained=True, epochs=3))
    one = study.registry.load(asked.data, "course", "train")
    assert 0 < estimates.learning(recipe, one, "cpu") < 600


def test_the_command_checks_the_name_before_it_makes_anything(asked, capsys):
    arguments = ["study", "--data", str(asked.data), "--run", "a/b", "--results", str(asked.results)]
    assert command.main(arguments) == 2
    assert "run name 'a/b'" in capsys.readouterr().err and not asked.results.exists()


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("beams", (1, 1), "expected each size once"),
        ("beams", (0,), "expected sizes from 1 to 100"),
        ("score_clip", "NoSuch/99", "neither a model of open_clip nor a folder"),
        ("captioner", Path(__file__), "is a file; expected a folder made by"),
        ("captioner", Path("nowhere"), "there is no such folder"),
        ("results", Path(__file__), "is a file; expected a folder"),
    ],
)
def test_a_wrong_setting_is_reported_before_the_first_part(asked, setting, value, said):
    with pytest.raises(ValueError, match=said):
        made(replace(asked, **{setting: value}))
    assert not (asked.results / "runs").exists()


def test_a_file_in_place_of_the_training_is_reported_before_the_first_part(asked):
    asked.out.touch()
    with pytest.raises(TrainingError, match="is a file; expected a folder"):
        made(replace(asked, captioner=None))
    assert not asked.results.exists()


def test_a_part_with_broken_data_is_skipped_and_the_others_are_made(asked):
    (asked.data / "p1_data" / "id2label.json").unlink()
    shutil.rmtree(asked.data / "p3_data" / "images")
    text, said = made(asked)
    assert any("1/4 zero-shot classification: skipped" in line and "id2label.json" in line for line in said)
    assert any("4/4 the photos of p3_data: skipped" in line and "contains no photos" in line for line in said)
    assert "1 (greedy)" in text and text.count("skipped, ") == 2


def test_photos_that_cannot_be_read_are_named(asked):
    for path in ("p1_data/val/0_0.png", "p2_data/images/val/000000000001.jpg", "p3_data/images/girl.jpg"):
        (asked.data / path).write_bytes(b"no photo")
    _, said = made(asked)
    skipped = [line for line in said if line.startswith("  skipped photos: ")]
    assert len(skipped) == 3 and "girl.jpg (" in skipped[2] and "000000000001.jpg (" in skipped[1]


needs_browser = pytest.mark.skipif(bool(exports.browser_missing()), reason="no browser: apt-get install chromium")


def make_study(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess:
    """`make study` with everything installed already, on a small demo world."""
    installed = ["READY=Makefile", f"BIN={Path(sys.executable).parent}", f"RESULTS={tmp_path / 'results'}"]
    # Not the ARGS of `make test`, which are pytest's.
    world = [f"STUDY={tmp_path / 'hw3_data'}", "BEAMS=1 3", "ARGS="]
    return subprocess.run(
        ["make", "study", *installed, *world, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def opened(tmp_path: Path) -> tuple[zipfile.ZipFile, str]:
    target = zipfile.ZipFile(tmp_path / "results" / "study-report.zip")
    assert target.testzip() is None
    return target, target.read("report.md").decode()


@needs_browser
def test_make_study_goes_from_the_demo_world_to_the_report(tmp_path):
    done = make_study(tmp_path, "STUDY_WORLD=--val 12 --classes 1")
    assert done.returncode == 0, done.stderr
    assert "our numbers next to the published ones" in done.stdout and "72.84%" in done.stdout
    target, text = opened(tmp_path)
    names = target.namelist()
    for name in NAMES:
        assert any(f"attention_{name}.pdf" in each for each in names)
    for part in ("This is a photo of {object}", "published (the study)"):
        assert part in text.replace("\\", "")
    assert "Not in this report" not in text
    again = make_study(tmp_path, "STUDY_WORLD=--val 12 --classes 1")
    assert again.stdout.count("finished already") == 3


@needs_browser
def test_make_study_trains_its_captioner_with_a_tiny_recipe(tmp_path):
    recipe = tmp_path / "tiny.toml"
    tables = {name: "\n".join(f"{key} = {toml(value)}" for key, value in part.items()) for name, part in RECIPE.items()}
    recipe.write_text("\n".join(f"[{name}]\n{lines}" for name, lines in tables.items()))
    out = f"OUT={tmp_path / 'trained'}"
    done = make_study(tmp_path, "STUDY_WORLD=--val 4 --train 8 --classes 1", "CAPTIONER=", f"RECIPE={recipe}", out)
    assert done.returncode == 0, done.stderr
    assert "2/4 training the captioner: done in" in done.stdout
    assert (tmp_path / "trained" / "model.safetensors").is_file()
    _, text = opened(tmp_path)
    assert "vit_tiny_patch16_224" in text.replace("\\", "")


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)
