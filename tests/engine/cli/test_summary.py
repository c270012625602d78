from pathlib import Path

import pandas as pd
import pytest

from engine.cli import summary
from engine.store import published, records, tables
from tests.support import runs


def test_the_summary_has_scores_intervals_and_the_next_command(full_results):
    text = summary.text(full_results, "demo")
    record = records.read_record(records.run_folder(full_results, "demo"))
    for size in record["beam_sizes"]:
        assert f"\n{size:>8}  " in text
    for part in ("CIDEr", "CLIPScore", "±", "95 % bootstrap interval", "skipped: 1 photo"):
        assert part in text
    assert text.endswith(f"next: CAPTIONSCOPE_RESULTS={full_results} streamlit run dashboard/app.py")


def test_the_summary_has_the_oracle_of_the_n_best(tmp_path):
    runs.add_hypotheses(runs.captioner_run(tmp_path / "results"))
    text = summary.text(tmp_path / "results", "demo")
    said = "oracle of 3 hypotheses per image at beam size 3: CIDEr 1.500 instead of 0.500; 100.0% of the images have"
    assert said in text and "per image at beam size 1" not in text


def test_the_summary_has_the_attention_grounding(full_results):
    text = summary.text(full_results, "demo")
    said = "at beam size 1, attention peaks inside the object's box for 33.3% of 3 nouns (chance: 33.3%); layer 2"
    assert said in text
    assert "at beam size 3, attention" not in text


def test_the_summary_has_the_alarm_its_highest_word_and_the_recommended_method(tmp_path):
    folder = runs.add_words(runs.captioner_run(tmp_path / "results"))
    text = summary.text(tmp_path / "results", "demo")
    assert "alarm of nouns: AUROC 0.900 (95 % interval 0.800-0.950), 5 of 11 wrong; most alarming noun: " in text
    assert " in scene_11 (0.55)\n" in text
    assert "recommended explanation method: gradient; hit rate 90.0% of 11 nouns (chance: 15.0%)" in text
    rows = tables.read_table(folder, "certificates").to_pylist()
    none = [row | {"certified": False, "recommended": False} for row in rows]
    tables.write_table(folder, "certificates", tables.table_of("certificates", none))
    assert "no method beats chance" in summary.text(tmp_path / "results", "demo")


def test_numbers_are_those_of_the_store(full_results):
    rows = tables.read_table(records.run_folder(full_results, "demo"), "corpus_scores").to_pylist()
    text = summary.text(full_results, "demo")
    for row in rows:
        assert f"{row['value']:.3f}" in text


def test_several_workers_are_named_and_different_gpus_are_mentioned():
    rows = [
        {"node": "a", "device": "NVIDIA H200", "chunks": 2, "images": 512, "seconds": 3.5},
        {"node": "b", "device": "NVIDIA A100", "chunks": 1, "images": 200, "seconds": 2.0},
    ]
    said = summary._workers({"workers": rows})
    assert said[:4] == [
        "",
        "captioned by",
        "  a: 512 images, 3.5 s, NVIDIA H200",
        "  b: 200 images, 2.0 s, NVIDIA A100",
    ]
    assert "different processors (NVIDIA A100, NVIDIA H200)" in said[4]
    assert len(summary._workers({"workers": [rows[0], rows[0] | {"node": "c"}]})) == 4
    assert summary._workers({"workers": rows[:1]}) == summary._workers({}) == []


def test_imported_and_partial_runs_are_named(full_results):
    names = [run.name for run in records.find_runs(full_results)[0] if run.record["kind"] == "predictions"]
    assert "imported" in summary.text(full_results, names[0])
    assert summary._data({"data": {"images": 3, "of_images": 9, "name": "x", "split": "val"}, "partial": True}) == (
        "3 images (partial: of 9) of x val"
    )


def test_the_default_results_folder_needs_no_variable_and_another_is_quoted():
    assert summary._dashboard(Path("results")) == "streamlit run dashboard/app.py"
    assert summary._dashboard(Path("my results")) == "CAPTIONSCOPE_RESULTS='my results' streamlit run dashboard/app.py"


