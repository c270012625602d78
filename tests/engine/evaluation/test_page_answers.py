"""Answers that a run stores are those that a page computes, and a page does not compute them again."""

from pathlib import Path

import pandas as pd
import pytest

from engine.evaluation import page_answers
from engine.evaluation.run import RunInProgress
from engine.store import database, queries, tables
from engine.store.answer_schema import ANSWERS
from tests.support import runs


@pytest.fixture
def results(tmp_path):
    """The folder of a run without stored answers, and that of the same run with them."""
    for name in ("older", "newer"):
        runs.add_hypotheses(runs.captioner_run(tmp_path / name))
    _write(tmp_path / "newer")
    return tmp_path


def _write(results: Path) -> None:
    page_answers.write(RunInProgress("demo", results, {}, ""))


def answers(results: Path, *, run: str = "demo") -> dict[str, pd.DataFrame]:
    """Return every answer that a page asks for."""
    cursor = database.connect(results)[0].cursor()
    metrics = queries.corpus_scores(cursor, run).metric.unique()
    pairs = [(left, right) for left in runs.BEAMS for right in runs.BEAMS if left != right]
    return {
        "statistics": queries.beam_statistics(cursor, run),
        "oracle": queries.oracle(cursor, run),
        **{f"smallest {metric}": queries.smallest_beam(cursor, run, metric) for metric in [*metrics, "meteor"]},
        **{f"comparison {pair}": queries.comparison(cursor, run, pair[0], run, pair[1]) for pair in pairs},
        **{f"overlap {pair}": queries.overlap(cursor, run, pair[0], run, pair[1]) for pair in pairs},
        **{f"tags {size}": queries.tags(cursor, run, size) for size in runs.BEAMS},
        **{f"examples {size}": queries.tag_examples(cursor, run, size) for size in runs.BEAMS},
    }


def test_stored_answers_are_those_that_a_page_computes_of_an_older_run(results):
    computed, stored = answers(results / "older"), answers(results / "newer")
    assert len(computed["oracle"]) and len(computed["comparison (1, 3)"]) == 8
    for name, found in computed.items():
        pd.testing.assert_frame_equal(found, stored[name], obj=name, check_dtype=not name.startswith("tags"))


def test_a_page_reads_stored_answers_and_no_caption(results):
    expected = answers(results / "newer")
    for table in ("captions", "scores", "hypotheses"):
        (results / "newer" / "runs" / "demo" / f"{table}.parquet").unlink()
    cursor = database.connect(results / "newer")[0].cursor()
    pd.testing.assert_frame_equal(queries.beam_statistics(cursor, "demo"), expected["statistics"])
    pd.testing.assert_frame_equal(queries.comparison(cursor, "demo", 3, "demo", 1), expected["comparison (3, 1)"])
    pd.testing.assert_frame_equal(queries.smallest_beam(cursor, "demo", "cider"), expected["smallest cider"])
    pd.testing.assert_frame_equal(queries.tags(cursor, "demo", 1), expected["tags 1"])


def test_a_damaged_answer_is_reported_and_computed(results):
    expected, file = answers(results / "older"), results / "newer" / "runs" / "demo" / "beam_statistics.parquet"
    file.write_bytes(file.read_bytes()[:-9])
    connection, problems = database.connect(results / "newer")
    assert [problem.path for problem in problems] == [file]
    found = queries.beam_statistics(connection.cursor(), "demo")
    pd.testing.assert_frame_equal(found, expected["statistics"])


def test_the_same_tables_give_the_same_bytes_and_old_answers_are_not_read(results):
    folder = results / "newer" / "runs" / "demo"
    before = {table: (folder / f"{table}.parquet").read_bytes() for table in ANSWERS}
    other = tables.read_table(folder, "beam_statistics").slice(0, 1)
    tables.write_table(folder, "beam_statistics", other)
    _write(results / "newer")
    assert before == {table: (folder / f"{table}.parquet").read_bytes() for table in ANSWERS}


def test_a_comparison_of_two_sizes_is_the_same_from_both_sides(results):
    found = answers(results / "older")
    left, right = found["comparison (1, 5)"], found["comparison (5, 1)"]
    assert (left.difference == -right.difference).all() and (left.low == -right.high).all()
    assert (left.wins == right.losses).all() and (left.p_holm == right.p_holm).all()
    assert left.left.tolist() == right.right.tolist()


def test_a_run_of_one_size_stores_no_comparison(tmp_path):
    runs.imported_run(tmp_path)
    page_answers.write(RunInProgress("predictions", tmp_path, {}, ""))
    folder = tmp_path / "runs" / "predictions"
    rows = {table: tables.count_rows(folder, table) for table in ANSWERS}
    assert rows["beam_statistics"] == 1 and rows["beam_comparisons"] == rows["beam_choices"] == 0
