"""Any number of settings: known ranks and tests, the numbers of a comparison of two, and what is not comparable."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.stats import rankdata

from engine.statistics import holm
from engine.store import database, queries, records
from engine.store import tables as store
from tests.engine.store.queries.stored_values import scored
from tests.support import runs

ALL = (("demo", 5), ("demo", 3), ("demo", 1))


@given(arrays.arrays(float, st.tuples(st.integers(1, 20), st.integers(1, 6)), elements=st.integers(0, 40)))
def test_mean_ranks_are_those_of_scipy(values):
    values = values / 20  # few different values, so that many are tied
    assert queries.mean_ranks(values, "cider") == pytest.approx(rankdata(-values, axis=1).mean(0))
    assert queries.mean_ranks(values, "chair_i") == pytest.approx(rankdata(values, axis=1).mean(0))
    assert queries.mean_ranks(values, "cider").sum() == pytest.approx(sum(range(1, values.shape[1] + 1)))


def test_values_that_are_displayed_alike_share_their_ranks():
    assert queries.mean_ranks(np.array([[0.50001, 0.50002, 0.4]]), "cider").tolist() == [1.5, 1.5, 3]


def reference_holm(p_values: list[float]) -> list[float]:
    """Holm's step-down by its definition: the largest of (m - k) p(k) so far, at most 1."""
    order, adjusted, largest = sorted(range(len(p_values)), key=p_values.__getitem__), [0.0] * len(p_values), 0.0
    for k, place in enumerate(order):
        largest = max(largest, (len(p_values) - k) * p_values[place])
        adjusted[place] = min(1.0, largest)
    return adjusted


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_its_definition(p_values):
    assert holm(p_values) == pytest.approx(reference_holm(p_values))


@pytest.mark.parametrize("against", [None, ("demo", 1)])
def test_the_numbers_are_those_of_a_comparison_of_two(cursor, against):
    found = queries.many_settings(cursor, ALL, "cider", against)
    assert list(zip(found.run, found.beam_size, strict=True)) == list(ALL) and set(found.reason) == {""}
    assert set(found.images) == {12}
    reference = found[found.is_reference].iloc[0]
    assert reference.beam_size == (1 if against else found.beam_size[found.value.argmax()])
    others = found[~found.is_reference]
    for row in others.itertuples():
        pair = queries.comparison(cursor, "demo", row.beam_size, "demo", int(reference.beam_size))
        pair = pair.set_index("metric").loc["cider"]
        assert (row.value, reference.value) == (pytest.approx(pair["left"]), pytest.approx(pair["right"]))
        assert (row.difference, row.difference_low, row.difference_high) == pytest.approx(
            (pair.difference, pair.low, pair.high)
        )
        assert row.p_randomization == pair.p_randomization
    assert others.p_holm.tolist() == holm(others.p_randomization.tolist())
    values = np.array([list(scored(cursor, "cider", beam=beam).values()) for _, beam in ALL]).T
    assert found.mean_rank.tolist() == pytest.approx(queries.mean_ranks(values, "cider").tolist())


def test_the_lowest_value_is_the_best_where_lower_is_better(tmp_path):
    folder = runs.captioner_run(tmp_path)
    rows = [{**row, "chair_s": 0.1 * row["beam_size"]} for row in store.read_table(folder, "scores").to_pylist()]
    store.write_table(folder, "scores", store.table_of("scores", rows, [*runs.METRICS, "chair_s"]))
    found = queries.many_settings(database.connect(tmp_path)[0].cursor(), ALL, "chair_s")
    assert found.beam_size[found.is_reference].tolist() == [1] and found.mean_rank.tolist() == [3, 2, 1]


def test_one_setting_has_a_value_and_no_test(cursor):
    found = queries.many_settings(cursor, ALL[:1], "cider").iloc[0]
    assert found.is_reference and found.mean_rank == 1 and np.isnan(found.p_holm)


