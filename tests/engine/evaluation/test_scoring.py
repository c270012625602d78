"""The tables of a run do not depend on how it is divided into blocks, nor on the processes that compute them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.data.dataset import Box, Dataset, Example
from engine.data.split import Split
from engine.diagnosis import frequent
from engine.evaluation import predictions_run, scoring, split_scores
from engine.evaluation.clip_settings import ClipSettings, image_features
from engine.evaluation.predictions_run import PredictionsRun
from engine.metrics import ptb
from engine.metrics.base import MetricError
from engine.metrics.clipscore import ClipFamily
from engine.models import clip
from engine.store import records, tables
from tests.support import tiny

IMAGES = 60
WORDS = ("a dog", "runs", "on the", "beach", "two cats", "sleep", "a red", "bus", "1\xa01/2", "n't")


def text(number: int, length: int) -> str:
    return " ".join(WORDS[(number * 7 + step * (number % 3 + 1)) % len(WORDS)] for step in range(length))


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    """Images with none to four references, some with boxes."""
    examples = []
    for number in range(IMAGES):
        references = tuple(text(number + each, 1 + (number + each) % 6) for each in range(number % 5))
        boxes = (Box("dog", 1, 2, 3, 4),) if number % 7 == 0 else ()
        examples.append(Example(f"im{number:03d}", f"im{number:03d}.jpg", references, boxes))
    return Dataset("made", "pairs", tmp_path / "made.json", "all", tmp_path, tuple(examples))


def run(dataset: Dataset, results: Path, name: str, size: int | None = None, **changes: object) -> dict[str, bytes]:
    """Return the tables of a run in blocks of `size` images."""
    captions = {
        each.image_id: f"a bus {number}" if number % 2 else text(number % 10, number % 10)
        for number, each in enumerate(dataset.examples)
    }
    begun = predictions_run.begin(PredictionsRun(name, results, dataset, captions, Path("p.json"), **changes))
    assert begun is not None
    if size is not None:
        begun = replace(begun, blocks=replace(begun.blocks, size=size))
    predictions_run.finish(begun)
    folder = records.run_folder(results, name)
    assert not (folder / ".parts" / "scoring").exists()
    return {path.name: path.read_bytes() for path in folder.glob("*.parquet")}


@pytest.mark.parametrize("size", [1, 7, 59])
def test_any_blocks_give_the_same_bytes(dataset, tmp_path, monkeypatch, size):
    monkeypatch.setattr(ptb, "tokenize", list)  # of the blocks of one image, each would start Java
    whole = run(dataset, tmp_path, "whole")
    monkeypatch.setattr(frequent, "_KEPT", 20)  # fewer than there are captions
    assert run(dataset, tmp_path, "parts", size) == whole
    rows = tables.read_table(records.run_folder(tmp_path, "parts"), "scores").to_pylist()
    assert {"empty", "generic", "omitted object"} <= {tag["tag"] for row in rows for tag in row["tags"]}


def test_clip_scores_do_not_depend_on_the_blocks(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(ptb, "tokenize", list)
    monkeypatch.setattr(split_scores, "_CLIP_IMAGES", 16)
    for number in range(0, IMAGES, 2):
        tiny.photo(tmp_path / f"im{number:03d}.jpg")
    settings = ClipSettings(clip.load(str(tiny.clip_folder(tmp_path / "clip"))))
    whole = run(dataset, tmp_path, "whole", clip=settings)
    assert run(dataset, tmp_path, "parts", 7, clip=settings) == whole
    captions = [row["caption"] for row in tables.read_table(tmp_path / "runs" / "parts", "captions").to_pylist()]
    rows = tables.read_table(tmp_path / "runs" / "parts", "scores").to_pylist()
    photos = [tmp_path / each.file_name if number % 2 == 0 else None for number, each in enumerate(dataset.examples)]
    split = Split(tuple(captions), tuple(each.references for each in dataset.examples), tuple(photos))
    images, _ = image_features(tmp_path, settings.clip, photos, "x")
    expected = ClipFamily(settings.clip, lambda _: images).statistics(
        ["clipscore", "refclipscore"], {0: captions}, split
    )
    for key, by_setting in expected.items():
        found = [np.nan if row[key] is None else row[key] for row in rows]
        np.testing.assert_allclose(found, by_setting[0][:, 0], atol=1e-6)


def test_two_processes_give_the_same_bytes(dataset, tmp_path, monkeypatch):
    here = run(dataset, tmp_path, "here", 30)
    monkeypatch.setattr(scoring, "_FEW", 0)
    assert run(dataset, tmp_path, "there", 30) == here


def test_a_user_error_in_a_process_stays_one_sentence(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(scoring, "_FEW", 0)
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-XX:NoSuchOption")
    with pytest.raises(MetricError, match="^the PTB tokeniser failed: ") as found:
        run(dataset, tmp_path, "broken")
    assert "Traceback" not in str(found.value)


def test_a_metric_without_a_family_sees_the_whole_split_once(dataset, tmp_path, monkeypatch):
    from engine.metrics import registry
    from tests.engine.metrics.test_measure import NewWords

    calls = []

    class Noted(NewWords):
        def statistics(self, captions, split):
            calls.append(len(captions))
            return super().statistics(captions, split)

    monkeypatch.setattr(registry.protocols, "plugin", lambda group, name: Noted())
    registry._plugin.cache_clear()
    run(dataset, tmp_path, "plugin", 7, metrics=("cider", "mine:NewWords"))
    found = tables.read_table(records.run_folder(tmp_path, "plugin"), "scores")
    assert calls == [sum(number % 5 > 0 for number in range(IMAGES))]
    assert found.schema.names.index("new_words") == found.schema.names.index("cider") + 1
    assert found["new_words"].null_count == found["new_words_counts"].null_count == IMAGES // 5
