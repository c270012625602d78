"""Try a photo: the captioner of a run, in a process of its own, captions an uploaded photo."""

import sys

import pytest
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from dashboard.state import model_process, tried_photos
from dashboard.state.model_process import LIVE_VARIABLE, ModelProcess
from dashboard.state.record import Run
from engine.__main__ import main
from tests.conftest import ROOT
from tests.support.servers import CHROMIUM, served

ECHO = """
import json, sys, time
for line in sys.stdin:
    arguments = json.loads(line)["arguments"]
    if arguments[0] == "sleep": time.sleep(60)
    if arguments[0] == "end": sys.exit(3)
    print(json.dumps({"status": int(arguments[0] == "fail"), "message": " ".join(arguments)}), flush=True)
"""


@pytest.fixture
def process():
    made = ModelProcess([sys.executable, "-c", ECHO])
    yield made
    made.close()


def test_the_process_answers_and_is_started_again_after_it_ended(process):
    assert process.run(["good"]) == "" and process.run(["fail", "because"]) == "fail because"
    assert process.run(["end"]).startswith("the process of the model ended (status ")
    assert process.run(["good"]) == ""


def test_a_model_that_takes_too_long_is_ended(process):
    assert process.run(["sleep"], seconds=0.5) == "the model took longer than 0 s; its process was ended"
    assert process.run(["good"]) == ""


def test_the_options_of_a_captioner_come_from_the_command_of_its_run():
    command = (
        "python -m engine evaluate --data x --captioner 'my model' --beams 1 3 --prompt 'a photo' --run y --clip demo"
    )
    run = Run("y", {"command": command})
    assert tried_photos.options_of(run) == ["--captioner", "my model", "--prompt", "a photo"]
    assert tried_photos.options_of(Run("y", {"command": "python -m engine score x --run y"})) == []
    assert tried_photos.options_of(Run("y", {"command": "an 'unfinished quote"})) == []


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A run of the demo's captioner on a few of its photos."""
    folder = tmp_path_factory.mktemp("live")
    (folder / "photos").mkdir()
    for number, colour in enumerate(((200, 40, 40), (40, 160, 60))):
        Image.new("RGB", (224, 224), colour).save(folder / "photos" / f"{number}.png")
    arguments = [
        "evaluate",
        "--data",
        str(folder / "photos"),
        "--captioner",
        str(ROOT / "engine" / "demo" / "captioner"),
    ]
    arguments += ["--beams", "1", "--run", "demo", "--results", str(folder / "results")]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["engine", *arguments])  # the record of a run names its command
        assert main(arguments) == 0
    return folder


@pytest.fixture
def browser():
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium: apt-get install chromium")
def test_a_photo_is_captioned_in_the_browser_and_a_bad_file_is_one_sentence(evaluated, browser, monkeypatch, tmp_path):
    monkeypatch.setenv(LIVE_VARIABLE, "1")
    (tmp_path / "broken.jpg").write_bytes(b"not a photo")
    with served(evaluated / "results") as (url, _):
        page = browser.new_page(viewport={"width": 1280, "height": 1200})
        page.goto(f"{url}/photo?run=demo")
        page.locator("input[type=file]").set_input_files(str(evaluated / "photos" / "0.png"))
        page.locator("canvas.large[data-word]").wait_for(timeout=90_000)
        expect(page.get_by_role("radio")).to_have_count(3)
        expect(page.locator(".chip").first).to_be_visible()
        page.locator("input[type=file]").set_input_files(str(tmp_path / "broken.jpg"))
        expect(page.get_by_text("not a JPEG, PNG, WebP")).to_be_visible(timeout=60_000)
        assert "Traceback" not in page.content()
        page.close()


@pytest.mark.parametrize(("value", "live"), [("", False), ("0", False), ("1", True)])
def test_pages_run_models_only_if_the_setting_says_so(monkeypatch, value, live):
    monkeypatch.setenv(LIVE_VARIABLE, value)
    assert model_process.is_live() == live
