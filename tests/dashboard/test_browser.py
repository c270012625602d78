"""What only a browser shows: no error in the console, no request to another host, and the keys of the viewer."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from engine.store import records, tables
from tests.support import runs
from tests.support.servers import CHROMIUM, served

VIEWS = ["Overview", "Failures", "Beams", "Attention", "Zero-shot", "Compare", "Export"]

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def address(full_results) -> Iterator[str]:
    """A running dashboard over `full_results`."""
    with served(full_results) as (base, _):
        yield base


@pytest.fixture(scope="module")
def chromium():
    """A browser for the whole module: starting one costs a second."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium, address):
    """A page that fails its test on a console error, a script error or a request that leaves the machine."""
    opened = chromium.new_page(viewport={"width": 1280, "height": 1000}, base_url=address)
    opened.set_default_timeout(20_000)
    complaints: list[str] = []
    opened.on("console", lambda message: _check_message(message, complaints))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    opened.on("request", lambda request: _check_host(request.url, complaints))
    yield opened
    opened.close()
    assert complaints == []


def _check_message(message, complaints: list[str]) -> None:
    # Opened below the root, Streamlit's own page first asks for its health there, and then at the root.
    is_streamlits = re.search(r"/\w+/_stcore/(health|host-config)$", message.location["url"])
    if message.type == "error" and not is_streamlits:
        complaints.append(f"{message.text} {message.location['url']}")


def _check_host(url: str, complaints: list[str]) -> None:
    parts = urlsplit(url)
    if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1":
        complaints.append(f"request to {url}")


def choice(page, key: str) -> str | None:
    return parse_qs(urlsplit(page.url).query).get(key, [None])[0]


def wait_for_choice(page, key: str, value: str) -> None:
    page.wait_for_function(
        "([key, value]) => new URLSearchParams(location.search).get(key) === value", arg=[key, value]
    )


def wait_for_case(page, image: str) -> None:
    """Until the case beside the list is `image`, and everything of it is drawn: the address changes before the page."""
    page.locator(".st-key-case").get_by_text(image).first.wait_for()
    page.wait_for_timeout(300)
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()


def picture(page) -> str:
    return page.locator("canvas.large").evaluate("canvas => canvas.toDataURL()")


def open_viewer(page, parameters: str = "run=demo&image=scene_01") -> None:
    page.goto(f"/attention?{parameters}")
    page.locator("canvas.large[data-word]").wait_for()
    page.wait_for_timeout(500)  # the photo below the map is decoded


@pytest.mark.parametrize("run", ["demo", "predictions"])
def test_every_view_opens_by_a_click_with_no_error_and_no_request_elsewhere(page, run):
    page.goto(f"/?run={run}")
    for view in VIEWS:
        page.get_by_test_id("stSidebarNav").get_by_role("link", name=view, exact=True).click()
        page.get_by_role("heading", name=view, exact=True).wait_for()
        page.wait_for_timeout(400)
        assert page.get_by_test_id("stException").count() == 0
        assert choice(page, "run") == run


def test_hovering_and_keys_change_the_map_without_asking_the_server(page):
    asked: list[object] = []
    page.on("websocket", lambda opened: opened.on("framesent", lambda frame: asked.append(frame)))
    open_viewer(page)
    before = len(asked)
    first = picture(page)
    page.locator("button.word").nth(3).hover()
    assert page.locator("canvas.large").get_attribute("data-word") == "3"
    hovered = picture(page)
    assert hovered != first
    page.mouse.move(5, 5)
    assert picture(page) == first
    assert before > 0 and len(asked) == before
    page.keyboard.press("ArrowRight")
    assert page.locator("canvas.large").get_attribute("data-word") == "1"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    last = page.locator("button.word").count() - 1
    assert page.locator("canvas.large").get_attribute("data-word") == str(last)


