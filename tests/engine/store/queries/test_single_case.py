"""One case: its captions, scores and percentiles."""

import pytest

from engine.store import database, queries
from engine.store import tables as store
from tests.engine.store.queries.stored_values import scored
from tests.support import runs


def test_a_case_has_its_references_and_an_unknown_one_has_no_row(cursor):
    case = queries.case(cursor, "demo", 3, "scene_01").iloc[0]
    assert case.caption == "a blue square is standing on the green grass"
    assert list(case.references)[0] == "A blue square on the grass ."
    assert queries.case(cursor, "demo", 3, "nobody").empty


def test_the_percentile_is_the_share_of_other_cases_with_a_lower_value(cursor):
    found = queries.case_metrics(cursor, "demo", 1, "scene_04").set_index("metric")
    values = scored(cursor, "cider")
    lower = sum(value < values["scene_04"] for value in values.values())
    assert found.loc["cider", "percentile"] == pytest.approx(100 * lower / 11)
    assert found.loc["cider", "rank"] == 12 - lower
    assert "meteor" not in found.index


def test_equal_scores_share_the_middle_of_their_percentiles(tmp_path):
    folder = runs.imported_run(tmp_path / "results")
    rows = [row | {"cider": 1.0} for row in store.read_table(folder, "scores").to_pylist()]
    store.write_table(folder, "scores", store.table_of("scores", rows, ["cider", "bleu_1", "bleu_4", "rouge_l"]))
    found = queries.case_metrics(database.connect(tmp_path / "results")[0].cursor(), "predictions", 0, "flickr_2")
    assert found[found.metric == "cider"].percentile.tolist() == [50.0]
    assert found[found.metric == "cider"]["rank"].tolist() == [1]


def test_the_captions_of_an_image_come_by_beam_size(cursor):
    found = queries.case_captions(cursor, "demo", "scene_01")
    assert found.beam_size.tolist() == [1, 3, 5]
    assert found.caption[0] != found.caption[1] == found.caption[2]
