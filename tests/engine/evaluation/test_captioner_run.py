"""The whole road on tiny real parts: photos to tables, a kill in the middle, what is skipped."""

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from engine.captioners.native import checkpoints, pipeline, replay
from engine.cli import summary
from engine.config import ConfigError, DecodingConfig
from engine.data import class_predictions, registry
from engine.data.class_predictions import PredictedClass
from engine.data.classes import load_classes
from engine.decoding import batched
from engine.decoding.cuda_graphs import GraphCache
from engine.diagnosis.tags import Tag
from engine.evaluation import (
    captioner_run,
    captioning,
    clip_settings,
    explaining,
    nbest,
    predictions_run,
    sampling,
    scoring,
    zeroshot_run,
)
from engine.evaluation.clip_settings import ClipSettings
from engine.evaluation.run import RunExists
from engine.models import clip
from engine.store import database, queries, records, tables
from engine.store.answer_schema import ANSWERS
from engine.store.errors import ResultsError
from engine.store.schema import ATTENTION_PASSES, END_WORD, TABLES
from engine.store.slice_schema import SLICE_TABLES
from engine.store.word_schema import WORD_TABLES
from tests.support import tiny

TABLES_WRITTEN = (*("images", "skipped", "captions", "attention", "grounding", "scores", "corpus_scores", "zero_shot"),)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """A dataset of 5 photos of which one is broken, classes beside it, a captioner and a CLIP."""
    folder = tmp_path_factory.mktemp("parts")
    tiny.coco(folder / "data")
    tiny.classes(folder / "data")
    (folder / "data" / "val" / "000000000003.jpg").write_bytes(b"")
    tiny.captioner_folder(folder / "captioner")
    tiny.clip_folder(folder / "clip")
    return folder


def ask(parts: Path, results: Path, name: str = "mine", **changes: object) -> captioner_run.CaptionerRun:
    values = {
        "name": name,
        "results": results,
        "dataset": registry.load(parts / "data"),
        "captioner": str(parts / "captioner"),
        "decoding": DecodingConfig(beam_sizes=(1, 3), max_length=8),
        "clip": ClipSettings(clip.load(str(parts / "clip"))),
        "classes": load_classes(parts / "data"),
    }
    return captioner_run.CaptionerRun(**{**values, **changes})


