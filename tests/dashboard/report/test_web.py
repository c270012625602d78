"""The report as one HTML file or one PDF: everything of the zip, no request, and nothing untrusted that acts."""

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.report import archive, command, exports, forms, web
from dashboard.report.chapters import chapters
from dashboard.report.exports import markdown_text
from tests.support import runs
from tests.support.servers import CHROMIUM

needs_browser = pytest.mark.skipif(bool(exports.browser_missing()), reason="no browser: apt-get install chromium")


@pytest.fixture(scope="module")
def source(full_results):
    return archive.open_source(full_results, "demo", beam=1, images=["scene_04"])[0]


@pytest.fixture(scope="module")
def made(source):
    content = web.html(source).decode()
    yield content
    exports.close_browser()


@needs_browser
def test_the_file_holds_every_chapter_figure_table_and_signature_of_the_zip(made, source):
    written = chapters(source)
    text = archive.document(source, written, ("png", "svg", "pdf"))
    titles = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert made.count("<h2 ") == len(titles) and made.count("<table>") == text.count("[CSV](")
    assert made.count('src="data:image/svg+xml;base64,') == text.count("](figures/") - 2 * text.count("[SVG](")
    for label in re.findall(r"Figure \d+\.|Table \d+\.", text):
        assert label in made
    for footnote in re.findall(r"^\d+\. `(.*)`$", text, re.MULTILINE):
        assert f"<code>{footnote}</code>" in made
    assert not re.search(r'(src|href)="(?!data:|#)', made)  # no other file and no other host


@needs_browser
def test_tables_can_be_saved_with_all_their_digits(made, source):
    files = dict(archive.files(chapters(source), ("svg",)))
    saved = dict(re.findall(r'href="data:text/csv;base64,([^"]+)" download="([^"]+)"', made))
    contents = {name: base64.b64decode(content) for content, name in saved.items()}
    expected = {name.removeprefix("tables/"): content for name, content in files.items() if name.endswith(".csv")}
    assert contents == expected and len(contents) >= 5


@needs_browser
def test_a_browser_opens_it_without_a_request_a_script_or_an_error(made, tmp_path):
    if not CHROMIUM.exists():
        pytest.skip("no Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    (tmp_path / "report.html").write_text(made, encoding="utf-8")
    seen: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: seen.append(request.url))
        page.on("console", lambda message: seen.append(message.text))
        page.on("dialog", lambda dialog: seen.append("a dialog"))
        page.goto((tmp_path / "report.html").as_uri())
        assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
        assert page.locator("script").count() == 0 and runs.SCRIPT in page.inner_text("body")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        browser.close()
    assert [entry for entry in seen if not entry.startswith(("file:", "data:"))] == []


@needs_browser
def test_the_pdf_is_printed_and_has_pages(made, tmp_path):
    content = web.printed(made.encode())
    assert content.startswith(b"%PDF-") and content.rstrip().endswith(b"%%EOF")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) >= 5


def test_without_a_browser_html_and_pdf_are_one_sentence(full_results, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BROWSER_PATH", "/nowhere/chrome")
    exports.close_browser()
    for name in ("report.html", "report.pdf"):
        assert command.main(["demo", "--results", str(full_results), "--out", str(tmp_path / name), "--quiet"]) == 2
        said = capsys.readouterr().err
        assert "error: No browser was found" in said and said.count("error: ") == 1
        assert "Traceback" not in said and not (tmp_path / name).exists()


def test_a_browser_that_does_not_print_is_one_sentence(monkeypatch):
    monkeypatch.setattr(exports, "browser_path", lambda: "/bin/false")
    with pytest.raises(web.PrintError, match=r"The browser at /bin/false did not print the report \(exit status 1\)"):
        web.printed(b"<p>a</p>")


def test_the_ending_of_the_file_decides_the_form(tmp_path):
    kinds = {"a.zip": archive.make, "a.HTML": web.html, "a.pdf": web.pdf, "report": archive.make}
    assert {name: forms.maker(tmp_path / name) for name in kinds} == kinds


@given(st.text())
def test_untrusted_text_stays_text(text):
    found = web.page("t", f"# t\n\n{markdown_text(text)}\n\n| a |\n| --- |\n| {markdown_text(text)} |\n", {})
    body = found.split("<main>")[1]
    allowed = {"h1", "nav", "ul", "p", "div", "table", "thead", "tr", "th", "tbody", "td", "br"}
    assert set(re.findall(r"<(\w+)", body)) <= allowed
