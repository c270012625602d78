"""Compare: links to the changed images, complete lists, and any number of settings."""

import csv
import io
import json
from urllib.parse import parse_qsl

import pytest

from dashboard.report import comparison, exports, many_runs
from dashboard.report.comparison import Sides
from dashboard.report.many_runs import Setting
from dashboard.state.record import runs_of
from engine.store import database, queries, records
from tests.dashboard.test_dashboard import cards, open_view, sent, words  # noqa: F401
from tests.support import runs

# ruff: noqa: F811 - the fixture is imported

SIDES = ("demo", 3, "demo", 1)


def htmls(app) -> str:
    return "\n".join(element.proto.body for element in app.main if element.type == "html")


@pytest.mark.parametrize("name", ["gains", "losses"])
def test_the_link_opens_exactly_the_listed_images(open_view, full_results, name):
    chosen = {"run": "demo", "left_beam": 3, "right": "demo", "right_beam": 1, "contrast": "cider"}
    page = open_view("compare", **chosen)
    found = [each.proto for each in page.main if each.type == "page_link" and f"%3A{name}" in each.proto.query_string]
    assert len(found) == 1
    connection, _ = database.connect(full_results)
    expected = queries.all_paired_cases(connection.cursor(), *SIDES, "cider", name == "gains")
    assert f"Open these {len(expected)} image" in found[0].label
    failures = open_view("failures", **dict(parse_qsl(found[0].query_string)))
    assert set(cards(failures, "gallery")) == set(expected.image_id)
    than = "better" if name == "gains" else "worse"
    assert f"{than} than demo, beam size 1 (greedy), by CIDEr" in words(failures).replace("\\", "")
    next(button for button in failures.button if button.label == "Clear").click().run()
    assert len(cards(failures, "gallery")) == 12 and "versus" not in failures.query_params


@pytest.mark.parametrize(
    "named", ["nobody:1:cider:gains", "demo:2:cider:gains", "demo:1:drop:gains", "demo:1:cider:both", "x", "::::"]
)
def test_an_unknown_comparison_in_the_address_is_named_and_shows_all_cases(open_view, named):
    app = open_view("failures", run="demo", beam=3, versus=named)
    assert len(cards(app, "gallery")) == 12
    assert "Comparison with another setting" in words(app)


def test_the_complete_list_has_every_changed_image(full_results):
    connection, _ = database.connect(full_results)
    cursor = connection.cursor()
    run = next(each for each in runs_of(queries.runs(cursor)) if each.name == "demo")
    rows = queries.all_paired_cases(cursor, *SIDES, "cider", True)
    written = exports.table(comparison.complete(Sides(run, 3, run, 1), "cider", "gains", rows), "csv")
    text = written.decode() if isinstance(written, bytes) else written
    lines = [line for line in csv.reader(io.StringIO(text.lstrip("\ufeff"))) if line and not line[0].startswith("#")]
    assert [line[0] for line in lines[1:]] == list(rows.image_id)


def test_both_captions_have_their_differences_marked(open_view, tmp_path):
    runs.captioner_run(tmp_path)
    app = open_view("compare", tmp_path, run="demo", left_beam=3, right_beam=1, image="scene_03")
    shown = htmls(app)
    assert "Left (beam size 3)" in shown and "Right (beam size 1 (greedy))" in shown
    assert 'class="w-unmatched"' in shown and "does not have this word at this place" in shown


def tables_of(app) -> list:
    return [each.value for each in app.table]


def test_any_number_of_settings_are_in_one_table_with_the_numbers_of_the_query(open_view, full_results):
    app = open_view("compare", run="demo", mode="many", settings="demo%3A5,demo%3A3,demo%3A1", contrast="cider")
    cursor = database.connect(full_results)[0].cursor()
    found = queries.many_settings(cursor, tuple(("demo", beam) for beam in (1, 3, 5)), "cider")
    shown = tables_of(app)[0]
    ranked = found.sort_values("value", ascending=False)
    assert [name.split("beam size ")[1][0] for name in shown.index] == [str(size) for size in ranked.beam_size]
    assert [text.replace("\\", "") for text in shown["Mean rank"]] == [f"{rank:.2f}" for rank in ranked.mean_rank]
    assert shown["Result"].iloc[0] == "reference"
    assert set(shown["Differs in"].iloc[1:]) == {"beam size"}
    assert "3 comparable settings on the **12 images** that all of them have" in words(app)
    against = open_view("compare", run="demo", mode="many", settings="demo%3A3,demo%3A1", against="demo:1")
    results = {name.split("beam size ")[1][0]: each for name, each in tables_of(against)[0]["Result"].items()}
    assert results["1"] == "reference"


def test_the_default_is_the_best_setting_of_every_run_with_shared_images(open_view):
    app = open_view("compare", run="demo", mode="many")
    assert app.multiselect(key="widget_settings").value == ["demo:5", "demo_cnn:5"]
    app.multiselect(key="widget_settings").set_value(["demo:1"]).run()
    assert "1 comparable setting on the" in words(app) and not app.exception


def test_settings_that_are_not_comparable_are_named_and_not_computed(open_view, tmp_path):
    runs.captioner_run(tmp_path)
    runs.partial_run(tmp_path)
    app = open_view("compare", tmp_path, run="demo", mode="many")
    warning = "\n".join(each.value for each in app.warning)
    assert "so not computed" in warning and "5 shared images have no common reference" in warning.replace("\\", "")
    shown = tables_of(app)[0]
    assert shown["Mean rank"].iloc[1] == "–" and shown["Result"].iloc[1].startswith("not comparable")
    assert "Without partial" in words(app)


def test_settings_that_differ_are_marked_and_equal_ones_are_folded(open_view, tmp_path):
    runs.captioner_run(tmp_path)
    folder = runs.captioner_run(tmp_path, "other")
    record = json.loads((folder / "run.json").read_text())
    record["captioner"]["encoder"] = "vit_*large*"
    records.write_record(folder, record)
    app = open_view("compare", tmp_path, run="demo", mode="many", equal="1")
    shown = tables_of(app)[1]
    assert list(shown.index) == ["captioner\\: encoder"]
    assert [text.replace("\\", "") for text in shown.iloc[0]] == ["vit_tiny", "vit_*large*"]
    equal = next(each.value for each in app.dataframe if "Value" in each.value)
    assert "captioner: heads" in set(equal["Setting"]) and "captioner: encoder" not in set(equal["Setting"])


def test_what_the_page_shows_of_many_settings_is_exported(full_results):
    cursor = database.connect(full_results)[0].cursor()
    by_name = {each.name: each for each in runs_of(queries.runs(cursor))}
    settings = [Setting(by_name[name], beam) for name in ("demo", "demo_cnn") for beam in (1, 3)]
    found = queries.many_settings(cursor, [each.pair for each in settings], "cider")
    items = many_runs.items(lambda function, *arguments: function(cursor, *arguments), settings, found, "cider")
    assert [item.name for item in items] == ["settings_cider", "settings", "cider_by_run"]
    drawn = items[-1].draw()
    named = [trace for trace in drawn.data if trace.name]
    assert [trace.name for trace in named] == ["demo", "demo_cnn"] and list(named[0].x) == [1, 3, 5]
    for item in items[:2]:
        assert all(exports.table(item, kind) for kind in exports.TABLES)
