"""The oracle of n-best lists: whether they contain better captions than the chosen one, in words and as figures.

Knows `queries.oracle`. The best of an image's hypotheses is an upper bound for any ranking of the list: it grows with
the length of the list, and choosing it needs the references.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pandas as pd

from dashboard import metrics
from dashboard.figures import curves
from dashboard.items import Figure
from dashboard.state.record import Run
from dashboard.text import formatting
from engine.statistics import ALPHA, smallest_p, too_few


def figures(found: pd.DataFrame, small: str) -> list[Figure]:
    """Return one figure per headline metric that several beam sizes have."""
    return [
        Figure(f"oracle_{metric}", title(metric), partial(curves.oracle_by_beam, mine, metric), small)
        for metric, mine in headlines(found)
        if mine.beam_size.nunique() > 1
    ]


def sentences(run: Run, beam: int | None, found: pd.DataFrame) -> Iterator[str]:
    """Yield one sentence per headline metric, at `beam` or else at the largest beam size with several hypotheses."""
    for metric, mine in headlines(found):
        asked = mine[mine.beam_size == beam]
        yield _sentence(run, metric, (asked if len(asked) else mine).iloc[-1])


def headlines(found: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return the headline metrics of `found`, each with its rows."""
    return [(metric, found[found.metric == metric]) for metric in metrics.headlines(found.metric)]


def title(metric: str) -> str:
    """Return the title of the figure of one metric."""
    return f"{formatting.title(metric)} of the n-best lists by beam size"


def _sentence(run: Run, metric: str, row: Any) -> str:
    best, chosen, mean = (formatting.score(metric, each) for each in (row.best, row.chosen, row.average))
    where = formatting.capitalized(formatting.of_setting(row.beam_size, run.is_sampled))
    kept, images = formatting.mean_count(row.kept), formatting.count(int(row.images), "image")
    held = f"one of the {kept} samples has" if run.is_sampled else f"the {kept}-best list contains a hypothesis with"
    better = f"a {metrics.better_word(metric)} {formatting.markdown_title(metric)}"
    ranking = formatting.capitalized(_ranking(run, row) + f"mean of all: {mean}")
    return (
        f"{where}, for {formatting.percent(row.better)} of {images} {held} {better} than the caption; choosing the "
        f"best would give {best} instead of {chosen}. {ranking}."
    )


def _ranking(run: Run, row: Any) -> str:
    """Return whether ranking helps, or "" for samples, which are unranked, and for one image, without an interval."""
    if run.is_sampled or pd.isna(row.lead_low):
        return ""
    if smallest_p(int(row.lead_differing)) >= ALPHA:
        few = too_few(int(row.images), int(row.lead_differing))
        return f"{few} whether ranking by log-probability is better than a random choice from the list; "
    if row.lead_low > 0:
        found = "significantly better"
    elif row.lead_high < 0:
        found = "significantly worse"
    else:
        found = "not significantly better"
    return f"Ranking by log-probability is {found} than a random choice from the list; "
