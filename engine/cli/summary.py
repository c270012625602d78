"""The summary of a finished run on the terminal: scores per beam size, what was skipped, and the next command.

The numbers come from the queries of the dashboard.
"""

import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from duckdb import DuckDBPyConnection

from engine.cli.output import short_lines
from engine.store import database, published, queries, records
from engine.store.frames import named_rows
from engine.store.schema import METRICS

_NAMED = 10
"""Skipped photos that are named."""

_SLICES = 3
_FINDINGS = 5
"""Findings about the data that are shown."""

_DIFFERING = 3
"""Captions that are named on which CHAIR and the failure tag differ."""


def show(results: Path, run: str, is_new: bool) -> int:
    """Print the summary of a finished run and return the exit status.

    Args:
        is_new: whether the run was computed by this command, and not before.
    """
    if not is_new:
        print(f"run {run!r} is finished already, nothing to compute")
    print(short_lines(text(results, run)))
    return 0


def text(results: Path, run: str) -> str:
    """Return the summary of a finished run, as lines to print."""
    connection, _ = database.connect(results)
    record = records.read_record(records.run_folder(results, run)) or {}
    cursor = connection.cursor()
    parts = [f"\nrun {run}: {_data(record)}", *findings_text(record.get("findings"))]
    scores = queries.corpus_scores(cursor, run)
    parts += _caption_scores(scores, len(queries.beam_sizes(cursor, run)) > 0)
    if published.is_studys(record.get("data", {}), published.CAPTION_IMAGES):
        parts += _study_captions(published.beams(results).frame, scores)
    parts += _smallest_beam(queries.smallest_beam(cursor, run, "cider"), scores.beam_size.min())
    differing = partial(queries.hallucination_differences, cursor, run, limit=_DIFFERING)
    parts += _hallucinations(queries.hallucinations(cursor, run), differing)
    kept = "samples" if (record.get("decoding") or {}).get("sample") else "hypotheses"
    parts += _oracle(queries.oracle(cursor, run), kept)
    for size in queries.attention_beam_sizes(cursor, run).beam_size:
        parts += _grounding(int(size), queries.grounding_heads(cursor, run, int(size)))
    parts += _words(cursor, run)
    parts += _slices(queries.slices(cursor, run, metric="cider"))
    accuracies = queries.zero_shot_accuracy(cursor, run)
    parts += _zero_shot(accuracies)
    parts += _study_prompts(published.prompts(results).frame, accuracies)
    parts += _signatures(scores)
    parts += _skipped(queries.skipped(cursor, run, _NAMED), int(queries.skipped_count(cursor, run).skipped.iloc[0]))
    parts += _remarks(record)
    parts += _data_loading(record)
    parts += _workers(record)
    parts += _trained_on(record)
    parts += _no_maps(record)
    if (record.get("clip") or {}).get("demo"):
        parts.append(
            "CLIP scores come from the demo CLIP: they rank the demo world and are not comparable to those of ViT-B/32."
        )
    folder = records.run_folder(results, run)
    return "\n".join([*parts, f"\nin {folder}", f"next: {_dashboard(results)}"])


def _data(record: dict) -> str:
    data = record.get("data", {})
    partial = f" (partial: of {data['of_images']:,})" if record.get("partial") else ""
    return f"{data.get('images', 0):,} images{partial} of {data.get('name')} {data.get('split')}"


def _dashboard(results: Path) -> str:
    command = "streamlit run dashboard/app.py"
    return command if results == Path("results") else f"CAPTIONSCOPE_RESULTS={shlex.quote(str(results))} {command}"


def _caption_scores(scores: pd.DataFrame, has_captions: bool) -> list[str]:
    if scores.empty:
        return ["", "no scores: the images have no references, and no --clip was given"] if has_captions else []
    names = [name for name in METRICS if name in set(scores["metric"])]
    lines = ["", _row("beam", [METRICS[name].title for name in names])]
    for size, rows in scores.groupby("beam_size", sort=True):
        by_metric = rows.set_index("metric")
        values = [_value(by_metric.loc[name], name) if name in by_metric.index else "" for name in names]
        lines.append(_row(str(size) if size else "imported", values))
    if scores["low"].notna().any():
        lines.append("(± is half of the 95 % bootstrap interval)")
    if ((scores["metric"] == "cider") & (scores["images"] == 1)).any():
        lines.append("CIDEr of a single image is always 0, because no word is rarer than another")
    return lines


def _value(row: pd.Series, metric: str) -> str:
    """Return a corpus value with half of its interval, to the digits of the metric."""
    if pd.isna(row["value"]):
        return "-"
    digits = METRICS[metric].digits
    value = f"{row['value']:.{digits}f}"
    return value if pd.isna(row["low"]) else f"{value} ±{(row['high'] - row['low']) / 2:.{digits}f}"


def _row(head: str, cells: list[str]) -> str:
    return f"{head:>8}  " + "  ".join(f"{cell:>13}" for cell in cells)


