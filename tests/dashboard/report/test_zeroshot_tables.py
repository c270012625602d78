"""Zero-shot tables: published accuracies next to ours, p-values of several prompts, confused classes."""

from types import SimpleNamespace

import pandas as pd
import pytest

from dashboard.report import zeroshot_tables
from engine import statistics


def test_published_accuracies_are_columns_next_to_ours_one_per_source():
    ours = pd.DataFrame({"template": ["a {object}", "b {object}"], "accuracy": [0.5, 0.25], "right": 2, "known": 4})
    ours = ours.assign(low=0.1, high=0.9)
    theirs = pd.DataFrame(
        [("a {object}", "L", 100, 0.6736, "report"), ("b {object}", "L", 100, 0.7, "report")]
        + [("a {object}", "B", 50, 0.6084, "files"), ("other {object}", "C", 50, 0.1, "files")],
        columns=["template", "model", "images", "accuracy", "source"],
    )
    table = zeroshot_tables.accuracy(ours, theirs, "small")
    assert table.shown["Published, L"].tolist() == ["67.36 %", "70.00 %"]
    assert table.shown["Published, B"].tolist() == ["60.84 %", "–"] and "Published, C" not in table.shown
    assert "Published, L: report, 100 images" in table.note.splitlines()


def test_of_several_prompts_against_the_best_p_values_are_adjusted():
    counts = {"images": 10, "both": 5, "only_left": [5, 3], "only_right": [0, 1], "p": [0.01, 0.04]}
    counts["p_reachable"] = [0.03, 0.04]
    found = pd.DataFrame(counts).assign(left="best", right=["b", "c"])
    shown = zeroshot_tables.paired_tests(found, "").shown
    assert shown["p (exact McNemar)"].tolist() == ["0.010", "0.040"] and shown["p Holm"].tolist() == ["0.020", "0.040"]
    assert "p Holm" not in zeroshot_tables.paired_tests(found.head(1), "").shown
    assert shown.Result.tolist() == ["too few images differ to tell"] * 2
    assert zeroshot_tables.paired_tests(found.head(1), "").shown.Result.tolist() == ["left is better"]


@pytest.mark.parametrize(
    ("left", "right", "images", "said"),
    [
        (5, 0, 5, "too few images to tell"),
        (5, 0, 100, "too few images differ to tell"),
        (6, 0, 100, "left is better"),
        (0, 6, 6, "right is better"),
        (6, 4, 100, "not significant"),
        (0, 0, 100, "equal on every image"),
    ],
)
def test_a_result_is_named_only_where_one_was_possible(left, right, images, said):
    p = statistics.mcnemar([True] * left + [False] * right, [False] * left + [True] * right)
    row = SimpleNamespace(only_left=left, only_right=right, images=images)
    assert zeroshot_tables.outcome(row, p, statistics.smallest_p(left + right)) == said


def test_only_wrong_predictions_are_confusions_as_shares_of_their_class():
    found = pd.DataFrame({"label": ["a", "a", "b"], "predicted": ["a", "b", "b"], "images": [3, 1, 2]})
    assert zeroshot_tables.confusions(found, "").shown.values.tolist() == [["a", "b", 1, "25.0 %"]]
