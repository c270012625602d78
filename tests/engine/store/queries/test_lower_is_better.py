"""A metric of which lower values are better: ranks, best settings, wins and oracles follow its direction."""

import numpy as np
import pytest

from engine.statistics import smallest_not_worse
from engine.store import database, queries, records, tables
from engine.store.queries import Selection
from engine.store.schema import METRICS, MetricDefinition
from tests.support import runs

ERRORS = {1: [0.9, 0.1, 0.5, 0.5], 3: [0.4, 0.1, 0.6, 0.5], 5: [0.4, 0.1, 0.6, 0.5]}
"""Beam size -> word error rate of the images a, b, c and d."""


@pytest.fixture
def cursor(tmp_path, monkeypatch):
    metric = MetricDefinition("wer", "WER", "0 to 1", "mean", "word error rate", higher_is_better=False)
    monkeypatch.setitem(METRICS, "wer", metric)
    folder = records.run_folder(tmp_path, "said")
    keys = [{"image_id": image, "beam_size": size} for size in ERRORS for image in "abcd"]
    errors = [error for size in ERRORS for error in ERRORS[size]]
    scores = [{**key, "wer": error, "cider": 1 - error} for key, error in zip(keys, errors, strict=True)]
    corpus = [{"beam_size": size, "metric": "wer", "value": float(np.mean(ERRORS[size]))} for size in ERRORS]
    kept = [{**keys[0], "rank": rank, "caption": "x", "wer": error} for rank, error in enumerate((0.9, 0.2, 1.0), 1)]
    rows = {"images": [{"image_id": image} for image in "abcd"], "captions": [{**key, "caption": "x"} for key in keys]}
    rows |= {"scores": scores, "corpus_scores": corpus, "hypotheses": kept}
    for table, of in rows.items():
        tables.write_table(
            folder, table, tables.table_of(table, of, ["cider", "wer"] if table == "scores" else ["wer"])
        )
    records.write_record(folder, {"run": "said"})
    return database.connect(tmp_path)[0].cursor()


@pytest.mark.parametrize(("descending", "order"), [(False, "bcda"), (True, "acdb")])
def test_the_lowest_value_has_rank_1_whatever_the_order(cursor, descending, order):
    found = queries.cases(cursor, "said", 1, "wer", descending)
    assert "".join(found.image_id) == order
    assert dict(zip(found.image_id, found["rank"], strict=True)) == {"b": 1, "c": 2, "d": 2, "a": 4}
    place = queries.neighbours(cursor, "said", 1, "wer", descending, Selection(), "c").iloc[0]
    assert (place.previous, place.next) == (order[0], "d")


def test_the_percentile_is_the_share_of_other_cases_that_are_worse(cursor):
    for image, rank, percentile in (("b", 1, 100), ("c", 2, 50), ("a", 4, 0)):
        found = queries.case_metrics(cursor, "said", 1, image).set_index("metric")
        assert found["rank"].tolist() == [rank, rank]  # by CIDEr, which is 1 - WER here
        assert found.percentile.tolist() == [percentile, percentile]


def test_the_best_beam_size_has_the_lowest_value_and_of_equals_is_the_smallest(cursor):
    assert queries.best_scores(cursor).beam_size.tolist() == [3]


def test_the_smallest_beam_size_that_is_not_worse_is_that_of_the_negated_values(cursor):
    expected = smallest_not_worse({size: -np.array(errors) for size, errors in ERRORS.items()})
    found = queries.smallest_beam(cursor, "said", "wer").iloc[0]
    assert (found.smallest, found.best) == (expected.smallest, expected.best) == (1, 3)


def test_wins_are_images_with_the_lower_value_and_the_difference_stays_left_minus_right(cursor):
    found = queries.comparison(cursor, "said", 1, "said", 3).set_index("metric")
    assert found.loc["wer", ["wins", "ties", "losses"]].tolist() == [1, 2, 1]
    assert found.difference["wer"] == pytest.approx(0.1) == -found.difference["cider"]
    other = queries.comparison(cursor, "said", 1, "said", 3).set_index("metric").loc["cider"]
    assert (other.wins, other.losses) == (1, 1)


