"""Numbers with sensible digits, and untrusted text escaped for Markdown and HTML.

Knows strings, but not their meaning.
"""

import html
import math
import re
from collections.abc import Sequence

import pandas as pd

from engine.store.orders import definition

_MARKDOWN = re.compile(r"([!-/:-@\[-`{-~])")
_NUMBER = re.compile(r"[-+]?(0|[1-9][\d,]*)(\.\d+)?( %)?|–")
IMPORTED = "imported"
EMPTY = "(an empty caption)"


LONGEST = 1000
"""Most characters of one text in a sentence, a title or a cell; no caption, path or signature of use is longer."""


def markdown(text: str) -> str:
    """Return text that Markdown shows literally: ASCII punctuation is escaped, line breaks become spaces.

    A text of more than LONGEST characters is shortened.
    """
    return _MARKDOWN.sub(r"\\\1", shortened(" ".join(str(text).split()), LONGEST))


def escaped(text: str) -> str:
    """Return text that HTML shows literally, in an element or in a quoted attribute."""
    return html.escape(str(text), quote=True)


def shortened(text: str, longest: int = 200) -> str:
    """Return a text of at most `longest` characters; a longer one loses its middle, where names differ least."""
    if len(text) <= longest:
        return text
    end = longest // 4
    return f"{text[: longest - end - 1]}…{text[-end:]}"


def quoted(text: str, longest: int = 80) -> str:
    """Return a value from outside for a sentence in Markdown: shown literally, and shortened."""
    return markdown(shortened(text, longest))


def number(value: float | None, digits: int = 3) -> str:
    """Return `value` with `digits` decimals, or a dash if it is not known."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:z.{digits}f}"


def interval(low: float | None, high: float | None, digits: int = 3, sign: str = "") -> str:
    """Return `0.71 to 0.80`, with `sign` "+" `+0.71 to +0.80`, or "" if it is not known."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"{low:{sign}z.{digits}f} to {high:{sign}z.{digits}f}"


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share as a percentage."""
    return "–" if share is None or not math.isfinite(share) else f"{100 * share:.{digits}f} %"


def probability(p: float) -> str:
    """Return a p-value with sensible digits, or a dash if it is not known."""
    return "< 0.001" if p < 0.001 else number(p)


def score(metric: str, value: float | None) -> str:
    """Return a value of a metric with the digits of that metric."""
    return number(value, definition(metric).digits)


def title(metric: str) -> str:
    """Return the name of a metric as people write it. A plugin may have chosen it: it is escaped like other text."""
    return definition(metric).title


def markdown_title(metric: str) -> str:
    """Return the name of a metric for Markdown; a hyphen inside a word, as in `BLEU-4`, needs no escape."""
    return re.sub(r"(?<=\w)\\-(?=\w)", "-", markdown(title(metric)))


def caption(text: object) -> str:
    """Return a caption, shortened if it is very long, or EMPTY if it is missing or blank."""
    return shortened(text, 300) if isinstance(text, str) and text.strip() else EMPTY


def beam(size: int, is_sampled: bool = False) -> str:
    """Return a beam size as a word; 0 marks predictions whose decoding is not known."""
    return {0: IMPORTED, 1: "1 (sampled)" if is_sampled else "1 (greedy)"}.get(int(size), str(size))


def setting(size: int, is_sampled: bool = False) -> str:
    """Return the origin of captions: `beam size 3` or `imported captions`."""
    return f"{IMPORTED} captions" if int(size) == 0 else f"beam size {beam(size, is_sampled)}"


def of_setting(size: int, is_sampled: bool = False) -> str:
    """Return the origin of captions with a preposition: `at beam size 3`, `of imported captions`."""
    return ("of " if int(size) == 0 else "at ") + setting(size, is_sampled)


def capitalized(sentence: str) -> str:
    """Return a sentence with a capital first letter; all other letters stay the same."""
    return sentence[:1].upper() + sentence[1:]


def count(n: int, noun: str) -> str:
    """Return `1 image` or `1,200 images`."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def mean_count(mean: float) -> str:
    """Return a mean of counts: `5` if it is a whole number, else `4.7`."""
    return number(mean, 0 if mean == round(mean) else 1)


def line(value: object) -> str:
    """Return any value as one line of at most LONGEST characters for a cell of a table; a missing value is a dash."""
    if value is None or (isinstance(value, float) and math.isnan(value)) or value is pd.NA:
        return "–"
    written = shortened(" ".join(str(value).split()), LONGEST)
    return "".join(c if c.isprintable() else "\ufffd" for c in written)


def is_number(written: str) -> bool:
    """Return whether a cell is a number or a dash; `000012` is a name."""
    return bool(_NUMBER.fullmatch(written))


def are_numbers(cells: Sequence[object]) -> bool:
    """Return whether a column has at least one cell and only numbers."""
    return bool(len(cells)) and all(is_number(line(cell)) for cell in cells)
