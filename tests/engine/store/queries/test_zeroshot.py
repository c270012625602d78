"""Templates and classes."""

import duckdb
import pytest

from engine.statistics import wilson_interval
from engine.store import database, queries, records
from engine.store import tables as store
from tests.support import runs


def test_accuracy_is_the_share_of_known_labels_with_its_wilson_interval(cursor):
    found = queries.zero_shot_accuracy(cursor, "demo")
    assert found.template.tolist() == runs.TEMPLATES
    assert found.accuracy.tolist() == pytest.approx([9 / 12, 8 / 12, 6 / 12])
    assert (found.low[0], found.high[0]) == pytest.approx(wilson_interval(9, 12))


def test_of_equal_templates_the_one_given_first_comes_first(tmp_path):
    results = tmp_path / "results"
    given = ["z {object}", "a {object}", "m {object}"]
    rows = [
        {"image_id": "1", "file_name": "1.png", "template": name, "label": "x", "predicted": "x", "correct": True}
        for name in sorted(given)
    ]
    for run, record in (("made", {"plan": {"templates": given}}), ("imported", {"templates": given}), ("old", {})):
        folder = records.run_folder(results, run)
        store.write_table(folder, "zero_shot", store.table_of("zero_shot", rows))
        records.write_record(folder, {"run": run, "kind": "zero_shot", **record})
    cursor = database.connect(results)[0].cursor()
    assert queries.zero_shot_accuracy(cursor, "made").template.tolist() == given
    assert queries.zero_shot_accuracy(cursor, "imported").template.tolist() == given
    assert queries.zero_shot_accuracy(cursor, "old").template.tolist() == sorted(given)


def test_zero_shot_cases_are_filtered_by_outcome_and_label(cursor):
    wrong = queries.zero_shot_cases(cursor, "demo", runs.TEMPLATES[2], "wrong")
    assert wrong.image_id.tolist() == [f"scene_{i:02d}" for i in range(6, 12)]
    some = queries.zero_shot_cases(cursor, "demo", runs.TEMPLATES[2], "wrong", "circle", limit=1)
    assert (some.label.tolist(), some.matching.tolist()) == (["circle"], [2])
    assert queries.zero_shot_labels(cursor, "demo").label.tolist() == ["circle", "square", "triangle"]
    with pytest.raises(ValueError, match="outcome is 'odd'"):
        queries.zero_shot_cases(cursor, "demo", runs.TEMPLATES[0], "odd")


def test_templates_are_compared_on_the_same_images(cursor):
    found = queries.zero_shot_comparison(cursor, "demo", runs.TEMPLATES[0], runs.TEMPLATES[2]).iloc[0]
    assert found[["images", "both", "only_left", "only_right", "neither"]].tolist() == [12, 6, 3, 0, 3]
    assert found.p == 0.25  # the exact tail: 2 * (1 / 2) ** 3
    changes = queries.zero_shot_changes(cursor, "demo", runs.TEMPLATES[0], runs.TEMPLATES[2])
    assert changes.change.tolist() == [1, 1, 1] and changes["left"].tolist() == [3, 3, 3]


def test_a_class_that_loses_comes_before_those_that_stay():
    rows = [("r", f"{label}{image}", label, template, right)
            for label, left, other in (("gains", 2, 1), ("loses", 0, 2), ("stays", 1, 1))
            for template, count in (("l", left), ("o", other))
            for image, right in enumerate([True] * count + [False] * (2 - count))]  # fmt: skip
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE zero_shot (run TEXT, image_id TEXT, label TEXT, template TEXT, correct BOOL)")
        connection.executemany("INSERT INTO zero_shot VALUES (?, ?, ?, ?, ?)", rows)
        found = queries.zero_shot_changes(connection, "r", "l", "o")
    assert found[["label", "change"]].values.tolist() == [["loses", -2], ["gains", 1], ["stays", 0]]


def test_the_confusion_matrix_counts_predictions_by_class(cursor):
    found = queries.zero_shot_confusion(cursor, "demo", runs.TEMPLATES[0])
    assert found.images.sum() == 12 and found.values.tolist()[0] == ["circle", "circle", 3]
    assert ["circle", "square", 1] in found.values.tolist()
