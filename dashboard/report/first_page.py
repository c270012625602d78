"""The first page of a report: what was evaluated and the main results, each with a reference to its figure.

Knows runs, queries and the following chapters, whose figures and tables it names by number. Computes no number that
they do not show.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from dashboard import metrics
from dashboard.figures import grounding
from dashboard.items import Figure, Table
from dashboard.report import comparison, other_runs, pairs, strips
from dashboard.report.comparison import Sides
from dashboard.report.exports import markdown_text
from dashboard.report.source import Chapter, Source, numbers
from dashboard.text import formatting
from engine.statistics import wilson_interval
from engine.store import queries
from engine.store.frames import named_rows

TITLE = "Summary"
_TAGS = 3  # failure tags that are named
_PHOTOS = 3  # skipped photos that are named


def summary(source: Source, body: Sequence[Chapter]) -> Chapter:
    """Return the first page of a report with the chapters `body`."""
    places = _Places(body)
    parts = {
        "Defects of the data": [_findings(source)],
        "Evaluated": [_evaluated(source), _classified(source, places)],
        "Best setting": [_best(source, places)],
        "Beam search": [_searched(source, places)],
        "Failures": [_failures(source, places)],
        "Attention": [_pointing(source, places)],
        "Examples": [_examples(places)],
        "Other runs": [_others(body)],
    }
    written = {name: " ".join(filter(None, sentences)) for name, sentences in parts.items()}
    return Chapter(TITLE, "\n\n".join(f"**{name}.** {words}" for name, words in written.items() if words))


class _Places:
    """References to the figures and tables of the following chapters, such as `Figure 3`."""

    def __init__(self, body: Sequence[Chapter]) -> None:
        placed = [(chapter.title, item) for chapter in body for item in chapter.items]
        counted = numbers([item for _, item in placed])
        self._numbers: dict[tuple[type, str], int] = {}
        self._figures: dict[str, list[int]] = {}
        for (title, item), number in zip(placed, counted, strict=True):
            self._numbers.setdefault((type(item), item.name), number)
            if isinstance(item, Figure):
                self._figures.setdefault(title, []).append(number)

    def see(self, *wanted: tuple[type[Figure] | type[Table], str]) -> str:
        """Return `See Figure 3, Table 4.`, those of `wanted` that the report has, or ""."""
        known = [
            f"{kind.__name__} {self._numbers[kind, name]}" for kind, name in wanted if (kind, name) in self._numbers
        ]
        return f"See {', '.join(known)}." if known else ""

    def figures(self, title: str) -> str:
        """Return `Figures 9 to 13`, the figures of a chapter, or ""."""
        found = self._figures.get(title, [])
        return f"Figures {found[0]} to {found[-1]}" if len(found) > 1 else "".join(f"Figure {each}" for each in found)


def _evaluated(source: Source) -> str:
    run, described = source.run, source.run.described()
    facts = {"encoder": "encoder {}", "decoder_layers": "{} decoder layers", "heads": "{} heads"}
    known = [form.format(run.text("captioner", key)) for key, form in facts.items() if run.text("captioner", key)]
    model = f" ({', '.join(known)})" if known else ""
    sizes = [run.beam(int(size)) for size in source.query(queries.beam_sizes, run.name).beam_size if size]
    searched = f" Captions were generated at beam size{'s' * (len(sizes) > 1)} {', '.join(sizes)}." if sizes else ""
    named = f"Run {markdown_text(run.name)}: {markdown_text(', '.join(described) + model)}."
    return f"{named}{searched}{_skipped(source)}{_remarks(source)}"


def _skipped(source: Source) -> str:
    """Return which photos of the run and its companions were skipped, or "" if none were."""
    sentences = []
    for run in dict.fromkeys(each.name for each in (source.run, *source.parts.values())):
        rows, count = source.query(queries.skipped, run), int(source.query(queries.skipped_count, run).skipped.iloc[0])
        if count:
            named = ", ".join(
                f"{formatting.shortened(row.file_name)} ({formatting.shortened(row.reason)})"
                for row in named_rows(rows.head(_PHOTOS))
            )
            more = f" and {count - _PHOTOS:,} more" if count > _PHOTOS else ""
            sentences.append(f" Skipped in run {markdown_text(run)}: {markdown_text(named + more)}.")
    return "".join(sentences)


def _findings(source: Source) -> str:
    """Return what is wrong with the data and what to do about it, or ""."""
    return " ".join(
        f"{markdown_text(title)}; remedy: {markdown_text(remedy)}." for title, remedy in source.run.findings()
    )


def _remarks(source: Source) -> str:
    """Return what the reader of the data left out, or ""."""
    remarks = "; ".join(markdown_text(remark) for remark in source.run.remarks())
    return f" Data: {remarks}." if remarks else ""


def _classified(source: Source, places: _Places) -> str:
    found = source.query(queries.zero_shot_accuracy, source.classifier().name)
    if found.empty or pd.isna(found.accuracy.iloc[0]):
        return ""
    row = found.iloc[0]
    tied = int((found.right == row.right).sum())
    best = f"the best of {len(found)} prompts" if len(found) > 1 else "the prompt"
    best = f"the first of {tied} equally good prompts" if tied > 1 else best
    return (
        f'Zero-shot classification: {best}, "{markdown_text(row.template)}", is correct for {int(row.right):,} of '
        f"{formatting.count(int(row.known), 'image')} ({formatting.percent(row.accuracy)}, 95 % CI "
        f"{formatting.interval(100 * row.low, 100 * row.high, 1)}). {places.see((Figure, 'accuracy'))}"
    )


def _best(source: Source, places: _Places) -> str:
    run, beam = source.run, source.setting()
    scores = source.query(queries.corpus_scores, run.name)
    mine = scores[scores.beam_size == beam]
    if beam is None or mine.empty:
        return ""
    first = metrics.headlines(mine.metric)
    shown = mine.set_index("metric", drop=False).loc[first] if first else mine.head(1)
    values = " and ".join(map(_value, named_rows(shown)))
    leader = source.best()
    leader = leader[leader.metric == shown.metric.iloc[0]]
    name, sizes = formatting.markdown_title(shown.metric.iloc[0]), scores.beam_size.nunique()
    name = f"{metrics.best_word(shown.metric.iloc[0])} {name}"
    where = formatting.capitalized(formatting.setting(beam, run.is_sampled))
    curve = places.see((Figure, f"{shown.metric.iloc[0]}_by_beam"), (Table, "scores"))
    if sizes < 2:
        return f"{where}: {values}. {curve}"
    if int(leader.beam_size.iloc[0]) == beam:
        return f"{where} has the {name} of {sizes} beam sizes: {values}. {curve}"
    best = formatting.setting(int(leader.beam_size.iloc[0]), run.is_sampled)
    return f"{where} (chosen for this report): {values}; {best} has the {name} of {sizes} beam sizes. {curve}"


def _value(row: Any) -> str:
    bounds = formatting.interval(row.low, row.high)
    return f"{formatting.markdown_title(row.metric)} {formatting.score(row.metric, row.value)}" + (
        f" (95 % CI {bounds})" if bounds else ""
    )


def _searched(source: Source, places: _Places) -> str:
    """Return how the beam size of the report differs from the smallest one; if it is the smallest, the largest does."""
    run, query, beam = source.run, source.query, source.setting()
    sizes = sorted(int(size) for size in query(queries.beam_sizes, run.name).beam_size)
    if beam is None or not sizes or sizes[0] == 0 or run.is_sampled:
        return ""
    if len(sizes) < 2:
        return "Only one beam size was decoded, so this run does not show the effect of beam search."
    wide = beam if beam != sizes[0] else sizes[-1]
    sides = Sides(run, wide, run, sizes[0])
    shared, tests = query(queries.overlap, *sides.arguments).iloc[0], query(queries.comparison, *sides.arguments)
    lengths = query(queries.beam_statistics, run.name).set_index("beam_size").words
    changed = int(shared.shared - shared.same)
    changes = [_change(row) for row in named_rows(tests[tests.metric.isin(metrics.headlines(tests.metric))])]
    where = places.see((Figure, "cider_by_beam"), (Figure, "clipscore_by_beam"), (Figure, "words_by_beam"))
    return (
        f"Beam size {run.beam(wide)} instead of {run.beam(sizes[0])} changes {changed:,} of "
        f"{formatting.count(int(shared.shared), 'caption')} ({formatting.percent(changed / shared.shared)}) and their "
        f"mean length from {formatting.number(lengths[sizes[0]], 1)} to {formatting.number(lengths[wide], 1)} words."
        + (f" {'; '.join(changes)}." if changes else "")
        + f" {where}"
    )


def _change(row: Any) -> str:
    """Return `CIDEr changes by +0.017 (95 % CI -0.030 to +0.060, not significant)`."""
    verdict = {
        "left is better": "significantly better",
        "right is better": "significantly worse",
        # The interval is not corrected for several metrics: it may exclude 0.
        "not significant": "not significant after Holm's correction over all metrics",
    }
    found = comparison.verdict(row)
    bounds = comparison.bounds(row)
    inside = ", ".join(filter(None, [f"95 % CI {bounds}" if bounds else "", verdict.get(found, found)]))
    return (
        f"{formatting.markdown_title(row.metric)} changes by {comparison.change(row.metric, row.difference)} ({inside})"
    )


def _failures(source: Source, places: _Places) -> str:
    run, beam = source.run, source.setting()
    if beam is None:
        return ""
    found = source.query(queries.tag_examples, run.name, beam)
    if found.empty:
        return "No caption has a failure tag."
    total = source.captions_at(beam)
    named = "; ".join(_tag(row, total) for row in named_rows(found.head(_TAGS)))
    example = found.iloc[0]
    caption = f'"{markdown_text(formatting.caption(example.caption))}"'
    evidence = f" ({markdown_text(example.evidence)})" if isinstance(example.evidence, str) else ""
    return (
        f"Most frequent {formatting.of_setting(beam, run.is_sampled)}: {named}. Example of "
        f"{markdown_text(example.tag)}: image {markdown_text(example.image_id)}, {caption}{evidence}. "
        f"{places.see((Figure, 'failure_tags'))}"
    )


def _tag(row: Any, total: int) -> str:
    low, high = wilson_interval(int(row.images), total)
    bounds = formatting.interval(100 * low, 100 * high, 1)
    share = f"{formatting.percent(row.images / total)}, 95 % CI {bounds}"
    return f"{markdown_text(row.tag)}, {row.images:,} of {formatting.count(total, 'caption')} ({share})"


def _pointing(source: Source, places: _Places) -> str:
    found = strips.pointing(source)
    if found is not None:
        beam, heads = found
        where = places.see((Figure, "grounding_heads"))
        return f"{grounding.answer(heads)} {grounding.sentence(source.run, beam, heads)} {where}"
    if strips.kept_beam(source) is None:
        return ""
    return "It is not known whether maps point at the named objects, because no caption names an object that has a box."


def _examples(places: _Places) -> str:
    shown = {"attention word by word": strips.TITLE, "best and worst pair": pairs.TITLE}
    known = [f"{what}: {places.figures(title)}" for what, title in shown.items() if places.figures(title)]
    return f"{formatting.capitalized('; '.join(known))}." if known else ""


def _others(body: Sequence[Chapter]) -> str:
    """Return where the comparison with other runs is; the summary itself is chapter 1."""
    place = next((number for number, chapter in enumerate(body, 2) if chapter.title == other_runs.TITLE), None)
    return f"Runs with captions of the same images are compared in chapter {place}." if place else ""
