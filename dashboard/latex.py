"""A table for LaTeX that fits the page: long texts wrap, and columns without room stand below.

Knows cells and how wide LaTeX sets them, roughly. Knows no run and no figure. Text may be a stranger's: every mark that
LaTeX would act on is escaped.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from unicodedata import east_asian_width

import pandas as pd

from dashboard import text

TEXT_WIDTH = 345
"""Points between the margins of LaTeX's own `article`, the narrowest page with one column that a table should fit."""

_GAP = 8  # points between two columns
_SETTING = r"\small\setlength{\tabcolsep}{4pt}"
_LONG = 135  # points of a text beyond which its column wraps
_NARROW = 100  # points that such a column keeps at least: three of them fit
_LINES = 42  # that a page has room for, title and small print aside

# Computer Modern at the 9 points of \small, from the widths in cmr9.tfm; letters beyond ASCII as wide as a capital.
_WIDTHS = {
    2.6: "ijl.,:;!'|I`",
    3.1: " f-",
    3.7: "rst()[]",
    4.2: "cez?_",
    4.7: '0123456789agovxykqJ/*$"{}\\',
    5.2: "bdhnpuS",
    6.0: "LZ",
    6.7: "wBCDEFGPRTQO",
    7.2: "AHKNUVXY&@=+<>~^",
    7.8: "m%#",
    9.6: "MW",
}
_POINTS = {letter: width for width, letters in _WIDTHS.items() for letter in letters}
_CAPITAL, _SQUARE = 7.2, 9.3

