"""The zip of a report: all of it, in its order, readable, and nothing in it that a stranger can make act."""

import io
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as xml
import zipfile

import pytest
from PIL import Image

from dashboard import chapters, exports, report
from tests import runs
from tests.conftest import ROOT

needs_browser = pytest.mark.skipif(bool(exports.browser_missing()), reason="no browser: apt-get install chromium")
CHAPTERS = [
    *("Prompt templates", "Three images with their five surest labels", "The setting and its scores"),
    "Runs and hyperparameters",
    *("Beam sizes", "Attention", "Do the maps point at what the words name?", "Best and worst"),
    *("Failure tags", "Verdicts"),
]


def titles(*without: str) -> list[str]:
    told = [title for title in CHAPTERS if title not in without]
    return [*(f"{number}. {title}" for number, title in enumerate(told, 1)), "Where this comes from"]


@pytest.fixture
def no_browser(monkeypatch):
    """A machine without Chromium."""
    monkeypatch.setenv("BROWSER_PATH", "/nowhere/chrome")
    exports.close_browser()


def opened(content: bytes) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(content))


def made(results, run, **chosen) -> zipfile.ZipFile:
    return opened(report.make(report.open_source(results, run, **chosen)[0]))


@pytest.fixture(scope="module")
def whole(full_results) -> zipfile.ZipFile:
    """The report of the captioner run, drawn by a real browser."""
    target = made(full_results, "demo", beam=1, images=["scene_04", "scene_05"])
    exports.close_browser()
    return target


@needs_browser
def test_the_report_holds_every_chapter_in_the_studys_order(whole):
    text = whole.read("report.md").decode()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == titles()
    assert "Not in this report" not in text
    assert "python -m engine evaluate --data data/demo" in text and "`cider|tok:ptb|n:12|v:0.1`" in text


@needs_browser
def test_everything_that_report_md_links_to_is_in_the_zip_and_the_other_way_round(whole):
    linked = set(re.findall(r"\]\(([^)]+)\)", whole.read("report.md").decode()))
    # Markdown tables stand in the report itself, and beside the others for whoever wants one alone.
    assert linked == {name for name in whole.namelist() if name != "report.md" and not name.endswith(".md")}
    assert len(whole.namelist()) == len(set(whole.namelist()))


@needs_browser
def test_every_figure_opens_in_its_three_kinds(whole):
    names = [name for name in whole.namelist() if name.startswith("figures/")]
    stems = {name.rsplit(".", 1)[0] for name in names}
    assert len(names) == 3 * len(stems) and len(stems) >= 10
    for stem in stems:
        assert Image.open(io.BytesIO(whole.read(f"{stem}.png"))).width >= 1800
        assert xml.fromstring(whole.read(f"{stem}.svg")).tag.endswith("svg")
        assert len(re.findall(rb"/Type\s*/Page[^s]", whole.read(f"{stem}.pdf"))) == 1


@needs_browser
def test_the_strips_are_those_of_the_images_that_were_asked_for(whole):
    strips = [name for name in whole.namelist() if "attention" in name and name.endswith(".svg")]
    assert len(strips) == 2
    words = " ".join(xml.fromstring(whole.read(strips[0])).itertext())
    assert "<script>alert('caption')</script>" in words and "layer 2, mean of heads" in words


def test_the_same_results_give_the_same_bytes(full_results, no_browser):
    source = report.open_source(full_results, "predictions")[0]
    assert report.make(source) == report.make(source)


def test_without_a_browser_the_figures_are_pages_and_the_report_says_what_to_install(full_results, no_browser):
    target = made(full_results, "demo")
    text = target.read("report.md").decode()
    assert "The figures are HTML pages" in text and "apt-get install chromium" in text
    pages = [name for name in target.namelist() if name.endswith(".html")]
    assert len(pages) >= 10 and "figures/plotly.min.js" in target.namelist()
    assert not any(name.endswith((".png", ".pdf")) for name in target.namelist())
    assert all(f"({name})" in text for name in pages)


def test_what_an_imported_run_lacks_is_a_sentence_with_the_command(full_results, no_browser):
    text = made(full_results, "predictions").read("report.md").decode()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == titles("Do the maps point at what the words name?")
    assert "Not in this report: No attention was kept" in text
    assert "    python -m engine zeroshot" in text and "CIDEr" in text
    assert "size imported" not in text and "Scores of imported captions" in text


