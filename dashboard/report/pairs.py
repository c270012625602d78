"""The best and the worst image-caption pair: photo, caption, references, scores and maps.

Knows runs, queries and photos. A pair without its photo is replaced by the next one that has its photo.
"""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from dashboard import metrics
from dashboard.figures import panels
from dashboard.figures.panels import Panel
from dashboard.figures.thumbnails import photo, pixels
from dashboard.items import Figure
from dashboard.report import tables
from dashboard.report.source import Chapter, Source, note, signature
from dashboard.report.strips import kept_beam, pair_metric, strip
from dashboard.state.record import Run
from dashboard.text import commands, formatting
from engine.store import published, queries
from engine.store.frames import named_rows

TITLE = "Best and worst pair"
_PAGE = 50  # cases per query in the search for one with its photo


@dataclass(frozen=True)
class _End:
    """One end of the ranking: the shown case, and the first one, whose photo may be missing."""

    row: pd.DataFrame  # one row of `queries.cases`
    first: pd.DataFrame
    has_photo: bool


def pairs(source: Source) -> Chapter:
    """Return the chapter on the best and the worst case; a case that is both is shown once."""
    run, beam = source.run, _beam(source)
    metric = "" if beam is None else pair_metric(source.query, run.name, beam)
    if beam is None or not metric:
        return Chapter(TITLE, missing="This run has no captions that were scored.", command=commands.EVALUATE)
    ends = [_end(source, beam, metric, is_best) for is_best in (True, False)]
    rows = pd.concat([end.row for end in ends]).drop_duplicates("image_id")
    name, signed = formatting.title(metric), tuple(filter(None, [signature(source.query, run, metric, beam)]))
    only = f"The only case with a {name}" if (rows.scored == 1).all() else ""
    ends_named = f"{metrics.best_word(metric)} and {metrics.worst_word(metric)} {name}"
    heading = only or formatting.capitalized(ends_named)
    drawn = lambda: panels.panels(heading, [case_panel(run, row, metric) for row in named_rows(rows)], across=2)  # noqa: E731
    figure = Figure("best_and_worst", heading, drawn, note(run), signed)
    table = tables.pair(rows, only or f"Best and worst pair by {name}", note(run), signed)
    maps = [strip(run, beam, image, source.query, source.attention) for image in rows.image_id]
    kept = [each for each in maps if each is not None]
    where = formatting.of_setting(beam, run.is_sampled)
    maps_kept = ", which has attention maps" if beam != source.setting() else ""
    lead = [f"By {formatting.markdown_title(metric)} {where}{maps_kept}.", *_missing(ends)]
    lead += [] if kept else [f"These captions have no attention maps {where}."]
    lead += [_published(source)] if metric == "clipscore" else []
    return Chapter(TITLE, " ".join(lead), (figure, table, *kept))


def _beam(source: Source) -> int | None:
    """Return the beam size of the pair: the chosen one, else one with attention maps."""
    kept = kept_beam(source)
    return source.setting() if source.beam is not None or kept is None else kept


def _published(source: Source) -> str:
    """Return a sentence on the published pair, or "" if its figures are missing."""
    pairs_of_study = published.pairs(source.results).frame
    values = [
        f"{row.rank} {formatting.score('clipscore', row.clipscore)} (image {row.image_id})"
        for row in named_rows(pairs_of_study)
    ]
    return f"CLIPScore {published.LABEL}, greedy: {', '.join(values)}." if values else ""


def _end(source: Source, beam: int, metric: str, is_best: bool) -> _End:
    """Return the best (or worst) scored case whose photo can be opened, or the first one if there is none."""
    run, root = source.run, source.run.root("images")
    first, offset, descending = None, 0, is_best == metrics.higher_is_better(metric)
    while True:
        page = source.query(queries.cases, run.name, beam, metric, descending, queries.EVERYTHING, _PAGE, offset)
        page = page[page[metric].notna()]
        first = page.head(1) if first is None else first
        there = (place for place, name in enumerate(page.file_name) if not photo(root, name).missing)
        place = next(there, None)
        if place is not None:
            return _End(page.iloc[[place]], first, True)
        if len(page) < _PAGE or root is None or not root.is_dir():
            return _End(first, first, False)
        offset += _PAGE


def _missing(ends: list[_End]) -> list[str]:
    """Return sentences on missing photos."""
    if not any(end.has_photo for end in ends):
        return ["None of the photos was found, so the pairs are shown without photos."]
    named = zip(("best", "worst"), ends, strict=True)
    return [
        f"The photo of the {name} pair (image {formatting.markdown(end.first.image_id.iloc[0])}) was not found; "
        f"the {name} pair with a photo is shown instead."
        for name, end in named
        if end.row.image_id.iloc[0] != end.first.image_id.iloc[0]
    ]


def case_panel(run: Run, row: Any, metric: str) -> Panel:
    """Return a case as the gallery shows it, from a row of `queries.cases`."""
    root = run.root("images")
    named = dict.fromkeys([metric, *metrics.headlines(row._fields)])
    scores = [
        f"{formatting.title(name)} {formatting.score(name, getattr(row, name))}"
        for name in named
        if pd.notna(getattr(row, name))
    ]
    return Panel(
        pixels(root, row.file_name),
        photo(root, row.file_name).missing,
        f"#{int(row.rank)} of {int(row.scored)}" if pd.notna(row.rank) else "no score",
        formatting.caption(row.caption),
        " · ".join(scores),
    )