def test_a_noun_has_its_box_and_its_hit_in_the_viewer(page, full_results):
    open_viewer(page, "run=demo&beam=1&image=scene_01")
    status = page.locator(".status")
    page.locator("button.word").nth(0).hover()  # the viewer opens on the noun
    assert "solid frame" not in status.text_content()
    page.locator("button.word").nth(2).hover()
    said = "The solid frame is the box of “square”"
    assert status.text_content().endswith(
        f"{said}, with 1.0 times the attention of a uniform map; the brightest patch is inside."
    )
    row = tables.read_table(records.run_folder(full_results, "demo"), "images").to_pylist()[1]
    box, size = row["objects"][0], [row["width"], row["height"]]
    edge = [box["x"] / size[0], (box["y"] + box["height"] / 2) / size[1]]
    drawn = page.locator("canvas.large").evaluate(
        "(canvas, [x, y]) => [...canvas.getContext('2d').getImageData(canvas.width * x, canvas.height * y, 1, 1).data]",
        edge,
    )
    assert drawn == [255, 255, 255, 255]
    page.locator("select.layer").select_option("0")
    assert status.text_content().endswith(f"{said}.")


def test_space_plays_from_word_to_word_without_asking_the_server(page):
    asked: list[object] = []
    page.on("websocket", lambda opened: opened.on("framesent", lambda frame: asked.append(frame)))
    open_viewer(page)
    before = len(asked)
    page.keyboard.press(" ")
    page.locator('canvas.large[data-word="2"]').wait_for()
    page.keyboard.press(" ")
    assert before > 0 and len(asked) == before
    assert page.locator("button.play").text_content() == "▶ Play"


def test_the_focus_follows_the_selected_word_and_space_plays_there(page):
    open_viewer(page)
    words, focused = page.locator("button.word"), "node => node === node.getRootNode().activeElement"
    words.nth(1).click()
    page.keyboard.press("ArrowRight")
    assert words.nth(2).evaluate(focused) and page.locator("canvas.large").get_attribute("data-word") == "2"
    page.keyboard.press(" ")
    assert page.locator("button.play").text_content() == "❚❚ Pause"
    page.locator('canvas.large[data-word="3"]').wait_for()
    assert words.nth(3).evaluate(focused)
    page.keyboard.press(" ")
    assert page.locator("button.play").text_content() == "▶ Play"
    page.locator("button.tile").nth(0).click()
    page.keyboard.press("ArrowRight")
    assert words.nth(1).evaluate(focused)
    assert words.evaluate_all("nodes => nodes.filter(node => node.tabIndex === 0).length") == 1
    page.keyboard.press("Tab")  # leaves the words: one stop
    assert not words.evaluate_all("nodes => nodes.some(node => node === node.getRootNode().activeElement)")


def test_a_point_of_the_comparison_opens_its_case(page):
    page.goto("/compare?run=demo&left_beam=5&right_beam=1&contrast=cider")
    points = page.locator(".st-key-scatter .scatterlayer .trace .points path")
    points.first.wait_for()
    page.wait_for_timeout(500)
    page.locator(".st-key-scatter").scroll_into_view_if_needed()
    box = points.first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=4)
    page.wait_for_timeout(200)
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_function("() => new URLSearchParams(location.search).has('image')")
    image = choice(page, "image")
    page.locator(".st-key-pair").get_by_text(image, exact=True).wait_for()
    assert page.get_by_test_id("stException").count() == 0


def test_word_layer_and_head_are_kept_in_the_url_and_restored_from_it(page):
    open_viewer(page)
    page.locator("button.word").nth(4).click()
    page.locator("select.layer").select_option("1")
    page.locator("select.head").select_option("2")
    page.locator("select.subtract").select_option("sinks")
    wait_for_choice(page, "subtract", "sinks")
    assert [choice(page, key) for key in ("word", "layer", "head")] == ["4", "1", "2"]
    shown = picture(page)
    page.goto(page.url)
    page.locator('canvas.large[data-word="4"]').wait_for()
    page.wait_for_timeout(500)
    assert page.locator("select.head").input_value() == "2"
    assert picture(page) == shown


