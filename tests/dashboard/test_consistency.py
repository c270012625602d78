"""What pages promise holds from one page to the next: the open case, numbers, keys, links and complete lists."""

import re
from urllib.parse import parse_qsl

import pyarrow.parquet as pq
from streamlit.testing.v1 import AppTest

from dashboard.annotations import bookmarks
from dashboard.report import archive, slices
from engine.store import database, queries, tables
from tests.dashboard.test_dashboard import VIEWS, cards, open_view, sent, words  # noqa: F401
from tests.support import runs

# ruff: noqa: F811 - the fixture is imported


def search(app, text: str) -> None:
    next(each for each in app.text_input if each.label == "Words in caption or reference").set_value(text).run()


def test_a_filter_that_excludes_the_open_case_moves_to_the_first_match(open_view, tmp_path):
    results = tmp_path / "results"
    runs.captioner_run(results)
    app = open_view("failures", results, run="demo", beam=1, image="scene_01")
    next(each for each in app.text_input if each.label == "Words in caption or reference").set_value("script").run()
    assert cards(app, "gallery") == [runs.SCRIPT_IMAGE] == [sent(app, "gallery")["chosen"]]
    assert r"Image scene\_01 is not among these cases; the first one, scene\_04, is shown." in words(app)
    assert "1 of 1" in words(app)
    app.text_input(key="bookmark_name").set_value("mine")
    app.button(key="bookmark_save").click().run()
    assert "image" not in bookmarks.read(results)[0][0].parameters
    search(app, "")
    steps = {button.label: button.disabled for button in app.button if button.label in ("Previous", "Next")}
    assert not all(steps.values())


def test_a_case_that_is_judged_under_not_judged_stays_until_another_is_chosen(open_view, tmp_path):
    results = tmp_path / "results"
    runs.captioner_run(results)
    app = open_view("failures", results, run="demo", beam=1, image="scene_01", verdict="open")
    next(each for each in app.segmented_control if "reasonable" in each.label).set_value("yes").run()
    assert "scene_01" not in cards(app, "gallery") and sent(app, "gallery")["chosen"] == "scene_01"
    assert next(button for button in app.button if button.label == "Next").disabled is False
    app = open_view("failures", results, run="demo", beam=1, image="scene_01", verdict="open")  # another session
    assert sent(app, "gallery")["chosen"] == cards(app, "gallery")[0] != "scene_01"


def test_a_failure_tag_opens_the_gallery_of_its_cases(open_view, tmp_path):
    results = tmp_path / "results"
    folder = runs.captioner_run(results)
    rows = tables.read_table(folder, "scores").to_pylist()
    for row in rows:
        row["tags"] = [{"tag": "hallucinated object", "evidence": "a dog"}] if row["image_id"] < "scene_05" else []
    tables.write_table(folder, "scores", tables.table_of("scores", rows, runs.METRICS))
    page = open_view("overview", results, run="demo").main
    found = [each.proto for each in page if each.type == "page_link" and "tag=" in each.proto.query_string]
    assert found
    parameters = dict(parse_qsl(found[0].query_string))
    count = int(re.search(r"\*\*: (\d+) \(", found[0].label)[1])
    assert len(cards(open_view("failures", results, **parameters), "gallery")) == count == 5


def test_a_card_has_the_number_of_the_pager_in_every_order(open_view):
    for shown in ("gallery", "pairs"):
        for order in ("asc", "desc"):
            chosen = {"run": "demo", "beam": 1, "show": shown, "order": order, "text": "a", "k": 2}
            app = open_view("failures", **chosen)
            keys = ["gallery"] if shown == "gallery" else ["pairs_highest", "pairs_lowest"]
            for card in [card for key in keys for card in sent(app, key)["cards"]][:6]:
                case = open_view(
                    "failures", run="demo", beam=1, show=shown, order=order, text="a", k=2, image=card["id"]
                )
                assert re.search(rf"^{card['badge']} of \d+$", words(case), re.MULTILINE)


def test_every_view_starts_at_the_best_beam_size_and_has_the_same_keys(open_view):
    best = 5
    assert f"demo/{best}/" in sent(open_view("attention", run="demo"), "viewer")["name"]
    chosen = {view: {each.label: each.value for each in open_view(view, run="demo").selectbox} for view in VIEWS}
    assert chosen["failures"]["Beam size"] == chosen["attention"]["Beam size"] == chosen["export"]["Beam size"] == best
    assert chosen["compare"]["Left: beam size of demo"] == best
    for view in ("failures", "attention"):
        found = {each.label: (each.proto.shortcut, each.help) for each in open_view(view, run="demo").button}
        assert [found[label][0].lower() for label in ("Previous", "Next")] == ["p", "n"]
        assert "key P" in found["Previous"][1]