@pytest.fixture(scope="module")
def results(parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    assert captioner_run.evaluate(ask(parts, folder))
    return folder


def table(results: Path, name: str, run: str = "mine") -> list[dict]:
    return tables.read_table(records.run_folder(results, run), name).to_pylist()


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.parquet"))}


def test_every_table_is_written_and_of_the_contract(results):
    folder = records.run_folder(results, "mine")
    for name in (*TABLES_WRITTEN, *ANSWERS):
        assert tables.check_table(folder, name) is None, name
    assert not list(folder.rglob("*.tmp"))
    assert not (folder / ".parts").exists()


def test_a_broken_photo_is_set_aside_with_its_reason_and_nowhere_else(results):
    assert table(results, "skipped") == [
        {"image_id": "000000000003", "file_name": "000000000003.jpg", "reason": "the file is empty"}
    ]
    for name in ("images", "captions", "scores", "attention"):
        assert "000000000003" not in {row["image_id"] for row in table(results, name)}
    assert records.read_record(records.run_folder(results, "mine"))["skipped"] == 1


def test_each_image_has_a_caption_and_scores_at_each_beam_size(results):
    captions, scores = table(results, "captions"), table(results, "scores")
    keys = sorted((row["image_id"], row["beam_size"]) for row in captions)
    assert len(keys) == len(set(keys)) == 4 * 2
    assert keys == sorted((row["image_id"], row["beam_size"]) for row in scores)
    for row in scores:
        assert all(isinstance(row[name], float) for name in ("cider", "bleu_4", "rouge_l", "clipscore", "refclipscore"))


def test_tags_come_with_their_evidence(results):
    finished = {(row["image_id"], row["beam_size"]): row["finished"] for row in table(results, "captions")}
    for row in table(results, "scores"):
        tags = {tag["tag"]: tag["evidence"] for tag in row["tags"]}
        assert ("unfinished" in tags or "empty" in tags) == (not finished[row["image_id"], row["beam_size"]])
        assert all(tags.values())


def test_corpus_scores_are_those_of_the_images(results):
    scores = table(results, "scores")
    for row in table(results, "corpus_scores"):
        assert row["images"] == 4
        assert row["low"] <= row["value"] <= row["high"] or row["metric"].startswith("bleu")
        if row["metric"] in ("cider", "clipscore"):
            mean = np.mean([each[row["metric"]] for each in scores if each["beam_size"] == row["beam_size"]])
            assert row["value"] == pytest.approx(mean)
        assert f"beam:{row['beam_size']}" in row["signature"]


def test_attention_has_a_map_for_every_word_and_the_end(results):
    for row in table(results, "attention"):
        words, layers, heads, patches = row["shape"]
        assert (layers, heads, patches) == (2, 2, 196)
        assert len(row["words"]) == words
        assert len(row["weights"]) == words * layers * heads * patches
        assert len(row["scale"]) == words * layers * heads
        # 80 x 60 photos at crop 0.9: the centre crop of 54 pixels, in the photo's own pixels.
        assert row["crop"]["height"] == pytest.approx(60 * 0.9, abs=0.5)
        assert row["crop"]["x"] == pytest.approx((80 - row["crop"]["width"]) / 2, abs=0.5)
    finished = {(row["image_id"], row["beam_size"]): row["finished"] for row in table(results, "captions")}
    for row in table(results, "attention"):
        assert (row["words"][-1:] == [END_WORD]) == finished[row["image_id"], row["beam_size"]]


def test_zero_shot_covers_every_photo_under_every_template(results):
    rows = table(results, "zero_shot")
    assert len(rows) == 6 * 3
    assert {row["label"] for row in rows} == {"dog", "bus", "cat"}
    for row in rows:
        assert sum(guess["probability"] for guess in row["top"]) == pytest.approx(1)
        assert row["predicted"] == row["top"][0]["label"]
    lines = (records.run_folder(results, "mine") / "zero_shot_0.csv").read_text().splitlines()
    assert lines[0] == "filename,label"
    assert {line.split(",")[1] for line in lines[1:]} <= {"0", "1", "2"}


def test_the_record_contains_the_provenance(results):
    record = records.read_record(records.run_folder(results, "mine"))
    assert record["kind"] == "captioner"
    assert record["data"]["images"] == 4
    assert record["captioner"]["encoder"] == "vit_tiny_patch16_224"
    assert set(record["seconds_per_image"]) == {"1", "3"}
    assert all(0 < seconds < 60 for seconds in record["seconds_per_image"].values())
    assert 0 < record["sweep_seconds_per_image"] < 60
    assert {"torch", "timm", "pycocoevalcap"} <= set(record["versions"])
    assert record["clip"]["demo"] is False


def test_photos_that_only_bear_the_name_of_a_training_photo_are_none_of_it(parts, tmp_path):
    captioner = tiny.captioner_folder(tmp_path / "captioner")
    size = (parts / "data" / "val" / "000000000001.jpg").stat().st_size
    lines = [f"000000000001\t{size}", "000000000002\t7", "000000000004", "elsewhere\t7"]
    (captioner / checkpoints.TRAINED_ON).write_text("\n".join(lines) + "\n")
    captioner_run.evaluate(ask(parts, tmp_path, captioner=str(captioner), clip=None, classes=None))
    # The first is that photo, and of the third nothing but its name is known.
    assert records.read_record(records.run_folder(tmp_path, "mine"))["trained_on"] == 2


def test_a_photo_that_goes_while_it_is_evaluated_ends_no_run(parts, tmp_path, monkeypatch):
    captioner = tiny.captioner_folder(tmp_path / "captioner")
    (captioner / checkpoints.TRAINED_ON).write_text("000000000001\t7\n")
    photo = parts / "data" / "val" / "000000000001.jpg"
    monkeypatch.setattr(captioner_run, "_training_curve", lambda _: photo.rename(tmp_path / "gone") and None)
    try:
        assert captioner_run.evaluate(ask(parts, tmp_path, captioner=str(captioner), clip=None, classes=None))
    finally:
        (tmp_path / "gone").rename(photo)
    assert records.read_record(records.run_folder(tmp_path, "mine"))["trained_on"] == 0


def test_pred_json_is_the_courses(results):
    found = json.loads((records.run_folder(results, "mine") / "pred.json").read_text())
    assert sorted(found) == sorted(row["image_id"] for row in table(results, "images"))


def test_a_second_call_computes_nothing(parts, results, monkeypatch):
    before = digests(records.run_folder(results, "mine"))
    monkeypatch.setattr(captioning, "caption", lambda *args: pytest.fail("computed again"))
    assert not captioner_run.evaluate(ask(parts, results))
    assert digests(records.run_folder(results, "mine")) == before


def test_other_settings_under_the_same_name_are_refused_and_nothing_is_lost(parts, results):
    before = digests(records.run_folder(results, "mine"))
    with pytest.raises(RunExists, match=r"decoding.beam_sizes: .* choose another --run"):
        captioner_run.evaluate(ask(parts, results, decoding=DecodingConfig(beam_sizes=(1, 2), max_length=8)))
    assert digests(records.run_folder(results, "mine")) == before


@pytest.mark.parametrize(
    ("module", "stage"),
    [
        (captioning, "caption"),
        (scoring, "_part"),
        (zeroshot_run, "classify"),
        (captioner_run, "_complete"),
    ],
)
def test_a_killed_run_continues_and_ends_with_the_same_bytes(parts, tmp_path, monkeypatch, module, stage):
    class Killed(Exception):
        pass

    monkeypatch.setattr(pipeline, "CHUNK", 2)
    assert captioner_run.evaluate(ask(parts, tmp_path, "whole"))
    calls, real = [], getattr(module, stage)

    def kill(*args):
        calls.append(1)
        if len(calls) == (2 if stage == "_caption_chunk" else 1):
            raise Killed
        return real(*args)

    monkeypatch.setattr(module, stage, kill)
    with pytest.raises(Killed):
        captioner_run.evaluate(ask(parts, tmp_path, "broken"))
    assert records.read_record(records.run_folder(tmp_path, "broken")) is None
    calls_before = len(calls)
    monkeypatch.setattr(module, stage, lambda *args: calls.append(1) or real(*args))
    assert captioner_run.evaluate(ask(parts, tmp_path, "broken"))
    if stage == "_caption_chunk":
        assert len(calls) - calls_before == 2  # of three chunks the first was kept
    assert digests(records.run_folder(tmp_path, "broken")) == digests(records.run_folder(tmp_path, "whole"))


def test_a_bare_folder_gets_captions_attention_and_clipscores_only(parts, tmp_path):
    bare = registry.load(parts / "data" / "val")
    assert captioner_run.evaluate(ask(parts, tmp_path, dataset=bare, classes=None))
    row = table(tmp_path, "scores")[0]
    assert row["clipscore"] is not None
    assert "cider" not in row
    assert {each["metric"] for each in table(tmp_path, "corpus_scores")} == {"clipscore"}


def test_a_strip_is_set_aside_and_the_run_finishes(parts, tmp_path):
    tiny.photo(tmp_path / "photos" / "good.png")
    Image.new("L", (1, 60_000)).save(tmp_path / "photos" / "strip.png")
    bare = registry.load(tmp_path / "photos")
    assert captioner_run.evaluate(ask(parts, tmp_path, dataset=bare, classes=None))
    assert [row["file_name"] for row in table(tmp_path, "skipped")] == ["strip.png"]


def test_a_broken_photo_of_the_classes_is_set_aside_beside_those_of_the_captions(parts, tmp_path):
    classes = load_classes(tiny.classes(tmp_path / "data"))
    (classes.root / "1_0.png").write_bytes(b"")
    assert captioner_run.evaluate(ask(parts, tmp_path, classes=classes))
    found = {row["file_name"]: row["reason"] for row in table(tmp_path, "skipped")}
    assert found == {"000000000003.jpg": "the file is empty", "1_0.png": "the file is empty (a zero-shot photo)"}
    assert records.read_record(records.run_folder(tmp_path, "mine"))["skipped"] == 2
    assert "of 5" in summary.text(tmp_path, "mine")


def test_without_a_clip_the_caption_metrics_stand_alone(parts, tmp_path):
    assert captioner_run.evaluate(ask(parts, tmp_path, clip=None))
    assert "clipscore" not in table(tmp_path, "scores")[0]
    assert not tables.has_table(records.run_folder(tmp_path, "mine"), "zero_shot")


def test_the_studys_rule_is_an_option_and_part_of_the_signature(parts, tmp_path):
    rule = DecodingConfig(beam_sizes=(1, 2), max_length=6, rule="study")
    assert captioner_run.evaluate(ask(parts, tmp_path, decoding=rule, clip=None))
    assert all("|rule:study|" in row["signature"] for row in table(tmp_path, "corpus_scores"))


def test_both_rules_stand_side_by_side_as_two_runs(parts, tmp_path):
    for name, rule in (("ours", "standard"), ("theirs", "study")):
        decoding = DecodingConfig(beam_sizes=(1, 2), max_length=6, rule=rule)
        assert captioner_run.evaluate(ask(parts, tmp_path, name, decoding=decoding, clip=None))
    connection, problems = database.connect(tmp_path)
    found = connection.execute("SELECT DISTINCT run, signature LIKE '%|rule:study|%' FROM corpus_scores").fetchall()
    assert (sorted(found), problems) == ([("ours", False), ("theirs", True)], [])


@pytest.mark.parametrize(("rule", "named"), ATTENTION_PASSES.items())
def test_maps_are_those_of_the_rules_own_pass_and_the_record_names_it(parts, tmp_path, monkeypatch, rule, named):
    passes, real = set(), replay.step_weights

    def noted(captioner, tokenizer, memory, captions, rule):
        passes.add(rule)
        return real(captioner, tokenizer, memory, captions, rule)

    monkeypatch.setattr(replay, "step_weights", noted)
    decoding = DecodingConfig(beam_sizes=(1, 3), max_length=6, rule=rule)
    assert captioner_run.evaluate(ask(parts, tmp_path, decoding=decoding, clip=None))
    assert passes == {rule}
    assert records.read_record(records.run_folder(tmp_path, "mine"))["attention"]["pass"] == named


def forget_the_pass(folder) -> None:
    """The run's record as it was written before the pass was recorded."""
    record = records.read_record(folder)
    del record["attention"], record["plan"]["attention_pass"]
    records.write_record(folder, record)


def test_a_run_of_the_studys_rule_with_maps_of_a_causal_replay_is_not_taken_as_finished(parts, tmp_path):
    made = {
        "ours": DecodingConfig(beam_sizes=(1,), max_length=6),
        "theirs": DecodingConfig(beam_sizes=(1,), max_length=6, rule="study"),
    }
    for name, decoding in made.items():
        assert captioner_run.evaluate(ask(parts, tmp_path, name, decoding=decoding, clip=None))
        forget_the_pass(records.run_folder(tmp_path, name))
    assert not captioner_run.evaluate(ask(parts, tmp_path, "ours", decoding=made["ours"], clip=None))
    with pytest.raises(RunExists, match="attention_pass: causal replay before, study's pass .* now"):
        captioner_run.evaluate(ask(parts, tmp_path, "theirs", decoding=made["theirs"], clip=None))


def test_without_maps_no_pass_is_recorded_and_none_makes_a_difference(parts, tmp_path):
    settings = {"decoding": DecodingConfig(beam_sizes=(1,), max_length=6, rule="study"), "clip": None}
    assert captioner_run.evaluate(ask(parts, tmp_path, attention_beams=(), **settings))
    assert records.read_record(records.run_folder(tmp_path, "mine"))["attention"]["pass"] is None
    forget_the_pass(records.run_folder(tmp_path, "mine"))
    assert not captioner_run.evaluate(ask(parts, tmp_path, attention_beams=(), **settings))


@pytest.mark.parametrize("rule", ["standard", "study"])
def test_the_n_best_are_a_table_of_their_own_and_the_first_is_the_caption(parts, tmp_path, rule):
    decoding = DecodingConfig(beam_sizes=(1, 3), max_length=6, n_best=3, rule=rule)
    assert captioner_run.evaluate(ask(parts, tmp_path, decoding=decoding, clip=None))
    rows = table(tmp_path, "hypotheses")
    captions = {(row["image_id"], row["beam_size"]): row["caption"] for row in table(tmp_path, "captions")}
    scores = {(row["image_id"], row["beam_size"]): row for row in table(tmp_path, "scores")}
    by_setting: dict[tuple, list[dict]] = {}
    for row in rows:
        by_setting.setdefault((row["image_id"], row["beam_size"]), []).append(row)
    assert set(by_setting) == set(captions)
    for (image_id, size), kept in by_setting.items():
        assert [row["rank"] for row in kept] == list(range(1, size + 1))
        assert kept[0]["caption"] == captions[image_id, size]
        assert [row["score"] for row in kept] == sorted((row["score"] for row in kept), reverse=True)
        assert kept[0]["cider"] == pytest.approx(scores[image_id, size]["cider"], abs=1e-12)
        assert [tag["tag"] for tag in scores[image_id, size]["tags"]].count("ranking error") == (
            max(row["cider"] for row in kept) >= max(2 * kept[0]["cider"], kept[0]["cider"] + 0.5)
        )
    answer = database.connect(tmp_path)[0].execute("SELECT count(*) FROM hypotheses WHERE rank > 1").fetchone()
    assert answer == (4 * 2,)
    assert all("|n_best:3|" in row["signature"] for row in table(tmp_path, "corpus_scores"))


def test_without_n_best_there_is_no_hypotheses_table(results):
    assert not tables.has_table(records.run_folder(results, "mine"), "hypotheses")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"repetition_penalty": 1.5}, "|repetition_penalty:1.5|"),
        ({"no_repeat_ngram": 2}, "|no_repeat_ngram:2|"),
        ({"precision": "bf16"}, "|precision:bf16|"),
        (
            {"beam_sizes": (1,), "sample": True, "top_p": 0.9, "seed": 7},
            "|sample:True|temperature:1.0|top_k:0|top_p:0.9|seed:7|",
        ),
    ],
)
def test_what_changes_a_caption_is_part_of_the_signature_and_the_plan(parts, tmp_path, changes, said):
    decoding = DecodingConfig(**{"beam_sizes": (1, 3), "max_length": 6, **changes})
    assert captioner_run.evaluate(ask(parts, tmp_path, decoding=decoding, clip=None))
    assert all(said in row["signature"] for row in table(tmp_path, "corpus_scores"))
    other = DecodingConfig(beam_sizes=decoding.beam_sizes, max_length=6)
    with pytest.raises(RunExists, match="decoding"):
        captioner_run.evaluate(ask(parts, tmp_path, decoding=other, clip=None))