def planted_run(results: Path, name: str, rows: int, columns: int, heads: int) -> None:
    """A run whose first caption has a sink in the first cell, a peak per word, and 40 % of each word's attention."""
    folder = runs.captioner_run(results, name)
    captions = tables.read_table(folder, "attention").to_pylist()
    words, cells = len(captions[0]["words"]), rows * columns
    weights = np.full((words, 2, heads, cells), 4, np.uint8)
    weights[..., 0], weights[np.arange(words), ..., np.arange(words) % (cells - 1) + 1] = 255, 100
    captions[0] |= {
        **{"shape": list(weights.shape), "weights": weights.tobytes(), "scale": [0.25] * (words * 2 * heads)},
        **{"grid_height": rows, "grid_width": columns, "share": [0.4] * words},
        "crop": {"x": 0.0, "y": 0.0, "width": 320.0, "height": 240.0},
    }
    tables.write_table(folder, "attention", tables.table_of("attention", captions))


def test_sinks_share_and_cells_of_a_rectangular_grid_are_those_of_the_tables(chromium, tmp_path):
    results = tmp_path / "results"
    planted_run(results, "wide", 3, 4, 1)
    with served(results) as (base, _):
        opened = chromium.new_page(viewport={"width": 1280, "height": 1000}, base_url=base)
        open_viewer(opened, "run=wide&image=scene_00&beam=1&word=1")
        status = opened.locator("p.status")
        assert "Its brightest patch has 25.0 % of the attention" in status.inner_text()
        assert "Its maps hold 40 % of this word's attention (mean of layers and heads)." in status.inner_text()
        assert opened.locator("select.head option").all_inner_texts() == ["Mean of heads"]
        box = opened.locator("canvas.large").bounding_box()
        for column, row, shown in ((0, 0, "25.00 %"), (2, 0, "9.80 %"), (3, 2, "0.39 %")):  # word 1 peaks in cell 2
            x, y = (column + 0.5) / 4 * box["width"], (row + 0.5) / 3 * box["height"]
            opened.locator("canvas.large").hover(position={"x": x, "y": y})
            assert opened.locator("p.spot").inner_text() == f"This patch: {shown}"
        before = picture(opened)
        opened.locator("select.subtract").select_option("sinks")
        wait_for_choice(opened, "subtract", "sinks")
        assert "Its brightest patch has 9.8 % of the attention" in status.inner_text()
        assert "1 sink is subtracted." in status.inner_text() and picture(opened) != before
        opened.locator("canvas.large").hover(position={"x": box["width"] / 8, "y": box["height"] / 6})
        assert opened.locator("p.spot").inner_text() == "This patch: 0.39 %"
        open_viewer(opened, "run=wide&image=scene_00&beam=1&word=1&subtract=1")  # an address of before
        assert opened.locator("select.subtract").input_value() == "mean"
        opened.close()


def test_a_row_of_labels_shows_its_word_under_the_layer_and_head_that_it_is_about(page):
    page.goto("/attention?run=demo&beam=1&pointing=1.-1&subtract=1")
    drawn = page.locator(".st-key-pointing_labels canvas").first
    drawn.wait_for()
    drawn.scroll_into_view_if_needed()
    page.wait_for_timeout(1000)
    drawn.click(position={"x": 60, "y": 55}, force=True)  # the first row; a scroller lies over the drawing
    wait_for_choice(page, "layer", "2")
    assert [choice(page, key) for key in ("head", "subtract")] == ["0", None]


def test_back_and_forward_show_in_the_viewer_what_the_address_says(page):
    def rest_on(act) -> None:
        act()
        page.mouse.move(5, 5)
        page.wait_for_timeout(1800)  # reported after half a second; sooner than one more, a URL could be on its way

    def shown() -> tuple[str, str]:
        return page.locator("canvas.large").get_attribute("data-word"), page.locator("select.layer").input_value()

    open_viewer(page)
    rest_on(lambda: page.locator("button.word").nth(2).click())
    rest_on(lambda: page.locator("button.word").nth(4).click())
    rest_on(lambda: page.locator("select.layer").select_option("1"))
    seen = []
    for act in (page.go_back, page.go_back, page.go_forward, page.go_forward):
        rest_on(act)
        assert shown() == (choice(page, "word"), choice(page, "layer"))
        seen.append(shown())
    assert seen == [("4", "2"), ("2", "2"), ("4", "2"), ("4", "1")]
    rest_on(page.go_back)
    rest_on(lambda: page.locator("select.layer").select_option("1"))  # reported once before, and chosen again
    assert choice(page, "layer") == "1"


