"""The chapters of a report like the study's, in its order: what stands in them, for one run.

Knows runs, queries and how a chapter is told. Writes no file and draws nothing before it is asked: a chapter holds
figures and tables that `exports` can make, or the sentence that says why there is nothing and which command helps.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from dashboard import attempts as attempt_rows
from dashboard import commands, contrasts, figures, groundings, oracle, plates, tables, text
from dashboard import verdicts as judged
from dashboard.exports import Figure, Table
from dashboard.heatmaps import read_look
from dashboard.plates import Panel
from dashboard.previews import LARGE, photo, pixels
from dashboard.record import Run
from dashboard.tables import HEADLINES
from engine import published, queries
from engine.schema import METRICS, TAGS

Ask = Callable[..., pd.DataFrame]
"""Asks a function of `engine.queries` with its arguments, the cursor left out."""

COURSE = ("bike", "girl", "sheep", "ski", "umbrella")
"""The photos whose strips the study shows."""

_STRIPS = 3


@dataclass(frozen=True)
class Source:
    """Where a report comes from: a run among all runs, and what was chosen of it."""

    run: Run
    runs: Sequence[Run]
    ask: Ask
    results: Path
    beam: int | None = None  # None: the best one
    images: tuple[str, ...] = ()  # whose attention is shown; empty: a few that tell something
    look: Mapping[str, Any] = field(default_factory=dict)  # how it is looked at, as an address says it

    def best(self) -> pd.DataFrame:
        """The run's rows of `queries.best_scores`."""
        found = self.ask(queries.best_scores)
        return found[found.run == self.run.name]

    def setting(self) -> int | None:
        """The beam size that the report is about, or None where nothing was captioned."""
        if self.beam is not None:
            return self.beam
        best = self.best()
        if not best.empty:
            first = [row.beam_size for metric in HEADLINES for row in best[best.metric == metric].itertuples()]
            return int(first[0] if first else best.beam_size.iloc[0])
        sizes = self.ask(queries.beam_sizes, self.run.name).beam_size
        return int(sizes.iloc[0]) if len(sizes) else None


@dataclass(frozen=True)
class Chapter:
    """A part of the report. Without items, `missing` says what there is not, and which command makes it."""

    title: str
    lead: str = ""  # Markdown of ours
    items: tuple[Figure | Table, ...] = ()
    missing: str = ""
    command: str = ""


def chapters(source: Source) -> list[Chapter]:
    """The whole report in the study's order; what the study has not stands where it belongs, if the run has it."""
    return [
        prompts(source),
        top_five(source),
        best_setting(source),
        attempts(source),
        beams(source),
        *nbest(source),
        attention(source),
        *grounding(source),
        pairs(source),
        tags(source),
        verdicts(source),
    ]


def note(run: Run, *lines: str) -> str:
    """The small print of a figure: the run, then how its numbers came about, a line each."""
    return _note(run, run.described(), lines)


def class_note(run: Run, images: int, *lines: str) -> str:
    """The same below what is about `images` photos of classes."""
    return _note(run, run.classified(images), lines)


def _note(run: Run, described: Sequence[str], lines: Sequence[str]) -> str:
    return "\n".join([f"Run {run.name}: {', '.join(described)}", *filter(None, lines)])


def signature(ask: Ask, run: Run, metric: str, beam: int | None = None) -> str:
    """The signature of a metric at a beam size, or of all beam sizes in one."""
    scores = ask(queries.corpus_scores, run.name)
    mine = scores[scores.metric == metric]
    if beam is not None:
        mine = mine[mine.beam_size == beam]
    if mine.empty or not isinstance(mine.signature.iloc[0], str):
        return ""
    first, sizes = mine.signature.iloc[0], ",".join(str(size) for size in mine.beam_size)
    return first.replace(f"|beam:{mine.beam_size.iloc[0]}|", f"|beam:{sizes}|") if len(mine) > 1 else first


# Zero-shot


def prompts(source: Source) -> Chapter:
    """The templates with their accuracies."""
    title, run = "Prompt templates", source.run
    accuracy = source.ask(queries.zero_shot_accuracy, run.name)
    if accuracy.empty:
        return Chapter(title, missing="No photos of this run were classified by prompts.", command=commands.ZEROSHOT)
    small = class_note(run, int((accuracy.known if accuracy.known.any() else accuracy.images).max()), _clip(run))
    items: list[Figure | Table] = [tables.accuracy(accuracy, published.prompts(source.results).frame, small)]
    if accuracy.accuracy.notna().any():
        items.append(Figure("accuracy", "Accuracy by template", lambda: figures.zero_shot_accuracy(accuracy), small))
    return Chapter(title, "Zero-shot classification with 95 % Wilson intervals.", tuple(items))