@pytest.mark.parametrize(("left_better", "image", "change"), [(True, "c", -0.1), (False, "a", 0.5)])
def test_the_largest_changes_are_those_to_the_better(cursor, left_better, image, change):
    for metric, sign in (("wer", 1), ("cider", -1)):
        found = queries.paired_cases(cursor, "said", 1, "said", 3, metric, left_better)
        assert found.image_id.tolist() == [image] and found.change.tolist() == pytest.approx([sign * change])


def test_the_oracle_takes_the_lowest_value_and_a_gain_is_positive(cursor):
    (row,) = queries.oracle(cursor, "said").itertuples()
    assert (row.metric, row.chosen, row.best, row.better) == ("wer", 0.9, 0.2, 1)
    assert row.average == pytest.approx(0.7)
    assert (row.gain, row.lead) == pytest.approx((0.7, -0.2))


def test_a_metric_that_is_registered_later_is_left_out_of_an_open_connection(cursor, monkeypatch):
    monkeypatch.setitem(
        METRICS, "later", MetricDefinition("later", "Later", "0 to 1", "mean", "registered after connect")
    )
    assert "later" not in queries.case_metrics(cursor, "said", 1, "a").metric.tolist()
    assert len(queries.comparison(cursor, "said", 1, "said", 3)) == 2
    assert "later" not in queries.selection_scores(cursor, "said", 1, Selection()).metric.tolist()


AWKWARD = ("order", "select", "a", "b", "x", "y", "left", "key", "missing", "entry", "kept", "best", "line", "place")
"""Names of metrics that SQL, or a query, uses otherwise."""


@pytest.mark.parametrize("name", AWKWARD)
def test_a_metric_may_have_a_name_that_sql_uses(tmp_path, monkeypatch, name):
    monkeypatch.setitem(METRICS, name, MetricDefinition(name, name, "0 to 1", "mean", "awkward"))
    folder = runs.add_hypotheses(runs.captioner_run(tmp_path / "results"))
    metrics = [*runs.METRICS, name]
    scores = [{**row, name: row["cider"]} for row in tables.read_table(folder, "scores").to_pylist()]
    tables.write_table(folder, "scores", tables.table_of("scores", scores, metrics))
    kept = [{**row, name: row["cider"]} for row in tables.read_table(folder, "hypotheses").to_pylist()]
    tables.write_table(folder, "hypotheses", tables.table_of("hypotheses", kept, ["cider", "clipscore", name]))
    cursor = database.connect(tmp_path / "results")[0].cursor()
    chosen = Selection(ranges=((name, 0.2, 1.5), ("cider", 0.2, 1.5)), text="a", tags=("wrong colour",))
    asked = (cursor, "demo", 1)

    def same(frame, other):
        assert len(frame) and frame.drop(columns="metric").equals(other.drop(columns="metric"))

    def of(frame, metric):
        return frame[frame.metric == metric].reset_index(drop=True)

    first, second = (queries.cases(*asked, metric, True, chosen) for metric in (name, "cider"))
    assert first.image_id.tolist() == second.image_id.tolist() != []
    place = queries.neighbours(*asked, name, True, chosen, first.image_id[0])
    assert place.equals(queries.neighbours(*asked, "cider", True, chosen, first.image_id[0]))
    for found in (
        queries.case_metrics(*asked, "scene_03"),
        queries.selection_scores(*asked, chosen),
        queries.metric_ranges(*asked),
        queries.histograms(*asked, ((name, 0, 1), ("cider", 0, 1)), chosen),
        queries.oracle(cursor, "demo"),
        queries.comparison(cursor, "demo", 1, "demo", 3).drop(columns="p_holm"),
    ):
        same(of(found, name), of(found, "cider"))
    for query, more in (
        (queries.scattered, ("clipscore", chosen)),
        (queries.quadrants, ("clipscore", (0.5, 0.5), chosen)),
    ):
        assert query(*asked, name, *more).equals(query(*asked, "cider", *more))
    sides = ("demo", 1, "demo", 3)
    for query, more in ((queries.paired_scores, ()), (queries.paired_cases, (True,))):
        assert query(cursor, *sides, name, *more).equals(query(cursor, *sides, "cider", *more))
    assert queries.smallest_beam(cursor, "demo", name).equals(queries.smallest_beam(cursor, "demo", "cider"))
    assert len(queries.selection_makeup(*asked, chosen)) and len(queries.tags(*asked))
