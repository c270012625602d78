"""Cases in order of a metric: pages, ranks and neighbours."""

import duckdb
import numpy as np
import pytest

from engine.store import database, queries
from engine.store import tables as store
from engine.store.queries import Selection
from tests.engine.store.queries.stored_values import scored
from tests.support import runs


@pytest.fixture
def nearly_tied(full_results) -> duckdb.DuckDBPyConnection:
    """Return BLEU-4 with the smoothing of captions without a correct 4-gram; only d and e differ as displayed."""
    connection = database.connect(full_results)[0]
    connection.execute(
        """
        CREATE OR REPLACE VIEW captions AS SELECT 'tied' AS run, size AS beam_size, image_id, image_id AS caption,
            0.0 AS logprob, true AS finished, ['x'] AS words
        FROM (SELECT unnest(['a', 'b', 'c', 'd', 'e']) AS image_id), (SELECT unnest([1, 3]) AS size);
        CREATE TABLE tied AS SELECT * REPLACE ('tied' AS run) FROM scores WHERE false;
        INSERT INTO tied BY NAME SELECT 'tied' AS run, beam_size, image_id, bleu_4 FROM (VALUES
            (1, 'a', 3e-5), (1, 'b', 2e-5), (1, 'c', 1e-5), (1, 'd', 0.5), (1, 'e', 0.4),
            (3, 'a', 1e-5), (3, 'b', 9e-5), (3, 'c', 1e-5), (3, 'd', 0.4), (3, 'e', 0.5)
        ) AS found (beam_size, image_id, bleu_4);
        CREATE OR REPLACE VIEW scores AS FROM tied;
        """
    )
    return connection.cursor()


def test_values_that_differ_by_smoothing_only_are_ties(nearly_tied):
    found = queries.cases(nearly_tied, "tied", 1, "bleu_4", True)
    assert found.image_id.tolist() == ["d", "e", "a", "b", "c"] and found["rank"].tolist() == [1, 2, 3, 3, 3]
    assert queries.cases(nearly_tied, "tied", 1, "bleu_4", False).image_id.tolist() == ["a", "b", "c", "e", "d"]
    place = queries.neighbours(nearly_tied, "tied", 1, "bleu_4", True, Selection(), "b").iloc[0]
    assert (place.previous, place.next, place.position) == ("a", "c", 4)
    stands = queries.case_metrics(nearly_tied, "tied", 1, "c").iloc[0]
    assert (stands["rank"], stands.percentile) == (3, 25)
    compared = queries.comparison(nearly_tied, "tied", 1, "tied", 3).iloc[0]
    assert (compared.wins, compared.ties, compared.losses) == (1, 3, 1)
    assert queries.paired_cases(nearly_tied, "tied", 1, "tied", 3, "bleu_4", False).image_id.tolist() == ["e"]


@pytest.mark.parametrize("descending", [True, False])
def test_cases_are_sorted_by_the_metric_and_ranked_over_the_whole_split(cursor, descending):
    found = queries.cases(cursor, "demo", 1, "clipscore", descending, limit=3)
    values = scored(cursor, "clipscore")
    expected = sorted(values, key=values.get, reverse=descending)
    assert found.image_id.tolist() == expected[:3]
    assert found["rank"].tolist() == ([1, 2, 3] if descending else [12, 11, 10])
    assert set(found.scored) == {12}


def test_a_page_of_cases_continues_the_previous_one(cursor):
    whole = queries.cases(cursor, "demo", 1, "cider", False).image_id.tolist()
    pages = [queries.cases(cursor, "demo", 1, "cider", False, limit=5, offset=start) for start in (0, 5, 10)]
    assert [image for page in pages for image in page.image_id] == whole


def test_cases_without_a_score_come_last_in_both_directions(cursor):
    for descending in (True, False):
        found = queries.cases(cursor, "predictions", 0, "meteor", descending)
        assert found["rank"].isna().all() and len(found) == 5


@pytest.mark.parametrize("name", ["image_id", "cider; DROP TABLE runs", 'cider" DESC --', ""])
def test_only_a_metric_of_the_contract_can_be_sorted_by(cursor, name):
    with pytest.raises(ValueError, match="unknown metric"):
        queries.cases(cursor, "demo", 1, name, True)
    with pytest.raises(ValueError, match="unknown metric"):
        queries.case_count(cursor, "demo", 1, Selection(ranges=((name, 0, 1),)))


def test_neighbours_walk_the_order_of_the_cases(cursor):
    order = queries.cases(cursor, "demo", 1, "clipscore", False).image_id.tolist()
    first = queries.neighbours(cursor, "demo", 1, "clipscore", False, Selection(), order[0]).iloc[0]
    assert (first.next, first.position, first.selected) == (order[1], 1, 12)
    assert first.previous is None or first.previous != first.previous
    middle = queries.neighbours(cursor, "demo", 1, "clipscore", False, Selection(), order[5]).iloc[0]
    assert (middle.previous, middle.next) == (order[4], order[6])
    assert queries.neighbours(cursor, "demo", 1, "clipscore", False, Selection(text="zebra"), order[0]).empty


def test_a_score_that_is_not_finite_is_missing(tmp_path):
    folder = runs.imported_run(tmp_path / "results")
    rows = store.read_table(folder, "scores").to_pylist()
    rows[0]["cider"], rows[1]["cider"] = float("nan"), float("inf")
    store.write_table(folder, "scores", store.table_of("scores", rows, ["cider", "bleu_1", "bleu_4", "rouge_l"]))
    cursor = database.connect(tmp_path / "results")[0].cursor()
    found = queries.cases(cursor, "predictions", 0, "cider", True)
    assert found["rank"].isna().tolist() == [False, False, False, True, True]
    ranges = queries.metric_ranges(cursor, "predictions", 0).set_index("metric")
    assert ranges.scored["cider"] == 3 and np.isfinite(ranges.high["cider"])
    assert queries.case_metrics(cursor, "predictions", 0, rows[2]["image_id"]).set_index("metric").scored["cider"] == 3
