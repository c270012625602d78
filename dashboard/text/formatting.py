"""How words and numbers are written on a page: strangers' text escaped, numbers with sensible digits.

Knows strings, and nothing of what they say.
"""

import html
import math
import re
from collections.abc import Sequence

import pandas as pd

from engine.store.schema import METRICS

_MARKDOWN = re.compile(r"([!-/:-@\[-`{-~])")
_NUMBER = re.compile(r"[-+]?(0|[1-9][\d,]*)(\.\d+)?( %)?|–")
IMPORTED = "imported"
EMPTY = "(an empty caption)"


def markdown(stranger: str) -> str:
    """Text that Markdown shows as it stands: every ASCII punctuation mark is escaped, line breaks become spaces."""
    return _MARKDOWN.sub(r"\\\1", " ".join(str(stranger).split()))


def escaped(stranger: str) -> str:
    """Text that HTML shows as it stands, in an element or in a quoted attribute."""
    return html.escape(str(stranger), quote=True)


def number(value: float | None, digits: int = 3) -> str:
    """`value` with `digits` decimals; a dash where it is not known."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:z.{digits}f}"


def interval(low: float | None, high: float | None, digits: int = 3, sign: str = "") -> str:
    """`0.71 to 0.80`, with `sign` "+" `+0.71 to +0.80`, or nothing where it is not known."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"{low:{sign}z.{digits}f} to {high:{sign}z.{digits}f}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share as a percentage."""
    return "–" if share is None or not math.isfinite(share) else f"{100 * share:.{digits}f} %"


def probability(p: float) -> str:
    """A p-value with sensible digits; a dash where it is not known."""
    return "< 0.001" if p < 0.001 else number(p)


def score(metric: str, value: float | None) -> str:
    """A metric's value with that metric's digits."""
    return number(value, METRICS[metric].digits)


def title(metric: str) -> str:
    """Return the name of a metric as people write it. A plugin may have chosen it: it is escaped like other text."""
    return METRICS[metric].title


def markdown_title(metric: str) -> str:
    """Return the name of a metric for Markdown; a hyphen inside a word, as in `BLEU-4`, needs no escape."""
    return re.sub(r"(?<=\w)\\-(?=\w)", "-", markdown(title(metric)))


def caption(said: object) -> str:
    """A caption, or the words that stand where there is none."""
    return said if isinstance(said, str) and said.strip() else EMPTY


def beam(size: int, is_sampled: bool = False) -> str:
    """A beam size as a word: 0 stands for predictions whose decoding is not known."""
    return {0: IMPORTED, 1: "1 (sampled)" if is_sampled else "1 (greedy)"}.get(int(size), str(size))


def setting(size: int, is_sampled: bool = False) -> str:
    """Where captions come from, `beam size 3`, `imported captions`."""
    return f"{IMPORTED} captions" if int(size) == 0 else f"beam size {beam(size, is_sampled)}"


def of_setting(size: int, is_sampled: bool = False) -> str:
    """The same behind a noun, `at beam size 3`, `of imported captions`."""
    return ("of " if int(size) == 0 else "at ") + setting(size, is_sampled)


def begun(sentence: str) -> str:
    """The same with a capital letter in front; the rest stays as it is."""
    return sentence[:1].upper() + sentence[1:]


def count(n: int, noun: str) -> str:
    """`1 image`, `1,200 images`."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def mean_count(mean: float) -> str:
    """A mean of whole numbers: `5` where it is whole itself, else `4.7`."""
    return number(mean, 0 if mean == round(mean) else 1)


def line(value: object) -> str:
    """One line of any value, as a cell of a table holds it; what is not known is a dash."""
    if value is None or (isinstance(value, float) and math.isnan(value)) or value is pd.NA:
        return "–"
    return " ".join("".join(c if c.isprintable() or c.isspace() else "\ufffd" for c in str(value)).split())


def is_number(written: str) -> bool:
    """Whether a cell reads as a number or as one that is not known; `000012` is a name."""
    return bool(_NUMBER.fullmatch(written))


def are_numbers(cells: Sequence[object]) -> bool:
    """Whether a column holds numbers alone, and at least one cell."""
    return bool(len(cells)) and all(is_number(line(cell)) for cell in cells)
