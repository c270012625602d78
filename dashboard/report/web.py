"""The report of a run as one HTML file, which needs no other file and no network, or as one PDF.

The text is that of `report.md`. Figures are SVG inside the file; CSV and LaTeX files of tables are links that save
them. The PDF is printed from the HTML by the browser that draws figures.
"""

import base64
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from dashboard.report import archive, exports
from dashboard.report.archive import Progress
from dashboard.report.chapters import chapters
from dashboard.report.source import Source
from dashboard.text import formatting

_TYPES = {**exports.PICTURES, **exports.TABLES}
_SECONDS = 180
"""For the browser to print a report; one of 60 figures takes about 5."""


class PrintError(RuntimeError):
    """The browser did not print a report; the message says what it wrote and what to do."""


def html(source: Source, progress: Progress = lambda done, total, title: None) -> bytes:
    """Return the report as one HTML file.

    Raises:
        NoBrowser: figures cannot be drawn.
    """
    if missing := exports.browser_missing():
        raise exports.NoBrowser(f"{missing} The zip needs none: its figures are HTML pages.")
    written = chapters(source)
    files = dict(archive.files(written, ("svg",), progress))
    text = archive.document(source, written, ("svg",))
    return page(archive.title(source.run), text, files).encode("utf-8")


def pdf(source: Source, progress: Progress = lambda done, total, title: None) -> bytes:
    """Return the report as one PDF.

    Raises:
        NoBrowser: no browser that can print was found.
        PrintError: the browser failed.
    """
    return printed(html(source, progress))


def page(title: str, text: str, files: Mapping[str, bytes]) -> str:
    """Return Markdown as an HTML page that holds the files it links to.

    Args:
        files: name -> content; the page shows pictures and saves other files.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    contents: list[tuple[str, str]] = []
    for place, token in enumerate(tokens):
        if token.type == "heading_open" and token.tag == "h2":
            name = f"part-{len(contents) + 1}"
            token.attrSet("id", name)
            contents.append((name, _plain(tokens[place + 1])))
        if any([_embed(child, files) for child in token.children or ()]):
            tokens[place - 1].attrSet("class", "files")  # links that no printed page can follow
    entries = "".join(f'<li><a href="#{name}">{formatting.escaped(said)}</a></li>' for name, said in contents)
    body = parser.renderer.render(tokens, parser.options, {})
    body = body.replace("<table>", '<div class="table"><table>').replace("</table>", "</table></div>")
    head, rest = body.split("</h1>", 1) if "</h1>" in body else ("", body)
    listed = f'{head}</h1>\n<nav aria-label="Contents"><ul>{entries}</ul></nav>\n' if head else ""
    return _PAGE.replace("STYLE", _STYLE).replace("TITLE", formatting.escaped(title)) + listed + rest + _END


def _plain(heading: Token) -> str:
    return "".join(child.content for child in heading.children or ())


def _embed(token: Token, files: Mapping[str, bytes]) -> bool:
    """Replace the name of a file in a picture or a link by its content; return whether it is a link that saves it."""
    attribute = {"image": "src", "link_open": "href"}.get(token.type)
    name = str(token.attrGet(attribute) or "") if attribute else ""
    if name not in files:
        return False
    kind = _TYPES[name.rpartition(".")[2]]
    token.attrSet(attribute or "", f"data:{kind};base64,{base64.b64encode(files[name]).decode('ascii')}")
    if token.type != "link_open":
        return False
    token.attrSet("download", name.rpartition("/")[2])
    return True


def printed(content: bytes) -> bytes:
    """Return an HTML page as PDF, printed by the browser that draws figures.

    Raises:
        NoBrowser: there is none.
        PrintError: it failed, or took more than `_SECONDS` seconds.
    """
    browser = exports.browser_path()
    if browser is None:
        raise exports.NoBrowser(exports.browser_missing())
    with tempfile.TemporaryDirectory(prefix="captionscope-print-", ignore_cleanup_errors=True) as folder:
        source, target = Path(folder) / "report.html", Path(folder) / "report.pdf"
        source.write_bytes(content)
        command = [
            *(browser, "--headless", "--disable-gpu", "--no-sandbox", "--disable-background-networking"),
            *("--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder}/profile", "--no-pdf-header-footer"),
            *(f"--print-to-pdf={target}", source.as_uri()),
        ]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise PrintError(_failed(browser, f"it did not end within {_SECONDS} seconds")) from None
        except OSError as error:
            raise PrintError(_failed(browser, error.strerror or str(error))) from error
        if not target.is_file():
            last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise PrintError(_failed(browser, " ".join(last) or f"exit status {done.returncode}"))
        return target.read_bytes()


def _failed(browser: str, why: str) -> str:
    return f"The browser at {browser} did not print the report ({why}); write report.html and print that instead."


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>TITLE</title>
<style>STYLE</style>
</head>
<body>
<main>
"""
_END = "</main>\n</body>\n</html>\n"

_STYLE = """
:root { color-scheme: light dark; --bg: #fff; --fg: #1c2430; --soft: #596274; --line: #d8dde6; --accent: #2f5fd0; }
@media screen and (prefers-color-scheme: dark) {
  :root { --bg: #14181f; --fg: #e6e9ef; --soft: #a4adbd; --line: #343c4a; --accent: #86a8ff; }
}
body { margin: 0; background: var(--bg); color: var(--fg); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 64rem; margin: 0 auto; padding: 1.5rem; }
h1, h2, p, li, td, th { overflow-wrap: anywhere; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); padding-bottom: .25rem; }
a { color: var(--accent); }
nav ul { columns: 2 18rem; padding-left: 1.2rem; }
img { display: block; max-width: 100%; height: auto; margin: 1rem auto; background: #fff; border-radius: 6px; }
.table { overflow-x: auto; margin: .5rem 0; }
table { border-collapse: collapse; font-size: .87rem; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .55rem; text-align: left; vertical-align: top; }
td { min-width: 3.5rem; }
th { overflow-wrap: break-word; }
td[style*=right] { white-space: nowrap; }
pre, code { font-size: .82rem; white-space: pre-wrap; overflow-wrap: anywhere; }
@media print {
  @page { size: A4; margin: 14mm; }
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  .table { overflow: visible; }
  table { font-size: 7.5pt; width: 100%; }
  td { min-width: 0; }
  td, th { padding: 2pt 3pt; }
  img { max-height: 240mm; break-inside: avoid; }
  tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  a { color: inherit; text-decoration: none; }
  .files { display: none; }
}
"""
