"""Any number of settings on the terminal: the numbers of the query, and messages if they cannot be compared."""

import json

import pytest

from engine.__main__ import main
from engine.cli import many
from engine.cli.compare import SettingError
from engine.store import database, queries, records
from tests.support import runs


@pytest.fixture
def results(tmp_path):
    runs.captioner_run(tmp_path / "results")
    runs.imported_run(tmp_path / "results")
    return tmp_path / "results"


def test_the_lines_have_the_numbers_of_the_query_best_first(results):
    lines = many.text(results, ["demo:1", "demo:3", "demo:5"]).splitlines()
    settings = [("demo", 1), ("demo", 3), ("demo", 5)]
    found = queries.many_settings(database.connect(results)[0].cursor(), settings, "cider")
    ranked = found.sort_values("value", ascending=False)
    assert lines[0] == "CIDEr of 3 settings on 12 images that all of them have"
    assert [line.split()[0] for line in lines[3:6]] == [f"demo:{size}" for size in ranked.beam_size]
    for line, row in zip(lines[3:6], ranked.itertuples(), strict=True):
        assert f"{row.value:.3f}" in line and f"{row.mean_rank:.2f}" in line
        assert line.endswith("reference") if row.is_reference else f"{row.p_holm:.3f}" in line


def test_another_metric_and_a_setting_that_is_not_comparable(results):
    text = many.text(results, ["demo:1", "demo:3", "predictions"], "rouge_l")
    assert text.startswith("ROUGE-L of 2 settings")
    assert "predictions is not comparable with the first setting: it has no image in common" in text


def test_settings_in_which_runs_differ_are_listed(results):
    assert "differs" not in many.text(results, ["demo:1", "demo:3", "demo:5"])
    folder = runs.captioner_run(results, "other")
    record = json.loads((folder / "run.json").read_text())
    record["captioner"]["heads"] = 8
    records.write_record(folder, record)
    text = many.text(results, ["demo:1", "demo:3", "other:3"])
    assert "differs: captioner: heads: demo 2, other 8" in text and text.count("differs") == 1


@pytest.mark.parametrize(
    ("named", "metric", "message"),
    [
        (["demo:1", "demo:3", "nobody"], None, "run 'nobody' has no captions"),
        (["demo:1", "demo:3", "demo:5"], "drop", "metric 'drop' has no scores, expected one of: cider"),
        (["demo:1", "demo:1", "predictions"], None, "nothing to compare by CIDEr: predictions is not comparable"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(results, named, metric, message):
    with pytest.raises(SettingError, match=message):
        many.text(results, named, metric)


def test_the_command_takes_any_number_of_settings(results, capsys):
    assert main(["compare", "demo:1", "demo:3", "demo:5", "--results", str(results)]) == 0
    assert "CIDEr of 3 settings" in capsys.readouterr().out
    assert main(["compare", "demo:1", "demo:3", "--metric", "cider", "--results", str(results)]) != 0
    assert "--metric chooses the metric of more than two settings" in capsys.readouterr().err
