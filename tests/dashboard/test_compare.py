"""Compare: links to the changed images, complete lists, and any number of settings."""

import csv
import io
from urllib.parse import parse_qsl

import pytest

from dashboard.report import comparison, exports
from dashboard.report.comparison import Sides
from dashboard.state.record import runs_of
from engine.store import database, queries
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
    assert 'class="w-unmatched"' in shown and "appears only in this caption" in shown
