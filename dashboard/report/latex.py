"""A table for LaTeX that fits the page: long texts wrap, wide tables get a smaller font or a page turned sideways.

`tabularx` divides the page among the columns that wrap. It cannot break a table over pages, and `xltabular`, which can,
is not among LaTeX's recommended packages: in a `longtable` these columns get a computed share of the page. The widths
of texts are estimated only to choose the font, and whether a table needs several pages or blocks.

Knows cells. Knows no run and no figure. Text may come from untrusted files: every character that LaTeX would act on is
escaped.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from unicodedata import east_asian_width

import pandas as pd

from dashboard.text import formatting

TEXT_WIDTH = 345
"""Points between the margins of LaTeX's own `article`, the narrowest page with one column that a table should fit."""

TEXT_HEIGHT = 550
"""Points from the first to the last line of the same page: the width of a table that is turned sideways."""


@dataclass(frozen=True)
class _Layout:
    """A way to set a table, from the most readable to the smallest."""

    size: str  # LaTeX's command for the font
    scale: float  # width of its letters as a share of those at \small
    separation: float  # points at each side of a column, at least
    lines: int  # per page, without title and small print
    long: int  # points of a text at \small beyond which its column wraps
    narrow: int  # minimum points of such a column
    is_short: bool = False  # with the short names of columns
    is_sideways: bool = False

    @property
    def width(self) -> int:
        """Points from the left to the right end of the table."""
        return TEXT_HEIGHT if self.is_sideways else TEXT_WIDTH

    @property
    def setting(self) -> str:
        return rf"{self.size}\setlength{{\tabcolsep}}{{{self.separation:g}pt}}"

    def taken(self, column: "_Column") -> float:
        """Return the minimum points of a column with the space around it."""
        return self.least(column) + 2 * self.separation

    def least(self, column: "_Column") -> float:
        return self.narrow if self.wraps(column) else self.scale * max(column.points)

    def wraps(self, column: "_Column") -> bool:
        return not column.is_numeric and max(column.points) > self.long


_READABLE = _Layout(r"\small", 1.0, 4, 42, 135, 100)
# Computer Modern at 8 and 7 points is wider than its 9 points scaled down.
_LAYOUTS = (
    _READABLE,
    _Layout(r"\small", 1.0, 4, 42, 135, 100, is_short=True),
    _Layout(r"\footnotesize", 0.92, 3, 46, 110, 85, is_short=True),
    _Layout(r"\scriptsize", 0.87, 1.5, 52, 90, 70, is_short=True),
    _Layout(r"\small", 1.0, 4, 24, 135, 100, is_sideways=True),
    _Layout(r"\scriptsize", 0.87, 1.5, 28, 90, 70, is_short=True, is_sideways=True),
)

# Points of a letter at \small, roughly: enough to choose a font and to tell long texts; LaTeX sets the widths itself.
_NARROW, _MEDIUM, _BROAD, _SQUARE = 3.1, 4.7, 7.2, 9.3
_NARROW_LETTERS = {*" .,:;!'|`()[]-ijlfrt"}
_BROAD_LETTERS = {*"mw%#&@=+<>~^"}

