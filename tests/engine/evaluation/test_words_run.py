"""The tables of words of a run of the demo's captioner on a few generated scenes."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from engine.__main__ import main
from engine.config import DecodingConfig
from engine.data import registry
from engine.demo import world
from engine.diagnosis import alarm
from engine.evaluation import captioner_run, words_run
from engine.evaluation.word_alarm import SIGNALS, Alarms, ClaimSignals, reliability, signals_of
from engine.store import records, tables
from engine.store.word_schema import WORD_TABLES
from tests.conftest import ROOT

CAPTIONER = ROOT / "engine" / "demo" / "captioner"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    world.write_split(folder, "val", 12)
    return folder


@pytest.fixture(scope="module")
def settings(data, tmp_path_factory) -> captioner_run.CaptionerRun:
    return captioner_run.CaptionerRun(
        name="words",
        results=tmp_path_factory.mktemp("results"),
        dataset=registry.load(data, None, "val", 0),
        captioner=str(CAPTIONER),
        decoding=DecodingConfig(beam_sizes=(1, 3)),
        metrics=("rouge_l",),
        attention_beams=(1,),
        explain=("attention", "gradient", "occlusion"),
        times_sizes=False,
    )


@pytest.fixture(scope="module")
def folder(settings) -> Path:
    assert captioner_run.evaluate(settings)
    return records.run_folder(settings.results, "words")


def rows(folder: Path, table: str) -> list[dict]:
    return tables.read_table(folder, table).to_pylist()


def test_every_word_of_every_caption_has_a_row(folder):
    words = {}
    for row in rows(folder, "words"):
        words.setdefault((row["image_id"], row["beam_size"]), []).append(row)
    for caption in rows(folder, "captions"):
        own = words[caption["image_id"], caption["beam_size"]]
        assert [row["word"] for row in own] == caption["words"]
        assert [row["word_index"] for row in own] == list(range(len(own)))
        # The end token is not a word.
        assert sum(row["logprob"] for row in own) >= caption["logprob"] - 1e-3
        assert all(0 <= row["agreement"] <= 1 for row in own if row["agreement"] is not None)


def test_columns_of_maps_are_known_where_maps_are_stored(folder):
    found = rows(folder, "words")
    assert all(row["attention_entropy"] > 0 and 0 <= row["map_distance"] <= 1 for row in found if row["beam_size"] == 1)
    assert all(row["attention_entropy"] is None for row in found if row["beam_size"] == 3)


def test_nouns_have_a_label_its_probability_and_a_verdict(folder):
    nouns = [row for row in rows(folder, "words") if row["label"] is not None]
    assert len(nouns) > 20
    assert all(row["label_logprob"] <= 0 and row["other_label"] != row["label"] for row in nouns)
    assert {"correct"} <= {row["verdict"] for row in nouns if row["fact"] == "object"}
    assert all(row["evidence"] for row in nouns if row["fact"])


def test_the_image_explains_its_objects_better_than_a_grey_picture(folder):
    found = rows(folder, "words")
    nouns = [row["gain_grey"] for row in found if row["label"] is not None and row["verdict"] == "correct"]
    others = [row["gain_grey"] for row in found if row["label"] is None]
    assert np.mean(nouns) > np.mean(others) + 0.5
    assert np.mean([row["gain_other"] for row in found]) > 0


def test_samples_come_from_views(folder):
    found = rows(folder, "samples")
    assert {row["view"] for row in found} == {"mirrored", "zoomed"}
    assert all(len(row["captions"]) == 5 for row in found)


def test_covering_an_object_makes_its_word_less_probable(folder):
    effects = [row["object_effect"] for row in rows(folder, "words") if row["object_effect"] is not None]
    assert len(effects) > 8
    assert np.mean(effects) > 0.5
    assert all(row["region_effect"] is not None for row in rows(folder, "words") if row["object_effect"] is not None)


def test_a_correct_word_that_does_not_depend_on_its_object_is_a_tag(monkeypatch, settings):
    """With made-up effects: of two nouns of a caption, the one that depends least on its object is the evidence."""
    effects = [
        {"image_id": "a", "beam_size": 1, "word_index": 1, "word": "dog", "object_effect": 0.05, "object_lift": 0.5},
        {"image_id": "a", "beam_size": 1, "word_index": 4, "word": "cat", "object_effect": 0.01, "object_lift": 0.9},
        {"image_id": "b", "beam_size": 1, "word_index": 1, "word": "dog", "object_effect": 0.01, "object_lift": 1.5},
        {"image_id": "c", "beam_size": 1, "word_index": 1, "word": "dog", "object_effect": 2.0, "object_lift": 0.1},
        {"image_id": "d", "beam_size": 1, "word_index": 1, "word": "dog"},  # without a box
    ]
    table = tables.table_of("words", effects)
    monkeypatch.setattr(words_run, "_effects", lambda *_, **__: iter([None, table]))
    work = SimpleNamespace(settings=SimpleNamespace(evidence=True))
    found = words_run.wrong_reasons(work, [], None, ["occlusion"])
    assert set(found) == {(1, "a")}
    assert found[1, "a"].tag == "right for the wrong reason"
    assert found[1, "a"].evidence.startswith("cat: covering its box changes log p by 0.01 nats")
    assert words_run.wrong_reasons(work, [], None, ["attention"]) == {}


def test_the_certificate_has_every_method_on_the_same_nouns(folder):
    found = {row["method"]: row for row in rows(folder, "certificates")}
    assert set(found) == {"random", "attention", "gradient", "occlusion"}
    assert len({(row["nouns"], row["images"], row["chance"]) for row in found.values()}) == 1
    assert found["attention"]["hit"] > found["random"]["hit"]
    assert not found["random"]["certified"]
    maps = rows(folder, "explanations")
    assert len(maps) == 4 * found["attention"]["nouns"]
    assert all(len(row["map"]) == row["grid_height"] * row["grid_width"] for row in maps)


def test_an_alarm_needs_enough_wrong_words(folder):
    """Twelve images have few wrong nouns."""
    assert rows(folder, "alarms") == []
    assert all(row["alarm"] is None for row in rows(folder, "words"))


def test_the_alarm_of_other_data_judges_words_without_a_fit(folder, data, settings, monkeypatch, tmp_path):
    command = ["evaluate", "--data", str(data), "--captioner", str(CAPTIONER), "--beams", "1", "--run", "carried"]
    more = ["--results", str(tmp_path), "--metrics", "rouge_l", "--alarm", "demo", "--skip-timing", "--limit", "4"]
    assert main([*command, *more]) == 0
    found = rows(records.run_folder(tmp_path, "carried"), "words")
    nouns = [row for row in found if row["label"] is not None]
    assert all(0 < row["alarm"] < 1 for row in nouns)
    assert all(row["alarm"] is None for row in found if row["label"] is None and row["fact"] is None)


def test_an_unknown_alarm_is_one_sentence(data, tmp_path, capsys):
    command = ["evaluate", "--data", str(data), "--captioner", str(CAPTIONER), "--run", "x", "--alarm", "nobody"]
    assert main([*command, "--results", str(tmp_path)]) == 2
    assert "--alarm nobody: expected a finished run in" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["nothing", "none attention"])
def test_an_unknown_method_is_one_sentence(data, tmp_path, capsys, method):
    command = ["evaluate", "--data", str(data), "--captioner", str(CAPTIONER), "--run", "x", "--explain"]
    assert main([*command, *method.split(), "--results", str(tmp_path)]) == 2
    assert "expected some of attention, attention_all," in capsys.readouterr().err


def test_a_method_that_the_captioner_cannot_do_is_one_sentence(data, tmp_path, capsys):
    command = ["evaluate", "--data", str(data), "--captioner", str(CAPTIONER), "--run", "x", "--explain", "tam"]
    assert main([*command, "--results", str(tmp_path)]) == 2
    assert "--explain tam needs activations; expected some of attention," in capsys.readouterr().err


def test_nothing_is_computed_for_words_on_request(data, tmp_path):
    command = ["evaluate", "--data", str(data), "--captioner", str(CAPTIONER), "--run", "plain", "--limit", "2"]
    more = ["--results", str(tmp_path), "--metrics", "rouge_l", "--explain", "none", "--skip-timing", "--beams", "1"]
    assert main([*command, *more]) == 0
    assert not any(tables.has_table(records.run_folder(tmp_path, "plain"), table) for table in WORD_TABLES)


def made_up(count: int, seed: int = 0) -> ClaimSignals:
    """Nouns whose agreement says whether they are wrong, but for one in five."""
    random, found = np.random.default_rng(seed), ClaimSignals()
    for at in range(count):
        is_wrong = bool(random.random() < 0.3)
        agreement = random.uniform(0, 0.4) if is_wrong != (random.random() < 0.2) else random.uniform(0.6, 1)
        row = {"image_id": f"{at // 2}", "beam_size": 1, "word": "dog", "label": "dog", "fact": "object"}
        row |= {"logprob": -0.5, "agreement": agreement, "verdict": "wrong" if is_wrong else "correct"}
        row["signals"] = signals_of([row])[0]
        found.add([row])
    return found


def test_an_alarm_is_fitted_measured_and_stored():
    alarms = Alarms(made_up(600), {})
    (quality,) = alarms.quality
    assert (quality["kind"], quality["words"]) == ("object", 600)
    assert quality["low"] < quality["auroc"] < quality["high"]
    assert quality["auroc"] > 0.7
    assert len(alarms.bins) == 5
    assert sum(row["words"] for row in alarms.bins) == 600
    stored = json.loads(json.dumps(alarms.as_json()))["1"]["object"]
    # Signals that are not known, such as those of maps, are left out.
    assert set(alarm.from_json(stored).signals) < set(SIGNALS["object"])
    assert "agreement" in stored["signals"]


def test_unknown_signals_are_not_numbers_and_other_words_have_none():
    row = {"logprob": -1.0, "label": "dog", "agreement": 0.5, "beam_size": 1}
    first, second, third = signals_of([row, row, {"logprob": -3.0, "label": None, "fact": "place"}])
    at = SIGNALS["object"].index
    assert (first[at("repeats")], second[at("repeats")]) == (0, 1)
    assert first[at("mean_logprob")] == pytest.approx(-5 / 3)
    assert math.isnan(first[at("map_distance")])
    assert third is None


def test_reliability_has_equal_groups_in_order():
    said = np.linspace(0, 1, 50)
    found = reliability(said, said > 0.5)
    assert [row["words"] for row in found] == [10] * 5
    assert [row["wrong"] for row in found] == [0, 0, 0.5, 1, 1]
