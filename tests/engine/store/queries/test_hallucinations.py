"""CHAIR in the results: what it depends on, where the failure tag differs, in queries, terminal and report."""

import pytest

from dashboard.report import archive, hallucinations
from engine.cli import summary
from engine.store import database, queries
from engine.store.queries.hallucinations import _hallucinations
from tests.support import hallucinating


@pytest.fixture
def results(tmp_path):
    return hallucinating.write(tmp_path)


@pytest.fixture
def cursor(results):
    return database.connect(results)[0].cursor()


def test_mentions_unfinished_captions_and_both_counts_are_those_of_the_images_with_a_truth(cursor):
    found = queries.hallucinations(cursor, "run")
    assert found.beam_size.tolist() == [1, 3] and found.captions.tolist() == [4, 4]
    # dog, horse; person; fridge. Then dog; man; oven; cat, cow: `bus` is never found.
    assert found.mentions.tolist() == [4 / 4, 5 / 4]
    assert found.unfinished.tolist() == [1 / 5, 1 / 5]
    assert found[["by_chair", "by_tag", "by_both"]].to_numpy().tolist() == [[1, 2, 1], [1, 1, 0]]


def test_the_captions_that_differ_have_both_reasons(cursor):
    found = queries.hallucination_differences(cursor, "run", 1)
    assert found.to_numpy().tolist() == [
        [
            "c",
            "a fridge on a plant",
            "hallucinated: plant (potted plant)",
            "none hallucinated; mentions fridge (refrigerator)",
        ]
    ]
    found = queries.hallucination_differences(cursor, "run", 3)
    assert found[["image_id", "tag_reason", "chair_reason"]].to_numpy().tolist() == [
        ["b", "hallucinated: bus", "none hallucinated; mentions man (person)"],
        ["e", "none hallucinated", "hallucinated: cow"],
    ]
    assert len(queries.hallucination_differences(cursor, "run", 3, limit=1)) == 1


def test_the_best_beam_size_has_the_lowest_chair_and_more_hallucinations_are_losses(cursor):
    best = queries.best_scores(cursor).set_index("metric")
    assert best.value.to_dict() == {"chair_i": 1 / 5, "chair_s": 1 / 4}
    assert best.beam_size.to_dict() == {"chair_i": 3, "chair_s": 1}  # 1/4 against 1/5; equal, so the smaller
    found = queries.comparison(cursor, "run", 1, "run", 3).set_index("metric").loc["chair_s"]
    assert found.pooled and found.images == 4
    assert (found.wins, found.ties, found.losses) == (1, 2, 1)
    pooled = queries.comparison(cursor, "run", 1, "run", 3).set_index("metric").loc["chair_i"]
    assert (pooled.left, pooled.right, pooled.images) == (1 / 4, 1 / 5, 4)
    assert queries.cases(cursor, "run", 1, "chair_i", False).image_id.iloc[0] in "bc"


def test_terminal_and_report_show_the_numbers_of_the_query(results):
    text = summary.text(results, "run")
    assert "beam size 1: 1.00 mentions per caption, unfinished 20.0%; of 4 captions hallucinated by CHAIR 1, by" in text
    assert "c: a fridge on a plant\n    failure tag: hallucinated: plant (potted plant); CHAIR: none halluc" in text
    (chapter,) = hallucinations.chapters(archive.open_source(results, "run", beam=3)[0])
    counted, listed = chapter.items
    assert counted.shown["Mentions per caption"].tolist() == ["1.00", "1.25"]
    assert counted.values.chair_i.tolist() == [1 / 4, 1 / 5]
    assert listed.shown["Image"].tolist() == ["b", "e"] and "2 captions" in listed.note


def test_a_run_without_chair_has_no_row_and_no_chapter(full_results):
    source = archive.open_source(full_results, "demo")[0]
    assert source.query(queries.hallucinations, "demo").empty and not hallucinations.chapters(source)
    assert "CHAIR" not in summary.text(full_results, "demo")


def test_the_query_computes_what_a_run_stores(cursor):
    stored = queries.hallucinations(cursor, "run")
    assert _hallucinations(cursor, "run").to_numpy().tolist() == stored.to_numpy().tolist()