def test_space_on_a_focused_button_presses_that_button_and_enter_selects_a_word(page):
    open_viewer(page)
    page.locator("button.word").nth(3).focus()
    page.keyboard.press("Enter")
    page.locator('button.word[aria-pressed="true"]').and_(page.locator("button.word").nth(3)).wait_for()
    assert page.locator("button.play").text_content() == "▶ Play"
    page.locator("button.play").focus()
    page.keyboard.press(" ")
    assert page.locator("button.play").text_content() == "❚❚ Pause"
    page.locator(".viewer").focus()
    page.keyboard.press(" ")
    assert page.locator("button.play").text_content() == "▶ Play"


def test_a_clicked_card_becomes_the_case_and_leads_to_its_attention_and_back(page):
    page.goto("/failures?run=demo&show=gallery")
    card = page.locator("button.card").nth(5)
    image = card.get_attribute("data-id")
    card.click()
    wait_for_choice(page, "image", image)
    wait_for_case(page, image)
    page.get_by_role("link", name="Where did the model look?").click()
    page.locator("canvas.large[data-word]").wait_for()
    wait_for_choice(page, "image", image)
    wait_for_choice(page, "show", "gallery")
    page.get_by_role("link", name="Open scores of this case").click()
    page.locator(f'button.card[data-id="{image}"][aria-pressed="true"]').wait_for()


def test_the_back_button_undoes_a_choice(page):
    page.goto("/failures?run=demo&show=gallery")
    page.locator("button.card").nth(2).click()
    page.wait_for_function("() => new URLSearchParams(location.search).has('image')")
    page.wait_for_timeout(1200)  # sooner, a URL from before could still be one on its way
    page.go_back()
    page.locator("button.card").first.and_(page.locator('[aria-pressed="true"]')).wait_for()
    assert "image" not in page.evaluate("location.search")


def test_a_script_in_a_caption_is_shown_and_not_run(page):
    page.goto(f"/failures?run=demo&show=gallery&image={runs.SCRIPT_IMAGE}")
    page.locator(f'button.card[data-id="{runs.SCRIPT_IMAGE}"]').wait_for()
    assert page.locator(f'button.card[data-id="{runs.SCRIPT_IMAGE}"] .title').text_content() == runs.SCRIPT
    page.get_by_role("heading", name=runs.SCRIPT, exact=True).wait_for()
    open_viewer(page, f"run=demo&image={runs.SCRIPT_IMAGE}")
    assert page.locator("button.word").first.text_content() == runs.SCRIPT.split()[0]


def test_a_rotated_photo_is_upright_in_the_viewer(page):
    open_viewer(page, f"run=demo&image={runs.ROTATED_IMAGE}&opacity=0")
    # The ground is drawn below: the bottom row is green all along, in whatever way the file was stored.
    bottom = page.locator("canvas.large").evaluate(
        "c => [0.1, 0.5, 0.9].map(x => [...c.getContext('2d').getImageData(c.width * x, c.height - 3, 1, 1).data])"
    )
    assert all(green > red and green > blue for red, green, blue, _ in bottom)


def test_a_clicked_comparison_is_kept_in_the_url(page):
    page.goto("/compare?run=demo&left_beam=3&right_beam=1")
    card = page.locator("button.card").nth(1)
    image = card.get_attribute("data-id")
    card.click()
    wait_for_choice(page, "image", image)
    page.get_by_role("button", name="Swap").click()
    wait_for_choice(page, "left_beam", "1")
    assert choice(page, "right_beam") == "3"


def test_one_action_is_one_history_entry_whatever_it_sets(page):
    page.goto("/compare?run=demo&left_beam=3&right=demo_cnn&right_beam=1")
    page.get_by_role("button", name="Swap").click()
    wait_for_choice(page, "run", "demo_cnn")
    page.wait_for_timeout(1200)  # sooner, a URL from before could still be one on its way
    assert [choice(page, key) for key in ("left_beam", "right", "right_beam")] == ["1", "demo", "3"]
    page.go_back()
    wait_for_choice(page, "run", "demo")
    assert [choice(page, key) for key in ("left_beam", "right", "right_beam")] == ["3", "demo_cnn", "1"]
    filters = {"text": "a", "condition": "dark", "in_cider": "0:2", "in_clipscore": "0:0.9"}
    page.goto(f"/failures?run=demo&{urlencode(filters)}")
    page.get_by_role("button", name="Clear all filters").click()
    page.wait_for_function("() => !new URLSearchParams(location.search).has('in_clipscore')")
    page.wait_for_timeout(1200)
    page.go_back()
    page.get_by_text("match the filters:").wait_for()
    assert {key: choice(page, key) for key in filters} == filters


