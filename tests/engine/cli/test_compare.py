"""Two settings on the terminal: the numbers of the query, and messages if they cannot be compared."""

import pyarrow.compute as pc
import pytest

from engine.cli import compare
from engine.cli.compare import SettingError
from engine.store import database, queries, records, tables
from engine.store.schema import METRICS, MetricDefinition
from tests.support import runs


@pytest.fixture
def results(tmp_path):
    runs.captioner_run(tmp_path / "results")
    runs.imported_run(tmp_path / "results")
    return tmp_path / "results"


def test_the_table_shows_the_numbers_of_the_query(results):
    text = compare.text(results, "demo:3", "demo:1")
    connection, _ = database.connect(results)
    for row in queries.comparison(connection.cursor(), "demo", 3, "demo", 1).itertuples():
        line = next(line for line in text.splitlines() if line.startswith(f"{compare.METRICS[row.metric].title} "))
        assert f"{row.difference:+.3f}" in line and f"{row.p_holm:.3f}" in line
    assert text.startswith("demo:3 and demo:1 on 12 shared images")


def test_means_instead_of_corpus_values_are_named(results):
    note = "BLEU-1, BLEU-2, BLEU-3, BLEU-4: means of per-image values, because the counts "
    assert note in compare.text(results, "demo:3", "demo:1")  # whose runs kept none
    folder = records.run_folder(results, "demo")
    scores = tables.read_table(folder, "scores").to_pylist()
    metrics = [name for name in runs.METRICS if name in scores[0]]
    rows = [{**row, "bleu_counts": [9, 9, 9, 8, 7, 6, 5, 4, 3, 2]} for row in scores]
    tables.write_table(folder, "scores", tables.table_of("scores", rows, metrics))
    assert "means of per-image values" not in compare.text(results, "demo:3", "demo:1")


def test_a_registered_pooled_metric_has_no_counts_and_wins_by_its_direction(results, monkeypatch):
    monkeypatch.setitem(
        METRICS, "ter", MetricDefinition("ter", "TER", "0 to 1", "pooled", "edits", higher_is_better=False)
    )
    folder = records.run_folder(results, "demo")
    scores = tables.read_table(folder, "scores").to_pylist()
    rows = [{**row, "ter": 0.1 * row["beam_size"]} for row in scores]
    tables.write_table(folder, "scores", tables.table_of("scores", rows, [*runs.METRICS, "ter"]))
    text = compare.text(results, "demo:3", "demo:1")
    line = next(line for line in text.splitlines() if line.startswith("TER "))
    assert "+0.200" in line and line.split()[-3:] == ["0", "0", "12"]
    assert "BLEU-4, TER: means of per-image values" in text


def test_a_run_without_a_beam_size_is_its_best(results):
    connection, _ = database.connect(results)
    best = queries.best_scores(connection.cursor()).query("run == 'demo' and metric == 'cider'").beam_size.iloc[0]
    assert compare.text(results, "demo", "demo:1").startswith(f"demo:{best} and demo:1")


def test_one_shared_image_has_no_interval(results):
    folder = records.run_folder(results, "one")
    for table in ("images", "captions", "scores"):
        rows = tables.read_table(records.run_folder(results, "demo"), table)
        tables.write_table(folder, table, rows.filter(pc.equal(rows["image_id"], "scene_00")))
    records.write_record(folder, {"run": "one"})
    text = compare.text(results, "one:3", "demo:1")
    assert "on 1 shared images" in text and "nan" not in text


@pytest.mark.parametrize(
    ("left", "message"),
    [
        ("nobody:3", "run 'nobody' has no captions in the results, expected one of: demo, predictions"),
        ("demo:2", "run 'demo' has no beam size '2', expected one of 1, 3, 5"),
        ("demo:x", "no beam size 'x'"),
        ("predictions", "have no captioned image in common"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(results, left, message):
    with pytest.raises(SettingError, match=message):
        compare.text(results, left, "demo:1")


def test_differences_in_the_measurement_are_named(results):
    folder = records.run_folder(results, "other")
    for table in ("images", "captions", "scores"):
        tables.write_table(folder, table, tables.read_table(records.run_folder(results, "demo"), table))
    corpus = tables.read_table(records.run_folder(results, "demo"), "corpus_scores").to_pylist()
    rows = [{**row, "signature": f"{row['metric']}|tok:other|refs:9"} for row in corpus]
    tables.write_table(folder, "corpus_scores", tables.table_of("corpus_scores", rows))
    records.write_record(folder, {"run": "other"})
    text = compare.text(results, "demo:3", "other:3")
    assert "measured or decoded differently: tokeniser: " in text and " vs. other (" in text


def test_equal_ids_without_a_common_reference_are_reported(results):
    folder = runs.strangers_run(results)
    assert "12 of them have no reference in common: different photos with the same ids?" in compare.text(
        results, "demo:3", f"{folder.name}:3"
    )
    assert "no reference in common" not in compare.text(results, "demo:3", "demo:1")


def test_a_damaged_or_unfinished_run_is_named(results):
    folder = records.run_folder(results, "demo")
    (folder / "captions.parquet").write_bytes(b"PAR1")
    with pytest.raises(SettingError, match=r"no captions in the results \(not a whole Parquet file .*run the command"):
        compare.text(results, "demo:3", "predictions")
    records.drop_record(folder)
    with pytest.raises(
        SettingError, match=r"no captions in the results \(run 'demo' is unfinished; .*expected one of: p"
    ):
        compare.text(results, "demo:3", "predictions")