def _hallucinations(found: pd.DataFrame, differences: Callable[[int], pd.DataFrame]) -> list[str]:
    """Return what CHAIR depends on, and the first captions on which CHAIR and the failure tag differ."""
    if found.empty:
        return []
    lines = ["", "hallucinated objects (CHAIR is comparable at similar mentions per caption and unfinished captions)"]
    for row in named_rows(found):
        setting = f"beam size {row.beam_size}" if row.beam_size else "imported"
        cut = "unknown" if pd.isna(row.unfinished) else f"{row.unfinished:.1%}"
        lines.append(
            f"  {setting}: {row.mentions:.2f} mentions per caption, unfinished {cut}; of {row.captions:,} captions "
            f"hallucinated by CHAIR {row.by_chair:,}, by the failure tag {row.by_tag:,}, by both {row.by_both:,}"
        )
    size = int(found.beam_size.iloc[0])
    rows = [
        f"  {row.image_id}: {row.caption}\n    failure tag: {row.tag_reason}; CHAIR: {row.chair_reason}"
        for row in named_rows(differences(size))
    ]
    where = f"at beam size {size}" if size else "of the imported captions"
    title = f"first captions {where} on which CHAIR and the failure tag differ (more on the page Overview)"
    return [*lines, *([title, *rows] if rows else [])]


def _study_captions(theirs: pd.DataFrame, ours: pd.DataFrame) -> list[str]:
    lines = []
    for row in named_rows(theirs[theirs.metric.isin(METRICS)]):
        mine = ours[(ours.metric == row.metric) & (ours.beam_size == row.beam_size)]
        if len(mine):
            own = mine.value.iloc[0]
            where = f"{METRICS[row.metric].title} at beam size {row.beam_size:.0f}"
            both = f"{own:.4f} here, {row.value:.4f} published ({own - row.value:+.4f}; {row.source})"
            lines.append(f"  {where}: {both}")
    return ["", "compared with the study, on the same images", *lines] if lines else []


def _study_prompts(theirs: pd.DataFrame, ours: pd.DataFrame) -> list[str]:
    mine = {row.template: row for row in named_rows(ours) if row.known == published.CLASS_IMAGES}
    lines = [
        f"  {row.template}: {mine[row.template].accuracy:.2%} here, {row.accuracy:.2%} published "
        f"({row.model}; {row.source})"
        for row in named_rows(theirs)
        if row.template in mine
    ]
    return ["", "compared with the study's prompts, on the same number of images", *lines] if lines else []


def _smallest_beam(found: pd.DataFrame, least: int) -> list[str]:
    """Return which beam size is enough; `least` is the smallest that was searched."""
    if found.empty:
        return []
    row = found.iloc[0]
    if row.best == least:
        return [f"best by CIDEr: beam size {row.best}, the smallest"]
    if row.too_few:
        return [f"best by CIDEr: beam size {row.best}; {row.too_few} whether smaller sizes are worse"]
    if row.smallest == row.best:
        return [f"best by CIDEr: beam size {row.best}; every smaller size is significantly worse (Holm, 5 %)"]
    return [
        f"best by CIDEr: beam size {row.best}; the smallest that is not significantly worse: {row.smallest} "
        "(paired randomization test, Holm, 5 %)"
    ]


def _oracle(found: pd.DataFrame, kept: str) -> list[str]:
    """Return what a perfect choice among the kept `hypotheses` or `samples` would give."""
    return [
        f"oracle of {row.kept:.4g} {kept} per image at beam size {row.beam_size}: {METRICS[row.metric].title} "
        f"{row.best:.3f} instead of {row.chosen:.3f}; {row.better:.1%} of the images have a better one"
        for row in named_rows(found[found.metric.isin(("cider", "clipscore"))])
    ]


def _grounding(size: int, heads: pd.DataFrame) -> list[str]:
    """Return the attention grounding of the last layer, averaged over heads."""
    mean = list(named_rows(heads[heads["head"] == -1]))
    if not mean:
        return []
    row = mean[-1]
    share, nouns, chance = row.own, row.tested, f" (chance: {row.chance:.1%})"
    if not nouns:
        share, nouns, chance = row.hit, row.nouns, ""
    return [
        f"at beam size {size}, attention peaks inside the object's box for {share:.1%} of {nouns:,} nouns{chance}; "
        f"layer {row.layer + 1}, averaged over heads"
    ]


def _words(cursor: DuckDBPyConnection, run: str) -> list[str]:
    """Return how good the alarm is, the most alarming noun, and the recommended method of explanation.

    Of several beam sizes, the smallest that has an alarm is named.
    """
    found = queries.alarms(cursor, run)
    first = next((row for row in named_rows(found) if row.kind == queries.OBJECT), None)
    lines = [] if first is None else [_alarm(first, queries.suspicious_words(cursor, run, first.beam_size, 1))]
    return [*lines, *_certificate(queries.certificates(cursor, run))]


