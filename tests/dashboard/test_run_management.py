"""Runs are renamed, annotated, hidden and deleted on Overview, and every action is undone, also after a reload."""

import pytest

from dashboard.annotations import run_labels
from engine.store import remote
from tests.dashboard.test_dashboard import open_view, words  # noqa: F401
from tests.support import runs

# ruff: noqa: F811 - the fixture is imported


@pytest.fixture
def results(tmp_path):
    runs.captioner_run(tmp_path / "results")
    runs.imported_run(tmp_path / "results")
    return tmp_path / "results"


def opened(open_view, results, **chosen):
    return open_view("overview", results, **({"run": "demo", "manage": "1"} | chosen))


def button(app, label: str):
    return next(each for each in app.button if each.label.startswith(label))


def listed(app) -> list[str]:
    return app.sidebar.selectbox[0].options


def test_a_title_and_a_note_are_shown_and_the_record_stays(open_view, results):
    record = (results / "runs" / "demo" / "run.json").read_bytes()
    app = opened(open_view, results)
    next(each for each in app.text_input if each.label == "Title").set_value("Base <b>model</b>")
    next(each for each in app.text_area if each.label == "Note").set_value("first *try*")
    button(app, "Save title").click().run()
    assert not app.exception and "Saved title and note of demo" in app.success[0].value
    shown = words(app)
    assert r"### Base \<b\>model\<\/b\>" in shown and r"first \*try\*" in shown and "run demo" in shown
    assert listed(app) == ["Base <b>model</b>", "predictions"]
    again = opened(open_view, results)
    assert listed(again) == ["Base <b>model</b>", "predictions"]
    table = next(each.value for each in again.dataframe if "Run" in each.value)
    assert "Base <b>model</b>" in set(table["Run"]) and "demo" not in set(table["Run"])
    assert (results / "runs" / "demo" / "run.json").read_bytes() == record
    for _ in range(2):
        button(again, "Undo").click().run()
    assert listed(again) == ["demo", "predictions"] and "first" not in words(again)


def test_a_hidden_run_leaves_the_lists_until_hidden_runs_are_shown(open_view, results):
    app = opened(open_view, results, managed="predictions")
    button(app, "Hide from lists").click().run()
    assert listed(app) == ["demo"] and "### predictions" not in words(app)
    assert listed(opened(open_view, results, hidden="1")) == ["demo", "predictions"]
    linked = opened(open_view, results, run="predictions")
    assert listed(linked) == ["demo", "predictions"] and "hidden from lists" in words(linked)
    button(opened(open_view, results), "Undo: hide predictions").click().run()
    assert listed(opened(open_view, results)) == ["demo", "predictions"]


def test_if_every_run_is_hidden_the_lists_show_all(open_view, results):
    for name in ("demo", "predictions"):
        run_labels.hide(results, name, True)
    assert listed(open_view("overview", results)) == ["demo", "predictions"]


def test_deleting_asks_once_and_undo_works_after_a_reload(open_view, results):
    app = opened(open_view, results)
    button(app, "Delete ...").click().run()
    assert (results / "runs" / "demo").is_dir()
    assert any(r"\.trash" in each.value and "Delete run **demo**?" in each.value for each in app.warning)
    button(app, "Cancel").click().run()
    assert not any(each.label == "Delete demo" for each in app.button)
    button(app, "Delete ...").click().run()
    button(app, "Delete demo").click().run()
    assert not (results / "runs" / "demo").exists() and not app.exception
    assert listed(app) == ["predictions"] and "Deleted run demo" in app.success[0].value
    again = opened(open_view, results, run="predictions")
    button(again, "Undo: delete demo").click().run()
    assert listed(again) == ["demo", "predictions"] and (results / "runs" / "demo" / "run.json").is_file()


def test_the_last_run_comes_back_from_the_page_of_an_empty_folder(open_view, tmp_path):
    runs.captioner_run(tmp_path)
    run_labels.delete(tmp_path, "demo")
    app = open_view("overview", tmp_path)
    assert app.title[0].value == "Welcome to CaptionScope"
    button(app, "Undo: delete demo").click().run()
    assert app.title[0].value == "Overview" and listed(app) == ["demo"]


def test_what_cannot_be_done_is_one_sentence(open_view, results, monkeypatch):
    app = opened(open_view, results)
    next(each for each in app.text_input if each.label == "Title").set_value("predictions")
    button(app, "Save title").click().run()
    assert "another run is called" in app.error[0].value and "choose another title" in app.error[0].value
    monkeypatch.setattr(remote, "of", lambda results: remote.Remote("s3://bucket/runs", results))
    monkeypatch.setattr(remote.Remote, "pull", lambda self: [])
    mirror = opened(open_view, results)
    assert "in the mirror on this machine only" in words(mirror)
    button(mirror, "Delete ...").click().run()
    button(mirror, "Delete demo").click().run()
    assert "delete it at that address" in mirror.error[0].value and (results / "runs" / "demo").is_dir()


def test_a_broken_file_of_titles_is_named_and_the_page_still_opens(open_view, results):
    run_labels.path(results).write_text("[")
    app = opened(open_view, results)
    assert "not JSON" in app.error[0].value and listed(app) == ["demo", "predictions"]


def test_compare_names_the_title_and_leaves_out_hidden_runs(open_view, results):
    runs.captioner_run(results, "other")
    run_labels.rename(results, "other", "Better model", ["demo"])
    app = open_view("compare", results, run="demo", mode="many")
    assert "Better model, beam size 5" in app.multiselect(key="widget_settings").options
    run_labels.hide(results, "other", True)
    app = open_view("compare", results, run="demo", mode="many")
    assert app.multiselect(key="widget_settings").value == ["demo:5"]
