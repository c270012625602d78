"""Every view, run by Streamlit without a browser: with a captioner run, an imported one, and with nothing."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.annotations import bookmarks, verdicts
from dashboard.figures import grounding
from dashboard.items import Table
from dashboard.report import command as report_command
from dashboard.report import exports
from dashboard.state import choices
from dashboard.state.data import RESULTS_VARIABLE
from dashboard.text import formatting
from dashboard.widgets import score_filters
from engine.store import records, tables
from engine.store.schema import ATTENTION_PASSES, TAGS
from tests.conftest import ROOT
from tests.support import hallucinating, runs

APP = ROOT / "dashboard" / "page.py"
VIEWS = {
    "overview": "Overview",
    "failures": "Failures",
    "beams": "Beams",
    "attention": "Attention",
    "zeroshot": "Zero-shot",
    "compare": "Compare",
    "export": "Export",
}


@pytest.fixture
def open_view(monkeypatch, full_results):
    """Opens a view with URL parameters, over `full_results` or another folder."""

    def opened(view: str, results: Path = full_results, **parameters: Any) -> AppTest:
        monkeypatch.setenv(RESULTS_VARIABLE, str(results))
        app = AppTest.from_file(str(APP), default_timeout=20)
        for key, value in parameters.items():
            app.query_params[key] = str(value)
        app.run()
        if view != "overview":
            app.switch_page(f"views/{view}.py").run()
        assert not app.exception, app.exception
        return app

    return opened


def words(app: AppTest) -> str:
    """All text that Streamlit itself shows on the page."""
    kinds = (app.title, app.header, app.subheader, app.markdown, app.caption, app.code, app.info, app.warning)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def links(app: AppTest, view: str) -> list[str]:
    """The labels of the links to a view on the page."""
    found = [element.proto for element in app.main if element.type == "page_link"]
    return [proto.label for proto in found if proto.page.endswith(view)]


def sent(app: AppTest, key: str) -> dict[str, Any]:
    """The data that a component with `key` (or one beginning so) was given."""
    for element in app.main:
        proto = getattr(element, "proto", None)
        if getattr(element, "key", None) == key and hasattr(proto, "bidi_component"):
            return json.loads(proto.bidi_component.json)
        if hasattr(proto, "json") and getattr(element, "key", None) == key:
            return json.loads(proto.json)
    raise AssertionError(f"no component {key!r}")


def cards(app: AppTest, key: str) -> list[str]:
    return [card["id"] for card in sent(app, key)["cards"]]


@pytest.mark.parametrize("run", ["demo", "demo_cnn", "predictions"])
@pytest.mark.parametrize("view", VIEWS)
def test_every_view_opens_for_every_kind_of_run(open_view, view, run):
    app = open_view(view, run=run)
    assert app.title[0].value == VIEWS[view]
    assert app.query_params["run"] == run or app.query_params["run"] == [run]


@pytest.mark.parametrize("view", VIEWS)
def test_an_empty_folder_welcomes_and_names_the_command(open_view, view, empty_results):
    app = open_view("overview", empty_results)
    assert app.title[0].value == "Welcome to CaptionScope"
    assert "make evaluate" in words(app)


@pytest.mark.parametrize(
    ("view", "command"),
    [("attention", "engine evaluate"), ("zeroshot", "engine zeroshot"), ("beams", "--beams 1 3 5")],
)
def test_a_view_without_data_names_the_command_that_computes_it(open_view, view, command):
    assert command in words(open_view(view, run="predictions"))


def test_overview_shows_the_best_beam_size_with_its_interval_and_what_failed(open_view):
    app = open_view("overview", run="demo")
    shown = words(app)
    assert [metric.label for metric in app.metric][:2] == ["CIDEr", "CLIPScore"]
    assert "95 %:" in shown and "beam size" in shown
    assert "1 photo of this run could not be used" in shown
    assert "unfinished" in shown and "stopped" in shown


def test_a_metric_of_some_images_names_their_number(open_view, tmp_path):
    results = tmp_path / "results"
    folder = runs.imported_run(results)
    corpus = tables.read_table(folder, "corpus_scores").to_pylist()
    fewer = [row | {"images": 2 if row["metric"] == "rouge_l" else row["images"]} for row in corpus]
    tables.write_table(folder, "corpus_scores", tables.table_of("corpus_scores", fewer))
    aside = [{"image_id": f"flickr_{i}", "file_name": f"flickr_{i}.jpg", "reason": "gone"} for i in range(3)]
    tables.write_table(folder, "skipped", tables.table_of("skipped", aside))
    shown = words(open_view("overview", results))
    assert "ROUGE-L: computed for 2 of 5 images." in shown and "CIDEr: computed" not in shown
    assert "3 photos of this run could not be used for CLIPScore; metrics with references include their" in shown
    assert "ROUGE-L: computed for 2 of 5 images" in words(open_view("beams", results))


def test_what_the_reader_of_the_data_left_out_is_shown(open_view, tmp_path):
    results = tmp_path / "results"
    folder = runs.imported_run(results)
    record = json.loads((folder / "run.json").read_text())
    record["data"]["remarks"] = ["3 of 40 references are marked is_rejected and are not used", 7]
    records.write_record(folder, record)
    shown = words(open_view("overview", results))
    assert "Data that is not used" in shown
    assert "3 of 40 references are marked is\\_rejected and are not used" in shown
    record["data"]["remarks"] = "none"
    records.write_record(folder, record)
    assert "Data that is not used" not in words(open_view("overview", results))


def test_defects_of_the_data_are_shown_first(open_view, tmp_path):
    results = tmp_path / "results"
    folder = runs.imported_run(results)
    record = json.loads((folder / "run.json").read_text())
    record["findings"] = [{"title": "3 *ids* are shifted", "remedy": "pair them"}, {"title": 7, "remedy": "x"}, "y"]
    records.write_record(folder, record)
    app = open_view("overview", results)
    assert [each.value for each in app.warning] == ["3 \\*ids\\* are shifted.  \nPair them."]
    record["findings"] = "none"
    records.write_record(folder, record)
    assert not open_view("overview", results).warning


def test_every_view_with_a_clipscore_names_the_demo_clip(open_view):
    for view in ("overview", "failures", "beams"):
        assert "not comparable to the CLIPScore of ViT-B/32" in words(open_view(view, run="demo"))
    assert "demo CLIP" not in words(open_view("failures", run="predictions"))


def test_the_best_and_worst_pairs_are_in_order(open_view):
    app = open_view("failures", run="demo", show="pairs")
    assert [card["badge"] for name in ("highest", "lowest") for card in sent(app, f"pairs_{name}")["cards"]] == [
        "12",
        "1",
    ]
    app = open_view("failures", run="demo", show="pairs", k=3)
    best, worst = sent(app, "pairs_highest")["cards"], sent(app, "pairs_lowest")["cards"]
    assert [card["badge"] for card in best] == ["12", "11", "10"]
    assert [card["badge"] for card in worst] == ["1", "2", "3"]
    assert sent(app, "pairs_lowest")["chosen"] == worst[0]["id"]
    assert best[0]["photo"].startswith("data:image/jpeg")


def test_best_and_worst_are_those_by_the_metric_and_from_the_end_that_were_chosen(open_view):
    app = open_view("failures", run="demo", sort="cider", order="desc", show="pairs")
    assert "**Highest CIDEr**" in words(app) and "**Lowest CIDEr**" in words(app)
    order = cards(open_view("failures", run="demo", sort="cider", order="desc", show="gallery"), "gallery")
    assert cards(app, "pairs_highest") == [order[0]] and cards(app, "pairs_lowest") == [order[-1]]
    assert sent(app, "pairs_highest")["chosen"] == order[0] and "1 of 12" in words(app)


@pytest.mark.parametrize("k", [1, 3])
def test_a_case_that_is_the_best_and_the_worst_is_shown_once(open_view, k):
    app = open_view("failures", run="demo", text="script", k=k, show="pairs")
    assert cards(app, "pairs_highest") == [runs.SCRIPT_IMAGE] and "**The only case**" in words(app)
    with pytest.raises(AssertionError, match="no component"):
        sent(app, "pairs_lowest")


def test_another_list_begins_at_its_first_page(open_view):
    long = {"run": "demo", "show": "gallery", "page": 3, "zero_page": 2}

    def pages(app: AppTest) -> list[str]:
        return [key for key in ("page", "zero_page") if key in app.query_params]

    def chosen(label: str, value: Any) -> list[str]:
        app = open_view("failures", **long)
        assert pages(app) == ["page", "zero_page"]
        next(each for each in (*app.selectbox, *app.text_input) if each.label == label).set_value(value).run()
        return pages(app)

    for label, value in (("Condition", "dark"), ("Words in caption or reference", "a"), ("Sort by", "cider")):
        assert chosen(label, value) == ["zero_page"]
    assert chosen("Beam size", 3) == ["zero_page"]
    assert chosen("Run", "demo_cnn") == []
    app = open_view("failures", **long, in_cider="0:1")
    next(button for button in app.button if button.label == "Next").click().run()
    assert pages(app) == ["page", "zero_page"]  # another case of the same list
    next(button for button in app.button if button.label == "Clear all filters").click().run()
    assert pages(app) == ["zero_page"]
    assert pages(open_view("failures", show="gallery", page=3)) == ["page"]  # a link that names no run
    app = open_view("zeroshot", **long)
    next(each for each in app.selectbox if each.label == "True label").set_value("circle").run()
    assert pages(app) == ["page"]


def test_a_card_marks_an_empty_caption(open_view, tmp_path):
    results = tmp_path / "results"
    folder = runs.captioner_run(results)
    rows = tables.read_table(folder, "captions").to_pylist()
    for row in rows:
        row["caption"] = "" if row["beam_size"] == 1 else row["caption"]
    tables.write_table(folder, "captions", tables.table_of("captions", rows))
    app = open_view("failures", results, run="demo", beam=1, show="gallery")
    assert {card["title"] for card in sent(app, "gallery")["cards"]} == {"(an empty caption)"}
    app = open_view("compare", results, run="demo", left_beam=1, right_beam=3, contrast="clipscore")
    assert all(card["title"].endswith(": (an empty caption)") for card in sent(app, "compare_gains")["cards"])


def test_the_address_restores_sort_order_filter_and_case(open_view):
    lowest = cards(open_view("failures", run="demo", show="gallery", sort="cider"), "gallery")
    highest = cards(open_view("failures", run="demo", show="gallery", sort="cider", order="desc"), "gallery")
    assert highest == lowest[::-1]
    some = open_view("failures", run="demo", show="gallery", sort="cider", in_clipscore="0.3:0.5", image=lowest[3])
    assert 0 < len(cards(some, "gallery")) < 12
    assert "of 12 cases match the filters" in words(some)
    assert lowest[3].replace("_", r"\_") in words(some)


def test_nonsense_in_the_address_falls_back_to_the_defaults(open_view):
    app = open_view(
        "failures", run="nobody", beam="x", sort="drop", order="up", show="?", in_cider="b:a", image="../x", k="many"
    )
    assert app.title[0].value == "Failures"
    assert len(cards(app, "gallery")) == 12
    open_view("attention", run="demo", word="99", layer="-1", head="x", opacity="1e9", image="nobody")
    open_view("zeroshot", run="demo", template="none", outcome="odd", label="odd", zero_page="-3")


def test_a_missing_run_in_the_url_gives_a_warning_and_another_run(open_view):
    app = open_view("overview", run="*gone* run")
    said = r"The results have no finished run \*gone\* run; the page shows **demo\_cnn** instead."
    assert [each.value for each in app.main.warning][0] == said
    assert app.query_params["run"] in ("demo_cnn", ["demo_cnn"])
    assert not any("no finished run" in each.value for each in app.run().main.warning)
    assert not any("no finished run" in each.value for each in open_view("overview").main.warning)


def test_choices_survive_a_change_of_view(open_view):
    app = open_view("failures", run="demo_cnn")
    by_label = {box.label: box for box in app.selectbox}
    by_label["Sort by"].set_value("rouge_l").run()
    by_label = {box.label: box for box in app.selectbox}
    by_label["Beam size"].set_value(3).run()
    app.switch_page("views/attention.py").run()
    assert {box.label: box for box in app.selectbox}["Beam size"].value == 3
    app.switch_page("views/failures.py").run()
    assert {box.label: box for box in app.selectbox}["Sort by"].value == "rouge_l"
    assert app.sidebar.selectbox[0].value == "demo_cnn"
    assert {"run", "sort", "beam"} <= set(app.query_params)


def test_a_quick_second_choice_does_not_undo_the_first(open_view, monkeypatch):
    monkeypatch.setattr(choices, "_ON_THE_WAY", 60.0)
    app = open_view("failures", run="demo")
    before = dict(app.query_params)
    {box.label: box for box in app.selectbox}["Sort by"].set_value("rouge_l").run()
    app.query_params.clear()
    app.query_params.update(before)  # the browser had not heard of the first choice when the second was made
    {box.label: box for box in app.selectbox}["Beam size"].set_value(3).run()
    assert {"sort", "beam"} <= set(app.query_params)


def test_an_address_from_before_undoes_what_was_chosen_since(open_view, monkeypatch):
    monkeypatch.setattr(choices, "_ON_THE_WAY", 0.0)
    app = open_view("failures", run="demo")
    before = dict(app.query_params)
    {box.label: box for box in app.selectbox}["Sort by"].set_value("rouge_l").run()
    app.query_params.clear()
    app.query_params.update(before)
    app.run()
    assert {box.label: box for box in app.selectbox}["Sort by"].value == "clipscore"
    assert "sort" not in app.query_params


def test_next_follows_the_order_and_is_kept_in_the_url(open_view):
    app = open_view("failures", run="demo", show="gallery")
    order = cards(app, "gallery")
    next(button for button in app.button if button.label == "Next").click().run()
    assert sent(app, "gallery")["chosen"] == order[1]
    assert order[1] in app.query_params["image"]


def test_filters_that_leave_nothing_say_so(open_view):
    assert "None of the 12 cases match" in words(open_view("failures", run="demo", text="zebra"))


def test_the_table_lists_every_case(open_view):
    app = open_view("failures", run="demo", show="table")
    assert any(len(table.value) == 12 for table in app.dataframe)


def test_an_untrusted_caption_stays_text(open_view):
    app = open_view("failures", run="demo", image=runs.SCRIPT_IMAGE)
    assert not any(getattr(element, "allow_html", False) for element in app.markdown)
    html = [element.proto.body for element in app.main if element.type == "html"]
    assert any("&lt;script&gt;alert(&#x27;caption&#x27;)&lt;/script&gt;" in body for body in html)
    assert not any("<script>" in body for body in html)


def test_a_captioner_without_maps_says_why(open_view, tmp_path):
    folder = runs.captioner_run(tmp_path)
    tables.write_table(folder, "attention", tables.table_of("attention", []))
    record = records.read_record(folder)
    records.write_record(folder, record | {"captioner": {"maps": "an endpoint returns *text* alone"}})
    app = open_view("attention", tmp_path)
    assert r"This run has no attention maps: an endpoint returns \*text\* alone." in words(app)
    assert not app.code


def test_the_attention_viewer_gets_all_maps_once_and_the_look_of_the_address(open_view):
    app = open_view(
        "attention",
        run="demo",
        image="scene_02",
        beam=3,
        word=4,
        layer=1,
        head=2,
        subtract=1,
        opacity=30,
        scale="cividis",
    )
    data = sent(app, "viewer")
    assert data["shape"] == [len(data["words"]), 2, 2, 196] and data["grid"] == [14, 14]
    assert data["view"] == {"word": 4, "layer": 1, "head": 2, "subtract": "mean", "opacity": 30, "scale": "cividis"}
    assert data["size"] == [300, 300] and data["crop"]["width"] == 300
    assert data["words"][-1] == "<end>"


def test_the_page_names_the_pass_that_the_maps_come_from(open_view, tmp_path):
    assert "Attention maps: causal replay." in words(open_view("attention", run="demo"))
    results = tmp_path / "results"
    folder = runs.captioner_run(results)
    record = records.read_record(folder) | {"attention": {"pass": ATTENTION_PASSES["study"]}}
    records.write_record(folder, record)
    page = words(open_view("attention", results, run="demo"))
    assert formatting.markdown("study's pass (no causal mask)") in page
    assert "without a causal mask, as in the study's search rule" in page


def test_the_next_image_begins_at_its_first_noun(open_view):
    app = open_view("attention", run="demo", beam=1, image="scene_02", word=4)
    next(button for button in app.button if button.label == "Next").click().run()
    assert sent(app, "viewer")["name"] == "demo/1/scene_03" and sent(app, "viewer")["view"]["word"] == 2


def test_a_case_without_maps_gives_a_warning_and_links_name_the_shown_case(open_view, tmp_path):
    results = tmp_path / "results"
    folder = runs.captioner_run(results)
    kept = [row for row in tables.read_table(folder, "attention").to_pylist() if row["beam_size"] == 3]
    tables.write_table(folder, "attention", tables.table_of("attention", kept))

    def link(app: AppTest) -> dict[str, list[str]]:
        return next(parse_qs(each.proto.query_string) for each in app.get("page_link") if "scores" in each.proto.label)

    app = open_view("attention", results, run="demo", beam=5, image="scene_02")
    assert [each.value for each in app.warning] == ["No maps were stored for beam size 5; the page shows beam size 3."]
    assert link(app)["image"] == ["scene_02"] and link(app)["beam"] == ["3"]
    app = open_view("attention", results, run="demo", image="a_b")
    assert [each.value for each in app.warning] == [
        r"No maps were stored for image a\_b at this beam size; the page shows scene\_00."
    ]
    assert link(app)["image"] == ["scene_00"] and link(app)["beam"] == ["3"]
    assert not open_view("attention", results, run="demo", beam=3, image="scene_02").warning


@pytest.mark.parametrize(("view", "stored"), [("failures", False), ("attention", False), ("failures", True)])
def test_a_run_with_the_attention_of_a_sample_says_how_to_compute_that_of_an_image(open_view, tmp_path, view, stored):
    results = tmp_path / "results"
    folder = runs.captioner_run(results)
    rows = tables.read_table(folder, "attention").to_pylist()
    kept = [row for row in rows if row["image_id"] == "scene_00"]
    tables.write_table(folder, "attention", tables.table_of("attention", kept))
    record = records.read_record(folder)
    plan, command = {"attention_images": 1}, "python -m engine evaluate --run demo --attention-images 1"
    records.write_record(folder, record | {"plan": plan, "command": command})
    app = open_view(view, results, run="demo", beam=3, image="scene_00" if stored else "scene_02")
    said = [each.value for each in app.code if "--attention-of" in each.value]
    assert said == ([] if stored else [f"{command} --attention-of scene_02"])


@pytest.mark.parametrize(
    ("view", "label"),
    [("failures", "Where did the model"), ("attention", "Open scores of this"), ("compare", "Open this case")],
)
def test_a_link_to_another_view_shows_the_same_run_in_a_new_tab_and_forgets_nothing_in_this_one(open_view, view, label):
    app = open_view(view, run="demo_cnn", sort="rouge_l", layer=1)
    link = next(each.proto for each in app.get("page_link") if label in each.proto.label)
    there = {key: values[0] for key, values in parse_qs(link.query_string).items()}
    assert there["run"] == "demo_cnn" and "sort" not in there
    elsewhere = open_view("beams", **there)
    assert elsewhere.query_params["run"] in ("demo_cnn", ["demo_cnn"]) and "link" not in elsewhere.query_params
    app.query_params.clear()
    app.query_params.update(there)
    app.run()
    kept = {key: value if isinstance(value, str) else value[0] for key, value in app.query_params.items()}
    assert kept == {"run": "demo_cnn", "sort": "rouge_l", "layer": "1", "image": there["image"], "beam": there["beam"]}


def test_a_coarser_grid_is_drawn_as_well(open_view):
    assert sent(open_view("attention", run="demo_cnn"), "viewer")["grid"] == [7, 7]


def test_missing_photos_leave_a_sentence_in_their_place(open_view):
    app = open_view("failures", run="predictions")
    card = sent(app, "gallery")["cards"][0]
    assert card["photo"] == "" and card["missing"] == f"{card['id']}.jpg was not found."


def test_zero_shot_marks_the_right_label_and_filters(open_view):
    app = open_view("zeroshot", run="demo", template=runs.TEMPLATES[2], outcome="wrong")
    shown = sent(app, "zero_gallery")["cards"]
    assert len(shown) == 6 and {card["mark"] for card in shown} == {"wrong"}
    assert [bar["right"] for bar in shown[0]["bars"]].count(True) == 1


def test_a_corrupt_file_is_named_and_the_rest_stays_usable(open_view, tmp_path):
    results = tmp_path / "results"
    runs.imported_run(results)
    runs.corrupt_table(runs.captioner_run(results, "damaged"), "attention")
    assert r"damaged\/attention\.parquet" in words(open_view("overview", results, run="predictions"))
    assert r"attention\.parquet" in words(open_view("attention", results, run="damaged"))
    assert len(cards(open_view("failures", results, run="damaged", show="pairs"), "pairs_highest")) == 1
    assert len(cards(open_view("failures", results, run="predictions", show="pairs"), "pairs_highest")) == 1


def test_a_record_with_nothing_in_it_opens_every_view(open_view, tmp_path):
    results = tmp_path / "results"
    folder = runs.captioner_run(results)
    (folder / "run.json").write_text('{"roots": [], "clip": "x", "data": {"images": "many"}, "seconds_per_image": 3}')
    for view in VIEWS:
        open_view(view, results)


def test_new_and_deleted_runs_are_noticed_without_a_restart(open_view, tmp_path):
    results = tmp_path / "results"
    runs.imported_run(results)
    app = open_view("overview", results)
    runs.captioner_run(results)
    app.run()
    assert app.sidebar.selectbox[0].options == ["demo", "predictions"]
    shutil.rmtree(results / "runs" / "predictions")
    app.run()
    assert app.sidebar.selectbox[0].options == ["demo"]
    assert not app.exception


def test_the_dashboard_imports_no_torch_and_only_the_reading_half_of_the_engine():
    script = (
        "import sys; sys.argv = ['app']; import dashboard.widgets.layout, dashboard.components.viewer, "
        "dashboard.components.gallery; print([m for m in sys.modules if m == 'torch' or m.startswith('engine.')])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    below = {"config", "data", "diagnosis", "metrics", "reading", "resampling", "statistics", "store", "writing"}
    assert {name.split(".")[1] for name in eval(found.stdout)} <= below


def test_classes_predicted_elsewhere_are_shown_without_bars(open_view, tmp_path):
    runs.imported_classes_run(tmp_path / "results")
    app = open_view("zeroshot", tmp_path / "results", run="classes", outcome="all")
    cards = sent(app, "zero_gallery")["cards"]
    assert [card["bars"] for card in cards] == [[]] * 4
    assert {card["note"] for card in cards} == {"predicted dog", "predicted dog, true label: cat"}
    for view in ("overview", "failures", "beams", "attention"):
        open_view(view, tmp_path / "results", run="classes")


def test_a_region_names_the_cases_that_it_cannot_hold(open_view, tmp_path):
    results = tmp_path / "results"
    folder = runs.captioner_run(results)
    rows = tables.read_table(folder, "scores").to_pylist()
    for row in rows:
        row["clipscore"] = row["clipscore"] if row["image_id"] < "scene_04" else None
    tables.write_table(folder, "scores", tables.table_of("scores", rows, runs.METRICS))
    shown = words(open_view("failures", results, plots=1))
    assert "8 cases without both CIDEr and CLIPScore are not drawn and cannot be selected by a region." in shown
    assert "at random" not in shown
    assert "without both" not in words(open_view("failures", plots=1))


def test_scores_that_do_not_differ_offer_no_ranges(open_view, tmp_path):
    results = tmp_path / "results"
    folder = runs.captioner_run(results)
    rows = [row for row in tables.read_table(folder, "captions").to_pylist() if row["image_id"] == "scene_03"]
    tables.write_table(folder, "captions", tables.table_of("captions", rows))
    assert not any("brush a histogram" in each.label for each in open_view("failures", results).expander)
    assert any("brush a histogram" in each.label for each in open_view("failures").expander)


def test_a_metric_that_differs_in_no_digit_that_is_shown_has_no_histogram(open_view, tmp_path):
    results = tmp_path / "results"
    folder = runs.captioner_run(results)
    rows = tables.read_table(folder, "scores").to_pylist()
    rows = [row | {"bleu_4": row["bleu_4"] / 1e5} for row in rows]
    tables.write_table(folder, "scores", tables.table_of("scores", rows, runs.METRICS))
    drawn = [each["key"] for each in sent(open_view("failures", results, plots=1), "histograms")["metrics"]]
    assert drawn == [metric for metric in runs.METRICS if metric != "bleu_4"]


def test_captions_without_scores_are_still_to_be_read(open_view, tmp_path):
    results = tmp_path / "results"
    folder = runs.captioner_run(results)
    for name in ("scores", "corpus_scores"):
        (folder / f"{name}.parquet").unlink()
    for view in ("beams", "overview"):
        assert "CLIPScore needs no references" in words(open_view(view, results))
    app = open_view("failures", results)
    assert "have no scores" in words(app)
    assert [link.label for link in app.get("page_link")][-1] == "Read the captions in Attention"


def test_beams_speak_of_published_figures_only_where_some_are_drawn(open_view):
    assert "Dashed, with open marks" in words(open_view("beams", run="demo"))
    assert "Dashed, with open marks" not in words(
        open_view("beams", run="demo", metric_left="bleu_1", metric_right="rouge_l")
    )


def test_a_run_of_one_setting_names_it(open_view):
    assert "only one setting (imported captions)" in words(open_view("beams", run="predictions"))


@pytest.mark.parametrize(("same", "counted"), [(0, "0 of them have"), (1, "1 of them has"), (2, "2 of them have")])
def test_compare_counts_the_images_with_the_same_caption(open_view, tmp_path, same, counted):
    for name in ("demo", "other"):
        folder = runs.captioner_run(tmp_path, name)
        rows = tables.read_table(folder, "captions").to_pylist()
        kept = sorted({row["image_id"] for row in rows})[:same]
        rows = [row if row["image_id"] in kept else row | {"caption": f"{name} {row['caption']}"} for row in rows]
        tables.write_table(folder, "captions", tables.table_of("captions", rows))
    shown = words(open_view("compare", tmp_path, run="demo", right="other", left_beam=1, right_beam=1))
    assert f"{counted} the same caption on both sides." in shown


@pytest.mark.parametrize("captioner", [{"url": "http://x/v1", "model": "m"}, {"family": "LLaVA", "decoder_layers": 32}])
def test_captioners_that_were_not_trained_here_get_no_advice_to_train(open_view, tmp_path, captioner):
    folder = runs.captioner_run(tmp_path)
    (folder / "training.parquet").unlink(missing_ok=True)
    record = records.read_record(folder)
    assert "Train a captioner with:" in words(open_view("overview", tmp_path))
    records.write_record(folder, record | {"captioner": captioner})
    shown = words(open_view("overview", tmp_path))
    assert "its captioner was not trained with CaptionScope" in shown and "engine train" not in shown


def test_compare_tests_every_metric_and_shows_where_it_changed_most(open_view):
    app = open_view("compare", run="demo", left_beam=3, right_beam=1, contrast="clipscore")
    shown = words(app)
    assert "Both sides have the same 12 images" in shown and "6 of them have the same caption" in shown
    assert [metric.label for metric in app.metric][0] == "Difference of the means"
    assert any(
        list(table.value.get("Metric", [])) == [formatting.title(m) for m in runs.METRICS] for table in app.dataframe
    )
    gains = sent(app, "compare_gains")["cards"]
    assert gains[0]["badge"].startswith("+") and gains[0]["id"] == sent(app, "compare_gains")["chosen"]
    assert sent(app, "compare_losses")["cards"][0]["badge"].startswith("-")


def test_compare_restores_the_case_of_the_address_and_swaps_its_sides(open_view):
    app = open_view("compare", run="demo", left_beam=3, right_beam=5, image="scene_07")
    assert r"scene\_07" in words(app)
    next(button for button in app.button if button.label == "Swap").click().run()
    assert (app.query_params["left_beam"], app.query_params["right_beam"]) in [("5", "3"), (["5"], ["3"])]


def test_partly_shared_images_and_incomparable_metrics_give_warnings(open_view, tmp_path):
    results = tmp_path / "results"
    runs.captioner_run(results)
    runs.partial_run(results)
    shown = words(open_view("compare", results, run="demo", right="partial"))
    assert "**5 images shared** of 12 on the left and 6 on the right" in shown
    assert "was not measured in the same way on both sides" in shown and r"n\: 12 vs\. 6" in shown


def test_a_run_without_a_partner_says_what_to_do(open_view, tmp_path):
    runs.imported_run(tmp_path / "results")
    runs.imported_classes_run(tmp_path / "results")
    for run in ("predictions", "classes"):
        assert "nothing to compare with this run" in words(open_view("compare", tmp_path / "results", run=run))


def test_failure_tags_are_defined_where_they_are_chosen(open_view, tmp_path):
    folder = runs.captioner_run(tmp_path / "results")
    rows = tables.read_table(folder, "scores").to_pylist()
    rows[0]["tags"] = [{"tag": "generic", "evidence": "said of 3 images"}]
    tables.write_table(folder, "scores", tables.table_of("scores", rows, runs.METRICS))
    overview = open_view("overview", tmp_path / "results", run="demo")
    assert "What went wrong in demo at beam size" in words(overview) and "has a failure tag" in words(overview)
    for each in rows:
        each["cider"] += 5.0 * (each["beam_size"] == 1)  # beam size 1 is the best now
    tables.write_table(folder, "scores", tables.table_of("scores", rows, runs.METRICS))
    corpus = tables.read_table(folder, "corpus_scores").to_pylist()
    best = [{**row, "value": row["value"] + 5 * (row["beam_size"] == 1)} for row in corpus]
    tables.write_table(folder, "corpus_scores", tables.table_of("corpus_scores", best))
    os.utime(folder / "run.json")
    overview = open_view("overview", tmp_path / "results", run="demo")
    assert "What went wrong in demo at beam size 1 (greedy)" in words(overview) and TAGS["generic"] in words(overview)
    assert links(overview, "failures") == ["**wrong colour**: 3 (25.0 %)", "**generic**: 1 (8.3 %)"]
    page = open_view("failures", tmp_path / "results", run="demo", beam=1)
    (chosen,) = [each for each in page.multiselect if each.label == "Failure tags"]
    assert chosen.options == ["wrong colour (3)", "generic (1)"]
    assert chosen.help == "\n".join(f"- **{tag}**: {TAGS[tag]}" for tag in ("wrong colour", "generic"))


def test_attention_grounding_is_shown_if_there_are_boxes(open_view):
    page = open_view("attention", run="demo", beam=1, image="scene_01")
    assert grounding.TITLE in words(page) and "2 of 3 nouns (66.7 %)" in words(page)
    assert sent(page, "viewer")["nouns"][0]["found"]["1/0"] == [4.0, True]
    assert [table.value.Label.tolist() for table in page.dataframe] == [["triangle", "circle", "square"]]
    other = open_view("attention", run="demo", beam=1, pointing="1.-1")
    assert other.dataframe[0].value["Hit rate (95 % CI)"].tolist()[0].startswith("0 of 2 (0.0 %")
    for away in ({"run": "demo", "beam": 3}, {"run": "demo_cnn", "beam": 1}):
        page = open_view("attention", **away)
        assert grounding.TITLE not in words(page) and sent(page, "viewer")["nouns"] == []


def test_n_best_without_scores_are_not_asked_for_again(open_view, tmp_path):
    folder = runs.captioner_run(tmp_path / "results")
    record = records.read_record(folder)
    records.write_record(folder, {**record, "decoding": {**record["decoding"], "n_best": 3}})
    page = open_view("beams", tmp_path / "results", run="demo")
    assert "the hypotheses of this run have no scores by CIDEr" in words(page) and "--n-best" not in words(page)


def test_the_n_best_lists_are_shown_on_the_beams_page_and_in_the_case(open_view, tmp_path):
    results = tmp_path / "results"
    folder = runs.captioner_run(results)
    page = open_view("beams", results, run="demo")
    assert "Run with `--n-best 5` to see whether the beam contained better captions" in words(page)
    runs.add_hypotheses(folder)
    os.utime(folder / "run.json")
    page = open_view("beams", results, run="demo")
    assert "Oracle of the n-best lists" in words(page)
    assert "At beam size 5, for 0.0 % of 12 images" in words(page)
    case = open_view("failures", results, run="demo", beam=3, image="scene_02")
    assert "**3-best list of beam size 3**" in words(case)
    html = [element.proto.body for element in case.main if element.type == "html"]
    (table,) = [each for each in html if "Bold: the best" in each]
    assert table.count("<tr") == 4 and "<strong>1.500</strong>" in table and "<strong>0.500</strong>" not in table
    assert "best that beam size 1 found" not in words(open_view("failures", results, run="demo", beam=1))


def test_images_with_equal_names_but_no_common_reference_give_a_warning(open_view, tmp_path):
    results = tmp_path / "results"
    runs.captioner_run(results)
    runs.strangers_run(results)
    assert "**12 shared images without a common reference**" in words(
        open_view("compare", results, run="demo", right="strangers")
    )
    assert "without a reference in common" not in words(open_view("compare", results, run="demo", right="demo"))


def test_settings_without_a_common_metric_or_image_are_a_sentence(open_view, tmp_path):
    results = tmp_path / "results"
    runs.captioner_run(results)
    folder = runs.partial_run(results)
    (folder / "scores.parquet").unlink()
    assert "share no metric" in words(open_view("compare", results, run="demo", right="partial"))


def test_a_run_in_the_url_without_shared_images_gives_a_warning(open_view):
    warned = [each.value for each in open_view("compare", run="demo", right="predictions").warning]
    assert warned == ["Run predictions has no captions of images of demo; it is compared with itself instead."]
    assert not open_view("compare", run="demo", right="demo_cnn").warning


def test_nonsense_in_the_address_of_the_new_views_falls_back(open_view):
    open_view("compare", run="demo", left_beam="x", right="nobody", right_beam="-1", contrast="drop", image="../x")
    open_view("export", run="demo", report_beam="x", report_images="nobody,%2e%2e,,")
    open_view("zeroshot", run="demo", zero_left="x", zero_right="y")


def test_beams_say_which_size_is_enough_and_draw_the_study_behind(open_view, tmp_path):
    results = tmp_path / "results"
    runs.captioner_run(results)
    (results / "published").mkdir()
    (results / "published" / "beams.csv").write_text("beam_size,cider,source\n3,0.94,*a* study\n")
    shown = words(open_view("beams", results, run="demo"))
    assert "is the best" in shown and "randomization test over 12 images" in shown
    assert r"\*a\* study" in shown
    (results / "published" / "beams.csv").write_text("nothing\n")
    assert "no column 'beam_size'" in words(open_view("beams", results, run="demo")).replace("\\", "")


def test_a_study_names_the_run_with_its_zero_shot_predictions(open_view, tmp_path):
    results = tmp_path / "results"
    folder = runs.captioner_run(results, "mine")
    (folder / "zero_shot.parquet").unlink()
    runs.zero_shot_run(results, "mine-zeroshot")
    records.write_record(folder, records.read_record(folder) | {"study": {"zero_shot": "mine-zeroshot"}})
    app = open_view("zeroshot", results, run="mine")
    assert r"in run **mine\-zeroshot**" in words(app)
    assert [link.label for link in app.get("page_link")][-1] == r"Open mine\-zeroshot"


def test_templates_are_tested_against_each_other_and_confusions_listed(open_view):
    app = open_view("zeroshot", run="demo", zero_left=runs.TEMPLATES[0], zero_right=runs.TEMPLATES[2])
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["Correct with the left prompt only"] == "3" and metrics["p, exact McNemar test"] == "0.250"
    assert any("Predicted" in table.value for table in app.dataframe)


def test_the_best_and_the_worst_prompt_are_compared_first(open_view):
    app = open_view("zeroshot", run="demo")
    accuracy = next(table.value for table in app.dataframe if "Template" in table.value)
    chosen = {box.label: box.value for box in app.selectbox}
    assert chosen["Left prompt"] == accuracy["Template"].iloc[0]
    assert chosen["Right prompt"] == accuracy["Template"].iloc[-1]


def test_the_export_view_lists_every_chapter_and_the_command(open_view):
    app = open_view("export", run="demo", report_images="scene_04")
    assert len(app.main.expander) == 11 and not any("not in this run" in each.label for each in app.main.expander)
    assert "python -m dashboard.report demo --out report.zip --results" in words(app) and "--beam" in words(app)
    assert "--images scene_04" in words(app)
    options = words(open_view("export", run="demo", layer=1, head=2, subtract=1))
    assert "--layer 1 --head 2 --subtract mean" in options
    missing = open_view("export", run="predictions")
    assert sum("not in this run" in each.label for each in missing.expander) == 4


def test_the_page_makes_the_report_and_warns_about_a_missing_browser(open_view, monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", "/nowhere/chrome")
    app = open_view("export", run="predictions")
    assert "No browser was found" in words(app)
    make_report(app)
    assert not app.exception
    assert any("report_predictions.zip" in button.label for button in app.get("download_button"))


def make_report(app: AppTest) -> AppTest:
    return next(button for button in app.button if button.label == "Make the report").click().run(timeout=60)


def test_the_printed_command_writes_the_bytes_that_the_page_offers(open_view, monkeypatch, tmp_path):
    monkeypatch.setenv("BROWSER_PATH", "/nowhere/chrome")
    options = {"layer": 1, "head": 2, "subtract": "sinks", "opacity": 35, "scale": "cividis"}
    app = make_report(open_view("export", run="demo", report_beam=3, report_images="scene_04", **options))
    printed = next(shlex.split(each.value) for each in app.code if "dashboard.report" in each.value)
    assert printed[-4:] == ["--colours", "cividis", "--opacity", "35"]
    printed[printed.index("report.zip")] = str(tmp_path / "report.zip")
    assert report_command.main(printed[3:]) == 0
    assert (tmp_path / "report.zip").read_bytes() == app.session_state["report"][1]


def test_the_command_is_short_where_nothing_was_chosen(open_view, monkeypatch, full_results):
    monkeypatch.setattr("dashboard.state.data.RESULTS", full_results)
    odd = {"layer": "x", "head": "-1", "subtract": "yes", "opacity": 101, "scale": "drop"}
    for chosen in ({"opacity": 60, "scale": "inferno"}, odd):
        printed = [each.value for each in open_view("export", run="predictions", **chosen).code]
        assert "python -m dashboard.report predictions --out report.zip --beam 0" in printed


def test_a_report_is_not_offered_once_a_verdict_or_a_published_figure_is_another(open_view, monkeypatch, tmp_path):
    monkeypatch.setenv("BROWSER_PATH", "/nowhere/chrome")
    results = tmp_path / "results"
    runs.imported_run(results)
    app = open_view("export", results)
    verdicts.keep(results, "predictions", verdicts.Verdict("flickr_0", 0), reasonable="yes")
    for change in (
        lambda: verdicts.keep(results, "predictions", verdicts.Verdict("flickr_0", 0), reasonable="no"),
        lambda: ((results / "published").mkdir(), (results / "published" / "beams.csv").write_text("beam_size\n")),
    ):
        assert make_report(app).get("download_button")
        change()
        assert not app.run().get("download_button")


def test_a_list_of_cases_is_exported_as_it_is_on_screen(open_view, monkeypatch):
    offered = []
    monkeypatch.setattr("dashboard.widgets.export_button.offer", lambda items, key, *_: offered.append(items()))
    app = open_view("failures", run="demo", show="pairs", k=2)
    on_screen = cards(app, "pairs_highest") + cards(app, "pairs_lowest")[::-1]
    assert offered[-1][1].shown.Image.tolist() == on_screen
    app = open_view("failures", run="demo", show="gallery", sort="cider", order="desc", in_clipscore="0.3:0.5")
    assert offered[-1][1].shown.Image.tolist() == cards(app, "gallery")


def test_exported_cases_say_which_they_are(open_view, monkeypatch):
    offered = []
    monkeypatch.setattr("dashboard.widgets.export_button.offer", lambda items, key, *_: offered.append(items()))

    def notes(**chosen: Any) -> list[str]:
        open_view("failures", **chosen)
        return [item.note for item in offered[-1] if item.name == "cases"]

    for note in notes(run="demo", show="gallery", sort="cider", order="desc", in_clipscore="0.3:0.5"):
        assert "Selected: CLIPScore 0.3" in note
        assert re.search(r"Shown: 1 to (\d+) of \1 selected of 12 cases, highest CIDEr first", note)
    assert all(
        "Shown: 4, those with the highest and the lowest CLIPScore, of 12" in n
        for n in notes(run="demo", show="pairs", k=2)
    )
    open_view("failures", run="predictions", show="gallery", sort="cider")
    assert offered[-1][0].title == "Cases by CIDEr of imported captions"
    assert not any("beam size imported" in f"{item.title} {item.note}".lower() for item in offered[-1])


@pytest.mark.parametrize("view", ["overview", "failures", "beams", "attention", "zeroshot", "compare"])
def test_an_export_button_offers_what_the_view_shows(open_view, monkeypatch, view):
    offered = []
    monkeypatch.setattr("dashboard.widgets.export_button.offer", lambda items, key, *_: offered.extend(items()))
    open_view(view, run="demo")
    assert offered and len({item.name for item in offered}) >= 1
    for item in offered:
        if isinstance(item, Table):
            assert all(exports.table(item, kind) for kind in exports.TABLES)
        else:
            assert exports.printed(item).layout.title.text and "run demo" in item.note.lower()
            assert item.draw().layout.template.layout.paper_bgcolor == "#FFFFFF"


# Brushing, regions, verdicts, saved selections


def session(app: AppTest, key: str) -> Any:
    return app.session_state[key]


def test_histograms_show_the_selection_over_all_cases_and_are_kept_in_the_url(open_view):
    app = open_view("failures", run="demo", beam=1, in_cider="0:1", show="gallery")
    drawn = {each["key"]: each for each in sent(app, "histograms")["metrics"]}
    assert list(drawn) == runs.METRICS and drawn["cider"]["range"] == [0.33, 1] and drawn["rouge_l"]["range"] is None
    for each in drawn.values():
        assert sum(each["whole"]) == 12 and sum(each["part"]) == len(cards(app, "gallery"))
        assert all(part <= whole for part, whole in zip(each["part"], each["whole"], strict=True))
    assert "match the filters:** CIDEr 0.33 to 1" in words(app).replace("\\", "")


def test_scores_are_not_binned_while_the_plots_are_closed(open_view):
    with pytest.raises(AssertionError, match="no component"):
        sent(open_view("failures", run="demo"), "histograms")
    assert sent(open_view("failures", run="demo", plots="1"), "histograms")
    with pytest.raises(AssertionError, match="no component"):
        sent(open_view("failures", run="demo", plots="0", in_cider="0:1"), "histograms")


def test_a_lasso_of_the_address_selects_and_is_drawn(open_view):
    lasso = "cider,clipscore;0,0;1.2,0;1.2,0.4;0,0.4"
    app = open_view("failures", run="demo", lasso=lasso, show="gallery")
    drawn = sent(app, "quadrant")
    inside = {
        image
        for image, x, y in zip(*(drawn["points"][name] for name in ("id", "x", "y")), strict=True)
        if 0 < x < 1.2 and 0 < y < 0.4
    }
    assert set(cards(app, "gallery")) == inside and 0 < len(inside) < 12
    assert drawn["corners"] == [[0, 0], [1.2, 0], [1.2, 0.4], [0, 0.4]]
    assert "a region of CIDEr and CLIPScore" in words(app)
    assert sum(each["cases"] for each in drawn["quadrants"]) == 12  # what a click on a quarter would select


@pytest.mark.parametrize(
    "lasso", ["x", "cider,drop;0,0;1,1;0,1", "cider,clipscore;0,0;1,1", "cider,clipscore;nan,0;1,1;0,1", "';--;0,0;1,1"]
)
def test_a_lasso_that_makes_no_sense_selects_nothing_away(open_view, lasso):
    assert len(cards(open_view("failures", run="demo", lasso=lasso, show="gallery"), "gallery")) == 12


def test_a_quadrant_selects_as_many_cases_as_it_says(open_view):
    drawn = sent(open_view("failures", run="demo", plots="1"), "quadrant")
    assert [each["name"] for each in drawn["quadrants"]][0] == "High CLIPScore, low CIDEr"
    for each in drawn["quadrants"]:
        x0, x1, y0, y1 = each["box"]
        spans = {"in_cider": f"{x0:g}:{x1:g}", "in_clipscore": f"{y0:g}:{y1:g}"}
        app = open_view("failures", run="demo", show="gallery", **spans)
        found = len(cards(app, "gallery")) if each["cases"] else 0
        assert found == each["cases"]


def test_cases_at_the_median_are_in_one_half_alone():
    for values in ([0.0, 0.0, 0.0, 0.5, 1.0], [0.0625] * 3 + [0.0624, 0.9], [0.5]):
        row = pd.Series({"low": min(values), "high": max(values), "middle": float(np.median(values))})
        (low, parted), (again, high) = (score_filters._half(row, upper) for upper in (False, True))
        assert parted == again and f"{parted:g}" == str(parted)
        halves = [low <= value <= parted for value in values] + [parted <= value <= high for value in values]
        assert sum(halves) == len(values)


def test_the_selection_is_compared_with_the_rest_on_demand(open_view):
    app = open_view("failures", run="demo", condition="dark")
    assert not any("Rest" in table.value for table in app.dataframe)
    app = open_view("failures", run="demo", condition="dark", rest=1)
    scores, made = (table.value for table in app.dataframe if "Rest" in table.value)
    assert scores["n selected"].tolist() == ["4"] * len(runs.METRICS)
    assert made["Tag or condition"][0] == "condition: dark"


@pytest.mark.parametrize(
    ("view", "key"),
    [
        ("overview", "definitions"), ("overview", "made"), ("failures", "rest"), ("failures", "plots"),
        ("attention", "about"), ("export", "chapter_1"), ("export", "chapter_9"),
    ],
)  # fmt: skip
def test_what_the_address_opens_is_open(open_view, view, key):
    def opened(app: AppTest) -> list[str]:
        return [each.label for each in app.main.expander if each.proto.expanded]

    closed = open_view(view, run="demo", condition="dark")
    assert not opened(closed)
    assert len(opened(open_view(view, run="demo", condition="dark", **{key: 1}))) == 1


def test_exact_ranges_are_restored_from_the_address(open_view):
    assert not open_view("failures", run="demo", plots=1).slider
    app = open_view("failures", run="demo", beam=1, plots=1, exact=1, in_cider="0.5:1")
    assert {slider.label: slider.value for slider in app.slider}["CIDEr"] == (0.5, 1.0)


def test_the_files_of_a_chapter_are_offered_while_it_is_open(open_view):
    assert not open_view("export", run="demo").get("download_button")
    assert open_view("export", run="demo", chapter_2=1).get("download_button")


def test_all_filters_are_taken_back_at_once(open_view):
    app = open_view("failures", run="demo", condition="dark", in_cider="0:1", text="a")
    next(button for button in app.button if button.label == "Clear all filters").click().run()
    assert not {"condition", "in_cider", "text"} & set(app.query_params)


def test_the_caption_is_compared_with_references_and_other_beam_sizes(open_view):
    html = "".join(
        e.proto.body for e in open_view("failures", run="demo", beam=1, image="scene_01").main if e.type == "html"
    )
    assert '<mark class="w-unmatched">green</mark>' in html and '<mark class="w-matched">square</mark>' in html
    assert '<ins class="w-added">standing</ins>' in html and "removed" in html and "added" in html


def judged_view(open_view, tmp_path, **parameters) -> AppTest:
    results = tmp_path / "results"
    if not results.exists():
        runs.captioner_run(results)
    return open_view("failures", results, run="demo", show="gallery", **parameters)


def verdict_control(app: AppTest, question: str):
    return next(each for each in app.get("button_group") if each.proto.label == question)


def test_a_verdict_is_kept_shown_filtered_and_survives_a_new_session(open_view, tmp_path):
    app = judged_view(open_view, tmp_path, image="scene_03")
    verdict_control(app, "Is the caption reasonable?").set_value("no").run()
    next(each for each in app.text_input if each.label == "Note").set_value("*wrong* <b>colour</b>").run()
    assert not app.exception
    again = judged_view(open_view, tmp_path, image="scene_03")
    assert verdict_control(again, "Is the caption reasonable?").value == "no"
    note = next(card["note"] for card in sent(again, "gallery")["cards"] if card["id"] == "scene_03")
    assert "caption no, with a note" in note
    assert cards(judged_view(open_view, tmp_path, verdict="reasonable:no"), "gallery") == ["scene_03"]
    assert len(cards(judged_view(open_view, tmp_path, verdict="open"), "gallery")) == 11
    export = open_view("export", tmp_path / "results", run="demo")
    assert "1 case: caption yes 0, partly 0, no 1" in words(export)


def test_a_broken_file_of_verdicts_gives_a_warning_and_the_page_works(open_view, tmp_path):
    app = judged_view(open_view, tmp_path)
    folder = tmp_path / "results" / "verdicts"
    folder.mkdir()
    (folder / "demo.json").write_text('{"entries": [')
    app = judged_view(open_view, tmp_path, verdict="judged")
    assert r"verdicts\/demo\.json" in words(app)
    assert len(cards(judged_view(open_view, tmp_path), "gallery")) == 12
    assert "demo.json" in words(open_view("export", tmp_path / "results", run="demo"))


def test_a_selection_is_saved_by_name_and_opened_again(open_view, tmp_path):
    app = judged_view(open_view, tmp_path, in_cider="0:1")
    app.sidebar.text_input[0].set_value("low [CIDEr](x)")
    next(button for button in app.button if button.label == "Save").click().run()
    assert not app.exception
    links = [each.proto for each in app.sidebar.get("page_link")]
    assert len(links) == 1 and r"\[CIDEr\]" in links[0].label and "in_cider=0%3A1" in links[0].query_string
    next(box for box in app.selectbox if box.label == "Selection").set_value("low [CIDEr](x)").run()
    next(button for button in app.button if button.label == r"Delete “low \[CIDEr\]\(x\)”").click().run()
    assert not app.sidebar.get("page_link")


def test_a_renamed_selection_stays_chosen_and_only_what_the_button_names_is_deleted(open_view, tmp_path):
    results = tmp_path / "results"
    app = judged_view(open_view, tmp_path)
    for name in ("AAA", "BBB"):
        bookmarks.save(results, name, "failures", {"run": "demo"})

    def saved() -> list[str]:
        return [each.name for each in bookmarks.read(results)[0]]

    def press(label: str) -> None:
        next(button for button in app.button if button.label == label).click().run()

    app.run()
    assert next(button for button in app.button if button.label == "Delete").disabled  # nothing is chosen yet
    next(box for box in app.selectbox if box.label == "Selection").set_value("BBB").run()
    next(field for field in app.text_input if field.label == "New name").set_value("  ZZ  Z ")
    press("Rename")
    assert saved() == ["AAA", "ZZ Z"]
    press("Delete “ZZ Z”")
    assert saved() == ["AAA"]
    assert next(box for box in app.selectbox if box.label == "Selection").value is None


def test_a_broken_file_of_selections_is_a_sentence_on_every_view(open_view, tmp_path):
    runs.imported_run(tmp_path / "results")
    (tmp_path / "results" / "bookmarks.json").write_text("no json")
    app = open_view("overview", tmp_path / "results")
    assert any("bookmarks" in each.value for each in app.sidebar.warning)


def test_captions_of_photos_without_references_are_pointed_to_clip(open_view, tmp_path):
    folder = runs.captioner_run(tmp_path / "results")
    for name in ("scores", "corpus_scores"):
        (folder / f"{name}.parquet").unlink()
    app = open_view("failures", tmp_path / "results")
    assert any("CLIPScore needs no references" in block.value for block in app.markdown)
    assert any("engine evaluate" in block.value and "--clip ViT-B/32" in block.value for block in app.code)


@pytest.fixture
def older_tags(tmp_path):
    """Results of version 2 of the contract, with a failure tag under its former name."""
    folder = runs.captioner_run(tmp_path / "results")
    scores = tables.read_table(folder, "scores").to_pylist()
    for row in scores:
        row["tags"] = [{**entry, "tag": "invented object"} for entry in row["tags"]]
    tables.write_table(folder, "scores", tables.table_of("scores", scores, runs.METRICS))
    record = records.read_record(folder)
    records.write_record(folder, record)
    written = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(written | {"schema_version": 2}))
    return tmp_path / "results"


def test_an_address_with_the_former_name_of_a_tag_selects_its_name_now(open_view, older_tags):
    for name in ("invented object", "hallucinated object"):
        app = open_view("failures", older_tags, run="demo", beam=1, tag=name)
        assert app.multiselect(key="widget_tag").value == ["hallucinated object"]
        assert "**3 of 12 cases match the filters:** tag hallucinated object" in words(app)


def test_a_saved_selection_with_the_former_name_of_a_tag_selects_its_name_now(open_view, older_tags):
    bookmarks.save(older_tags, "old", "failures", {"run": "demo", "beam": "1", "tag": "invented object"})
    app = open_view("overview", older_tags)
    (link,) = [each.proto for each in app.sidebar if each.type == "page_link" and each.proto.label == "old"]
    parameters = {key: value for key, (value,) in parse_qs(link.query_string).items()}
    opened = open_view(link.page.rsplit("/", 1)[-1], older_tags, **parameters)
    assert "tag hallucinated object" in words(opened)


def test_overview_shows_chair_with_what_it_depends_on_and_where_the_tag_differs(open_view, tmp_path):
    results = hallucinating.write(tmp_path)
    app = open_view("overview", results, run="run")
    assert "Hallucinated objects (CHAIR)" in [each.value for each in app.header]
    counted = next(each.value for each in app.dataframe if "Mentions per caption" in each.value)
    assert counted["Mentions per caption"].tolist() == ["1.00", "1.25"]
    assert "mention a similar number of objects per caption" in words(app)
    listed = open_view("overview", results, run="run", differences="1")
    (shown,) = (each.value for each in listed.dataframe if "Failure tag" in each.value)
    assert shown["Image"].tolist() == ["b", "e"]  # at beam size 3, the best by CHAIRi
    assert shown["CHAIR"].tolist()[1] == "hallucinated: cow"