def _clip(run: Run) -> str:
    name = run.text("clip", "name")
    weights = run.text("clip", "fingerprint")
    return f"CLIP: {name}" + (f", weights {weights}" if weights else "") if name else ""


def top_five(source: Source) -> Chapter:
    """Three images with their five surest labels: one surely right, one barely right, one surely wrong."""
    title, run = "Three images with their five surest labels", source.run
    accuracy = source.ask(queries.zero_shot_accuracy, run.name)
    if accuracy.empty:
        return Chapter(title, missing="No photos of this run were classified by prompts.", command=commands.ZEROSHOT)
    template = accuracy.template.iloc[0]
    rows = _three(source, template)
    if not rows:
        return Chapter(title, missing="The classes were predicted elsewhere, without probabilities: no bars to draw.")
    small = class_note(run, int(accuracy.images.iloc[0]), f'Template: "{template}"', _clip(run))
    drawn = lambda: plates.panels("Five surest labels", [class_panel(run, row) for row in rows])  # noqa: E731
    lead = "One that is surely right, one that is barely right, and one that is surely wrong, as far as there are any."
    items = (Figure("top_five", "Five surest labels", drawn, small), tables.top_five(rows, title, small))
    return Chapter(title, lead, items)


def _three(source: Source, template: str) -> list[Any]:
    ask, run = source.ask, source.run.name
    right = ask(queries.zero_shot_cases, run, template, "right", "", 1, 0)
    count = int(right.matching.iloc[0]) if len(right) else 0
    frames = [
        right,
        ask(queries.zero_shot_cases, run, template, "right", "", 1, count - 1) if count > 1 else right[:0],
        ask(queries.zero_shot_cases, run, template, "wrong", "", 1, 0),
    ]
    rows = [row for frame in frames for row in frame.itertuples()]
    if not rows:  # no labels are known: the surest ones
        rows = list(ask(queries.zero_shot_cases, run, template, "all", "", 3, 0).itertuples())
    return [row for row in rows if any(guess["probability"] is not None for guess in row.top)]


def class_panel(run: Run, row: Any) -> Panel:
    """A classified photo as a panel, from a row of `queries.zero_shot_cases`."""
    root, known = run.root("zero_shot") or run.root("images"), isinstance(row.label, str)
    sure = [guess for guess in row.top[:5] if guess["probability"] is not None]
    bars = tuple((str(g["label"]), float(g["probability"]), known and g["label"] == row.label) for g in sure)
    return Panel(
        pixels(root, row.file_name),
        photo(root, row.file_name).missing,
        ("right" if row.correct else "wrong") if known else "",
        row.image_id,
        f"right label: {row.label}" if known and not any(right for _, _, right in bars) else "",
        bars,
    )


# Captions


def best_setting(source: Source) -> Chapter:
    """The setting that the report is about, with everything that was measured."""
    title, run, beam = "The setting and its scores", source.run, source.setting()
    scores = source.ask(queries.corpus_scores, run.name)
    mine = scores[scores.beam_size == beam]
    if mine.empty:
        return Chapter(title, missing="This run has no captions that were scored.", command=commands.EVALUATE)
    small = note(run, *(signature(source.ask, run, metric, beam) for metric in HEADLINES))
    where = text.of_setting(beam, run.is_sampled)
    lead = f"The scores {where}, with 95 % bootstrap intervals over images."
    return Chapter(title, lead, (tables.settings(run, beam), tables.scores(mine, f"Scores {where}", small)))


def attempts(source: Source) -> Chapter:
    """All runs with captions and their hyperparameters, and what the study published."""
    items = attempt_rows.table(
        attempt_rows.listed(source.run, source.runs), source.ask(queries.headline_scores), source.results
    )
    lead = "One row per run and beam size; both scores of a row are of the same captions."
    return Chapter(attempt_rows.TITLE, lead, (items,))