def test_bf16_leaves_the_captioners_fingerprint(parts, results, tmp_path):
    decoding = DecodingConfig(beam_sizes=(1,), max_length=6, precision="bf16")
    assert captioner_run.evaluate(ask(parts, tmp_path, decoding=decoding, clip=None))
    prints = {
        records.read_record(records.run_folder(at, "mine"))["captioner"]["fingerprint"] for at in (results, tmp_path)
    }
    assert len(prints) == 1


def test_samples_are_the_same_after_a_kill_and_in_chunks_of_another_size(parts, tmp_path, monkeypatch):
    decoding = DecodingConfig(beam_sizes=(1,), max_length=8, sample=True, n_best=3, seed=4)
    for name, chunk in (("whole", 32), ("small", 2)):
        monkeypatch.setattr(pipeline, "CHUNK", chunk)
        assert captioner_run.evaluate(ask(parts, tmp_path, name, decoding=decoding, clip=None))
    whole, small = (
        {(row["image_id"], row["rank"]): row["caption"] for row in table(tmp_path, "hypotheses", name)}
        for name in ("whole", "small")
    )
    assert whole == small
    assert len(set(whole.values())) > 4


@pytest.mark.parametrize("sample", [False, True])
def test_a_search_passes_something_over_and_a_sample_does_not(parts, tmp_path, monkeypatch, sample):
    images = [each.image_id for each in registry.load(parts / "data").examples]
    everywhere = {(1 if sample else 2, image): Tag("ranking error", "x") for image in images}
    monkeypatch.setattr(nbest, "ranking_errors", lambda _: everywhere)
    decoding = DecodingConfig(beam_sizes=(1,) if sample else (2,), max_length=6, sample=sample, n_best=2)
    assert captioner_run.evaluate(ask(parts, tmp_path, decoding=decoding, clip=None))
    given = [tag["tag"] for row in table(tmp_path, "scores") for tag in row["tags"]]
    assert ("ranking error" in given) == (not sample)


