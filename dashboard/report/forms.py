"""The forms of a report by the ending of its file: zip, HTML, PDF."""

from collections.abc import Callable
from pathlib import Path

from dashboard.report import archive, web

FORMS: dict[str, tuple[Callable[..., bytes], str]] = {
    "zip": (archive.make, "application/zip"),
    "html": (web.html, "text/html"),
    "pdf": (web.pdf, "application/pdf"),
}
"""Ending -> what makes the report of a `Source` (and of a progress function), and its MIME type."""


def maker(path: Path) -> Callable[..., bytes]:
    """Return what makes the report for a file of this name; without a known ending it is a zip."""
    return FORMS.get(path.suffix.lower().removeprefix("."), FORMS["zip"])[0]