def beams(source: Source) -> Chapter:
    """What beam size changes: table and curves."""
    title, run, ask = "Beam sizes", source.run, source.ask
    scores = ask(queries.corpus_scores, run.name)
    if scores.beam_size.nunique() < 2:
        return Chapter(title, missing="This run has one setting only.", command=commands.BEAMS)
    table = tables.beams(scores, ask(queries.beam_statistics, run.name), run, note(run))
    curves = [metric_curve(source, scores, metric) for metric in HEADLINES if (scores.metric == metric).any()]
    lead = " ".join(filter(None, (smallest_sentence(ask, run, metric) for metric in HEADLINES)))
    return Chapter(title, lead, (table, *curves, *caption_curves(source)))


def nbest(source: Source) -> list[Chapter]:
    """Whether the search passed over something better, where several hypotheses an image were kept and scored."""
    found = source.ask(queries.oracle, source.run.name)
    if found.empty:
        return []
    lead = " ".join(oracle.sentences(source.run, source.setting(), found))
    return [Chapter(tables.oracle_title(source.run), lead, tuple(oracle_items(source.run, found)))]


def oracle_items(run: Run, found: pd.DataFrame) -> list[Figure | Table]:
    """`queries.oracle` as a table and as figures, with their small print."""
    small = note(run, "Kept: hypotheses an image", "Gain: the best of them less the chosen, 95 % bootstrap interval")
    return [tables.oracle(found, run, small), *oracle.curves(found, small)]


def metric_curve(source: Source, scores: pd.DataFrame, metric: str) -> Figure:
    """A metric against beam size, the study's figures next to it."""
    theirs, apart = published_beside(source, metric)
    mine = scores[scores.metric == metric]
    drawn = lambda: figures.metric_by_beam(mine, metric, published=theirs, apart=apart)  # noqa: E731
    small = note(
        source.run,
        signature(source.ask, source.run, metric),
        "Band: 95 % bootstrap interval over images" if mine.low.notna().any() else "",
        "" if theirs.empty else "Dashed, with open marks: published for another captioner",
    )
    return Figure(f"{metric}_by_beam", f"{text.title(metric)} by beam size", drawn, small)


def published_beside(source: Source, metric: str) -> tuple[pd.DataFrame, bool]:
    """Return the study's figures of a metric, and whether they need a panel of their own: the demo CLIP's scores are
    on another scale."""
    theirs = published.beams(source.results).frame
    return theirs[theirs.metric == metric], source.run.demo_clip and "clip" in metric


def caption_curves(source: Source) -> list[Figure]:
    """Length, distinct words, shares and seconds against beam size, as far as they are known."""
    found, seconds = source.ask(queries.beam_statistics, source.run.name), source.run.seconds_per_image()
    small = note(source.run)
    curves = [
        Figure("words_by_beam", "Caption length by beam size", lambda: figures.words_by_beam(found), small),
        Figure("distinct_by_beam", "Distinct words by beam size", lambda: figures.distinct_by_beam(found), small),
    ]
    if found.changed.notna().any() or found.unfinished.notna().any():
        title = "Changed and unfinished captions by beam size"
        curves.append(Figure("changes_by_beam", title, lambda: figures.shares_by_beam(found), small))
    if not seconds.empty:
        title = "Seconds an image by beam size"
        machine = ", ".join(filter(None, (source.run.text("hardware", name) for name in ("device", "gpu"))))
        timed = note(source.run, f"Decoded on: {machine}" if machine else "")
        curves.append(Figure("seconds_by_beam", title, lambda: figures.seconds_by_beam(seconds), timed))
    return curves


def smallest_sentence(ask: Ask, run: Run, metric: str) -> str:
    """Which beam size is enough, in words; "" where nobody can say."""
    found = ask(queries.smallest_beam, run.name, metric)
    if found.empty:
        return ""
    row, name = found.iloc[0], text.title(metric)
    if METRICS[metric].corpus == "pooled" and not row.pooled:  # another number than the curve's: it may rank otherwise
        name = f"the mean of per-image {name} (the curve pools the whole split)"
    images = text.count(int(row.images), "image")
    tested = f"randomization test over {images}, Holm-corrected, 5\N{NO-BREAK SPACE}%"
    if row.best == ask(queries.beam_sizes, run.name).beam_size.min():
        return f"By {name}, beam size {text.beam(row.best)}, the smallest, is the best of all ({tested})."
    if row.smallest == row.best:
        return f"By {name}, beam size {text.beam(row.best)} is the best, and no smaller one is as good ({tested})."
    return (
        f"By {name}, beam size {text.beam(row.best)} is the best; {text.beam(row.smallest)} is the smallest that is "
        f"not significantly worse ({tested})."
    )


# Images