_MARKS = {
    "\\": r"\textbackslash{}",
    # After the end of a row, LaTeX reads these as part of its command.
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


def table(title: str, shown: pd.DataFrame, note: str = "", heads: Mapping[str, str] | None = None) -> str:
    """Return a table environment with booktabs rules, at most as wide as an article's text, in one piece if possible.

    A table with more rows than a page becomes a longtable, which continues on further pages.

    Args:
        shown: formatted cells.
        note: small print below.
        heads: short names of columns, used if the full ones are too wide; the note explains them.
    """
    columns = [_column(str(name), shown[name]) for name in shown.columns]
    short = [_column((heads or {}).get(str(name), str(name)), shown[name]) for name in shown.columns]
    layout = _layout(columns, short)
    chosen = short if layout.is_short else columns
    blocks = _blocks(chosen, layout)
    is_tall = sum(_lines(block, layout) for block in blocks) > layout.lines
    note = "\n".join(filter(None, [note, _explained(heads or {}, shown) if layout.is_short else ""]))
    lines = [rf"% Needs \usepackage{{{_packages(is_tall, layout)}}}"]
    if any(letter > "\xff" and letter not in _KNOWN for letter in _letters(title, shown, note)):
        lines.append("% Has letters that pdfLaTeX may not know: use LuaLaTeX or XeLaTeX and a font that has them.")
    paragraphs = r"\par ".join(_breakable(escaped(line)) for line in note.splitlines())
    small = [rf"{{\footnotesize\raggedright {paragraphs}\par}}"] if note else []
    return "\n".join([*lines, *(_tall if is_tall else _float)(title, blocks, small, layout)]) + "\n"


def _layout(columns: Sequence["_Column"], short: Sequence["_Column"]) -> _Layout:
    """Return the first layout in which all columns fit side by side, or the readable one if there is none."""
    for layout in _LAYOUTS:
        chosen = short if layout.is_short else columns
        if sum(map(layout.taken, chosen)) <= layout.width:
            return _spread(chosen, layout)
    return _READABLE


def _spread(columns: Sequence["_Column"], layout: _Layout) -> _Layout:
    """Return the layout with spare space distributed between its columns, at most that of the readable one."""
    spare = (layout.width - sum(map(layout.taken, columns))) / (2 * max(len(columns), 1))
    return replace(layout, separation=min(_READABLE.separation, math.floor(10 * (layout.separation + spare)) / 10))


def _explained(heads: Mapping[str, str], shown: pd.DataFrame) -> str:
    used = [(heads[name], name) for name in map(str, shown.columns) if heads.get(name, name) != name]
    return "; ".join(f"{short}: {name}" for short, name in used)


def _packages(is_tall: bool, layout: _Layout) -> str:
    turning = ("pdflscape" if is_tall else "rotating") if layout.is_sideways else ""
    return ",".join(filter(None, ["array", "booktabs", "longtable" if is_tall else "tabularx", turning]))


def _letters(title: str, shown: pd.DataFrame, note: str) -> set[str]:
    return set().union(*map(formatting.line, (title, note, *shown.columns, *shown.to_numpy().flatten())))


def escaped(text: object) -> str:
    """Return text that LaTeX prints literally."""
    marked = "".join(_MARKS.get(character, character) for character in formatting.line(text).replace("--", "-\0-"))
    return marked.replace("\0", "{}")  # two hyphens stay two, and do not become a dash


@dataclass(frozen=True)
class _Column:
    cells: list[str]
    """Escaped, the head first."""
    points: list[float]
    """Estimated width of each cell on one line."""
    is_numeric: bool


def _column(name: str, values: pd.Series) -> _Column:
    cells = [formatting.line(name), *map(formatting.line, values)]
    return _Column([*map(escaped, cells)], [*map(_points, cells)], formatting.are_numbers([*values]))


def _points(cell: str) -> float:
    """Return about how many points a text takes on one line."""
    return sum(map(_letter_points, cell))


def _letter_points(letter: str) -> float:
    if letter in _NARROW_LETTERS:
        return _NARROW
    if letter in _BROAD_LETTERS or letter.isupper() or letter > "\xff":
        return _SQUARE if east_asian_width(letter) in "WF" else _BROAD
    return _MEDIUM


def _blocks(columns: Sequence[_Column], layout: _Layout) -> list[list[_Column]]:
    """Return as few blocks as possible, of about equal width, so that no block has a single column."""
    count = len(_packed(columns, layout, layout.width))
    narrower = (_packed(columns, layout, width) for width in range(layout.width, 0, -5))
    return list(takewhile(lambda blocks: len(blocks) == count, narrower))[-1]


def _packed(columns: Sequence[_Column], layout: _Layout, width: float) -> list[list[_Column]]:
    """Put columns side by side while they fit; each block repeats the first column, which names the rows."""
    blocks: list[list[_Column]] = [[*columns[:1]]]
    for column in columns[1:]:
        if len(blocks[-1]) > 1 and sum(map(layout.taken, [*blocks[-1], column])) > width:
            blocks.append([columns[0]])
        blocks[-1].append(column)
    return blocks


def _room(block: Sequence[_Column], layout: _Layout) -> float:
    """Return the points of each wrapping column: an equal share of what the other columns leave."""
    wrapping = [column for column in block if layout.wraps(column)]
    fixed = sum(layout.taken(column) for column in block if not layout.wraps(column))
    left = layout.width - fixed - 2 * layout.separation * len(wrapping)
    return max(layout.narrow, left / len(wrapping)) if wrapping else 0


def _lines(block: Sequence[_Column], layout: _Layout) -> int:
    room = _room(block, layout) / (1.15 * layout.scale)  # lines are rarely full
    heights = ([math.ceil(each / room) if layout.wraps(column) else 1 for each in column.points] for column in block)
    return sum(map(max, zip(*heights, strict=True)))


def _kinds(block: Sequence[_Column], layout: _Layout, wrapped: str) -> str:
    """Return the preamble of a table; `wrapped` is the kind of columns whose texts wrap."""
    wrapped = rf">{{\raggedright\arraybackslash}}{wrapped}"
    return "".join(wrapped if layout.wraps(column) else "r" if column.is_numeric else "l" for column in block)


def _float(title: str, blocks: Sequence[Sequence[_Column]], small: list[str], layout: _Layout) -> list[str]:
    name = "sidewaystable" if layout.is_sideways else "table"
    lines = [rf"\begin{{{name}}}", r"\centering", rf"\caption{{{escaped(title)}}}", layout.setting]
    for number, block in enumerate(blocks):
        head, *rows = _rows(block, layout)
        lines += [r"\par\medskip"] if number else []
        wraps = any(map(layout.wraps, block))
        name_inside, width = ("tabularx", r"{\linewidth}") if wraps else ("tabular", "")
        lines += [rf"\begin{{{name_inside}}}{width}{{{_kinds(block, layout, 'X')}}}", r"\toprule", head, r"\midrule"]
        lines += [*rows, r"\bottomrule", rf"\end{{{name_inside}}}"]
    return [*lines, *([r"\par\smallskip"] if small else []), *small, rf"\end{{{name}}}"]


def _tall(title: str, blocks: Sequence[Sequence[_Column]], small: list[str], layout: _Layout) -> list[str]:
    turned = ([r"\begin{landscape}"], [r"\end{landscape}"]) if layout.is_sideways else ([], [])
    lines = [*turned[0], rf"\begingroup{layout.setting}"]
    for number, block in enumerate(blocks):
        head, *rows = _rows(block, layout)
        caption = [] if number else [rf"\caption{{{escaped(title)}}} \\"]
        share = min(math.floor(100 * _room(block, layout) / layout.width) / 100, 0.97)
        kinds = _kinds(block, layout, rf"p{{{share:.2f}\linewidth}}")
        lines += [rf"\begin{{longtable}}{{{kinds}}}", *caption, r"\toprule", head, r"\midrule"]
        lines += [r"\endhead", *rows, r"\bottomrule", r"\end{longtable}"]
        lines += [r"\addtocounter{table}{-1}"] if number else []  # each longtable counts, with a caption or without
    return [*lines, *([r"\noindent", *small] if small else []), r"\endgroup", *turned[1]]


def _rows(block: Sequence[_Column], layout: _Layout) -> list[str]:
    columns = ([*map(_breakable, column.cells)] if layout.wraps(column) else column.cells for column in block)
    return [" & ".join(cells) + r" \\" for cells in zip(*columns, strict=True)]


def _breakable(marked: str) -> str:
    """Return text with break points in names and signatures, which have no spaces."""
    return _JOINTS.sub(r"\1\\allowbreak{}", marked)
