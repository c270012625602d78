"""Filters over the cases of a run, and the WHERE clause of a filter."""

from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

from engine.store.queries.case_tables import case_table, image_table
from engine.store.queries.columns import metric_column
from engine.store.queries.temporary_tables import keep


@dataclass(frozen=True)
class Lasso:
    """A region drawn around points of two metrics: its corners (x, y) in their units, the last joined to the first."""

    x: str
    y: str
    corners: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Selection:
    """Which cases of a run are meant; it selects stored scores and never changes them.

    `text` is looked for in the caption and in the references, whatever the case of its letters: a word that begins with
    it is enough, in quotation marks it is whole words.
    """

    ranges: tuple[tuple[str, float, float], ...] = ()  # (metric, lowest, highest), both included
    text: str = ""
    tag: str = ""
    condition: str = ""
    lasso: Lasso | None = None
    among: tuple[str, ...] | None = None  # image ids that alone are meant, such as those somebody judged
    besides: tuple[str, ...] = ()  # image ids that are not meant


EVERYTHING = Selection()


def _mentions(cursor: DuckDBPyConnection, run: str, beam_size: int, text: str) -> str:
    """Return the name of a table with the rowid (in `case_table`) of every case whose texts have `text`."""
    cases = case_table(cursor, run, beam_size)
    lines = f"""
        SELECT image_id, lower(array_to_string("references", chr(10))) AS line FROM {image_table(cursor, run)}
    """
    phrase, is_whole = sought(text)
    # "man" is not in "woman". Scripts that write no spaces have no such edges: their letters (Lo) are left out of it.
    # What is bound is put together once; the plain search before it spares most lines the regular expression.
    said = f"""
        contains(LINE, lower($phrase)) AND regexp_matches(LINE,
            if(regexp_matches($phrase, '^{_LETTER}'), '(?:^|{_NO_LETTER})', '') || regexp_escape(lower($phrase))
            || if($whole AND regexp_matches($phrase, '{_LETTER}$'), '(?:$|{_NO_LETTER})', ''))
    """
    # Every question about the selection joins what is found here: row numbers join three times as fast as image ids.
    select = f"""
        SELECT rowid AS place FROM {cases} WHERE {said.replace("LINE", "lower(caption)")}
            OR image_id IN (SELECT image_id FROM {keep(cursor, lines, {})} WHERE {said.replace("LINE", "line")})
    """
    return keep(cursor, select, {"phrase": phrase, "whole": is_whole}, cases)


_LETTER, _NO_LETTER = (rf"[{no}\p{{Lu}}\p{{Ll}}\p{{Lt}}\p{{M}}\p{{N}}]" for no in ("", "^"))


def sought(text: str) -> tuple[str, bool]:
    """What a search is for, and whether whole words are meant: it stands in quotation marks."""
    text = text.strip()  # a space typed behind the last word would miss it before a full stop
    within = text[1:-1].strip()
    is_whole = bool(within) and text[0] in _QUOTES and text[-1] in _QUOTES
    return (within, True) if is_whole else (text, False)


_QUOTES = '"“”„'


def _inside_region(cursor: DuckDBPyConnection, run: str, beam_size: int, lasso: Lasso) -> str:
    """Return the name of a table with the rowid (in `case_table`) of every case inside a region."""
    cases, (inside, corners) = case_table(cursor, run, beam_size), _inside(lasso)
    return keep(cursor, f"SELECT rowid AS place FROM {cases} WHERE {inside}", corners, cases)


def where_clause(
    cursor: DuckDBPyConnection, run: str, beam_size: int, selection: Selection
) -> tuple[str, dict[str, Any]]:
    """A WHERE clause over `case_table`, and the values bound in it."""
    clauses: list[str] = ["true"]
    bound: dict[str, Any] = {}
    for index, (metric, low, high) in enumerate(selection.ranges):
        clauses.append(f"{metric_column(metric)} BETWEEN $low_{index} AND $high_{index}")
        bound |= {f"low_{index}": low, f"high_{index}": high}
    if selection.text:
        clauses.append(f"rowid IN (FROM {_mentions(cursor, run, beam_size, selection.text)})")
    if selection.tag:
        clauses.append("list_contains(list_transform(tags, lambda entry: entry.tag), $tag)")
        bound["tag"] = selection.tag
    if selection.condition:
        clauses.append(
            f"image_id IN (SELECT image_id FROM {image_table(cursor, run)} WHERE list_contains(conditions, $condition))"
        )
        bound["condition"] = selection.condition
    if selection.lasso is not None:
        clauses.append(f"rowid IN (FROM {_inside_region(cursor, run, beam_size, selection.lasso)})")
    if selection.among is not None:
        clauses.append("image_id IN (SELECT unnest($among::VARCHAR[]))")
        bound["among"] = list(selection.among)
    if selection.besides:
        clauses.append("image_id NOT IN (SELECT unnest($besides::VARCHAR[]))")
        bound["besides"] = list(selection.besides)
    return " AND ".join(clauses), bound


def _inside(lasso: Lasso) -> tuple[str, dict[str, float]]:
    """Whether a point lies in the region: a ray from it crosses the border an odd number of times."""
    x, y = metric_column(lasso.x), metric_column(lasso.y)
    bound: dict[str, float] = {}
    crossings = []
    borders = zip(lasso.corners, lasso.corners[1:] + lasso.corners[:1], strict=True)
    for n, ((x0, y0), (x1, y1)) in enumerate(borders):
        if y0 == y1:  # level borders are crossed by no level ray
            continue
        # As y lies between the ends, the border is right of the point where x < start + (y - y0) * slope.
        bound |= {f"y0_{n}": y0, f"y1_{n}": y1, f"x0_{n}": x0, f"slope_{n}": (x1 - x0) / (y1 - y0)}
        between = f"($y0_{n} > {y}) <> ($y1_{n} > {y})"
        crossings.append(f"({between} AND {x} < $x0_{n} + ({y} - $y0_{n}) * $slope_{n})::INT")
    if not crossings:
        return "false", {}
    for axis, values in (("x", [x for x, _ in lasso.corners]), ("y", [y for _, y in lasso.corners])):
        bound |= {f"lasso_{axis}_low": min(values), f"lasso_{axis}_high": max(values)}
    # The box around it first: for most points that is all there is to do.
    boxed = f"{x} BETWEEN $lasso_x_low AND $lasso_x_high AND {y} BETWEEN $lasso_y_low AND $lasso_y_high"
    return f"({boxed} AND ({' + '.join(crossings)}) % 2 = 1)", bound