def _slices(found: pd.DataFrame) -> list[str]:
    """Return the three worst slices by CIDEr, of the smallest beam size."""
    if found.empty:
        return []
    size = int(found.beam_size.min())
    where = f" at beam size {size}" if size else ""
    rows = [
        f"{row.condition} ({row.size:,} images, {row.inside:.2f} instead of {row.outside:.2f})"
        for row in named_rows(found[found.beam_size == size].head(_SLICES))
    ]
    return [f"worst slices by CIDEr{where}: {'; '.join(rows)}"]


def _alarm(row: Any, highest: pd.DataFrame) -> str:
    bounds = "" if pd.isna(row.low) else f" (95 % interval {row.low:.3f}-{row.high:.3f})"
    counted = f"{row.wrong:,} of {row.words:,} wrong"
    lead = f"at beam size {row.beam_size}, alarm of nouns: AUROC {row.auroc:.3f}{bounds}, {counted}"
    named = [
        f"; most alarming noun: {word.word!r} in {word.image_id} ({word.alarm:.2f})" for word in named_rows(highest)
    ]
    return lead + "".join(named)


def _certificate(found: pd.DataFrame) -> list[str]:
    if found.empty:
        return []
    best = next((row for row in named_rows(found) if row.recommended), None)
    if best is None:
        return ["explanation methods: no method beats chance"]
    return [
        f"recommended explanation method: {best.method}; hit rate {best.hit:.1%} of {best.nouns:,} nouns "
        f"(chance: {best.chance:.1%})"
    ]


def _signatures(scores: pd.DataFrame) -> list[str]:
    """Return the signature of each metric once; the beam sizes are in the table above."""
    first = scores.drop_duplicates("metric").sort_values("metric", key=lambda names: names.map(list(METRICS).index))
    known = first[first.signature.fillna("") != ""]
    return ["", "signatures", *(f"  {text}" for text in known.signature)] if len(known) else []


def _zero_shot(accuracies: pd.DataFrame) -> list[str]:
    if accuracies.empty:
        return []
    width = max(map(len, accuracies["template"]))
    lines = [
        f"  {row.template:<{width}}  {100 * row.accuracy:6.2f} %  of {row.images:,}" for row in named_rows(accuracies)
    ]
    return ["", "zero-shot accuracy", *lines]


def _trained_on(record: dict) -> list[str]:
    seen = record.get("trained_on") or 0
    images = record.get("data", {}).get("images", 0)
    warning = (
        f"{seen:,} of these {images:,} images were in the captioner's training data: scores on new images are lower"
    )
    return [warning] if seen else []


def _no_maps(record: dict) -> list[str]:
    """Return why a captioner has no attention maps, if it says so."""
    reason = (record.get("captioner") or {}).get("maps")
    return [f"no attention maps: {reason}"] if isinstance(reason, str) else []


def _data_loading(record: dict) -> list[str]:
    share = record.get("waited_for_photos")
    return [] if share is None else ["", f"data loading: {100 * share:.1f} % of captioning time"]


def _workers(record: dict) -> list[str]:
    """Return the machines of a run that was captioned on several, with their images and seconds; else nothing."""
    rows = record.get("workers", [])
    named = [(str(row.get("node")), str(row.get("device")), row.get("images"), row.get("seconds")) for row in rows]
    found = [f"  {node}: {images} images, {seconds} s, {device}" for node, device, images, seconds in named]
    devices = sorted({device for _, device, _, _ in named})
    if len(devices) > 1:
        found.append(
            f"  captioned on different processors ({', '.join(devices)}): the last digits of scores may differ from "
            "those of a run on one kind"
        )
    return ["", "captioned by", *found] if len(rows) > 1 else []


def _skipped(rows: pd.DataFrame, count: int) -> list[str]:
    if rows.empty:
        return []
    named = [f"  {row.file_name}: {row.reason}" for row in named_rows(rows)]
    more = [f"  and {count - len(rows):,} more, see the table skipped"] if count > len(rows) else []
    return ["", f"skipped: {count:,} {'photo' if count == 1 else 'photos'}", *named, *more]


def findings_text(found: object) -> list[str]:
    """Return the findings about the data as two lines each, the most important first, and how many more there are."""
    known = [each for each in found if isinstance(each, dict) and "title" in each] if isinstance(found, list) else []
    if not known:
        return []
    lines = ["", *(f"! {each['title']}\n    {each.get('remedy', '')}" for each in known[:_FINDINGS])]
    more = len(known) - _FINDINGS
    return [*lines, f"  and {more} more, see the page Overview"] if more > 0 else lines


def _remarks(record: dict) -> list[str]:
    """Return what the reader of the data left out."""
    remarks = record.get("data", {}).get("remarks")
    return ["", "data", *(f"  {remark}" for remark in remarks)] if isinstance(remarks, list) and remarks else []