def test_classes_predicted_elsewhere_make_a_report_without_bars(tmp_path, no_browser):
    runs.imported_classes_run(tmp_path / "results")
    text = made(tmp_path / "results", "classes").read("report.md").decode()
    assert "no bars to draw" in text and "This run has no captions" in text


def test_no_name_in_the_zip_leaves_its_folder_and_no_caption_is_markup(tmp_path, no_browser):
    results = tmp_path / "results"
    runs.captioner_run(results, "demo")
    target = made(results, "demo", images=[runs.SCRIPT_IMAGE])
    assert all(re.fullmatch(r"(figures|tables)/[a-z0-9_.]+|report\.md", name) for name in target.namelist())
    text = target.read("report.md").decode()
    assert "<script>" not in text.replace(r"\<script\>", "") and r"\<script\>alert" in text


def test_the_studys_figures_are_next_to_ours(tmp_path, no_browser):
    results = tmp_path / "results"
    runs.captioner_run(results)
    text = made(results, "demo").read("report.md").decode()
    assert text.count("| published (the study) |") == 6 + 11 and "| 0.893 | 0.732 |" in text
    assert "The report gives batch size 32" in text


def test_what_the_report_says_of_the_whole_is_not_said_again_below_each_table(full_results, no_browser):
    text = made(full_results, "demo").read("report.md").decode()
    assert "Run demo: captioner" in text  # what classified photos of classes is not at the head
    assert chapters.note(report.open_source(full_results, "demo")[0].run) not in text.splitlines()
    assert text.count("cider|tok:ptb|n:12|v:0.1") == 1 and r"cider\|tok" not in text


def run_command(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "dashboard.report", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_command_writes_the_zip_and_says_on_stderr_where_there_is_no_browser(full_results, tmp_path):
    out = tmp_path / "new" / "report.zip"
    done = run_command("predictions", "--out", str(out), "--results", str(full_results), BROWSER_PATH="/nowhere/chrome")
    assert done.returncode == 0 and done.stdout.strip() == str(out)
    assert "No browser was found" in done.stderr and "HTML figures" in done.stderr
    assert zipfile.ZipFile(out).testzip() is None
    assert [path.name for path in out.parent.iterdir()] == ["report.zip"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody"], "there is no finished run 'nobody'"),
        (["stopped"], "expected one of demo, demo_cnn, predictions"),
        (["demo", "--beam", "7"], "has no beam size 7: expected one of 1, 3, 5"),
        (["demo", "--images", "nothing"], "kept no attention of image 'nothing'"),
        (["demo", "--layer", "3"], "--layer 3: run 'demo' has 2; expected 1 to 2, or 0 for the mean"),
        (["demo", "--head", "-1"], "--head -1: run 'demo' has 2; expected 1 to 2, or 0 for the mean"),
    ],
)
def test_what_cannot_be_reported_is_one_sentence_that_says_what_to_do(full_results, tmp_path, capsys, arguments, said):
    status = report.main([*arguments, "--out", str(tmp_path / "r.zip"), "--results", str(full_results)])
    assert status == 2 and said in capsys.readouterr().err
    assert not (tmp_path / "r.zip").exists()


def test_a_zip_that_has_no_place_is_refused_before_anything_is_drawn(full_results, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(report, "make", lambda *_: pytest.fail("drawn"))
    (tmp_path / "file").touch()
    for out in (tmp_path, tmp_path / "file" / "r.zip"):
        assert report.main(["demo", "--out", str(out), "--results", str(full_results)]) == 2
        assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.parametrize(("option", "value"), [("--opacity", "101"), ("--opacity", "half"), ("--colours", "rainbow")])
def test_a_look_that_there_is_not_is_refused_by_the_option(capsys, option, value):
    with pytest.raises(SystemExit):
        report.build_parser().parse_args(["demo", "--out", "r.zip", option, value])
    said = capsys.readouterr().err
    assert option in said and value in said


def test_the_command_needs_neither_streamlit_nor_torch():
    code = "import sys, dashboard.report; sys.exit(bool({'streamlit', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
