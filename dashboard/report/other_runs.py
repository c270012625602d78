"""The chapter that compares a run with the other runs that captioned the same images.

Knows runs and queries. Each run is compared at its best beam size by CIDEr; tests are paired over the shared images.
"""

from collections import defaultdict
from dataclasses import replace

import pandas as pd

from dashboard.items import Figure, Table
from dashboard.report import comparison
from dashboard.report.comparison import Sides
from dashboard.report.source import Chapter, Source
from dashboard.state.record import Run
from dashboard.text import formatting
from engine.store import queries
from engine.store.errors import ResultsError
from engine.store.frames import named_rows

TITLE = "Comparison with other runs"
_MOST = 5  # compared runs; each has a table and a figure


def compared(source: Source) -> list[Chapter]:
    """Return the chapter, or nothing if no other run has captions of the same images and references."""
    beam, found, unreadable = source.setting(), [], []
    if beam is None:
        return []
    for other, shared in _others(source):
        try:
            found += _comparison(source, beam, other, shared)
        except ResultsError as error:
            unreadable.append(f"{formatting.markdown(other.name)} ({formatting.markdown(str(error))})")
    if not found and not unreadable:
        return []
    shown, items = found[:_MOST], []
    for sides, tests in shown:
        items += _items(source, sides, tests)
    lead = [
        "Each run at its best beam size by CIDEr. Tests are paired over the images that both runs have (approximate "
        "randomization, 1,000 resamples, Holm-corrected over the metrics).",
        "\n".join(f"- {_sentence(source, sides, tests)}" for sides, tests in shown),
    ]
    if len(found) > _MOST:
        left = ", ".join(formatting.markdown(sides.right.name) for sides, _ in found[_MOST:])
        lead.append(f"Not compared here: {left}. The Compare page of the dashboard compares any two runs.")
    if unreadable:
        lead.append(f"Not compared, because results cannot be read: {'; '.join(unreadable)}.")
    return [Chapter(TITLE, "\n\n".join(filter(None, lead)), tuple(items))]


def _others(source: Source) -> list[tuple[Run, int]]:
    """Return the other runs with images of this run and the number of these images; the most shared ones first."""
    by_name = {each.name: each for each in source.runs if each.name != source.run.name}
    rows = named_rows(source.query(queries.partners, source.run.name))
    return [(by_name[row.run], int(row.shared)) for row in rows if row.run in by_name]


def _comparison(source: Source, beam: int, other: Run, shared: int) -> list[tuple[Sides, pd.DataFrame]]:
    """Return the two settings with `queries.comparison`, or nothing if they cannot be compared.

    Raises:
        ResultsError: a file of the other run cannot be read.
    """
    theirs = replace(source, run=other, beam=None).setting()
    if theirs is None or _is_other_data(source, other.name, shared):
        return []
    sides = Sides(source.run, beam, other, theirs)
    tests = source.query(queries.comparison, *sides.arguments)
    return [(sides, tests)] if len(tests) else []


def _is_other_data(source: Source, other: str, shared: int) -> bool:
    """Return whether no shared image has a reference in common: two datasets may give one id to different photos."""
    return source.query(queries.id_collisions, source.run.name, other).images.item() == shared


def _items(source: Source, sides: Sides, tests: pd.DataFrame) -> list[Figure | Table]:
    figure, table = comparison.outcomes(source.query, sides, tests), comparison.table(source.query, sides, tests)
    name = sides.right.name
    title = f"{figure.title}: {sides.names[0]} (left) vs. {sides.names[1]} (right)"
    return [replace(table, name=f"compared_{name}"), replace(figure, name=f"outcomes_{name}", title=title)]


def _sentence(source: Source, sides: Sides, tests: pd.DataFrame) -> str:
    """Return the result by the first metric, and which numbers are not comparable."""
    row = tests.iloc[0]
    result = {"left is better": f"{sides.left.name} is better", "right is better": f"{sides.right.name} is better"}
    verdict, bounds = comparison.verdict(row), comparison.bounds(row)
    values = " vs. ".join(formatting.score(row.metric, value) for value in (row.left, row.right))
    found = (
        f"**{formatting.markdown(sides.right.name)}** ({formatting.setting(sides.right_beam, sides.right.is_sampled)}, "
        f"{formatting.count(int(row.images), 'shared image')}): {formatting.markdown_title(row.metric)} {values}, "
        f"difference {comparison.change(row.metric, row.difference)}{f' (95 % CI {bounds})' if bounds else ''}, "
        f"p {_compared(comparison.resampled(row.p_holm))}: {formatting.markdown(result.get(verdict, verdict))}."
    )
    return " ".join([found, *_incomparable(source, sides, tests)])


def _compared(p: str) -> str:
    return p if p.startswith("≤") else f"= {p}"


def _incomparable(source: Source, sides: Sides, tests: pd.DataFrame) -> list[str]:
    """Return one sentence per reason for which metrics are not comparable, and one for how captions were generated."""
    terms, by_reason = comparison.terms(source.query, sides), defaultdict(list)
    for metric in tests.metric:
        reasons = "; ".join(str(each) for each in terms[metric] if not each.search)
        by_reason[reasons].append(formatting.markdown_title(metric))
    found = [
        f"**Not comparable**: {', '.join(names)} ({formatting.markdown(reasons)})."
        for reasons, names in by_reason.items()
        if reasons
    ]
    searched = dict.fromkeys(str(each) for metric in tests.metric for each in terms[metric] if each.search)
    return found + (
        [f"Captions were generated differently ({formatting.markdown('; '.join(searched))})."] if searched else []
    )