def test_chunks_of_an_older_version_are_used_without_their_time(parts, tmp_path, monkeypatch):
    asked = ask(parts, tmp_path, decoding=DecodingConfig(beam_sizes=(1,), max_length=8))

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(captioner_run, "_complete", killed)
        captioner_run.evaluate(asked)
    for path in tmp_path.rglob("computed.json"):
        path.unlink()
    monkeypatch.setattr(captioning, "caption", lambda *args: pytest.fail("computed again"))
    assert captioner_run.evaluate(asked)
    record = records.read_record(records.run_folder(tmp_path, "mine"))
    assert record["seconds_per_image"] == {} and record["data"]["images"] == 4 and record["workers"] == []


def test_a_run_that_continues_with_another_chunk_size_loses_no_image(parts, tmp_path, monkeypatch):
    class Killed(Exception):
        pass

    calls, real = [], captioning.caption

    def kill(*args):
        calls.append(args)
        if len(calls) == 2:
            raise Killed
        return real(*args)

    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "CHUNK", 1)
        patched.setattr(captioning, "caption", kill)
        with pytest.raises(Killed):
            captioner_run.evaluate(ask(parts, tmp_path, clip=None, classes=None))
    monkeypatch.setattr(pipeline, "CHUNK", 3)
    assert captioner_run.evaluate(ask(parts, tmp_path, clip=None, classes=None))
    assert len({row["image_id"] for row in table(tmp_path, "captions")}) == 4


