"""Filters over the cases of a run, and their WHERE clauses.

A filter selects stored scores and never changes them.
"""

from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

from engine.store.queries.case_tables import case_table, condition_table
from engine.store.queries.columns import metric_column
from engine.store.queries.pairs import changed_images
from engine.store.queries.temporary_tables import keep


@dataclass(frozen=True)
class Lasso:
    """A region drawn around points of two metrics.

    `corners` are (x, y) in the units of the metrics `x` and `y`; the last corner is joined to the first.
    """

    x: str
    y: str
    corners: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Versus:
    """The images on which a setting is better (`is_gain`) or worse than another setting by a metric; no ties."""

    run: str  # of the other setting
    beam_size: int
    metric: str
    is_gain: bool


@dataclass(frozen=True)
class Selection:
    """A filter over the cases of a run.

    `text` is searched for in the caption and in the references, ignoring case. It matches at the beginning of a word;
    in quotation marks it matches whole words. `fact`, `verdict` and `word` are of one word of the caption, as in the
    table `words`; `word` is the whole word, ignoring case. A case has one of `tags`, or with `every_tag` all of them.
    `photo` keeps the cases whose photo was read by the run, or (False) those without.
    """

    ranges: tuple[tuple[str, float, float], ...] = ()  # (metric, lowest, highest), both included
    text: str = ""
    tags: tuple[str, ...] = ()
    every_tag: bool = False
    photo: bool | None = None
    slice: tuple[str, int] | None = None  # metric and rank of a row of `slices`
    condition: str = ""
    fact: str = ""
    verdict: str = ""
    word: str = ""
    lasso: Lasso | None = None
    versus: Versus | None = None
    include_ids: tuple[str, ...] | None = None  # only these images, such as those with a verdict; None: all
    exclude_ids: tuple[str, ...] = ()


EVERYTHING = Selection()
"""The filter that keeps every case."""


def where_clause(
    cursor: DuckDBPyConnection, run: str, beam_size: int, selection: Selection
) -> tuple[str, dict[str, Any]]:
    """Return a condition on the rows of `case_table`, and the values bound in it.

    Raises:
        ValueError: METRICS does not define a metric of the selection.
    """
    clauses: list[str] = ["true"]
    bound: dict[str, Any] = {}
    for index, (metric, low, high) in enumerate(selection.ranges):
        clauses.append(f"{metric_column(metric)} BETWEEN $low_{index} AND $high_{index}")
        bound |= {f"low_{index}": low, f"high_{index}": high}
    if selection.text:
        clauses.append(f"rowid IN (FROM {_rows_with_text(cursor, run, beam_size, selection.text)})")
    if selection.tags:
        matches = "list_has_all" if selection.every_tag else "list_has_any"
        clauses.append(f"{matches}(list_transform(tags, lambda _entry: _entry.tag), $tags::VARCHAR[])")
        bound["tags"] = list(selection.tags)
    if selection.fact or selection.verdict or selection.word:
        clauses.append(f"rowid IN (FROM {_rows_with_word(cursor, run, beam_size, selection)})")
    if selection.lasso is not None:
        clauses.append(f"rowid IN (FROM {_rows_inside(cursor, run, beam_size, selection.lasso)})")
    of_images, named = _of_images(cursor, run, beam_size, selection)
    return " AND ".join([*clauses, *of_images]), bound | named


def _of_images(
    cursor: DuckDBPyConnection, run: str, beam_size: int, selection: Selection
) -> tuple[list[str], dict[str, Any]]:
    """Return the conditions on the image of a case, and the values bound in them."""
    clauses: list[str] = []
    bound: dict[str, Any] = {}
    if selection.condition:
        having = f"SELECT image_id FROM {condition_table(cursor, run)} WHERE list_contains(conditions, $condition)"
        clauses.append(f"image_id IN ({having})")
        bound["condition"] = selection.condition
    if selection.slice is not None:
        having = "SELECT image_id FROM slice_images WHERE run = $run AND beam_size = $beam AND metric = $metric"
        members = keep(cursor, f"{having} AND rank = $rank", _slice(run, beam_size, selection.slice))
        clauses.append(f"image_id IN (FROM {members})")
    if selection.photo is not None:
        missing = keep(cursor, "SELECT image_id FROM images WHERE run = $run AND width IS NULL", {"run": run})
        clauses.append(f"image_id {'NOT ' * selection.photo}IN (FROM {missing})")
    if (versus := selection.versus) is not None:
        other = versus.run, versus.beam_size, versus.metric, versus.is_gain
        clauses.append(f"image_id IN (FROM {changed_images(cursor, run, beam_size, *other)})")
    if selection.include_ids is not None:
        clauses.append("image_id IN (SELECT unnest($include_ids::VARCHAR[]))")
        bound["include_ids"] = list(selection.include_ids)
    if selection.exclude_ids:
        clauses.append("image_id NOT IN (SELECT unnest($exclude_ids::VARCHAR[]))")
        bound["exclude_ids"] = list(selection.exclude_ids)
    return clauses, bound


