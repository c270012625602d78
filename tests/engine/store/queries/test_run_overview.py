"""Runs, beam sizes and corpus scores."""

import numpy as np
import pytest

from engine.statistics import bootstrap_mean_interval
from engine.store import database, queries
from engine.store.schema import METRICS
from tests.engine.store.queries.stored_values import scored
from tests.support import runs


def test_runs_are_listed_by_name_with_how_much_they_hold(cursor):
    found = queries.runs(cursor).set_index("run")
    assert list(found.index) == ["demo", "demo_cnn", "predictions"]
    assert found.loc["demo", ["captions", "images", "skipped", "attention", "zero_shot"]].tolist() == [
        36,
        12,
        1,
        36,
        12,
    ]
    assert found.loc["predictions", ["captions", "attention", "zero_shot"]].tolist() == [5, 0, 0]


def test_beam_sizes_ascend_and_imported_predictions_have_zero(cursor):
    assert queries.beam_sizes(cursor, "demo").beam_size.tolist() == [1, 3, 5]
    assert queries.beam_sizes(cursor, "predictions").beam_size.tolist() == [0]


def test_corpus_scores_come_in_the_metrics_order_with_intervals(cursor):
    found = queries.corpus_scores(cursor, "demo")
    assert list(dict.fromkeys(found.metric)) == [metric for metric in METRICS if metric in runs.METRICS]
    row = found[(found.metric == "clipscore") & (found.beam_size == 3)].iloc[0]
    values = list(scored(cursor, "clipscore", beam=3).values())
    assert row.value == pytest.approx(np.mean(values))
    assert (row.low, row.high) == pytest.approx(bootstrap_mean_interval(values))


def test_the_best_beam_size_has_the_highest_value_and_of_equals_is_the_smallest(cursor):
    best = queries.best_scores(cursor)
    every = queries.corpus_scores(cursor, "demo")
    row = best[(best.run == "demo") & (best.metric == "cider")].iloc[0]
    assert row.value == every[every.metric == "cider"].value.max()
    cursor.execute(
        "CREATE TEMP TABLE corpus_scores AS SELECT 'x' AS run, unnest([5, 1, 3]) AS beam_size, "
        "'cider' AS metric, 1.0 AS value, 0.9 AS low, 1.1 AS high, 2 AS images, '' AS signature"
    )
    try:
        assert queries.best_scores(cursor).beam_size.tolist() == [1]
    finally:
        cursor.execute("DROP TABLE temp.corpus_scores")


def test_headline_scores_of_a_row_are_of_the_same_captions(cursor):
    found = queries.headline_scores(cursor)
    mine = found[found.run == "demo"]
    assert mine.beam_size.tolist() == [1, 3, 5]
    for row in mine.itertuples():
        corpus = queries.corpus_scores(cursor, "demo").query(f"beam_size == {row.beam_size}").set_index("metric").value
        assert (row.cider, row.clipscore) == (corpus["cider"], corpus["clipscore"])


def test_training_and_losses_are_listed(cursor):
    training = queries.training(cursor, "demo")
    assert training.step.is_monotonic_increasing and training.validation_cider.notna().sum() == 3
    assert queries.skipped(cursor, "demo").file_name.tolist() == ["broken.png"]


def test_every_query_of_an_empty_folder_gives_an_empty_answer(empty_results):
    cursor = database.connect(empty_results)[0].cursor()
    for query in (queries.runs, queries.best_scores):
        assert query(cursor).empty
    for query in (
        queries.beam_sizes,
        queries.corpus_scores,
        queries.training,
        queries.skipped,
        queries.beam_statistics,
        queries.conditions,
        queries.attention_beam_sizes,
        queries.zero_shot_accuracy,
        queries.zero_shot_labels,
        queries.oracle,
    ):
        assert query(cursor, "demo").empty, query.__name__
    assert queries.cases(cursor, "demo", 1, "cider", True).empty
    assert queries.smallest_beam(cursor, "demo", "cider").empty and queries.tag_examples(cursor, "demo", 1).empty
    assert queries.partners(cursor, "demo").empty and queries.comparison(cursor, "demo", 1, "demo", 3).empty
    assert queries.overlap(cursor, "demo", 1, "demo", 3).shared.item() == 0
    assert queries.zero_shot_comparison(cursor, "demo", "a", "b").empty
    assert queries.zero_shot_confusion(cursor, "demo", "a").empty
