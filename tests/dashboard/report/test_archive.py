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

from dashboard.items import Figure
from dashboard.report import archive, chapters, exports, pairs
from dashboard.report import command as report_command
from engine.store import records, tables
from tests.conftest import ROOT
from tests.support import runs

needs_browser = pytest.mark.skipif(bool(exports.browser_missing()), reason="no browser: apt-get install chromium")
CHAPTERS = [
    *("Summary", "Prompt templates", "Three images with their top-5 predictions", "Setting and scores"),
    *("Runs and hyperparameters", "Beam sizes", "Comparison with other runs", "Attention"),
    "Attention grounding (pointing game)",
    *("Best and worst pair", "Failure tags", "Verdicts"),
]


def titles(*without: str) -> list[str]:
    told = [title for title in CHAPTERS if title not in without]
    return [*(f"{number}. {title}" for number, title in enumerate(told, 1)), "Provenance", "Signatures"]


@pytest.fixture
def no_browser(monkeypatch):
    """A machine without Chromium."""
    monkeypatch.setenv("BROWSER_PATH", "/nowhere/chrome")
    exports.close_browser()


def opened(content: bytes) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(content))


def made(results, run, **chosen) -> zipfile.ZipFile:
    return opened(archive.make(archive.open_source(results, run, **chosen)[0]))


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
def test_the_strips_are_those_of_the_images_that_were_asked_for_then_those_of_the_pairs(whole):
    strips = [name for name in whole.namelist() if "attention_" in name and name.endswith(".svg")]
    assert [name.split("attention_")[1] for name in strips[:2]] == ["scene_04.svg", "scene_05.svg"] and len(strips) == 4
    words = " ".join(xml.fromstring(whole.read(strips[0])).itertext())
    assert "<script>alert('caption')</script>" in words and "layer 2, mean of heads" in words


def test_the_same_results_give_the_same_bytes(full_results, no_browser):
    source = archive.open_source(full_results, "predictions")[0]
    assert archive.make(source) == archive.make(source)


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
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == titles(
        "Comparison with other runs", "Attention grounding (pointing game)"
    )
    assert "Not in this report: This run has no attention maps" in text
    assert "    python -m engine zeroshot" in text and "CIDEr" in text
    assert "size imported" not in text and "Scores of imported captions" in text


def test_classes_predicted_elsewhere_make_a_report_without_bars(tmp_path, no_browser):
    runs.imported_classes_run(tmp_path / "results")
    text = made(tmp_path / "results", "classes").read("report.md").decode()
    assert "so bars cannot be drawn" in text and "This run has no captions" in text


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
    assert "The study's report gives batch size 32" in text


def test_the_title_names_the_run_and_its_data(full_results, no_browser):
    first = made(full_results, "demo").read("report.md").decode().splitlines()[0]
    assert first == "# Evaluation of run demo on demo val"


def test_the_run_is_not_named_below_each_table_and_signatures_are_listed_once_at_the_end(full_results, no_browser):
    text = made(full_results, "demo").read("report.md").decode()
    assert chapters.note(archive.open_source(full_results, "demo")[0].run) not in text.splitlines()
    body, _, listed = text.partition("## Signatures")
    assert "|tok:" not in body and r"\|tok" not in body
    assert listed.count("`cider|tok:ptb|n:12|v:0.1`") == 1
    number = re.search(r"^(\d+)\. `cider\|", listed, re.MULTILINE)[1]
    assert re.search(rf"Figure \d+\. CIDEr by beam size\]\([^)]*\) \(Signature {number}\)", body)
    assert "\nSignatures 1-8\n" in body  # of the scores


@needs_browser
def test_a_figure_in_the_zip_says_where_its_signature_is_and_one_alone_carries_it(whole, full_results):
    name = next(name for name in whole.namelist() if name.endswith("cider_by_beam.svg"))
    words = " ".join(xml.fromstring(whole.read(name)).itertext())
    assert "Signature 1 in report.md" in words and "|tok:" not in words
    source = archive.open_source(full_results, "demo")[0]
    pair = pairs.pairs(source).items[0]
    alone = " ".join(xml.fromstring(exports.picture(pair, "svg")).itertext())
    exports.close_browser()
    assert "clipscore|clip:demo|" in alone and "report.md" not in alone


def test_tables_in_the_zip_refer_to_signatures_too(full_results, no_browser):
    target = made(full_results, "demo")
    name = next(name for name in target.namelist() if name.endswith("scores.tex"))
    assert "Signatures 1-8 in report.md" in target.read(name).decode()
    assert "textbar{}tok" not in target.read(name).decode()


def test_no_title_of_a_figure_in_the_report_is_cut(tmp_path):
    results = tmp_path / "results"
    folder = runs.captioner_run(results)
    long = "a man in a red shirt and a woman in a blue dress are standing in front of a building . " * 3
    rows = [{**row, "caption": long} for row in tables.read_table(folder, "captions").to_pylist()]
    tables.write_table(folder, "captions", tables.table_of("captions", rows))
    source = archive.open_source(results, "demo")[0]
    items = [item for chapter in chapters.chapters(source) for item in chapter.items]
    titles = [item.draw().layout.title.text for item in items if isinstance(item, Figure)]
    assert len(titles) > 10 and not any("…" in title for title in titles)
    assert sum(" ".join(title.split("<br>")).endswith(long.strip()) for title in titles) == 7