@pytest.mark.parametrize(("kind", "gigabytes", "size"), [("cpu", 0, 64), ("cuda", 16, 64), ("cuda", 80, 256)])
def test_a_large_gpu_takes_larger_chunks(monkeypatch, kind, gigabytes, size):
    properties = SimpleNamespace(total_memory=gigabytes * 10**9)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda device: properties)
    assert pipeline.chunk_size_on(torch.device(kind)) == size


def test_out_of_memory_in_a_replay_halves_the_batch_and_keeps_the_same_maps(parts, tmp_path, results, monkeypatch):
    real, counts = pipeline.replay, []

    def short(captioner, tokenizer, encoded, captions, *rest):
        counts.append(len(captions))
        if len(captions) > 1:
            raise torch.OutOfMemoryError("no more")
        return real(captioner, tokenizer, encoded, captions, *rest)

    monkeypatch.setattr(pipeline, "replay", short)
    with pytest.warns(UserWarning, match="continuing with batches of 2"):
        assert captioner_run.evaluate(ask(parts, tmp_path, clip=None, explain=()))
    assert counts == [4, 2, 1, 1, 1, 1] * 2
    assert_same_maps(table(tmp_path, "attention"), table(results, "attention"))


def assert_same_maps(left: list[dict], right: list[dict]) -> None:
    for own, whole in zip(left, right, strict=True):
        assert all(own[name] == whole[name] for name in ("image_id", "beam_size", "words"))
        weights = [np.frombuffer(row["weights"], np.uint8).astype(int) for row in (own, whole)]
        assert np.abs(weights[0] - weights[1]).max() <= 1  # products of other shapes round differently
        assert own["scale"] == pytest.approx(whole["scale"], rel=1e-5)


def test_cores_that_share_a_replay_without_a_mask_keep_the_same_maps(parts, tmp_path, monkeypatch):
    settings = {"decoding": DecodingConfig(beam_sizes=(1, 3), max_length=8, rule="study"), "clip": None}
    assert captioner_run.evaluate(ask(parts, tmp_path, "one", **settings))
    monkeypatch.setattr(pipeline, "jobs_for", lambda images, device: 3)
    assert captioner_run.evaluate(ask(parts, tmp_path, "three", **settings))
    assert_same_maps(table(tmp_path, "attention", "three"), table(tmp_path, "attention", "one"))