def test_a_figure_and_a_table_of_the_page_are_downloaded_when_asked_for(page):
    page.goto("/beams?run=demo")
    page.get_by_role("button", name="Export").click()
    line = page.get_by_test_id("stPopoverBody")
    for label, ending, first in (("PDF", ".pdf", b"%PDF"), ("PNG", ".png", b"\x89PNG"), ("CSV", ".csv", b"beam_size,")):
        with page.expect_download() as started:
            line.get_by_role("button", name=label, exact=True).first.click()
        assert started.value.suggested_filename.endswith(ending)
        assert Path(started.value.path()).read_bytes().startswith(first)


def test_the_whole_report_is_made_and_downloaded(page):
    page.goto("/export?run=predictions")
    page.get_by_role("button", name="Make the report").click()
    button = page.get_by_role("button", name="Download report_predictions.zip")
    button.wait_for(timeout=90_000)
    with page.expect_download() as started:
        button.click()
    with zipfile.ZipFile(started.value.path()) as target:
        assert "report.md" in target.namelist() and any(name.endswith(".pdf") for name in target.namelist())


def drag(page, locator, path: list[tuple[float, float]]) -> None:
    """Drags over an element along places that are shares of its width and height."""
    locator.scroll_into_view_if_needed()
    box = locator.bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in path]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()


def shown_cards(page, count: int) -> None:
    page.locator("button.card").nth(count - 1).wait_for()
    page.wait_for_timeout(400)
    assert page.locator("button.card").count() == count


def test_brushing_a_histogram_filters_and_a_click_takes_it_back(page):
    page.goto("/failures?run=demo&show=gallery&plots=1")
    plot = page.locator('.metric[data-metric="cider"] svg')
    plot.wait_for()
    shown_cards(page, 12)
    drag(page, plot, [(0.02, 0.5), (0.5, 0.5)])
    page.wait_for_function("() => new URLSearchParams(location.search).has('in_cider')")
    page.get_by_text("match the filters:").wait_for()
    count = int(page.get_by_text("match the filters:").text_content().split(" of ")[0])
    assert 0 < count < 12
    shown_cards(page, count)
    assert page.locator('.metric[data-metric="cider"] .brush').get_attribute("visibility") == "visible"
    url = page.url
    page.goto("about:blank")
    page.goto(url)
    shown_cards(page, count)
    plot.click(position={"x": 5, "y": 20})
    page.wait_for_function("() => !new URLSearchParams(location.search).has('in_cider')")
    shown_cards(page, 12)


def test_a_lasso_and_a_box_filter_and_the_address_restores_them(page):
    page.goto("/failures?run=demo&show=gallery&plots=1")
    canvas = page.locator(".quadrant canvas")
    canvas.wait_for()
    drag(page, canvas, [(0.15, 0.1), (0.6, 0.1), (0.6, 0.85), (0.15, 0.85)])
    page.wait_for_function("() => new URLSearchParams(location.search).has('lasso')")
    text = page.get_by_text("a region of CIDEr and CLIPScore")
    text.wait_for()
    said = text.text_content()
    page.goto(page.url)
    text.wait_for()
    assert text.text_content() == said
    page.get_by_role("button", name="Box", exact=True).click()
    drag(page, canvas, [(0.5, 0.1), (0.9, 0.6)])
    page.wait_for_function("() => new URLSearchParams(location.search).has('in_clipscore')")
    assert choice(page, "lasso") is None and choice(page, "in_cider")
    page.get_by_role("button", name="Clear the region").click()
    page.wait_for_function("() => !new URLSearchParams(location.search).has('in_cider')")