@pytest.fixture
def study_results(tmp_path):
    """A captioner run whose record names its companions, as a study makes it."""
    results = tmp_path / "results"
    folder = runs.captioner_run(results, "mine")
    (folder / "zero_shot.parquet").unlink()
    runs.zero_shot_run(results, "mine-zeroshot")
    runs.photos_run(results, "mine-photos")
    record = records.read_record(folder) | {"study": {"zero_shot": "mine-zeroshot", "photos": "mine-photos"}}
    records.write_record(folder, record)
    return results


def test_companions_that_the_record_names_fill_their_chapters(study_results, no_browser):
    text = made(study_results, "mine").read("report.md").decode()
    assert "Not in this report" not in text
    assert re.findall(r"Attention of (\w+):", text) == runs.COURSE
    assert r"Run mine-zeroshot: zero-shot only" in text and "| This is a photo of" in text


def test_companions_can_be_named_by_options_and_must_have_what_they_are_named_for(study_results, tmp_path, capsys):
    asked = ["mine-photos", "--results", str(study_results), "--out", str(tmp_path / "r.zip")]
    source, _ = archive.open_source(study_results, "mine-photos", parts={"zero_shot": "mine-zeroshot"})
    assert source.classifier().name == "mine-zeroshot"
    assert report_command.main([*asked, "--zero-shot", "mine-photos"]) == 2
    assert "--zero-shot mine-photos: the run has no zero-shot results" in capsys.readouterr().err
    assert report_command.main([*asked, "--photos", "mine-zeroshot"]) == 2
    assert "--photos mine-zeroshot: the run has no attention maps" in capsys.readouterr().err
    assert report_command.main([*asked, "--photos", "nobody"]) == 2
    assert "no finished run 'nobody'" in capsys.readouterr().err


def test_a_companion_beside_own_zero_shot_results_is_refused(full_results):
    with pytest.raises(archive.ReportError, match="has zero-shot results of its own"):
        archive.open_source(full_results, "demo", parts={"zero_shot": "demo_cnn"})


def test_a_run_of_five_photos_without_references_makes_a_report(study_results, no_browser):
    text = made(study_results, "mine-photos").read("report.md").decode()
    assert re.findall(r"Attention of (\w+):", text)[:5] == runs.COURSE
    assert "Beam size 1 (greedy): CLIPScore" in text and "**Table 1. Setting**" in text


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


def test_a_quiet_command_prints_the_zip_alone(full_results, tmp_path):
    out = tmp_path / "report.zip"
    asked = ("predictions", "--out", str(out), "--results", str(full_results), "--quiet")
    done = run_command(*asked, BROWSER_PATH="/nowhere/chrome")
    assert done.stdout.strip() == str(out) and " of " not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody"], "there is no finished run 'nobody'"),
        (["stopped"], "it has demo, demo_cnn, predictions"),
        (["demo", "--beam", "7"], "has no beam size 7: expected one of 1, 3, 5"),
        (["demo", "--images", "nothing"], "has no attention maps of image 'nothing'"),
        (["demo", "--layer", "3"], "--layer 3: run 'demo' has 2; expected 1 to 2, or 0 for the mean"),
        (["demo", "--head", "-1"], "--head -1: run 'demo' has 2; expected 1 to 2, or 0 for the mean"),
    ],
)
def test_what_cannot_be_reported_is_one_sentence_that_says_what_to_do(full_results, tmp_path, capsys, arguments, said):
    status = report_command.main([*arguments, "--out", str(tmp_path / "r.zip"), "--results", str(full_results)])
    assert status == 2 and said in capsys.readouterr().err
    assert not (tmp_path / "r.zip").exists()


def test_heads_are_those_of_the_stored_maps_which_may_be_averaged(tmp_path, capsys):
    folder = runs.captioner_run(tmp_path / "results")
    rows = tables.read_table(folder, "attention").to_pylist()
    for row in rows:
        words, layers, _, cells = row["shape"]
        row |= {"shape": [words, layers, 1, cells], "weights": bytes(words * layers * cells)}
        row |= {"scale": [1.0] * (words * layers)}
    tables.write_table(folder, "attention", tables.table_of("attention", rows))
    asked = ["demo", "--head", "2", "--out", str(tmp_path / "r.zip"), "--results", str(tmp_path / "results")]
    assert report_command.main(asked) == 2
    assert "--head 2: run 'demo' has 1; expected 1 to 1" in capsys.readouterr().err


def test_what_is_subtracted_is_chosen_by_old_and_new_options_and_addresses():
    def chosen(*options):
        return report_command.build_parser().parse_args(["demo", "--out", "r.zip", *options]).subtract

    assert (chosen(), chosen("--subtract-mean"), chosen("--subtract", "sinks")) == (None, "mean", "sinks")
    for sent, options in (("1", ["--subtract", "mean"]), ("sinks", ["--subtract", "sinks"]), ("x", []), (None, [])):
        assert archive.attention_options({"subtract": sent}) == options


def test_a_zip_that_has_no_place_is_refused_before_anything_is_drawn(full_results, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(archive, "make", lambda *_: pytest.fail("drawn"))
    (tmp_path / "file").touch()
    for out in (tmp_path, tmp_path / "file" / "r.zip"):
        assert report_command.main(["demo", "--out", str(out), "--results", str(full_results)]) == 2
        assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.parametrize(("option", "value"), [("--opacity", "101"), ("--opacity", "half"), ("--colours", "rainbow")])
def test_a_look_that_there_is_not_is_refused_by_the_option(capsys, option, value):
    with pytest.raises(SystemExit):
        report_command.build_parser().parse_args(["demo", "--out", "r.zip", option, value])
    said = capsys.readouterr().err
    assert option in said and value in said


def test_the_command_needs_neither_streamlit_nor_torch():
    code = "import sys, dashboard.report.archive; sys.exit(bool({'streamlit', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