def test_out_of_memory_in_a_search_halves_the_batch_and_ends_with_the_same_captions(
    parts, tmp_path, results, monkeypatch
):
    real, sizes = batched.sweep.sweep, []

    def short(steps, images, *rest):
        sizes.append(images)
        if images > 1:
            raise torch.OutOfMemoryError("no more")
        return real(steps, images, *rest)

    monkeypatch.setattr(batched.sweep, "sweep", short)
    with pytest.warns(UserWarning, match="continuing with batches of 2"):
        assert captioner_run.evaluate(ask(parts, tmp_path, clip=None, explain=()))
    # The sweep of two sizes, and then each of them timed by itself.
    assert sizes == [4, 2, 1, 1, 1, 1] * 3
    captions = [
        [(row["image_id"], row["beam_size"], row["caption"]) for row in table(at, "captions")]
        for at in (results, tmp_path)
    ]
    assert captions[0] == captions[1]


def test_the_record_contains_how_long_the_model_waited_for_photos(results):
    record = records.read_record(records.run_folder(results, "mine"))
    assert 0 <= record["waited_for_photos"] <= 1
    assert record["timings"]["wait for photos"] >= 0
    assert "data loading: " in summary.text(results, "mine")


def test_imported_predictions_give_a_run_like_any_other_without_attention(parts, tmp_path):
    dataset = registry.load(parts / "data")
    captions = {example.image_id: example.references[0] for example in dataset.examples}
    request = predictions_run.PredictionsRun(
        "theirs", tmp_path, dataset, captions, Path("p.json"), clip=ClipSettings(clip.load(str(parts / "clip")))
    )
    assert predictions_run.score(request)
    assert not predictions_run.score(request)
    rows = {row["image_id"]: row for row in table(tmp_path, "scores", "theirs")}
    assert len(rows) == 5
    assert all(row["bleu_4"] == pytest.approx(1, abs=1e-6) for row in rows.values())
    # The broken photo has a caption to score against its references, but nothing for CLIP to see.
    assert rows["000000000003"]["clipscore"] is None
    assert rows["000000000001"]["clipscore"] is not None
    assert {row["beam_size"] for row in rows.values()} == {0}
    assert table(tmp_path, "captions", "theirs")[0]["logprob"] is None
    record = records.read_record(records.run_folder(tmp_path, "theirs"))
    assert (record["kind"], record["partial"]) == ("predictions", False)


def test_zero_shot_alone_is_a_run(parts, tmp_path):
    request = zeroshot_run.ZeroShotRun("z", tmp_path, load_classes(parts / "data"), clip.load(str(parts / "clip")))
    assert zeroshot_run.zero_shot(request)
    assert not zeroshot_run.zero_shot(request)
    assert len(table(tmp_path, "zero_shot", "z")) == 18


def test_the_courses_csv_is_read_back_whatever_a_photo_is_called(parts, tmp_path):
    folder = tiny.classes(tmp_path / "data") / "p1_data" / "val"
    (folder / "0_0.png").rename(folder / "0_a, b.png")
    classes = load_classes(tmp_path / "data")
    zeroshot_run.zero_shot(zeroshot_run.ZeroShotRun("z", tmp_path / "r", classes, clip.load(str(parts / "clip"))))
    found = class_predictions.read(records.run_folder(tmp_path / "r", "z") / "zero_shot_0.csv")
    assert [each.file_name for each in found] == [example.file_name for example in classes.examples]


def test_image_features_are_kept_between_runs(parts, tmp_path, monkeypatch):
    assert captioner_run.evaluate(ask(parts, tmp_path, "first"))
    monkeypatch.setattr(clip.Clip, "image_features", lambda *args: pytest.fail("encoded again"))
    assert captioner_run.evaluate(
        ask(parts, tmp_path, "second", decoding=DecodingConfig(beam_sizes=(2,), max_length=8))
    )


def test_a_photo_that_could_not_be_read_gets_features_once_it_can(parts, tmp_path, monkeypatch):
    photos, loaded = [tmp_path / "a.png", tmp_path / "b.png"], clip.load(str(parts / "clip"))
    for path in photos:
        tiny.photo(path)
    whole = photos[1].read_bytes()
    photos[1].write_bytes(bytes(len(whole)))  # as large as before: the data's fingerprint is the same
    first, reasons = clip_settings.image_features(tmp_path, loaded, photos, "same")
    assert reasons == [None, "not a JPEG, PNG, WebP, AVIF, TIFF, GIF or BMP image"]
    with monkeypatch.context() as patch:
        patch.setattr(clip.Clip, "image_features", lambda *args: pytest.fail("encoded again"))
        clip_settings.image_features(tmp_path, loaded, photos, "same")
    photos[1].write_bytes(whole)
    again, reasons = clip_settings.image_features(tmp_path, loaded, photos, "same")
    assert reasons == [None, None]
    assert np.isnan(first[1]).all() and np.isfinite(again).all()


