"""The chapters on attention: maps of a few images word by word, and attention grounding.

Knows runs, queries and the form of a chapter. Figures are drawn only when they are exported.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from dashboard import metrics
from dashboard.figures import grounding, heatmaps, panels
from dashboard.figures.heatmaps import read_attention_view
from dashboard.figures.thumbnails import LARGE, pixels
from dashboard.items import Figure, Table
from dashboard.report import tables
from dashboard.report.source import PHOTOS, Chapter, Query, Source, gone, note
from dashboard.state.record import Run
from dashboard.text import commands, formatting
from engine.store import queries

TITLE = "Attention"

COURSE = ("bike", "girl", "sheep", "ski", "umbrella")
"""The photos whose attention the study shows."""

_STRIPS = 5
_NEAR_MEAN = "\N{ALMOST EQUAL TO}: nearly the mean map of the caption, so it says little about the word"


def attention(source: Source) -> Chapter:
    """Return the chapter on attention maps: photos of a companion run, else a few images of the run."""
    photos = source.parts.get(PHOTOS)
    shown = _strips(replace(source, run=photos, images=(), beam=None)) if photos else []
    if source.images or not shown:
        shown = [*shown, *_strips(source)]
    if not shown and (reason := source.run.reason_without_maps):
        return Chapter(TITLE, missing=f"This run has no attention maps: {formatting.markdown(reason)}.")
    if not shown:
        missing = "This run has no attention maps. Only captioners that run here can store them."
        return Chapter(TITLE, missing=missing, command=commands.EVALUATE)
    lead = f"{gone(source, PHOTOS)}Each map has its own scale. Parts of a photo that were cropped are veiled."
    return Chapter(TITLE, lead, tuple(shown))


def _strips(source: Source) -> list[Figure]:
    """Return the strips of the images of a source, at a beam size with maps."""
    beam = kept_beam(source)
    if beam is None:
        return []
    images = source.images or interesting(source, beam)
    found = [strip(source.run, beam, image, source.query, source.attention) for image in images]
    return [each for each in found if each is not None]


def kept_beam(source: Source) -> int | None:
    """Return the beam size whose maps are shown: that of the report, else the smallest with maps; None without maps."""
    sizes = [int(size) for size in source.query(queries.attention_beam_sizes, source.run.name).beam_size]
    return source.setting() if source.setting() in sizes else (sizes or [None])[0]


def interesting(source: Source, beam: int) -> list[str]:
    """Return the images with attention maps in the report: the photos of the course, else five from good to bad."""
    query, run = source.query, source.run.name

    def kept(image: str) -> bool:
        return not query(queries.has_attention, run, beam, image).empty

    known = [image for image in COURSE if kept(image)]
    if known:
        return known
    found = [*filter(kept, _spread(source, beam)), *query(queries.attention_captions, run, beam, 2 * _STRIPS).image_id]
    return list(dict.fromkeys(found))[:_STRIPS]


def _spread(source: Source, beam: int) -> list[str]:
    """Return images at five evenly spaced ranks; the best and the worst have their own chapter."""
    metric = pair_metric(source.query, source.run.name, beam)
    if not metric:
        return []
    best_first = metrics.higher_is_better(metric)
    ranked = partial(source.query, queries.cases, source.run.name, beam, metric, best_first, queries.EVERYTHING, 1)
    scored = int(ranked(0).scored.iloc[0])
    places = sorted({int((place + 0.5) / _STRIPS * scored) for place in range(_STRIPS)})
    return [ranked(place).image_id.iloc[0] for place in places]


def pair_metric(query: Query, run: str, beam: int) -> str:
    """Return the metric for best and worst: CLIPScore as in the study, else the first metric, else ""."""
    known = list(query(queries.metric_ranges, run, beam).metric)
    return "clipscore" if "clipscore" in known else (known or [""])[0]


def strip(run: Run, beam: int, image_id: str, query: Query, sent: Mapping[str, Any]) -> Figure | None:
    """Return all words of one caption with their maps, drawn with the settings `sent`, or None without maps."""
    found = query(queries.attention, run.name, beam, image_id)
    if found.empty:
        return None
    row, case = found.iloc[0], query(queries.case, run.name, beam, image_id)
    view = read_attention_view(dict(sent), row)
    caption = case.caption.iloc[0] if len(case) and isinstance(case.caption.iloc[0], str) else ""
    caption = formatting.shortened(caption, 300)
    drawn = lambda: panels.attention_strip(  # noqa: E731
        f"{image_id}: {caption}", row, pixels(run.root("images"), row["file_name"], LARGE), view
    )
    small = note(
        run,
        f"Image {image_id}, beam size {run.beam(beam)}, {view.described}; maps: {run.attention_pass}",
        _sinks(row, view),
        _NEAR_MEAN if heatmaps.near_mean(row, view).any() else "",
    )
    return Figure(f"attention_{image_id}", f"Attention of {image_id}: {caption}", drawn, small)


def _sinks(row: pd.Series, view: heatmaps.AttentionView) -> str:
    """Return how many sinks were subtracted and what a sink is, or "" if none are subtracted."""
    if view.subtract != "sinks":
        return ""
    counted = formatting.count(heatmaps.sink_count(row, view), "sink")
    return f"{counted} subtracted: {heatmaps.SINK_DEFINITION}"


# Grounding


def attention_grounding(source: Source) -> list[Chapter]:
    """Return the chapter on attention grounding, if the images have boxes."""
    found = pointing(source)
    if found is None:
        return []
    beam, heads = found
    items = grounding_items(source, beam, heads, grounding.best(heads))
    return [Chapter(grounding.TITLE, grounding.sentence(source.run, beam, heads), tuple(items))]


def pointing(source: Source) -> tuple[int, pd.DataFrame] | None:
    """Return the beam size and `queries.grounding_heads` of the report, or None if nothing was measured."""
    beam = kept_beam(source)
    if beam is None:
        return None
    heads = source.query(queries.grounding_heads, source.run.name, beam)
    return None if heads.empty else (beam, heads)


def grounding_items(source: Source, beam: int, heads: pd.DataFrame, chosen: tuple[int, int]) -> list[Figure | Table]:
    """Return hit rates by layer and head, around the noun, and by label for the `chosen` layer and head."""
    run, query = source.run, source.query
    hit = f"Beam size {run.beam(beam)}. Hit: the brightest patch of the map is inside a box of the label"
    chance = "Chance: hit rate in the boxes of the same label in another image; labels of only one image are left out"
    lift = "Lift: attention inside the boxes divided by their share of the photo"
    bootstrap, wilson = "95 % intervals: bootstrap over images", "95 % intervals: Wilson; all nouns"
    offsets = query(queries.grounding_offsets, run.name, beam)
    labels = query(queries.grounding_labels, run.name, beam, *chosen)
    examples = [query(queries.case, run.name, beam, image).caption for image in labels.image_id]
    captioned = labels.assign(caption=[each.iloc[0] if len(each) else None for each in examples])
    return [
        Figure(
            "grounding_heads", grounding.heads_title(heads), partial(grounding.by_head, heads), note(run, hit, chance)
        ),
        Figure(
            "grounding_offsets",
            "Hit rate around the noun",
            partial(grounding.by_offset, offsets),
            note(run, f"{hit}; all nouns", bootstrap),
        ),
        tables.grounding_heads(heads, note(run, hit, chance, lift, bootstrap)),
        tables.grounding_labels(captioned, grounding.named(*chosen), note(run, hit, lift, wilson)),
    ]
