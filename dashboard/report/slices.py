"""Slices: the conditions under which the captions of a run are worse, as a table and as a chapter.

Knows column names of `engine.store.queries`. Knows no page.
"""

from typing import Any

import pandas as pd

from dashboard import metrics
from dashboard.items import Table
from dashboard.report.source import Chapter, Source, note
from dashboard.text import formatting
from engine.store import queries
from engine.store.frames import named_rows
from engine.store.orders import definition

TITLE = "Where captions are worse"
MEANING = (
    "A slice is the images that meet a condition, or two. Effect: mean score of the slice minus that of all other "
    "images. q: probability that random scores make any condition look as bad; slices with q above 0.03 are not "
    "listed. The intervals are of each slice alone."
)


def key(row: Any) -> str:
    """Return the name of a slice that is kept in URLs, such as `cider: crowded`."""
    return f"{row.metric}: {row.condition}"


def described(row: Any) -> str:
    """Return a slice in a few words, with its size."""
    return f"{formatting.title(row.metric)}: {row.condition} ({formatting.count(int(row.size), 'image')})"


def ordered(found: pd.DataFrame) -> pd.DataFrame:
    """Return `queries.slices` with the metrics in their usual order."""
    order = {metric: place for place, metric in enumerate(metrics.ordered(found.metric.unique()))}
    return found.sort_values(["metric", "rank"], key=lambda each: each.map(order) if each.name == "metric" else each)


def table(found: pd.DataFrame, small: str) -> Table:
    """Return `queries.slices` of one beam size as a table."""
    rows = list(named_rows(found))
    shown = pd.DataFrame(
        {
            "Metric": [formatting.title(row.metric) for row in rows],
            "Condition": [row.condition for row in rows],
            "Images": [f"{row.size:,}" for row in rows],
            "Slice": [formatting.score(row.metric, row.inside) for row in rows],
            "Other images": [formatting.score(row.metric, row.outside) for row in rows],
            "Effect (95 % CI)": [_effect(row) for row in rows],
            "q": [formatting.probability(row.q) for row in rows],
            "Same images": [", ".join(row.also) or "–" for row in rows],
        }
    )
    return Table("slices", TITLE, shown, found, small)


def _effect(row: Any) -> str:
    digits = definition(row.metric).digits
    bounds = formatting.interval(row.low, row.high, digits, "+")
    return f"{row.effect:+z.{digits}f}" + (f" ({bounds})" if bounds else "")


def chapters(source: Source) -> list[Chapter]:
    """Return the chapter on slices, if the run has any at the setting of the report."""
    run, beam = source.run, source.setting()
    if beam is None:
        return []
    found = source.query(queries.slices, run.name, beam)
    if found.empty:
        return []
    where = formatting.of_setting(beam, run.is_sampled)
    first = next(named_rows(ordered(found)))
    lead = (
        f"The worst slice {where} by {formatting.title(first.metric)} is “{first.condition}”: "
        f"{formatting.score(first.metric, first.inside)} on {formatting.count(int(first.size), 'image')}, and "
        f"{formatting.score(first.metric, first.outside)} on all others. {MEANING}"
    )
    return [Chapter(TITLE, lead, (table(ordered(found), note(run, f"Slices {where}", MEANING)),))]