def test_another_preprocessing_of_the_same_weights_is_another_clip(parts, tmp_path):
    folder = tiny.clip_folder(tmp_path / "clip")
    dataset = registry.load(parts / "data")
    captions = {example.image_id: example.references[0] for example in dataset.examples}

    def score(name: str) -> bool:
        settings = ClipSettings(clip.load(str(folder)))
        return predictions_run.score(
            predictions_run.PredictionsRun(name, tmp_path / "r", dataset, captions, Path("p.json"), clip=settings)
        )

    assert score("before")
    file = folder / "open_clip_config.json"
    config = json.loads(file.read_text())
    tiny.write_json(file, config | {"preprocess_cfg": {"size": 32, "mean": [0.9, 0.1, 0.5], "std": [0.1, 0.2, 0.9]}})
    with pytest.raises(RunExists, match="clip_setup: .* before"):
        score("before")
    assert score("after")
    before, after = (table(tmp_path / "r", "corpus_scores", name) for name in ("before", "after"))
    by_clip = [{row["metric"]: row for row in rows}["clipscore"] for rows in (before, after)]
    assert by_clip[0]["value"] != by_clip[1]["value"]
    assert by_clip[0]["signature"] != by_clip[1]["signature"]


def test_kept_features_that_cannot_be_read_are_made_again(parts, tmp_path):
    assert captioner_run.evaluate(ask(parts, tmp_path, "first"))
    kept = [*(tmp_path / ".cache" / "clip").glob("*.npy"), *(tmp_path / ".cache" / "clip").glob("*.json")][:3]
    assert len(kept) == 3
    for file in kept:
        file.write_bytes(file.read_bytes()[:-100])
    assert captioner_run.evaluate(ask(parts, tmp_path, "second"))
    assert table(tmp_path, "scores", "second") == table(tmp_path, "scores", "first")


def test_a_table_that_is_lost_is_made_again_by_the_same_command(parts, tmp_path):
    assert captioner_run.evaluate(ask(parts, tmp_path))
    folder = records.run_folder(tmp_path, "mine")
    before = digests(folder)
    (folder / "scores.parquet").write_bytes(b"PAR1")
    assert captioner_run.evaluate(ask(parts, tmp_path))
    assert digests(folder) == before
    assert not captioner_run.evaluate(ask(parts, tmp_path))


def test_all_tables_of_the_contract_are_named_here_or_made_elsewhere():
    assert set(TABLES) == {
        *TABLES_WRITTEN,
        *WORD_TABLES,
        *SLICE_TABLES,
        "training",
        "hypotheses",
    }  # test_words_run has those of words


def test_each_size_of_a_sweep_is_timed_once_over_a_few_images(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "CHUNK", 2)
    monkeypatch.setattr(pipeline, "TIMED", 1)
    monkeypatch.setattr(pipeline.memory, "ROWS", 4)
    real, searched = batched.BatchedSearch.run, []

    def noted(self, sizes=None, images=None):
        searched.append((sizes, images))
        return real(self, sizes, images)

    monkeypatch.setattr(batched.BatchedSearch, "run", noted)
    monkeypatch.setattr(GraphCache, "clear", lambda self: searched.append("forgotten"))
    assert captioner_run.evaluate(ask(parts, tmp_path, clip=None, explain=()))
    assert searched == [(None, None), ([1], 2), ([3], 1), "forgotten", (None, None), (None, None)]
    searched.clear()
    assert captioner_run.evaluate(
        ask(parts, tmp_path, "greedy", decoding=DecodingConfig(beam_sizes=(1,)), clip=None, explain=())
    )
    assert searched == [(None, None)] * 3
    record = records.read_record(records.run_folder(tmp_path, "greedy"))
    assert record["seconds_per_image"]["1"] == record["sweep_seconds_per_image"] > 0


def test_another_tokenizer_of_the_same_size_is_another_run(parts, tmp_path):
    folder = tmp_path / "captioner"
    tiny.captioner_folder(folder)
    assert captioner_run.evaluate(ask(parts, tmp_path, captioner=str(folder), clip=None))
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    vocabulary = content["model"]["vocab"]
    one, other = [token for token in vocabulary if token.isalpha() and len(token) > 1][:2]
    vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]
    changed = tiny.write_json(tmp_path / "other.json", content)
    assert not captioner_run.evaluate(ask(parts, tmp_path, captioner=str(folder), clip=None, tokenizer_path=file))
    with pytest.raises(RunExists, match="tokenizer: "):
        captioner_run.evaluate(ask(parts, tmp_path, captioner=str(folder), clip=None, tokenizer_path=changed))


