"""The slices that a run stores, with real Parquet tables and queries."""

from pathlib import Path

import numpy as np
import pytest

from engine.cli import summary
from engine.evaluation import slices
from engine.evaluation.run import RunInProgress
from engine.store import database, queries, records, tables

IMAGES = 200
DARK = range(0, IMAGES, 7)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A run whose captions of dark photos are worse at beam size 3."""
    folder = records.run_folder(tmp_path, "mine")
    generator = np.random.default_rng(0)
    names = [f"image_{row:03d}" for row in range(IMAGES)]
    images = [
        {"image_id": name, "file_name": f"{name}.jpg", "references": ["a dog runs"], "objects": [], "crowds": []}
        | {"conditions": ["dark"] if row in DARK else [], "brightness": float(generator.random())}
        for row, name in enumerate(names)
    ]
    captions, scores = [], []
    for size in (1, 3):
        for row, name in enumerate(names):
            value = generator.gamma(4, 0.25) / (10 if row in DARK and size == 3 else 1)
            scores.append({"image_id": name, "beam_size": size, "tags": [], "cider": value})
            captions.append({"image_id": name, "beam_size": size, "caption": f"a dog {row}", "words": ["a"]})
    tables.write_table(folder, "images", tables.table_of("images", images))
    tables.write_table(folder, "captions", tables.table_of("captions", captions))
    tables.write_table(folder, "scores", tables.table_of("scores", scores, ["cider"]))
    slices.write(RunInProgress("mine", tmp_path, {}, ""))
    records.write_record(folder, {"run": "mine", "kind": "predictions", "data": {"images": IMAGES}})
    return tmp_path


def test_the_worst_slice_is_stored_with_its_images(results):
    cursor = database.connect(results)[0].cursor()
    found = queries.slices(cursor, "mine")
    assert found[["beam_size", "metric", "rank", "condition", "size"]].values.tolist() == [[3, "cider", 1, "dark", 29]]
    row = found.iloc[0]
    assert row.effect == pytest.approx(row.inside - row.outside) and row.low < row.effect < row.high and row.q <= 0.05
    images = queries.slice_images(cursor, "mine", 3, "cider", 1)
    assert sorted(images.image_id) == [f"image_{row:03d}" for row in DARK]
    assert images.score.is_monotonic_increasing and images.score.mean() == pytest.approx(row.inside)
    assert images.caption.str.startswith("a dog").all()
    assert queries.slices(cursor, "mine", 1).empty and queries.slices(cursor, "mine", metric="clipscore").empty
    assert queries.slice_images(cursor, "mine", 3, "no such metric", 1).empty


def test_the_summary_names_the_worst_slices(results):
    line = next(line for line in summary.text(results, "mine").splitlines() if "worst slices" in line)
    assert line.startswith("worst slices by CIDEr at beam size 3: dark (29 images, 0.")


def test_of_a_large_split_evenly_spread_images_are_used(results, monkeypatch):
    monkeypatch.setattr(slices, "MOST_IMAGES", 150)
    slices.write(RunInProgress("mine", results, {}, ""))
    cursor = database.connect(results)[0].cursor()
    used = np.linspace(0, IMAGES - 1, 150).astype(int)
    assert queries.slices(cursor, "mine", 3)["size"].iloc[0] == np.isin(used, DARK).sum() < len(DARK)


def test_a_run_without_these_metrics_has_no_slices(results):
    folder = records.run_folder(results, "mine")
    scores = tables.read_table(folder, "scores").rename_columns({"cider": "rouge_l"})
    tables.write_table(folder, "scores", scores)
    slices.write(RunInProgress("mine", results, {}, ""))
    assert queries.slices(database.connect(results)[0].cursor(), "mine").empty
