"""The comparison with other runs of a report: which runs enter, with which beam size, and what is not comparable."""

from dashboard.report import archive, other_runs
from engine.store import tables
from tests.support import runs


def source_of(results, name: str = "demo"):
    return archive.open_source(results, name)[0]


def images(folder) -> list[dict]:
    return tables.read_table(folder, "images").to_pylist()


def test_a_run_of_the_same_images_is_compared_at_the_best_beam_size_of_each(full_results):
    source = source_of(full_results)
    (chapter,) = other_runs.compared(source)
    table, figure = chapter.items
    best = source_of(full_results, "demo_cnn").setting()
    assert table.note.startswith(
        f"Left: run demo, beam size {source.setting()}. Right: run demo_cnn, beam size {best}."
    )
    assert table.shown.Metric.tolist()[0] == "CIDEr" and "Measured alike" not in table.shown
    assert (table.name, figure.name) == ("compared_demo_cnn", "outcomes_demo_cnn")
    line = chapter.lead.splitlines()[-1]
    assert line.startswith(r"- **demo\_cnn** (beam size ") and "12 shared images): CIDEr" in line
    assert line.endswith("p = 1.000: equal on every image.") and "Not comparable" not in line


def test_numbers_that_were_not_measured_alike_are_named(tmp_path):
    results = tmp_path / "results"
    theirs = {row["image_id"]: row["references"] for row in images(runs.captioner_run(results))}
    folder = runs.partial_run(results)
    rows = [{**row, "references": theirs.get(row["image_id"], ["A shape ."])} for row in images(folder)]
    tables.write_table(folder, "images", tables.table_of("images", rows))
    (chapter,) = other_runs.compared(source_of(results))
    assert "5 shared images" in chapter.lead and "**Not comparable**: CIDEr (n: 12 vs. 6)." in chapter.lead.replace(
        "\\", ""
    )


def test_ids_of_other_photos_and_imported_runs_of_other_images_are_not_compared(tmp_path):
    results = tmp_path / "results"
    runs.captioner_run(results)
    runs.strangers_run(results)
    runs.partial_run(results)  # the same ids, and references of its own
    runs.imported_run(results)
    assert other_runs.compared(source_of(results)) == []
    assert other_runs.compared(source_of(results, "predictions")) == []


def test_of_many_runs_some_are_compared_and_the_others_named(tmp_path, monkeypatch):
    monkeypatch.setattr(other_runs, "_MOST", 1)
    results = tmp_path / "results"
    for name in ("demo", "a_run", "b_run"):
        runs.captioner_run(results, name)
    (chapter,) = other_runs.compared(source_of(results))
    assert [item.name for item in chapter.items] == ["compared_a_run", "outcomes_a_run"]
    assert chapter.lead.splitlines()[-1].startswith(r"Not compared here: b\_run.")