def test_a_quadrant_is_chosen_by_key_and_a_point_by_click(page):
    page.goto("/failures?run=demo&show=gallery&plots=1")
    page.get_by_role("button", name="Low CLIPScore, low CIDEr").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("() => new URLSearchParams(location.search).has('in_clipscore')")
    canvas = page.locator(".quadrant canvas")
    box = canvas.bounding_box()
    for x in range(50, int(box["width"]) - 12, 12):  # somewhere on this grid lies a point
        for y in range(14, 262, 12):
            canvas.click(position={"x": x, "y": y}, no_wait_after=True)
            if choice(page, "image"):
                return
    raise AssertionError("no click chose a case")


def test_p_and_n_walk_through_the_cases(page):
    page.goto("/failures?run=demo&show=gallery")
    first = page.locator('button.card[aria-pressed="true"]')
    first.wait_for()
    ids = page.locator("button.card").evaluate_all("cards => cards.map(card => card.dataset.id)")
    page.keyboard.press("n")
    wait_for_choice(page, "image", ids[1])
    wait_for_case(page, ids[1])  # the first case has no case before it: its button takes no key
    page.keyboard.press("p")
    wait_for_choice(page, "image", ids[0])


def test_a_deep_link_restores_the_case_and_its_filters(page):
    page.goto("/failures?run=demo&show=gallery&sort=cider&condition=dark&image=scene_03&beam=3")
    page.locator('button.card[data-id="scene_03"][aria-pressed="true"]').wait_for()
    shown_cards(page, 4)
    page.get_by_text("condition dark").first.wait_for()


def test_a_verdict_survives_a_restart_of_the_server(chromium, tmp_path):
    results = tmp_path / "results"
    runs.captioner_run(results)
    where = "/failures?run=demo&show=gallery&image=scene_02"
    with served(results) as (base, _):
        opened = chromium.new_page(base_url=base)
        opened.goto(where)
        question = opened.get_by_role("radiogroup", name="Does the attended region reflect the words?")
        question.get_by_text("partly").click()
        opened.get_by_text("Saved 20").wait_for()
        opened.close()
    with served(results) as (base, _):
        opened = chromium.new_page(base_url=base)
        opened.goto(where)
        opened.get_by_text("Saved 20").wait_for()
        assert "attention partly" in opened.locator('button.card[data-id="scene_02"] .note').text_content()
        opened.close()


_CUT = """() => {
  // A table's hidden tools reach beyond it.
  const cut = node => node.scrollWidth > node.clientWidth + 1 && !node.querySelector('[data-testid="stDataFrame"]');
  const named = selector => [...document.querySelectorAll(selector)];
  const narrow = named('[data-testid="stPlotlyChart"]').filter(node => node.clientWidth < 300);
  const hidden = named('[data-testid="stColumn"], [data-testid="stMetricValue"] *, [data-testid="stButtonGroup"] *');
  const marks = '[data-testid="stDataFrame"], [data-testid="stHtml"], [data-testid="stPlotlyChart"]';
  return [...hidden.filter(node => cut(node) && !node.closest(marks)), ...narrow].map(node => node.innerText);
}"""


@pytest.mark.parametrize("width", [800, 1024, 1280])
@pytest.mark.parametrize("view", ["failures", "compare", "zeroshot", "beams", "attention"])
def test_nothing_is_cut_or_squeezed_in_a_narrow_window(page, view, width):
    page.set_viewport_size({"width": width, "height": 1000})
    page.goto(f"/{view}?run=demo")
    page.locator("h1").wait_for()
    page.wait_for_timeout(1500)
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
    for _ in range(40):  # on a busy machine a page is laid out long after its script has ended
        if not (cut := page.evaluate(_CUT)):
            break
        page.wait_for_timeout(250)
    assert cut == []


