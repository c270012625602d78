"""What a cell of a CSV file may contain, so that a spreadsheet shows it as text.

Captions, file names and labels come from anywhere. A spreadsheet runs a cell such as `=HYPERLINK(...)` as a formula, a
terminal obeys escape codes, and a spreadsheet splits a cell that is too long into several rows.
"""

import re

LONGEST = 32_767
"""Most characters (UTF-16 units) of a cell in Excel and LibreOffice; the rest would be split off or lost."""

_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor movements
    r"|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # titles, links and other strings up to their end
    r"|\x9b[0-?]*[ -/]*[@-~]"
    r"|\x1b[ -/]*[0-~]"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def safe_cell(value: object) -> object:
    """Return a value as it may be written to a CSV file; numbers and harmless texts are returned unchanged.

    Terminal escape codes and control characters are removed (line breaks and tabs stay). A text that a spreadsheet
    would run as a formula gets a leading apostrophe, unless it is a plain number. A text of more than `LONGEST`
    characters is shortened and ends with "…". Other values count as the text that `str` makes of them.
    """
    if value is None or isinstance(value, int | float):
        return value
    text = str(value)
    safe = _shortened(_neutralised(without_controls(text)))
    return value if safe == text else safe


def without_controls(text: str) -> str:
    """Return a text without terminal escape codes and control characters other than tab and line breaks."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


def _neutralised(text: str) -> str:
    starts = text.startswith(_STARTS) or text.lstrip().startswith(_STARTS)  # some spreadsheets skip leading spaces
    return f"'{text}" if starts and not _NUMBER.fullmatch(text) else text


def _shortened(text: str) -> str:
    units = text.encode("utf-16-le", "surrogatepass")
    if len(units) <= 2 * LONGEST:
        return text
    return units[: 2 * (LONGEST - 1)].decode("utf-16-le", "ignore") + "…"