def test_a_class_without_photos_that_is_gone_makes_another_zero_shot_run(parts, tmp_path):
    folder = tiny.classes(tmp_path / "data")
    names = {"0": "dog", "1": "bus", "2": "cat"}
    tiny.write_json(folder / "p1_data" / "id2label.json", names | {"7": "umbrella"})
    model = clip.load(str(parts / "clip"))
    assert zeroshot_run.zero_shot(zeroshot_run.ZeroShotRun("z", tmp_path / "r", load_classes(folder), model))
    tiny.write_json(folder / "p1_data" / "id2label.json", names)
    with pytest.raises(RunExists, match="labels: "):
        zeroshot_run.zero_shot(zeroshot_run.ZeroShotRun("z", tmp_path / "r", load_classes(folder), model))


def test_class_names_given_later_make_another_run_of_imported_classes(tmp_path):
    found = {"a": [PredictedClass("0_1.png", "0", "0")]}
    assert zeroshot_run.imported_classes(zeroshot_run.ImportedClassesRun("z", tmp_path, found))
    assert not zeroshot_run.imported_classes(zeroshot_run.ImportedClassesRun("z", tmp_path, found))
    for changes in ({"names": {"0": "dog"}}, {"root": tmp_path}):
        with pytest.raises(RunExists, match="with other settings"):
            zeroshot_run.imported_classes(zeroshot_run.ImportedClassesRun("z", tmp_path, found, **changes))


# Maps of a sample, of tagged captions and on request


def test_a_sample_is_chosen_alike_by_every_process_and_has_the_asked_size():
    ids = [f"{number:05d}" for number in range(1_000)]
    found = sampling.sample(ids, 100, seed=3)
    chosen = {image for image in ids if found.has(image)}
    assert len(chosen) == 100 and chosen == {
        image for image in ids[::-1] if sampling.sample(ids[::-1], 100, 3).has(image)
    }
    other = sampling.sample(ids, 100, seed=4)
    assert len(chosen & {image for image in ids if other.has(image)}) < 30  # 10 expected
    assert sampling.sample(ids, 1_000, 0) is None and sampling.sample(iter(ids), 2_000, 0) is None


def maps_of(results: Path, run: str) -> dict[tuple[str, int], dict]:
    return {(row["image_id"], row["beam_size"]): row for row in table(results, "attention", run)}


def assert_close(found: dict, whole: dict) -> None:
    """Check that two rows of `attention` are equal to a rounding step, as batches of other sizes are."""
    assert all(found[name] == whole[name] for name in ("words", "shape", "grid_height", "crop", "share"))
    near, exact = (np.frombuffer(row["weights"], np.uint8).astype(int) for row in (found, whole))
    assert np.abs(near - exact).max() <= 1
    assert found["scale"] == pytest.approx(whole["scale"], rel=1e-5)


def test_maps_of_a_sample_and_of_tagged_captions_are_those_of_the_whole_run(parts, results, tmp_path, monkeypatch):
    """The random captioner does not finish its captions, so that each one has the tag `unfinished`."""
    monkeypatch.setattr(pipeline, "CHUNK", 2)
    asked = ask(parts, tmp_path, attention_images=1)
    assert captioner_run.evaluate(asked)
    whole, found = maps_of(results, "mine"), maps_of(tmp_path, "mine")
    tagged = {(row["image_id"], row["beam_size"]) for row in table(tmp_path, "scores") if row["tags"]}
    first = captioner_run._sample(asked)
    sampled = {case for case in whole if first.has(case[0])}
    assert set(found) == tagged | sampled and len(sampled) in (0, 2)  # 0: the broken photo
    for case in found:
        assert_close(found[case], whole[case])
    assert not captioner_run.evaluate(asked)
    with pytest.raises(RunExists, match="attention_images: 1 before, all now"):
        captioner_run.evaluate(ask(parts, tmp_path))


def test_maps_on_request_are_added_to_a_finished_run(parts, results, tmp_path, monkeypatch):
    monkeypatch.setattr(explaining, "tagged", lambda work: {})
    asked = ask(parts, tmp_path, attention_images=1)
    with pytest.raises(ResultsError, match="is not finished; run the command without --attention-of first"):
        captioner_run.add_maps(asked, ["000000000001"])
    assert captioner_run.evaluate(asked)
    before = maps_of(tmp_path, "mine")
    left = [row["image_id"] for row in table(tmp_path, "images") if (row["image_id"], 1) not in before]
    assert captioner_run.add_maps(asked, left[:1]) == 2
    assert captioner_run.add_maps(asked, left[:2]) == 2  # the first image has its maps
    assert captioner_run.add_maps(asked, left[:2]) == 0
    found, whole = maps_of(tmp_path, "mine"), maps_of(results, "mine")
    assert set(found) == set(before) | {(image, size) for image in left[:2] for size in (1, 3)}
    for case in found:
        assert_close(found[case], whole[case])
    connection, problems = database.connect(tmp_path)
    assert not problems and len(queries.attention(connection.cursor(), "mine", 3, left[0])) == 1
    with pytest.raises(ConfigError, match=r"--attention-of 'nobody': the run has no caption of it"):
        captioner_run.add_maps(asked, ["nobody"])
    assert not captioner_run.evaluate(asked)  # still finished
    assert not (records.run_folder(tmp_path, "mine") / ".parts").exists()