def attention(source: Source) -> Chapter:
    """Where the model looked for every word, for a few images."""
    title, run, ask = "Attention", source.run, source.ask
    sizes = list(ask(queries.attention_beam_sizes, run.name).beam_size)
    if not sizes:
        missing = "No attention was kept for this run: it can only be read from a captioner that runs here."
        return Chapter(title, missing=missing, command=commands.EVALUATE)
    beam = source.setting() if source.setting() in sizes else sizes[0]
    strips = [strip(run, beam, image, ask, source.look) for image in source.images or interesting(source, beam)]
    lead = f"Beam size {run.beam(beam)}. Every map has its own scale; what the model did not see is veiled."
    return Chapter(title, lead, tuple(each for each in strips if each is not None))


def grounding(source: Source) -> list[Chapter]:
    """Whether the maps of nouns point at what they name, where the images have boxes."""
    sizes = list(source.ask(queries.attention_beam_sizes, source.run.name).beam_size)
    beam = source.setting() if source.setting() in sizes else (sizes or [None])[0]
    heads = source.ask(queries.grounding_heads, source.run.name, beam) if sizes else pd.DataFrame()
    if heads.empty:
        return []
    items = grounding_items(source, beam, heads, groundings.best(heads))
    return [Chapter(groundings.TITLE, groundings.sentence(source.run, beam, heads), tuple(items))]


def grounding_items(source: Source, beam: int, heads: pd.DataFrame, chosen: tuple[int, int]) -> list[Figure | Table]:
    """Every layer and head, the words around the noun, and the labels under the `chosen` layer and head."""
    run, ask = source.run, source.ask
    small = note(
        run,
        f"Beam size {run.beam(beam)}. In a box: the map's brightest patch. By chance: the same with the label's boxes "
        "in another image. Lift: attention inside the boxes over their share of the picture. 95 % bootstrap intervals "
        "over images, of labels Wilson's",
    )
    offsets = ask(queries.grounding_offsets, run.name, beam)
    labels = ask(queries.grounding_labels, run.name, beam, *chosen)
    return [
        Figure("grounding_heads", "Hits by layer and head", partial(groundings.by_head, heads), small),
        Figure("grounding_offsets", "Hits of the maps around the noun", partial(groundings.by_offset, offsets), small),
        tables.grounding_heads(heads, small),
        tables.grounding_labels(labels, groundings.named(*chosen), small),
    ]


def interesting(source: Source, beam: int) -> list[str]:
    """Images whose attention tells something: the course's five where they are, else the best, the worst, and more."""
    ask, run = source.ask, source.run.name
    known = [image for image in COURSE if not ask(queries.has_attention, run, beam, image).empty]
    if known:
        return known
    metric = pair_metric(ask, run, beam)
    ranked = [ask(queries.cases, run, beam, metric, down).image_id[:1] for down in (True, False)] if metric else []
    found = [image for ids in ranked for image in ids if not ask(queries.has_attention, run, beam, image).empty]
    return list(dict.fromkeys([*found, *ask(queries.attention_captions, run, beam).image_id[:_STRIPS]]))[:_STRIPS]


def strip(run: Run, beam: int, image_id: str, ask: Ask, sent: Mapping[str, Any]) -> Figure | None:
    """All words of one caption with their maps, looked at as `sent` says, or None where no map was kept."""
    found = ask(queries.attention, run.name, beam, image_id)
    if found.empty:
        return None
    row, case = found.iloc[0], ask(queries.case, run.name, beam, image_id)
    look = read_look(dict(sent), row)
    said = case.caption.iloc[0] if len(case) and isinstance(case.caption.iloc[0], str) else ""
    drawn = lambda: plates.attention_strip(  # noqa: E731
        f"{image_id}: {said}", row, pixels(run.root("images"), row["file_name"], LARGE), look
    )
    small = note(
        run,
        f"Image {image_id}, beam size {run.beam(beam)}, {look.described}; cross-attention, {run.attention_pass}. "
        "≈: nearly the caption's mean map, which says little about the word",
    )
    return Figure(f"attention_{image_id}", f"Attention of {image_id}: {said}", drawn, small)


def pair_metric(ask: Ask, run: str, beam: int) -> str:
    """What best and worst are chosen by: CLIPScore as in the study, else the first metric there is, else ""."""
    metrics = list(ask(queries.metric_ranges, run, beam).metric)
    return "clipscore" if "clipscore" in metrics else (metrics or [""])[0]


