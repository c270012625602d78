"""Runs and hyperparameters: one row per run and beam size, published rows next to ours."""

import pandas as pd
import pytest

from dashboard.report import run_table
from dashboard.state.record import Run
from tests.conftest import ROOT

TRAINING = {"batch_size": 32, "learning_rate": 5e-5, "epochs": 5}
CAPTIONER = {"encoder": "vit", "decoder_layers": 4, "heads": 8, "d_model": 512, "training": TRAINING}


def scores(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["run", "beam_size", "cider", "clipscore"])


@pytest.fixture
def bare(tmp_path):
    """Results with no published figures beside them."""
    (tmp_path / "published").mkdir()
    return tmp_path


def test_both_scores_of_a_row_are_of_the_same_captions_and_the_demo_clip_is_named(bare):
    run = Run("mine", {"captioner": CAPTIONER, "clip": {"demo": True}, "data": {"name": "coco"}}, captions=2, images=5)
    found = run_table.table([run], scores(("mine", 1, 0.8, 0.75), ("mine", 3, 0.9, 0.7), ("other", 1, 5, 5)), bare)
    shared = ["mine", "vit", "4", "8", "512", "32", "5e-5", "5"]
    assert found.shown.values.tolist() == [
        [*shared, "1 (greedy)", "0.800", "0.750 (demo CLIP)", "coco", "5"],
        [*shared, "3", "0.900", "0.700 (demo CLIP)", "coco", "5"],
    ]
    assert "not comparable" in found.note and "another scale" in found.note


def test_prompt_revision_and_precision_come_last_and_only_where_a_run_has_them(bare):
    prompted = {"prompt": "Describe " + "this " * 30, "revision": "abc", "dtype": "bfloat16"}
    run = Run("vlm", {"captioner": CAPTIONER | prompted, "data": {"name": "coco"}}, captions=1, images=5)
    shown = run_table.table([run], scores(("vlm", 1, 0.8, None)), bare).shown
    assert list(shown.columns[-3:]) == ["Prompt", "Revision", "Precision"]
    assert shown.Prompt[0].startswith("Describe this") and len(shown.Prompt[0]) <= 60
    assert shown.Revision[0] == "abc" and shown.Precision[0] == "bfloat16"


def test_an_imported_run_is_a_row_with_its_unknown_settings_blank(bare):
    mine = Run("mine", {"captioner": CAPTIONER}, captions=1, images=5)
    theirs = Run("theirs", {"kind": "predictions", "data": {"name": "coco", "split": "val"}}, captions=1, images=5)
    found = run_table.table([mine, theirs], scores(("mine", 1, 0.8, None), ("theirs", 0, 0.5, None)), bare)
    assert found.shown.iloc[1].tolist() == ["theirs", *[""] * 7, "imported", "0.500", "coco val", "5"]
    assert "CLIPScore" not in found.shown  # nobody has one


def test_the_run_of_the_report_is_always_listed():
    mine, empty = Run("mine", {}, captions=3), Run("empty", {})
    assert run_table.listed(empty, [mine, empty, Run("other", {})]) == [mine, empty]


def test_a_run_without_scores_has_a_row(bare):
    found = run_table.table([Run("r", {"data": {"name": "photos"}}, captions=3, images=3)], scores(), bare)
    assert found.shown.values.tolist() == [["r", "photos", "3"]]


def test_every_published_row_is_marked_and_has_the_reports_digits():
    found = run_table.table([], scores(), ROOT / "results")
    shown = found.shown
    assert set(shown.Run) == {"published (the study)"} and len(shown) == 6 + 11
    first = shown.iloc[4]
    assert (first.Layers, first.Heads, first.Batch, first["Learning rate"], first.Epochs) == (
        "4",
        "8",
        "8",
        "5e-5",
        "5",
    )
    assert (first["Beam size"], first.CIDEr, first.CLIPScore) == ("1 (greedy)", "0.893", "0.732")
    last = shown.iloc[-1]
    assert (last["Beam size"], last.Batch, last.CIDEr, last.CLIPScore) == ("100", "32", "0.954", "0.726")
    assert "batch size 32 for its best setting" in found.note and "HW3 VL Models" in found.note
