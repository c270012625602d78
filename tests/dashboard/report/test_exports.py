"""Files for a report: real pictures where a browser is, tables that escape what strangers wrote."""

import csv
import io
import os
import re
import signal
import xml.etree.ElementTree as xml

import pandas as pd
import pytest
from PIL import Image

from dashboard.figures import curves
from dashboard.items import Figure, Table
from dashboard.report import exports

NASTY = "<script>alert(1)</script> 50 % & $x_1$ #1 {a} ~ ^ \\input | [l](u) `c` *b*\nnext"
NOTE = "Run demo: a captioner\n" + "CIDEr-D|beam:3|images:600|refs:5|data:c0b0dee7ce888572|rule:standard|" * 3

needs_browser = pytest.mark.skipif(bool(exports.browser_missing()), reason="no browser: apt-get install chromium")


def figure(note: str = NOTE, source: str = "the study") -> Figure:
    frame = pd.DataFrame({"beam_size": [1, 3], "value": [0.5, 0.6], "low": [0.4, 0.5], "high": [0.6, 0.7]})
    theirs = pd.DataFrame({"beam_size": [3], "value": [0.55], "source": [source]})
    return Figure("a figure", "A figure", lambda: curves.metric_by_beam(frame, "cider", published=theirs), note)


def table(**columns: list) -> Table:
    return Table("t", "A title with 5 % & more", pd.DataFrame(columns or {"Name": [NASTY], "Value": ["0.5"]}))


@pytest.fixture(scope="module", autouse=True)
def end_the_browser():
    yield
    exports.close_browser()


@needs_browser
def test_a_png_has_twice_the_figures_pixels_and_room_for_the_small_print():
    plain, noted = (Image.open(io.BytesIO(exports.picture(figure(note), "png"))) for note in ("", NOTE))
    assert plain.size == (1800, 680)
    assert noted.width == 1800 and noted.height > 680
    assert noted.convert("RGB").getpixel((2, 2)) == (255, 255, 255)  # its own paper, whatever the default template is


@needs_browser
def test_an_svg_parses_and_holds_the_title_and_the_small_print_as_text():
    tree = xml.fromstring(exports.picture(figure(), "svg"))
    words = " ".join(tree.itertext())
    assert tree.tag.endswith("svg") and "CIDEr by beam size" in words
    assert "Run demo: a captioner" in words and "data:c0b0dee7ce888572" in words


@needs_browser
def test_a_pdf_has_one_page_and_no_picture_of_the_figure():
    content = exports.picture(figure(), "pdf")
    assert content.startswith(b"%PDF") and len(re.findall(rb"/Type\s*/Page[^s]", content)) == 1
    assert b"/Subtype /Image" not in content and b"/Font" in content


@needs_browser
def test_untrusted_text_in_a_figure_stays_text():
    tree = xml.fromstring(exports.picture(figure("<img src=x> & $a$ <b>bold</b>", "<b>us</b>"), "svg"))
    words = " ".join(tree.itertext())
    assert "<img src=x> & $a$ <b>bold</b>" in words and "<b>us</b>" in words


@needs_browser
def test_a_browser_that_was_ended_from_outside_is_started_again():
    exports.picture(figure(), "svg")
    os.kill(exports._started[0]._kaleido.subprocess.pid, signal.SIGKILL)
    assert exports.picture(figure(), "svg").startswith(b"<svg")


def test_without_a_browser_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", "/nowhere/chrome")
    exports.close_browser()
    assert "apt-get install chromium" in exports.browser_missing()
    with pytest.raises(exports.NoBrowser, match="install"):
        exports.picture(figure(), "png")


def test_an_html_figure_asks_nothing_of_the_network():
    page = exports.page(figure(), "directory").decode()
    assert 'src="plotly.min.js"' in page and "cdn" not in page.lower()
    assert "sendChartToCloud" in page and len(page) < 100_000


def test_a_signature_breaks_at_its_bars_and_keeps_every_letter():
    lines = exports._wrapped("CIDEr-D|" + "|".join(f"name{i}:value{i}" for i in range(30)), 60)
    assert len(lines) > 5 and max(map(len, lines)) <= 60
    assert "".join(lines) == "CIDEr-D|" + "|".join(f"name{i}:value{i}" for i in range(30))


def test_csv_reads_back_what_was_written_and_holds_numbers_in_full():
    content = Table("t", "T", pd.DataFrame({"Shown": ["0.33"]}), pd.DataFrame({"name": [NASTY], "value": [1 / 3]}))
    assert list(csv.reader(io.StringIO(exports.csv(content)))) == [["name", "value"], [NASTY, str(1 / 3)]]


def test_a_spreadsheet_takes_no_text_for_a_formula():
    rows = list(csv.reader(io.StringIO(exports.csv(table(Text=["=1+1", "@x", "-0.5", "+0.020", "- a"])))))
    assert [row[0] for row in rows[1:]] == ["'=1+1", "'@x", "-0.5", "+0.020", "'- a"]


def test_a_latex_file_holds_the_table():
    made = exports.table(table(), "tex").decode()
    assert r"\caption{A title with 5 \% \& more}" in made and r"\textless{}script\textgreater{}" in made


def test_markdown_keeps_its_rows_and_columns_whatever_a_cell_holds():
    lines = [line for line in exports.markdown(table()).splitlines() if line.startswith("|")]
    assert len(lines) == 3 and lines[1] == "| --- | ---: |"
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in lines] == [3, 3, 3]
    assert r"\<script\>alert(1)" in lines[2] and r"\[l\](u)" in lines[2] and r"\`c\` \*b\*" in lines[2]


def test_numbers_stay_readable_in_markdown_and_names_with_leading_zeros_are_no_numbers():
    lines = exports.markdown(table(Image=["000012"], Value=["1.445"], Change=["+0.02"])).splitlines()
    assert "| --- | ---: | ---: |" in lines and "| 000012 | 1.445 | +0.02 |" in lines


@pytest.mark.parametrize("name", ["../../etc/passwd", "C:\\x", "", "  ", "a/b", "ünïcode", "x" * 500, "con.\n"])
def test_a_file_name_stays_in_its_folder(name):
    assert re.fullmatch(r"[a-z0-9][a-z0-9_]{0,59}\.png", exports.file_name(name, "png"))
