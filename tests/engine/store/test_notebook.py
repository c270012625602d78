"""A run in a notebook: its tables as DataFrames, only its own rows, and sentences for names that do not exist."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from engine import load
from engine.store import database
from engine.store.errors import ResultsError
from tests.conftest import ROOT
from tests.support import runs
from tests.test_readme import blocks


@pytest.fixture
def demo(full_results):
    return load(full_results, "demo")


def test_the_examples_of_the_architecture_document_run(full_results, monkeypatch, capsys):
    monkeypatch.chdir(full_results.parent)
    found: dict[str, Any] = {}
    for example in blocks(ROOT / "docs" / "architecture.md", "python"):
        if "load(" in example:
            exec(example, found)
    assert len(found["worst"]) == 10 and found["worst"].cider.is_monotonic_increasing and "caption" in found["worst"]
    assert found["means"].beam_size.tolist() == runs.BEAMS and found["frequent"].sum() == len(found["run"].tags)
    assert "run demo: captioner in " in capsys.readouterr().out


def test_tables_hold_the_rows_of_this_run_only(demo, full_results):
    connection, _ = database.connect(full_results)
    for table in ("images", "captions", "scores", "attention"):
        expected = connection.execute(f"SELECT count(*) FROM {table} WHERE run = 'demo'").fetchone()[0]
        assert (
            len(getattr(demo, table))
            == len(demo.sql(f"SELECT image_id FROM {table}"))
            == expected
            == demo.tables[table]
        )
    assert "run" not in demo.scores and demo.scores is demo.scores


def test_metrics_without_values_have_no_column(demo):
    assert demo.metrics == runs.METRICS
    assert "meteor" not in demo.scores and demo.scores.cider.notna().any()


def test_tags_are_one_row_each(demo):
    expected = [tag["tag"] for tags in demo.scores.tags for tag in tags]
    assert sorted(demo.tags.tag) == sorted(expected) and list(demo.tags) == ["image_id", "beam_size", "tag", "evidence"]


def test_the_repr_and_completion_name_what_there_is(demo):
    shown = repr(demo)
    assert shown.startswith("run demo: captioner in ") and ".captions" in shown and "36 rows" in shown
    assert "metrics: cider, bleu_1" in shown and ".words" not in shown
    assert {"captions", "scores", "sql", "tags"} <= set(dir(demo))
    assert demo.record["run"] == "demo"


def test_what_does_not_exist_is_one_sentence(demo, full_results):
    with pytest.raises(AttributeError, match="run 'demo' has no table 'colours', expected one of .*captions"):
        _ = demo.colours
    assert not hasattr(demo, "_repr_png_")
    for query, sentence in {
        "SELECT nothing FROM scores": "nothing",
        "COPY scores TO 'x.csv'": "may write files",
        "SELECT 1; SELECT 2": "the query has 2 statements, expected one",
    }.items():
        with pytest.raises(ResultsError, match=sentence):
            demo.sql(query)
    with pytest.raises(
        ResultsError, match="run 'nobody' does not exist or is not finished, expected one of: demo, demo_cnn"
    ):
        load(full_results, "nobody")
    with pytest.raises(ResultsError, match="run 'stopped' does not exist or is not finished .*is unfinished"):
        load(full_results, "stopped")
    with pytest.raises(ResultsError, match="no run was named, expected one of: demo"):
        load(full_results)


def test_a_single_run_needs_no_name(tmp_path):
    runs.partial_run(tmp_path / "results")
    run = load(str(tmp_path / "results"))
    assert run.name == "partial" and isinstance(run.images, pd.DataFrame) and len(run.captions) == 6


def test_a_damaged_table_is_named(tmp_path):
    folder = runs.captioner_run(tmp_path / "results")
    runs.corrupt_table(folder, "attention")
    run = load(tmp_path / "results")
    assert "left out: attention.parquet" in repr(run) and len(run.captions) == 36


def test_loading_needs_no_torch(full_results):
    used = f"load({str(full_results)!r}, 'demo').scores"
    code = f"import sys; from engine import load; {used}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(ROOT), check=False).returncode == 0
