"""The chapters of a report on one run, in the order of the study's report.

Knows runs, queries and the form of a chapter. Other modules have the chapters on photos and other runs, and the
summary. A chapter contains figures and tables, which are drawn only when `exports` writes them, or says why there are
none and which command makes them.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from dashboard import metrics
from dashboard.annotations import verdicts
from dashboard.figures import comparisons, curves, nbest, panels, shares
from dashboard.figures.panels import Panel
from dashboard.figures.thumbnails import photo, pixels
from dashboard.items import Figure, Table
from dashboard.report import (
    first_page,
    hallucinations,
    other_runs,
    pairs,
    run_table,
    seen_words,
    slices,
    strips,
    tables,
    zeroshot_tables,
)
from dashboard.report.source import ZERO_SHOT, Chapter, Query, Source, class_note, gone, note, signature
from dashboard.state.record import Run
from dashboard.text import commands, formatting
from engine.store import published, queries
from engine.store.frames import named_rows
from engine.store.schema import METRICS, TAGS


def chapters(source: Source) -> list[Chapter]:
    """Return the whole report: a summary, the chapters of the study in its order, and further chapters."""
    body = [
        prompts(source),
        top_five(source),
        best_setting(source),
        all_runs(source),
        beams(source),
        *oracle(source),
        *other_runs.compared(source),
        strips.attention(source),
        *strips.attention_grounding(source),
        *seen_words.chapters(source),
        pairs.pairs(source),
        tags(source),
        *slices.chapters(source),
        *hallucinations.chapters(source),
        human_verdicts(source),
    ]
    return [first_page.summary(source, body), *body]


# Zero-shot


def prompts(source: Source) -> Chapter:
    """Return the chapter on prompt templates and their accuracy."""
    title, run = "Prompt templates", source.classifier()
    accuracy = source.query(queries.zero_shot_accuracy, run.name)
    if accuracy.empty:
        missing = f"{gone(source, ZERO_SHOT)}This run has no zero-shot predictions."
        return Chapter(title, missing=missing, command=commands.ZEROSHOT)
    small = class_note(run, int((accuracy.known if accuracy.known.any() else accuracy.images).max()), _clip(run))
    items: list[Figure | Table] = [zeroshot_tables.accuracy(accuracy, published.prompts(source.results).frame, small)]
    if accuracy.accuracy.notna().any():
        items.append(
            Figure("accuracy", "Zero-shot accuracy by template", lambda: shares.zero_shot_accuracy(accuracy), small)
        )
    tests = _against_best(source, [*accuracy.template])
    items += [] if tests.empty else [zeroshot_tables.paired_tests(tests, small)]
    return Chapter(title, "Zero-shot classification with 95 % Wilson intervals.", tuple(items))


def _against_best(source: Source, templates: Sequence[str]) -> pd.DataFrame:
    """Return `queries.zero_shot_comparison` of the first template and each other one, with columns left and right."""
    best, run = templates[0], source.classifier().name
    found = [
        source.query(queries.zero_shot_comparison, run, best, other).assign(left=best, right=other)
        for other in templates[1:]
    ]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def _clip(run: Run) -> str:
    name = run.text("clip", "name")
    weights = run.text("clip", "fingerprint")
    return f"CLIP: {name}" + (f", weights {weights}" if weights else "") if name else ""


def top_five(source: Source) -> Chapter:
    """Return the chapter on three images: confidently correct, barely correct and confidently wrong."""
    title, run = "Three images with their top-5 predictions", source.classifier()
    accuracy = source.query(queries.zero_shot_accuracy, run.name)
    if accuracy.empty:
        return Chapter(title, missing="This run has no zero-shot predictions.", command=commands.ZEROSHOT)
    template = accuracy.template.iloc[0]
    rows = _three(source, template)
    if not rows:
        return Chapter(title, missing="The imported predictions have no probabilities, so bars cannot be drawn.")
    small = class_note(run, int(accuracy.images.iloc[0]), f'Template: "{template}"', _clip(run))
    drawn = lambda: panels.panels("Top-5 predictions", [class_panel(run, row) for row in rows])  # noqa: E731
    lead = (
        "The most confident correct prediction, the least confident correct one, and the most confident wrong one, if "
        "the run has them."
    )
    items = (Figure("top_five", "Top-5 predictions", drawn, small), zeroshot_tables.top_five(rows, title, small))
    return Chapter(title, lead, items)


def _three(source: Source, template: str) -> list[Any]:
    query, run = source.query, source.classifier().name
    right = query(queries.zero_shot_cases, run, template, "right", "", 1, 0)
    count = int(right.matching.iloc[0]) if len(right) else 0
    frames = [
        right,
        query(queries.zero_shot_cases, run, template, "right", "", 1, count - 1) if count > 1 else right[:0],
        query(queries.zero_shot_cases, run, template, "wrong", "", 1, 0),
    ]
    rows = [row for frame in frames for row in named_rows(frame)]
    if not rows:  # without labels: the most confident predictions
        rows = list(named_rows(query(queries.zero_shot_cases, run, template, "all", "", 3, 0)))
    return [row for row in rows if any(guess["probability"] is not None for guess in row.top)]


def class_panel(run: Run, row: Any) -> Panel:
    """Return a classified photo as a panel, from a row of `queries.zero_shot_cases`."""
    root, known = run.root("zero_shot") or run.root("images"), isinstance(row.label, str)
    sure = [guess for guess in row.top[:5] if guess["probability"] is not None]
    bars = tuple((str(g["label"]), float(g["probability"]), known and g["label"] == row.label) for g in sure)
    return Panel(
        pixels(root, row.file_name),
        photo(root, row.file_name).missing,
        ("correct" if row.correct else "wrong") if known else "",
        row.image_id,
        f"true label: {row.label}" if known and not any(right for _, _, right in bars) else "",
        bars,
    )


# Captions


def best_setting(source: Source) -> Chapter:
    """Return the chapter on the setting of the report and its scores."""
    title, run, beam = "Setting and scores", source.run, source.setting()
    scores = source.query(queries.corpus_scores, run.name)
    mine = scores[scores.beam_size == beam]
    if beam is None or mine.empty:
        return Chapter(title, missing="This run has no scored captions.", command=commands.EVALUATE)
    signatures = tuple(each for each in mine.signature if isinstance(each, str) and each)
    where = formatting.of_setting(beam, run.is_sampled)
    lead = f"The scores {where}, with 95 % bootstrap intervals over images."
    scores = replace(tables.scores(mine, f"Scores {where}", note(run)), signatures=signatures)
    return Chapter(title, lead, (tables.settings(run, beam), scores))


def all_runs(source: Source) -> Chapter:
    """Return the chapter on all runs with captions, their hyperparameters, and the published runs."""
    lead = "One row per run and beam size; all scores of a row are of the same captions."
    return Chapter(run_table.TITLE, lead, (table_of_runs(source),))


def table_of_runs(source: Source) -> Table:
    """Return the table of all runs and the published ones, a row per run and beam size."""
    return run_table.table(run_table.listed(source.run, source.runs), _headline_scores(source), source.results)


def _headline_scores(source: Source) -> pd.DataFrame:
    """Return `queries.headline_scores` with a column for each metric of a plugin."""
    found = source.query(queries.headline_scores)
    more = [each for each in metrics.headlines(source.query(queries.best_scores).metric) if each not in found]
    if not more:
        return found
    rows = pd.concat([source.query(queries.corpus_scores, run.name).assign(run=run.name) for run in source.runs])
    wide = rows[rows.metric.isin(more)].pivot(index=["run", "beam_size"], columns="metric", values="value")
    return found.merge(wide.reset_index(), "left", ["run", "beam_size"])


def beams(source: Source) -> Chapter:
    """Return the chapter on beam sizes: table and curves."""
    title, run, query = "Beam sizes", source.run, source.query
    scores = query(queries.corpus_scores, run.name)
    if scores.empty:
        return Chapter(title, missing="This run has no scored captions.", command=commands.EVALUATE)
    if scores.beam_size.nunique() < 2:
        return Chapter(title, missing="This run has only one beam size.", command=commands.BEAMS)
    signatures = [signature(query, run, metric) for metric in dict.fromkeys(scores.metric)]
    statistics = query(queries.beam_statistics, run.name)
    table = tables.beams(scores, statistics, run, note(run), [*filter(None, signatures)])
    shown = metrics.headlines(scores.metric)
    by_metric = [metric_curve(source, scores, metric) for metric in shown]
    lead = " ".join(filter(None, (smallest_sentence(query, run, metric) for metric in shown)))
    return Chapter(title, lead, (table, *by_metric, *caption_curves(source)))


def oracle(source: Source) -> list[Chapter]:
    """Return the chapter on better captions in the n-best lists, if several hypotheses per image were scored."""
    found = source.query(queries.oracle, source.run.name)
    if found.empty:
        return []
    lead = " ".join(nbest.sentences(source.run, source.setting(), found))
    table, figures = oracle_items(source.run, found)
    return [Chapter(tables.oracle_title(source.run), lead, (table, *figures))]


def oracle_items(run: Run, found: pd.DataFrame) -> tuple[Table, list[Figure]]:
    """Return `queries.oracle` as a table and as figures, with their small print."""
    small = note(
        run,
        "Kept: hypotheses per image",
        "Gain: how much better the best hypothesis is than the chosen caption, 95 % bootstrap interval",
    )
    return tables.oracle(found, run, small), nbest.figures(found, small)


def metric_curve(source: Source, scores: pd.DataFrame, metric: str) -> Figure:
    """Return the figure of a metric against beam size, with the published figures."""
    theirs, apart = published_beside(source, metric)
    mine = scores[scores.metric == metric]
    drawn = lambda: curves.metric_by_beam(mine, metric, published=theirs, apart=apart)  # noqa: E731
    small = note(
        source.run,
        "Band: 95 % bootstrap interval over images" if mine.low.notna().any() else "",
        "" if theirs.empty else "Dashed, with open marks: published for another captioner",
    )
    signed = tuple(filter(None, [signature(source.query, source.run, metric)]))
    return Figure(f"{metric}_by_beam", f"{formatting.title(metric)} by beam size", drawn, small, signed)


def published_beside(source: Source, metric: str) -> tuple[pd.DataFrame, bool]:
    """Return the published figures of a metric, and whether they need their own panel.

    They do if the scores of the run come from the demo CLIP, because those have another scale.
    """
    theirs = published.beams(source.results).frame
    return theirs[theirs.metric == metric], source.run.demo_clip and "clip" in metric


def caption_curves(source: Source) -> list[Figure]:
    """Return the figures of length, vocabulary, shares and seconds against beam size, if they are known."""
    found, seconds = source.query(queries.beam_statistics, source.run.name), source.run.seconds_per_image()
    small, banded = note(source.run), note(source.run, "Band: 95 % bootstrap interval over images")
    figures = [
        Figure("words_by_beam", "Caption length by beam size", lambda: curves.words_by_beam(found), banded),
        Figure("distinct_by_beam", "Vocabulary size by beam size", lambda: curves.distinct_by_beam(found), small),
    ]
    changed = curves.shares_title(found)
    if changed:
        wilson = note(source.run, "Band: 95 % Wilson interval")
        figures.append(Figure("changes_by_beam", changed, lambda: curves.shares_by_beam(found), wilson))
    if not seconds.empty:
        title = "Seconds per image by beam size"
        machine = ", ".join(filter(None, (source.run.text("hardware", name) for name in ("device", "gpu"))))
        timed = note(source.run, f"Decoded on: {machine}" if machine else "")
        figures.append(Figure("seconds_by_beam", title, lambda: curves.seconds_by_beam(seconds), timed))
    return figures


def smallest_sentence(query: Query, run: Run, metric: str) -> str:
    """Return a sentence on the smallest beam size that is not worse than the best, or "" if it is not known."""
    found = query(queries.smallest_beam, run.name, metric)
    if found.empty:
        return ""
    row, name = found.iloc[0], formatting.markdown_title(metric)
    if METRICS[metric].corpus == "pooled" and not row.pooled:  # not the value of the curve: the order may differ
        name = f"the mean of per-image {name} (the curve pools the whole split)"
    images = formatting.count(int(row.images), "image")
    tested = f"randomization test over {images}, Holm-corrected, 5\N{NO-BREAK SPACE}%"
    if row.best == query(queries.beam_sizes, run.name).beam_size.min():
        return f"By {name}, the smallest beam size, {formatting.beam(row.best)}, is the best ({tested})."
    if row.too_few:
        best = f"beam size {formatting.beam(row.best)} is the best"
        return f"By {name}, {best}; {row.too_few} whether smaller ones are worse ({tested})."
    if row.smallest == row.best:
        best = f"beam size {formatting.beam(row.best)} is the best"
        return f"By {name}, {best}; all smaller ones are significantly worse ({tested})."
    return (
        f"By {name}, beam size {formatting.beam(row.best)} is the best; {formatting.beam(row.smallest)} is the "
        f"smallest that is not significantly worse ({tested})."
    )


# Failure tags and verdicts


def tags(source: Source) -> Chapter:
    """Return the chapter on failure tags: their frequency, with examples."""
    title, run, beam = "Failure tags", source.run, source.setting()
    if beam is None:
        return Chapter(title, missing="This run has no captions.", command=commands.EVALUATE)
    found = source.query(queries.tag_examples, run.name, beam)
    total = source.captions_at(beam)
    where = formatting.of_setting(beam, run.is_sampled)
    if found.empty:
        return Chapter(title, f"No caption {where} has a failure tag.")
    lead = f"Of {formatting.count(total, 'caption')} {where}; one caption may have several tags."
    defined = (f"{tag}: {TAGS[tag]}" for tag in found.tag if tag in TAGS)
    small = note(run, "95 % Wilson intervals")
    drawn = partial(shares.tag_shares, found, total)
    figure = Figure("failure_tags", f"Failure tags {where}", drawn, small)
    return Chapter(title, lead, (figure, tables.tags(found, total, note(run, *defined))))


def human_verdicts(source: Source) -> Chapter:
    """Return the chapter on verdicts of users on captions and maps, by beam size."""
    title, run = "Verdicts", source.run
    found = verdicts.read(source.results, run.name)
    if found.problem:
        return Chapter(title, found.problem)
    if not found.by_case:
        return Chapter(title, "This run has no verdicts yet.")
    counts = "\n".join(f"- {formatting.capitalized(line)}." for line in verdicts.counts_by_setting(run, found))
    return Chapter(title, f"{' '.join(verdicts.QUESTIONS.values())}\n\n{counts}", (verdicts.table(run, found),))


# Comparisons of prompts and confusion matrices: exported by pages, not part of the report.


def template_items(
    run: Run, left: str, right: str, found: pd.DataFrame, changes: pd.DataFrame
) -> tuple[Figure, Table, Table]:
    """Return the comparison of two prompts: changes by class as a figure, the paired test, and the changes as a table.

    Args:
        found: `queries.zero_shot_comparison`.
        changes: `queries.zero_shot_changes`.
    """
    small = class_note(run, int(found.images.iloc[0]), f'Left: "{left}"', f'Right: "{right}"', _clip(run))
    figure = Figure(
        "class_changes", "Classes gained and lost", lambda: comparisons.class_changes(changes, left, right), small
    )
    tested = zeroshot_tables.paired_tests(found.assign(left=left, right=right), small)
    return figure, tested, zeroshot_tables.class_changes(changes, small)


def confusion_items(run: Run, template: str, found: pd.DataFrame) -> tuple[Figure, Table]:
    """Return the confusion matrix of a template, and the most confused classes."""
    lines = (f'Template: "{template}"', _clip(run))
    small = class_note(run, int(found.images.sum()), *lines)
    drawn = class_note(run, int(found.images.sum()), *lines, comparisons.confusion_part(found))
    matrix = Figure("confusion", "Confusion matrix (% of true class)", lambda: comparisons.confusion(found), drawn)
    return matrix, zeroshot_tables.confusions(found, small)
