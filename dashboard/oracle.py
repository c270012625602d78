"""What the n best hold: whether the search passed over something better, in words and as figures.

Knows `queries.oracle`. The best of an image's hypotheses is what a perfect choice among them would give, no promise:
it grows with their number, and no one who has no references can choose it.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pandas as pd

from dashboard import figures, text
from dashboard.exports import Figure
from dashboard.record import Run
from dashboard.tables import HEADLINES
from engine.schema import METRICS


def curves(found: pd.DataFrame, small: str) -> list[Figure]:
    """A figure a headline metric that several beam sizes have."""
    return [
        Figure(f"oracle_{metric}", title(metric), partial(figures.oracle_by_beam, mine, metric), small)
        for metric, mine in headlines(found)
        if mine.beam_size.nunique() > 1
    ]


def sentences(run: Run, beam: int | None, found: pd.DataFrame) -> Iterator[str]:
    """What each headline metric says at beam size `beam`, or else at the largest that kept several hypotheses."""
    for metric, mine in headlines(found):
        asked = mine[mine.beam_size == beam]
        yield _sentence(run, metric, (asked if len(asked) else mine).iloc[-1])


def headlines(found: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The headline metrics that are there, each with its rows."""
    each = [(metric, found[found.metric == metric]) for metric in HEADLINES]
    return [(metric, mine) for metric, mine in each if len(mine)]


def title(metric: str) -> str:
    """What a figure of one metric is called."""
    return f"{text.title(metric)} of the n best by beam size"


def _sentence(run: Run, metric: str, row: Any) -> str:
    best, chosen, mean = (text.number(each, METRICS[metric].digits) for each in (row.best, row.chosen, row.average))
    where, images = text.begun(text.of_setting(row.beam_size, run.is_sampled)), text.count(int(row.images), "image")
    each = "a sample" if run.is_sampled else "a hypothesis"
    return (
        f"{where}, {text.percent(row.better)} of {images} have {each} with a higher "
        f"{text.title(metric)} than the caption; the best of {text.mean_count(row.kept)} would give {best} instead of "
        f"{chosen}. {_ranking(run, row)} {mean}."
    )


def _ranking(run: Run, row: Any) -> str:
    """What the search's order is worth; samples have none, and one image tells nothing."""
    if run.is_sampled:
        return "On average the samples have"
    if pd.isna(row.lead_low):
        return "On average they have"
    if row.lead_low > 0:
        found = "helps"
    elif row.lead_high < 0:
        found = "is worse than picking any"
    else:
        found = "is not shown to be better than picking any"
    return f"Ranking them by log-probability {found}: on average they have"