_CONTRAST = """element => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
    .map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, place) => sum + c * [0.2126, 0.7152, 0.0722][place], 0);
  const ground = node => {  // a translucent ground lies over the one below it
    const [r, g, b, share = 1] = parse(getComputedStyle(node).backgroundColor);
    if (share === 1 || !node.parentElement) return [r, g, b];
    return ground(node.parentElement).map((c, place) => share * [r, g, b][place] + (1 - share) * c);
  };
  const opacity = node => node ? getComputedStyle(node).opacity * opacity(node.parentElement) : 1;
  const behind = ground(element), share = opacity(element);
  const written = parse(getComputedStyle(element).color).slice(0, 3);
  const ink = written.map((c, place) => share * c + (1 - share) * behind[place]);
  const [one, other] = [light(ink), light(behind)];
  return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_written_on_and_in_the_primary_colour_can_be_read(page, scheme):
    page.emulate_media(color_scheme=scheme)
    page.goto("/export?run=demo&report_images=scene_04")
    for written in ('[data-testid="stBaseButton-primary"] p', '[data-testid="stMultiSelect"] [data-tag] [title]'):
        assert page.locator(written).first.evaluate(_CONTRAST) >= 4.5, written
    button = page.get_by_test_id("stBaseButton-primary").first
    button.hover()
    page.wait_for_timeout(400)
    assert button.locator("p").evaluate(_CONTRAST) >= 4.5
    page.goto("/failures?run=demo")
    chosen = page.get_by_test_id("stButtonGroup").get_by_text("Best and worst")
    assert chosen.evaluate(_CONTRAST) >= 4.5
    for written in (".w-matched", ".w-unmatched", ".wording .legend mark", '[data-testid="stCaptionContainer"] p'):
        page.locator(written).first.wait_for()
        for place in range(page.locator(written).count()):
            assert page.locator(written).nth(place).evaluate(_CONTRAST) >= 4.5, written


def test_an_opened_part_is_kept_in_the_url_and_a_link_opens_it(page):
    page.goto("/failures?run=demo&condition=dark&plots=1")
    rest = page.get_by_text("Selection vs. rest")
    rest.click()
    wait_for_choice(page, "rest", "1")
    page.get_by_role("button", name="Exact ranges").click()
    wait_for_choice(page, "exact", "1")
    page.goto(page.url)
    page.get_by_text("Means of per-image values").wait_for()
    page.get_by_test_id("stSlider").first.wait_for()
    page.keyboard.press("Escape")
    page.wait_for_function("() => !new URLSearchParams(location.search).has('exact')")
    rest.click()
    page.wait_for_function("() => !new URLSearchParams(location.search).has('rest')")


def test_a_saved_selection_survives_a_restart_and_is_opened_renamed_and_deleted(chromium, tmp_path):
    results = tmp_path / "results"
    runs.captioner_run(results)
    with served(results) as (base, _):
        opened = chromium.new_page(base_url=base)
        opened.goto("/failures?run=demo&show=gallery&condition=dark&sort=cider&image=scene_03&beam=3")
        shown_cards(opened, 4)
        opened.get_by_text("Saved selections").click()
        opened.get_by_placeholder("name", exact=True).fill("dark & <b>hard</b>")
        opened.get_by_role("button", name="Save", exact=True).click()
        opened.get_by_role("link", name="dark & <b>hard</b>").wait_for()
        opened.close()
    with served(results) as (base, _):
        opened = chromium.new_page(base_url=base)
        opened.goto("/beams?run=demo")
        opened.get_by_role("link", name="dark & <b>hard</b>").click()
        opened.locator('button.card[data-id="scene_03"][aria-pressed="true"]').wait_for()
        shown_cards(opened, 4)
        assert [choice(opened, key) for key in ("condition", "sort", "beam")] == ["dark", "cider", "3"]
        opened.get_by_role("button", name="Rename or delete").click()
        opened.get_by_test_id("stPopoverBody").get_by_label("Selection").click()
        opened.get_by_role("option", name="dark & <b>hard</b>").click()
        opened.get_by_label("New name").fill("dark ones")
        opened.get_by_role("button", name="Rename", exact=True).click()
        opened.get_by_role("link", name="dark ones").wait_for()
        assert opened.get_by_role("link", name="dark & <b>hard</b>").count() == 0
        opened.get_by_role("button", name="Delete “dark ones”", exact=True).click()
        opened.get_by_role("link", name="dark ones").wait_for(state="detached")
        opened.goto("/failures?run=demo")
        opened.locator("button.card").first.wait_for()
        assert opened.get_by_role("link", name="dark ones").count() == 0
        opened.close()


FOCUSED = """() => {
    let focused = document.activeElement;
    while (focused.shadowRoot?.activeElement) focused = focused.shadowRoot.activeElement;
    const style = getComputedStyle(focused);
    const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
    return { name: focused.className, id: focused.dataset.id ?? null, seen: outlined || style.boxShadow !== "none" };
}"""


def test_cards_are_reached_and_chosen_by_key_and_the_focus_is_seen(page):
    page.goto("/failures?run=demo&show=gallery")
    page.locator("button.card").first.focus()
    page.keyboard.press("Tab")
    focused = page.evaluate(FOCUSED)
    ids = page.locator("button.card").evaluate_all("cards => cards.map(card => card.dataset.id)")
    assert focused["id"] == ids[1] and focused["seen"]
    page.keyboard.press("Enter")
    wait_for_choice(page, "image", ids[1])
    wait_for_case(page, ids[1])
    assert page.evaluate(FOCUSED)["id"] == ids[1]  # the page that follows leaves the focus where it was
    page.keyboard.press("n")
    wait_for_choice(page, "image", ids[2])


def test_words_of_the_viewer_and_parts_of_the_quadrant_show_the_focus(page):
    open_viewer(page)
    page.locator("button.word").nth(1).focus()
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED)["seen"]
    page.goto("/failures?run=demo&plots=1")
    page.locator(".quadrant .names button").first.focus()
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED)["seen"]


def test_the_colour_scale_is_kept_in_the_url(page):
    open_viewer(page)
    before = picture(page)
    page.locator("select.scale").select_option("cividis")
    assert picture(page) != before
    wait_for_choice(page, "scale", "cividis")
    page.goto(page.url)
    page.locator("canvas.large[data-word]").wait_for()
    assert page.locator("select.scale").input_value() == "cividis"


def test_a_word_whose_map_is_the_mean_map_is_flagged(chromium, tmp_path):
    results = tmp_path / "results"
    folder = runs.captioner_run(results)
    rows = tables.read_table(folder, "attention").to_pylist()
    for row in rows:  # every word of the caption gets the map of the first
        size = len(row["weights"]) // len(row["words"])
        row["weights"] = row["weights"][:size] * len(row["words"])
        row["scale"] = row["scale"][: len(row["scale"]) // len(row["words"])] * len(row["words"])
    tables.write_table(folder, "attention", tables.table_of("attention", rows))
    with served(results) as (base, _):
        opened = chromium.new_page(base_url=base)
        open_viewer(opened)
        assert opened.locator("button.word.mean").count() == opened.locator("button.word").count() > 0
        assert "Nearly the caption's mean map" in opened.locator(".status").text_content()
        opened.close()


UNFADED = """() => [...document.querySelectorAll('[data-testid="stElementContainer"]')]
    .every((each) => getComputedStyle(each).opacity === "1")"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_accessibility_violation_in_any_view(chromium, address, scheme):
    opened = chromium.new_page(viewport={"width": 1280, "height": 1000}, base_url=address, color_scheme=scheme)
    for name in VIEWS:
        opened.goto(f"/{'' if name == 'Overview' else name.lower().replace('-', '')}?run=demo")
        opened.get_by_role("heading", name=name, exact=True).wait_for()
        opened.wait_for_timeout(700)
        # Streamlit fades what is being computed, and for a moment afterwards.
        opened.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
        opened.wait_for_function(UNFADED)
        found = Axe().run(opened)
        for _ in range(3):  # a fade that began since then ends; a real violation stays
            if found.violations_count:
                opened.wait_for_timeout(2000)
                found = Axe().run(opened)
        assert found.violations_count == 0, found.generate_report()
    opened.close()


def test_the_photo_is_zoomed_by_key_and_moved_by_dragging(page):
    open_viewer(page)
    level, whole = page.locator(".zoom .level"), picture(page)
    assert level.text_content() == "100 %" and page.locator(".zoom .out").is_disabled()
    page.keyboard.press("+")
    page.keyboard.press("+")
    assert level.text_content() == "200 %"
    zoomed = picture(page)
    assert zoomed != whole
    box = page.locator("canvas.large").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 90, middle[1] + 60, steps=3)
    page.mouse.up()
    assert picture(page) != zoomed
    page.keyboard.press("-")
    page.keyboard.press("-")
    assert level.text_content() == "100 %"
    page.mouse.move(5, 5)
    assert picture(page) == whole