def pairs(source: Source) -> Chapter:
    """The best and the worst case with their scores; one that is both stands there once."""
    title, run, beam = "Best and worst", source.run, source.setting()
    metric = "" if beam is None else pair_metric(source.ask, run.name, beam)
    if not metric:
        return Chapter(title, missing="This run has no captions that were scored.", command=commands.EVALUATE)
    ends = [source.ask(queries.cases, run.name, beam, metric, down) for down in (True, False)]
    rows = pd.concat([frame[frame[metric].notna()].head(1) for frame in ends]).drop_duplicates("image_id")
    small, name = note(run, signature(source.ask, run, metric, beam)), text.title(metric)
    only = f"The only case with a {name}" if (rows.scored == 1).all() else ""
    heading = only or f"Highest and lowest {name}"
    shown = lambda: [case_panel(run, row, metric) for row in rows.itertuples()]  # noqa: E731
    drawn = lambda: plates.panels(heading, shown(), across=2)  # noqa: E731
    figure = Figure("best_and_worst", heading, drawn, small)
    lead = f"By {name} {text.of_setting(beam, run.is_sampled)}."
    return Chapter(title, lead, (figure, tables.cases(rows, "best_and_worst", only or "Best and worst case", small)))


def case_panel(run: Run, row: Any, metric: str) -> Panel:
    """A case as it stands in the gallery, from a row of `queries.cases`."""
    root = run.root("images")
    named = dict.fromkeys([metric, *HEADLINES])
    scores = [
        f"{text.title(name)} {text.score(name, getattr(row, name))}" for name in named if pd.notna(getattr(row, name))
    ]
    return Panel(
        pixels(root, row.file_name),
        photo(root, row.file_name).missing,
        f"#{int(row.rank)} of {int(row.scored)}" if pd.notna(row.rank) else "no score",
        text.caption(row.caption),
        " · ".join(scores),
    )


def tags(source: Source) -> Chapter:
    """How often each failure tag was given, with an example."""
    title, run, beam = "Failure tags", source.run, source.setting()
    if beam is None:
        return Chapter(title, missing="This run has no captions.", command=commands.EVALUATE)
    found = source.ask(queries.tag_examples, run.name, beam)
    total = int(source.ask(queries.case_count, run.name, beam).total.iloc[0])
    where = f" {text.of_setting(beam, run.is_sampled)}" if beam else ""
    if found.empty:
        return Chapter(title, f"No caption{where} was given a failure tag.")
    lead = f"Of {text.count(total, 'caption')}{where}; one caption may have several tags."
    defined = (f"{tag}: {TAGS[tag]}" for tag in found.tag if tag in TAGS)
    return Chapter(title, lead, (tables.tags(found, total, note(run, *defined)),))


def verdicts(source: Source) -> Chapter:
    """What people said of cases."""
    title, run = "Verdicts", source.run
    found = judged.read(source.results, run.name)
    if found.problem:
        return Chapter(title, found.problem)
    if not found.by_case:
        return Chapter(title, "Nobody has judged a case of this run.")
    lead = f"{' '.join(judged.QUESTIONS.values())} {judged.counts(found)}."
    return Chapter(title, lead, (judged.table(run, found),))


# Templates against each other, and labels against predictions: no chapter of the study's, but pages export them.


def template_items(run: Run, left: str, right: str, found: pd.DataFrame, changes: pd.DataFrame) -> list[Figure | Table]:
    """Two templates: changes of classes as a figure, the paired test, and the changes as a table.

    Args:
        found: `queries.zero_shot_comparison`.
        changes: `queries.zero_shot_changes`.
    """
    small = class_note(run, int(found.images.iloc[0]), f'Left: "{left}"', f'Right: "{right}"', _clip(run))
    figure = Figure(
        "class_changes", "Classes gained and lost", lambda: contrasts.class_changes(changes, left, right), small
    )
    return [figure, tables.paired_test(left, right, found, small), tables.class_changes(changes, small)]


def confusion_items(run: Run, template: str, found: pd.DataFrame) -> tuple[Figure, Table]:
    """The confusion matrix of a template, and what is confused most."""
    lines = (f'Template: "{template}"', _clip(run))
    small = class_note(run, int(found.images.sum()), *lines)
    drawn = class_note(run, int(found.images.sum()), *lines, contrasts.confusion_part(found))
    matrix = Figure("confusion", "What each class is taken for", lambda: contrasts.confusion(found), drawn)
    return matrix, tables.confusions(found, small)