@pytest.mark.parametrize(
    ("smallest", "best", "said"),
    [
        (1, 1, "best by CIDEr: beam size 1, the smallest"),
        (5, 5, "best by CIDEr: beam size 5; every smaller size is significantly worse (Holm, 5 %)"),
        (3, 5, "best by CIDEr: beam size 5; the smallest that is not significantly worse: 3 (paired"),
    ],
)
def test_the_smallest_beam_size_that_is_enough_is_named(smallest, best, said):
    import pandas as pd

    row = {"smallest": smallest, "best": best, "too_few": ""}
    (line,) = summary._smallest_beam(pd.DataFrame([row]), least=1)
    assert line.startswith(said)


def test_of_too_few_images_no_beam_size_is_called_good_enough():
    import pandas as pd

    row = {"smallest": 1, "best": 5, "too_few": "too few images to tell"}
    assert summary._smallest_beam(pd.DataFrame([row]), least=1) == [
        "best by CIDEr: beam size 5; too few images to tell whether smaller sizes are worse"
    ]


def test_published_scores_are_next_to_runs_on_the_same_images_only():
    import pandas as pd

    ours = pd.DataFrame([{"metric": "cider", "beam_size": 3, "value": 0.95}])
    theirs = pd.DataFrame([{"metric": "cider", "beam_size": 3.0, "value": 0.9413, "source": "its README"}])
    lines = summary._study_captions(theirs, ours)
    assert lines[-1] == "  CIDEr at beam size 3: 0.9500 here, 0.9413 published (+0.0087; its README)"
    assert summary._study_captions(theirs, ours.assign(beam_size=5)) == []
    assert published.is_studys({"format": "course", "split": "val", "images": 1789}, 1789)
    assert not published.is_studys({"format": "coco", "split": "val", "images": 1789}, 1789)
    assert not published.is_studys({"format": "course", "split": "val", "images": 50}, 1789)


def test_published_prompts_are_next_to_runs_with_the_same_number_of_images(tmp_path):
    from engine import __main__ as command
    from tests.conftest import SHARED

    files = [SHARED / "course" / f"zero_shot_vit_b32_prompt{number}.csv" for number in range(3)]
    if not files[0].is_file():
        pytest.skip("the course's prediction files are not here")
    templates = ["This is a photo of {object}", "This is a {object} image.", "No {object}, no score."]
    arguments = ["zeroshot", "--predictions", *map(str, files), "--templates", *templates]
    assert command.main([*arguments, "--run", "prompts", "--results", str(tmp_path)]) == 0
    text = summary.text(tmp_path, "prompts")
    for accuracy in ("60.84%", "67.84%", "54.96%"):
        assert f"{accuracy} here, {accuracy} published" in text


def test_signatures_are_printed_once_per_metric(full_results):
    text = summary.text(full_results, "demo")
    rows = tables.read_table(records.run_folder(full_results, "demo"), "corpus_scores").to_pylist()
    first = {row["metric"]: row["signature"] for row in reversed(rows)}
    for signature in first.values():
        assert text.count(f"  {signature}\n") == 1


def test_images_of_the_training_data_are_reported():
    record = {"trained_on": 3, "data": {"images": 5}}
    assert summary._trained_on(record)[0].startswith("3 of these 5 images were in the captioner's training data")
    assert summary._trained_on({"trained_on": 0}) == summary._trained_on({}) == []


def test_cider_of_one_image_is_explained_and_an_interval_is_not():
    row = {"beam_size": 1, "metric": "cider", "value": 0.0, "low": None, "high": None, "images": 1}
    lines = summary._caption_scores(pd.DataFrame([row]), True)
    assert lines[-1].startswith("CIDEr of a single image is always 0") and not any("±" in line for line in lines)
    more = summary._caption_scores(pd.DataFrame([row | {"low": 0.0, "high": 0.1, "images": 2}]), True)
    assert more[-1].startswith("(± is half")