def test_every_changed_image_is_on_a_page_of_compare(open_view, full_results):
    connection, _ = database.connect(full_results)
    row = queries.comparison(connection.cursor(), "demo", 5, "demo", 1).set_index("metric").loc["cider"]
    for name, count in (("gains", row.wins), ("losses", row.losses)):
        seen = []
        for page in range(1, max(1, -(-count // 6)) + 1):
            chosen = {"left_beam": 5, "right_beam": 1, "contrast": "cider", f"{name}_page": page}
            seen += cards(open_view("compare", run="demo", **chosen), f"compare_{name}") if count else []
        assert len(seen) == len(set(seen)) == count
    assert row.wins + row.losses > 6


def test_several_tags_select_any_or_all_of_them(open_view, tmp_path):
    folder = runs.captioner_run(tmp_path)
    rows = pq.read_table(folder / "scores.parquet").to_pylist()
    for row in rows:
        number = int(row["image_id"][-2:]) if row["image_id"].startswith("scene_") else 99
        row["tags"] = [
            {"tag": tag, "evidence": ""} for tag, most in (("generic", 4), ("repetition", 2)) if number < most
        ]
    tables.write_table(folder, "scores", tables.table_of("scores", rows, runs.METRICS))
    chosen = {"run": "demo", "beam": 1, "tag": "generic,repetition"}
    assert len(sent(open_view("failures", tmp_path, **chosen), "gallery")["cards"]) == 4
    both = open_view("failures", tmp_path, **chosen, match="all")
    cards = sent(both, "gallery")["cards"]
    assert [card["tags"] for card in cards] == [["generic", "repetition"]] * 2
    assert "tags generic and repetition" in words(both)


def test_the_ids_of_a_selection_come_as_a_command(open_view):
    app = open_view("failures", run="demo", beam=1, condition="dark", sort="cider", order="desc")
    listed = [card["id"] for card in sent(app, "gallery")["cards"]]
    drawn = AppTest.from_function(_drawn_ids)
    drawn.session_state["listing"] = (1, "cider", "dark")
    drawn.run()
    assert not drawn.exception
    assert f"--run demo-selection --only {' '.join(listed)}" in drawn.code[0].value


def _drawn_ids() -> None:
    import streamlit as st

    from dashboard.state import data
    from dashboard.state.listing import Listing
    from dashboard.widgets import selected_ids
    from engine.store.queries import Selection

    beam, sort, condition = st.session_state["listing"]
    run = next(each for each in data.runs() if each.name == "demo")
    selected_ids.draw(Listing(run, beam, ("cider",), sort, True, Selection(condition=condition)))


def test_zero_shot_opens_with_wrong_predictions_and_lists_the_images_of_a_pair(open_view):
    app = open_view("zeroshot", run="demo", template=runs.TEMPLATES[2])
    assert {card["mark"] for card in sent(app, "zero_gallery")["cards"]} == {"wrong"}
    confused = next(table.value for table in app.dataframe if "Share of the class" in table.value).iloc[0]
    pair = {"label": confused["True label"], "predicted": confused["Predicted"]}
    app = open_view("zeroshot", run="demo", template=runs.TEMPLATES[2], outcome="wrong", **pair)
    assert len(sent(app, "zero_gallery")["cards"]) == int(confused["Images"])


def _slice(metric: str, rank: int, condition: str) -> dict:
    numbers = {
        "size": 2,
        "inside": 0.2,
        "outside": 1.4,
        "effect": -1.2,
        "low": -1.5,
        "high": -0.9,
        "p": 0.0001,
        "q": 0.01,
    }
    return {"beam_size": 5, "metric": metric, "rank": rank, "condition": condition, "also": ["small"], **numbers}


def test_a_slice_leads_from_overview_to_its_images_and_into_the_report(open_view, tmp_path):
    folder = runs.captioner_run(tmp_path)
    found = [_slice("cider", 1, "crowded"), _slice("clipscore", 1, "at least 3 objects")]
    members = [{"beam_size": 5, "metric": "cider", "rank": 1, "image_id": f"scene_0{n}"} for n in (3, 6)]
    tables.write_table(folder, "slices", tables.table_of("slices", found))
    tables.write_table(folder, "slice_images", tables.table_of("slice_images", members))
    overview = open_view("overview", tmp_path, run="demo")
    assert "CIDEr 0.200, all other images 1.400; difference -1.500 to -0.900 (95 %)" in words(overview)
    links = [each.proto for each in overview.main if each.type == "page_link" and "slice=" in each.proto.query_string]
    assert [link.label for link in links] == ["**crowded**: 2 images", "**at least 3 objects**: 2 images"]
    there = dict(parse_qsl(links[0].query_string))
    opened = open_view("failures", tmp_path, **there)
    assert sorted(cards(opened, "gallery")) == ["scene_03", "scene_06"]
    assert r"slice cider\: crowded" in words(opened)
    source = archive.open_source(tmp_path, "demo", beam=5)[0]
    (chapter,) = slices.chapters(source)
    assert "“crowded”: 0.200 on 2 images, and 1.400 on all others" in chapter.lead
    assert chapter.items[0].shown["Effect (95 % CI)"].tolist()[0] == "-1.200 (-1.500 to -0.900)"
    assert slices.chapters(archive.open_source(tmp_path, "demo", beam=1)[0]) == []