_MARKS = {
    "\\": r"\textbackslash{}",
    # After the end of a row, LaTeX takes these for a part of its command.
    "[": "{[}",
    "*": "{*}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "`": r"\textasciigrave{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--",
    "±": r"$\pm$",
    "→": r"$\rightarrow$",
    "≈": r"$\approx$",
    "≤": r"$\leq$",
    "\u2212": "$-$",
}
_KNOWN = {*_MARKS, *"‘’“”…—"}  # beyond Latin-1, what pdfLaTeX sets without another package
_JOINTS = re.compile(r"(\\_|\\textbar\{\}|[/:])(?=.)")


def table(title: str, shown: pd.DataFrame, note: str = "") -> str:
    """A table environment with booktabs rules, at most as wide as an article's text; many rows go over several pages.

    Args:
        shown: cells as people read them.
        note: small print below.
    """
    blocks = _blocks([_column(str(name), shown[name]) for name in shown.columns])
    is_tall = sum(map(_lines, blocks)) > _LINES
    packages = "array,booktabs,longtable" if is_tall else "array,booktabs"
    lines = [rf"% Needs \usepackage{{{packages}}}."]
    if any(letter > "\xff" and letter not in _KNOWN for letter in _letters(title, shown, note)):
        lines.append("% Has letters that pdfLaTeX may not know: use LuaLaTeX or XeLaTeX and a font that has them.")
    small = [rf"{{\footnotesize\raggedright {_breakable(escaped(note))}\par}}"] if note else []
    return "\n".join([*lines, *(_tall if is_tall else _float)(title, blocks, small)]) + "\n"


def _letters(title: str, shown: pd.DataFrame, note: str) -> set[str]:
    return set().union(*map(text.line, (title, note, *shown.columns, *shown.to_numpy().flatten())))


def escaped(stranger: object) -> str:
    """Text that LaTeX prints as it stands."""
    marked = "".join(_MARKS.get(character, character) for character in text.line(stranger).replace("--", "-\0-"))
    return marked.replace("\0", "{}")  # two hyphens stay two, and do not become a dash


@dataclass(frozen=True)
class _Column:
    cells: list[str]
    """Escaped, the head first."""
    points: list[float]
    """Of each cell on one line."""
    is_numeric: bool

    @property
    def wraps(self) -> bool:
        return not self.is_numeric and max(self.points) > _LONG

    @property
    def least(self) -> float:
        """Points that the column takes at least."""
        return _NARROW if self.wraps else max(self.points)


def _column(name: str, values: pd.Series) -> _Column:
    cells = [text.line(name), *map(text.line, values)]
    return _Column([*map(escaped, cells)], [*map(_points, cells)], text.are_numbers(values))


def _points(cell: str) -> float:
    return sum(_POINTS.get(letter) or (_SQUARE if east_asian_width(letter) in "WF" else _CAPITAL) for letter in cell)


def _blocks(columns: Sequence[_Column]) -> list[list[_Column]]:
    """As few blocks as fit, of about the same width, so that no column stands alone."""
    count = len(_packed(columns, TEXT_WIDTH))
    narrower = (_packed(columns, width) for width in range(TEXT_WIDTH, 0, -5))
    return list(takewhile(lambda blocks: len(blocks) == count, narrower))[-1]


def _packed(columns: Sequence[_Column], width: float) -> list[list[_Column]]:
    """Columns side by side while there is room; the first stands before each block, to tell the rows by."""
    blocks: list[list[_Column]] = [[*columns[:1]]]
    for column in columns[1:]:
        if len(blocks[-1]) > 1 and sum(each.least + _GAP for each in [*blocks[-1], column]) > width:
            blocks.append([columns[0]])
        blocks[-1].append(column)
    return blocks


def _room(block: Sequence[_Column]) -> float:
    """Points that each column that wraps may take of what the others leave."""
    wrapping = [column for column in block if column.wraps]
    left = TEXT_WIDTH - sum(column.least + _GAP for column in block if not column.wraps) - _GAP * len(wrapping)
    return max(_NARROW, left / len(wrapping)) if wrapping else 0


def _lines(block: Sequence[_Column]) -> int:
    room = _room(block)
    # A line is rarely full to its end.
    heights = ([math.ceil(1.15 * each / room) if column.wraps else 1 for each in column.points] for column in block)
    return sum(map(max, zip(*heights, strict=True)))


def _kinds(block: Sequence[_Column]) -> str:
    """The columns as a tabular's preamble has them."""
    share = f"{min(_room(block) / TEXT_WIDTH, 0.97):.2f}"
    wrapped = rf">{{\raggedright\arraybackslash}}p{{{share}\linewidth}}"
    return "".join(wrapped if column.wraps else "r" if column.is_numeric else "l" for column in block)


def _float(title: str, blocks: Sequence[Sequence[_Column]], small: list[str]) -> list[str]:
    lines = [r"\begin{table}", rf"\centering{_SETTING}", rf"\caption{{{escaped(title)}}}"]
    for number, block in enumerate(blocks):
        head, *rows = _rows(block)
        lines += [r"\par\medskip"] if number else []
        lines += [rf"\begin{{tabular}}{{{_kinds(block)}}}", r"\toprule", head, r"\midrule", *rows, r"\bottomrule"]
        lines += [r"\end{tabular}"]
    return [*lines, *([r"\par\smallskip"] if small else []), *small, r"\end{table}"]


def _tall(title: str, blocks: Sequence[Sequence[_Column]], small: list[str]) -> list[str]:
    lines = [rf"\begingroup{_SETTING}"]
    for number, block in enumerate(blocks):
        head, *rows = _rows(block)
        caption = [] if number else [rf"\caption{{{escaped(title)}}} \\"]
        lines += [rf"\begin{{longtable}}{{{_kinds(block)}}}", *caption, r"\toprule", head, r"\midrule", r"\endhead"]
        lines += [*rows, r"\bottomrule", r"\end{longtable}"]
        lines += [r"\addtocounter{table}{-1}"] if number else []  # each longtable counts, with a caption or without
    return [*lines, *([r"\noindent", *small] if small else []), r"\endgroup"]


def _rows(block: Sequence[_Column]) -> list[str]:
    columns = ([*map(_breakable, column.cells)] if column.wraps else column.cells for column in block)
    return [" & ".join(cells) + r" \\" for cells in zip(*columns, strict=True)]


def _breakable(marked: str) -> str:
    """Names and signatures may break at their joints: they have no spaces."""
    return _JOINTS.sub(r"\1\\allowbreak{}", marked)
