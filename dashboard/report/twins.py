"""Twins of generated scenes: how often a caption changes with one object of the picture, and examples.

Knows column names of `engine.store.queries`. Runs of other photos have no twins.
"""

from functools import partial
from io import BytesIO
from typing import Any

import pandas as pd
from PIL import Image

from dashboard.figures import panels
from dashboard.figures.panels import Panel
from dashboard.items import Figure, Table
from dashboard.report.source import Query, note
from dashboard.state.record import Run
from dashboard.text import formatting
from engine.store import queries
from engine.store.frames import named_rows

TITLE = "Twins: pictures that differ in one object"
MEANING = (
    "A twin is a generated picture in which one object was removed, recoloured, duplicated or mirrored and nothing "
    "else was changed. A caption that depends on the object changes where it describes it, and only there."
)
_SHOWN = 4  # pairs


def items(run: Run, query: Query) -> list[Figure | Table]:
    """Return the table of shares and the pictures of a few pairs; nothing for runs without twins."""
    found = query(queries.twin_shares, run.name)
    if found.empty:
        return []
    small = note(run, MEANING, "95 % intervals: Wilson. Greedy captions")
    pairs = query(queries.twin_pictures, run.name, _SHOWN)
    drawn = partial(panels.panels, TITLE, [each for row in named_rows(pairs) for each in _panels(row)], across=2)
    return [shares(found, small), *([Figure("twin_pictures", TITLE, drawn, small)] if len(pairs) else [])]


def sentence(found: pd.DataFrame) -> str:
    """Return the result over all changes in a sentence; "" without twins.

    Args:
        found: `queries.twin_shares`.
    """
    if found.empty:
        return ""
    pairs, named = int(found.pairs.sum()), int(found.named.sum())
    changed, elsewhere = int(found.named_changed.sum()), int(found.elsewhere_changed.sum())
    return (
        f"Of {formatting.count(pairs, 'pair')} of pictures that differ in one object, the caption of the original "
        f"names the object in {named:,}; in {changed:,} of these the other caption says something else about it. In "
        f"{elsewhere:,} of all pairs the captions also differ about other objects or the place."
    )


def shares(found: pd.DataFrame, small: str) -> Table:
    """Return `queries.twin_shares` as a table."""
    rows = list(named_rows(found))
    shown = pd.DataFrame(
        {
            "Change": [row.change for row in rows],
            "Pairs": [f"{row.pairs:,}" for row in rows],
            "Differs about the object": [_share(row, "object_changed", row.pairs) for row in rows],
            "If it was named": [_share(row, "named_changed", row.named) for row in rows],
            "Differs elsewhere": [_share(row, "elsewhere_changed", row.pairs) for row in rows],
            "Same caption": [_share(row, "same", row.pairs) for row in rows],
        }
    )
    return Table("twins", TITLE, shown, found, small)


def _share(row: Any, name: str, of: int) -> str:
    if not of:
        return "–"
    count, low, high = (getattr(row, f"{name}{end}") for end in ("", "_low", "_high"))
    bounds = formatting.interval(100 * low, 100 * high, 1)
    return f"{count:,} of {of:,} ({formatting.percent(count / of)}, {bounds})"


def _panels(row: Any) -> list[Panel]:
    name = row.role or row.label
    where = "also elsewhere" if row.elsewhere_changed else "only there" if row.object_changed else "not in the caption"
    sides = (("original", row.original, row.original_picture), (f"{name} {row.change}", row.twin, row.twin_picture))
    return [
        Panel(Image.open(BytesIO(bytes(picture))).convert("RGB"), "", head, caption, f"difference: {where}")
        for head, caption, picture in sides
    ]