def test_what_is_not_comparable_has_a_reason_and_no_numbers(tmp_path):
    runs.captioner_run(tmp_path)
    runs.partial_run(tmp_path)
    runs.imported_run(tmp_path)
    runs.strangers_run(tmp_path)
    cursor = database.connect(tmp_path)[0].cursor()
    chosen = (*ALL, ("partial", 0), ("predictions", 0), ("strangers", 3))
    found = queries.many_settings(cursor, chosen, "cider").set_index("run")
    assert found.reason["partial"] == "5 shared images have no common reference"
    assert found.reason["predictions"] == "it has no image in common with the first setting"
    assert found.reason["strangers"] == "12 shared images have no common reference"
    assert found.loc[["partial", "predictions", "strangers"]].value.isna().all()
    assert found.loc["demo"].images.tolist() == [12, 12, 12]
    found = queries.many_settings(cursor, (("demo", 3), ("partial", 0)), "clipscore")
    assert found.reason.tolist() == ["", "it has no CLIPScore"]
    assert found.images.tolist() == [12, 0]


def part_of(results, name: str, images: int) -> None:
    """A copy of the demo run with its first images only, whose signatures name another split."""
    folder, demo = records.run_folder(results, name), records.run_folder(results, "demo")
    kept = set(runs.image_ids()[:images])
    for table in ("images", "captions", "scores"):
        rows = [row for row in store.read_table(demo, table).to_pylist() if row["image_id"] in kept]
        store.write_table(folder, table, store.table_of(table, rows, runs.METRICS if table == "scores" else []))
    corpus = store.read_table(demo, "corpus_scores").to_pylist()
    corpus = [{**row, "signature": f"{row['metric']}|tok:ptb|images:{images}|v:0.1"} for row in corpus]
    store.write_table(folder, "corpus_scores", store.table_of("corpus_scores", corpus))
    record = json.loads((demo / "run.json").read_text())
    records.write_record(folder, record | {"run": name})


def test_another_split_is_comparable_only_by_metrics_of_single_images(tmp_path):
    runs.captioner_run(tmp_path)
    part_of(tmp_path, "eight", 8)
    part_of(tmp_path, "five", 5)
    cursor = database.connect(tmp_path)[0].cursor()
    chosen = (("eight", 3), ("five", 1))
    cider = queries.many_settings(cursor, chosen, "cider")
    assert cider.reason.tolist() == ["", "images scored: 8 vs. 5"]
    rouge = queries.many_settings(cursor, chosen, "rouge_l")
    assert rouge.reason.tolist() == ["", ""] and rouge.images.tolist() == [5, 5]
    values = scored(cursor, "rouge_l", "eight", 3)
    assert rouge.value[0] == pytest.approx(np.mean([values[name] for name in runs.image_ids()[:5]]))


def test_settings_without_a_common_image_have_no_numbers(tmp_path):
    folder = runs.captioner_run(tmp_path)
    only = {1: "scene_01", 3: "scene_03"}
    rows = [
        row if row["image_id"] == only.get(row["beam_size"], row["image_id"]) else row | {"rouge_l": None}
        for row in store.read_table(folder, "scores").to_pylist()
    ]
    store.write_table(folder, "scores", store.table_of("scores", rows, runs.METRICS))
    cursor = database.connect(tmp_path)[0].cursor()
    found = queries.many_settings(cursor, ALL, "rouge_l")
    assert set(found.reason) == {""} and set(found.images) == {0} and found.value.isna().all()
    found = queries.many_settings(cursor, ALL[:2], "rouge_l")
    assert set(found.images) == {1} and found.low.isna().all() and found.value.notna().all()


def test_an_unknown_metric_is_refused(cursor):
    with pytest.raises(ValueError, match="unknown metric"):
        queries.many_settings(cursor, ALL, "drop")


def test_a_pooled_metric_is_compared_by_corpus_values(tmp_path):
    folder = runs.captioner_run(tmp_path)
    counts = {1: [9, 9, 5, 8, 4, 6, 1, 4, 0, 2], 3: [9, 9, 7, 8, 5, 6, 3, 4, 1, 2], 5: [9, 9, 8, 8, 6, 6, 4, 4, 2, 2]}
    rows = [row | {"bleu_counts": counts[row["beam_size"]]} for row in store.read_table(folder, "scores").to_pylist()]
    store.write_table(folder, "scores", store.table_of("scores", rows, runs.METRICS))
    cursor = database.connect(tmp_path)[0].cursor()
    found = queries.many_settings(cursor, ALL, "bleu_4", ("demo", 1))
    pair = queries.comparison(cursor, "demo", 5, "demo", 1).set_index("metric").loc["bleu_4"]
    assert found.pooled.all() and pair.pooled
    assert (found.value[0], found.difference[0]) == pytest.approx((pair["left"], pair.difference))
    assert found.p_randomization[0] == pair.p_randomization