def _slice(run: str, beam_size: int, chosen: tuple[str, int]) -> dict[str, Any]:
    return {"run": run, "beam": int(beam_size), "metric": chosen[0], "rank": int(chosen[1])}


_LETTER, _NO_LETTER = (rf"[{no}\p{{Lu}}\p{{Ll}}\p{{Lt}}\p{{M}}\p{{N}}]" for no in ("", "^"))
_QUOTES = '"“”„'


def search_phrase(text: str) -> tuple[str, bool]:
    """Return the phrase that a search text looks for, and whether it is in quotation marks: whole words only."""
    text = text.strip()  # a trailing space would not match a word before a full stop
    within = text[1:-1].strip()
    is_whole = bool(within) and text[0] in _QUOTES and text[-1] in _QUOTES
    return (within, True) if is_whole else (text, False)


def _rows_with_text(cursor: DuckDBPyConnection, run: str, beam_size: int, text: str) -> str:
    """Return the name of a table with the rowid (in `case_table`) of every case with `text` in one of its texts."""
    cases = case_table(cursor, run, beam_size)
    select = """
        SELECT image_id, lower(array_to_string("references", chr(10))) AS line FROM images WHERE run = $run
    """
    lines = keep(cursor, select, {"run": run})
    phrase, is_whole = search_phrase(text)
    # "man" does not match in "woman". Scripts without spaces have no word boundaries, so their letters (Lo) count as
    # none. The expression is built from the bound values once; `contains` spares most lines the regular expression.
    matches = f"""
        contains(LINE, lower($phrase)) AND regexp_matches(LINE,
            if(regexp_matches($phrase, '^{_LETTER}'), '(?:^|{_NO_LETTER})', '') || regexp_escape(lower($phrase))
            || if($whole AND regexp_matches($phrase, '{_LETTER}$'), '(?:$|{_NO_LETTER})', ''))
    """
    # Every question about the selection joins these rows: row numbers join three times as fast as image ids.
    select = f"""
        SELECT rowid AS place FROM {cases} WHERE {matches.replace("LINE", "lower(caption)")}
            OR image_id IN (SELECT image_id FROM {lines} WHERE {matches.replace("LINE", "line")})
    """
    return keep(cursor, select, {"phrase": phrase, "whole": is_whole}, cases)


def _rows_with_word(cursor: DuckDBPyConnection, run: str, beam_size: int, selection: Selection) -> str:
    """Return the name of a table with the rowid (in `case_table`) of every case with such a word in its caption."""
    cases = case_table(cursor, run, beam_size)
    wanted = {name: getattr(selection, name) for name in ("fact", "verdict", "word") if getattr(selection, name)}
    columns = {"fact": "fact = $fact", "verdict": "verdict = $verdict", "word": "lower(word) = lower($word)"}
    where = " AND ".join(columns[name] for name in wanted)
    select = f"""
        SELECT rowid AS place FROM {cases} WHERE image_id IN (
            SELECT image_id FROM words WHERE run = $run AND beam_size = $beam AND {where}
        )
    """
    return keep(cursor, select, wanted | {"run": run, "beam": int(beam_size)}, cases)


def _rows_inside(cursor: DuckDBPyConnection, run: str, beam_size: int, lasso: Lasso) -> str:
    """Return the name of a table with the rowid (in `case_table`) of every case inside a region."""
    cases, (inside, corners) = case_table(cursor, run, beam_size), _inside(lasso)
    return keep(cursor, f"SELECT rowid AS place FROM {cases} WHERE {inside}", corners, cases)


def _inside(lasso: Lasso) -> tuple[str, dict[str, float]]:
    """Return the condition that a point lies in the region, and the values bound in it.

    A point is inside if a horizontal ray from it crosses the border an odd number of times.
    """
    x, y = metric_column(lasso.x), metric_column(lasso.y)
    bound: dict[str, float] = {}
    crossings = []
    borders = zip(lasso.corners, lasso.corners[1:] + lasso.corners[:1], strict=True)
    for n, ((x0, y0), (x1, y1)) in enumerate(borders):
        if y0 == y1:  # a horizontal ray crosses no horizontal border
            continue
        # As y lies between the ends, the border is right of the point if x < start + (y - y0) * slope.
        bound |= {f"y0_{n}": y0, f"y1_{n}": y1, f"x0_{n}": x0, f"slope_{n}": (x1 - x0) / (y1 - y0)}
        between = f"($y0_{n} > {y}) <> ($y1_{n} > {y})"
        crossings.append(f"({between} AND {x} < $x0_{n} + ({y} - $y0_{n}) * $slope_{n})::INT")
    if not crossings:
        return "false", {}
    for axis, values in (("x", [x for x, _ in lasso.corners]), ("y", [y for _, y in lasso.corners])):
        bound |= {f"lasso_{axis}_low": min(values), f"lasso_{axis}_high": max(values)}
    # The bounding box first: it decides about most points.
    boxed = f"{x} BETWEEN $lasso_x_low AND $lasso_x_high AND {y} BETWEEN $lasso_y_low AND $lasso_y_high"
    return f"({boxed} AND ({' + '.join(crossings)}) % 2 = 1)", bound
