"""Words of captions, their alarms, and what explains them."""

import hashlib

import pytest

from engine.store import database, queries
from tests.support import runs


@pytest.fixture(scope="module")
def cursor(tmp_path_factory):
    results = tmp_path_factory.mktemp("words") / "results"
    runs.add_words(runs.captioner_run(results))
    runs.add_grounding(results / "runs" / "demo")
    runs.add_hypotheses(runs.captioner_run(results, "older"))
    return database.connect(results)[0].cursor()


def test_the_words_of_a_caption_come_in_order(cursor):
    found = queries.case_words(cursor, "demo", 1, "scene_08")
    assert " ".join(found.word) == "a red triangle on the grass" and found.word_index.tolist() == [0, 1, 2, 3, 4, 5]
    assert found.alarm[2] == pytest.approx(0.4) and found.alarm.notna().sum() == 1
    assert (found.verdict[2], found.gain_grey[2]) == ("wrong", 1.0)


def test_samples_are_one_row_each(cursor):
    found = queries.case_samples(cursor, "demo", "scene_01")
    assert found[["view", "number"]].values.tolist() == [[v, n] for v in ("mirrored", "zoomed") for n in range(1, 6)]


def test_captions_that_disagree_come_first(cursor):
    found = queries.word_agreement(cursor, "demo", 1, "scene_01", "square", "square")
    assert found.agrees.sum() == 3 and not found.agrees[:7].any()
    # By the word itself: only the samples that contain it.
    assert queries.word_agreement(cursor, "demo", 1, "scene_01", "kind", None).agrees.sum() == 2
    assert queries.word_agreement(cursor, "demo", 1, "scene_01", ".", None).empty


def test_without_samples_the_other_hypotheses_are_compared(cursor):
    found = queries.word_agreement(cursor, "older", 3, "scene_00", "again", None)
    assert found[["source", "number", "agrees"]].values.tolist() == [["n-best", 2, True], ["n-best", 3, True]]
    assert queries.word_agreement(cursor, "older", 1, "scene_00", "again", None).empty


def test_maps_of_a_noun_by_method_leave_random_orders_out(cursor):
    found = queries.word_maps(cursor, "demo", 1, "scene_01")
    assert found.method.tolist() == ["attention", "gradient"] and found.word_index.tolist() == [2, 2]
    assert [bytes(each).index(255) for each in found["map"]] == [100, 101]
    assert queries.word_maps(cursor, "demo", 1, "scene_01", 1).empty


def test_the_recommended_method_comes_first(cursor):
    found = queries.certificates(cursor, "demo")
    assert found.method.tolist() == ["gradient", "attention", "random"]
    assert found.recommended.tolist() == [True, False, False]
    assert queries.alarms(cursor, "demo").values.tolist() == [[1, "object", 11, 5, 0.9, 0.8, 0.95]]
    assert queries.alarm_bins(cursor, "demo", 1).said.tolist() == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert queries.alarm_bins(cursor, "demo", 1, "colour").empty


def test_suspicious_words_come_most_alarming_first(cursor):
    found = queries.suspicious_words(cursor, "demo", 1, 3)
    assert found.image_id.tolist() == ["scene_11", "scene_10", "scene_09"] and found.word_index.tolist() == [2, 2, 2]
    assert queries.suspicious_words(cursor, "demo", 3).empty


def test_a_head_is_measured_on_images_that_did_not_choose_it(cursor):
    found = queries.best_attention_head(cursor, "demo", 1).iloc[0]
    rest = {image: hit for image, (hit, _) in runs.HITS.items() if not _chooses(image)}
    assert 0 < len(rest) < len(runs.HITS) and (found.images, found.nouns) == (len(rest), len(rest))
    assert (found.layer, found["head"]) == (0, -1) and found.hit == pytest.approx(sum(rest.values()) / len(rest))
    assert found.low <= found.hit <= found.high


def _chooses(image_id: str) -> bool:
    return hashlib.md5(image_id.encode(), usedforsecurity=False).digest()[8] % 2 == 1


def test_runs_without_tables_of_words_give_empty_frames(cursor):
    assert queries.case_words(cursor, "older", 1, "scene_00").empty
    assert queries.case_samples(cursor, "older", "scene_00").empty
    assert queries.suspicious_words(cursor, "older", 1).empty and queries.alarm_bins(cursor, "older", 1).empty
    assert queries.certificates(cursor, "older").empty and queries.alarms(cursor, "older").empty
    assert queries.best_attention_head(cursor, "older", 1).empty
    assert not queries.has_words(cursor, "older").any(axis=None) and queries.has_words(cursor, "demo").all(axis=None)


def test_cases_are_sorted_by_their_most_alarming_word(cursor):
    found = queries.cases(cursor, "demo", 1, "alarm", True)
    assert found.image_id[:2].tolist() == ["scene_11", "scene_10"] and found.alarm[0] == pytest.approx(0.55)
    assert found.image_id.iloc[-1] == runs.SCRIPT_IMAGE and found.scored[0] == 11  # it has no words
    assert found["rank"][0] == 11  # a low alarm is better
    place = queries.neighbours(cursor, "demo", 1, "alarm", True, queries.EVERYTHING, "scene_10").iloc[0]
    assert (place.previous, place["next"], place.position) == ("scene_11", "scene_09", 2)
    assert queries.metric_ranges(cursor, "demo", 1).metric.iloc[-1] == "alarm"
    assert "alarm" not in queries.metric_ranges(cursor, "older", 1).metric.tolist()


@pytest.mark.parametrize(
    ("filters", "images"),
    [
        ({"fact": "object", "verdict": "wrong"}, [7, 8, 9, 10, 11]),
        ({"fact": "object", "verdict": "wrong", "word": "TRIANGLE"}, [8, 11]),
        ({"word": "tri"}, []),
        ({"verdict": "unknown"}, []),
    ],
)
def test_cases_are_filtered_by_one_of_their_words(cursor, filters, images):
    selection = queries.Selection(**filters)
    found = queries.cases(cursor, "demo", 1, "alarm", False, selection)
    assert sorted(found.image_id) == [f"scene_{index:02d}" for index in images]
    assert queries.case_count(cursor, "demo", 1, selection).selected[0] == len(images)


def test_claims_of_words_are_counted_wrong_ones_first(cursor):
    found = queries.word_claims(cursor, "demo", 1)
    assert found.values.tolist() == [["object", "wrong", 5, 5], ["object", "correct", 6, 6]]
    assert queries.word_claims(cursor, "older", 1).empty
