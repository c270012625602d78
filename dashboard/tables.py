"""DataFrame in, table out: what queries answer, as people read it, with sensible digits and the numbers behind them.

Knows column names of `engine.queries` and what a record says of a captioner. Knows no page and no file: `exports`
writes a table, a page shows its `shown`. Cells hold strangers' text as it stands; whoever writes it escapes it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from dashboard import text
from dashboard.exports import Table
from dashboard.record import Run
from engine.schema import METRICS
from engine.statistics import wilson_interval

HEADLINES = ("cider", "clipscore")
"""The metrics that stand first everywhere."""


def accuracy(found: pd.DataFrame, published: pd.DataFrame, small: str) -> Table:
    """`queries.zero_shot_accuracy` as people read it, next to `published.prompts` of the same templates."""
    shown = pd.DataFrame(
        {
            "Template": found.template,
            "Accuracy": [text.percent(value, 2) for value in found.accuracy],
            "Right": [f"{row.right} of {row.known}" for row in found.itertuples()],
            "95 % interval": [
                f"{text.percent(row.low)} to {text.percent(row.high)}" if pd.notna(row.low) else "–"
                for row in found.itertuples()
            ],
        }
    )
    beside = published[published.template.isin(found.template)]
    sources = []
    for (model, source), rows in beside.groupby(["model", "source"], sort=False):
        known = rows.set_index("template").accuracy
        shown[f"Published, {model}"] = [text.percent(known.get(name), 2) for name in found.template]
        sources.append(f"Published, {model}: {source}, {text.count(int(rows.images.max()), 'image')}")
    note = "\n".join([small, *sources])
    return Table("templates", "Zero-shot accuracy by template", shown, found, note)


def scores(found: pd.DataFrame, title: str, small: str) -> Table:
    """`queries.corpus_scores` of one setting."""
    shown = pd.DataFrame(
        {
            "Metric": [text.title(metric) for metric in found.metric],
            "Value": [text.score(row.metric, row.value) for row in found.itertuples()],
            "95 % interval": [text.interval(row.low, row.high) or "–" for row in found.itertuples()],
            "Images": [f"{count:,}" for count in found.images],
        }
    )
    return Table("scores", title, shown, found, small)


# What a record has of a search only where it was asked for.
_ASKED_FOR = {
    **{"repetition_penalty": "Repetition penalty", "no_repeat_ngram": "No n-gram twice, tokens", "n_best": "N-best"},
    **{"temperature": "Temperature", "top_k": "Top k", "top_p": "Top p", "seed": "Seed", "precision": "Precision"},
}


def settings(run: Run, beam: int) -> Table:
    """What a record says of the captioner and its search."""
    rows = {
        "Encoder": run.text("captioner", "encoder"),
        "Decoder layers": run.text("captioner", "decoder_layers"),
        "Heads": run.text("captioner", "heads"),
        "Width": run.text("captioner", "d_model"),
        "Beam size": run.beam(beam),
        "Search rule": run.text("decoding", "rule"),
        "Maximum length": run.text("decoding", "max_length"),
        "Length penalty": run.text("decoding", "length_penalty"),
        "Early stopping": {True: "yes", False: "no"}.get(run.part("decoding", "early_stopping"), ""),
        **{title: run.text("decoding", key) for key, title in _ASKED_FOR.items()},
        "Data": " ".join(filter(None, [run.text("data", "name"), run.text("data", "split")])),
        "Images": f"{run.images:,}",
    }
    known = {name: value for name, value in rows.items() if value}
    shown = pd.DataFrame({"Setting": list(known), "Value": list(known.values())})
    return Table("setting", "Setting", shown)


def sortable(shown: pd.DataFrame) -> pd.DataFrame:
    """A table with numbers in the columns where people read numbers: 12 then comes after 4. A remark behind a number
    stands in a column of its own."""
    made = shown.copy()
    for name in shown.columns:
        parted = shown[name].astype(str).str.replace(",", "").str.extract(r"^(-?\d+(?:\.\d+)?)(?: \((.*)\))?$")
        if parted[0].notna().any() and (parted[0].notna() | shown[name].isin(["–", ""])).all():
            made[name] = pd.to_numeric(parted[0])
            if parted[1].notna().any():
                made[f"{name} of"] = parted[1].fillna("")
    return made


def beams(scores: pd.DataFrame, found: pd.DataFrame, run: Run, small: str) -> Table:
    """Everything against beam size in one table."""
    values = scores.pivot(index="beam_size", columns="metric", values="value")
    values = values[list(dict.fromkeys(scores.metric))].reset_index()
    joined = values.merge(found, on="beam_size", how="outer").merge(run.seconds_per_image(), on="beam_size", how="left")
    shown = pd.DataFrame({"Beam size": [run.beam(size) for size in joined.beam_size]})
    metrics = list(dict.fromkeys(scores.metric))
    first = [metric for metric in HEADLINES if metric in metrics]
    for metric in first:
        shown[text.title(metric)] = [text.score(metric, value) for value in joined[metric]]
    shown["Words"] = [text.number(value, 2) for value in joined.words]
    shown["Distinct"] = [text.number(value, 0) for value in joined.distinct_words]
    shown["Unfinished"] = [text.percent(value) for value in joined.unfinished]
    shown["Changed"] = [text.percent(value) for value in joined.changed]
    shown["s an image"] = [text.number(value) for value in joined.seconds]
    for metric in (metric for metric in metrics if metric not in first):
        shown[text.title(metric)] = [text.score(metric, value) for value in joined[metric]]
    # A column that says nothing at any size has no place in a report.
    shown = shown.loc[:, [name for name in shown.columns if not (shown[name] == "–").all()]]
    return Table("beams", "Scores and captions by beam size", shown, joined, small)


def oracle(found: pd.DataFrame, run: Run, small: str) -> Table:
    """`queries.oracle`: what was chosen of the n best, beside all of them and the best of them."""
    rows = [(row, METRICS[row.metric].digits) for row in found.itertuples()]
    shown = pd.DataFrame(
        {
            "Beam size": [run.beam(size) for size in found.beam_size],
            "Metric": [text.title(metric) for metric in found.metric],
            "Kept": [text.mean_count(count) for count in found.kept],
            "Chosen": [text.number(row.chosen, digits) for row, digits in rows],
            "Mean of all": [text.number(row.average, digits) for row, digits in rows],
            "Best of them": [text.number(row.best, digits) for row, digits in rows],
            "Gain (95 %)": [_bounded(row.gain, row.gain_low, row.gain_high, digits) for row, digits in rows],
            "Images with a better one": [text.percent(share) for share in found.better],
        }
    )
    return Table("oracle", oracle_title(run), shown, found, small)


def oracle_title(run: Run) -> str:
    """What `queries.oracle` is about."""
    return f"What the {'samples' if run.is_sampled else 'n best'} hold"


def _bounded(value: float, low: float, high: float, digits: int) -> str:
    bounds = text.interval(low, high, digits)
    return text.number(value, digits) + (f" ({bounds})" if bounds else "")


def grounding_heads(found: pd.DataFrame, small: str) -> Table:
    """`queries.grounding_heads` as people read it."""
    shown = pd.DataFrame(
        {
            "Layer": [f"{layer + 1}" for layer in found.layer],
            "Head": ["mean" if head < 0 else f"{head + 1}" for head in found["head"]],
            "Nouns": [f"{count:,}" for count in found.tested.where(found.tested > 0, found.nouns)],
            "In a box": [text.percent(share) for share in found.own.fillna(found.hit)],
            "By chance": [text.percent(share) for share in found.chance],
            "Above chance (95 %), points": [_points(row) for row in found.itertuples()],
            "Lift (median)": [text.number(lift, 2) for lift in found.lift],
        }
    )
    return Table("grounding_heads", "Nouns whose map peaks in a box of what they name", shown, found, small)


def _points(row: Any) -> str:
    return _bounded(100 * row.gain, 100 * row.low, 100 * row.high, 1)


def grounding_labels(found: pd.DataFrame, named: str, small: str) -> Table:
    """`queries.grounding_labels` of the layer and head called `named`, as people read it."""
    shown = pd.DataFrame(
        {
            "Label": found.label,
            "Nouns": [f"{count:,}" for count in found.nouns],
            "In a box (95 %)": [_share(round(row.hit * row.nouns), row.nouns) for row in found.itertuples()],
            "By chance": [text.percent(share) for share in found.chance],
            "Lift (median)": [text.number(lift, 2) for lift in found.lift],
            "Furthest off": found.image_id,
        }
    )
    return Table("grounding_labels", f"The same by label, {named}", shown, found, small)


def cases(rows: pd.DataFrame, name: str, title: str, small: str) -> Table:
    """Rows of `queries.cases` with every score that some of them has."""
    metrics = [metric for metric in METRICS if rows[metric].notna().any()]
    shown = pd.DataFrame({"Rank": [f"{int(rank)}" if pd.notna(rank) else "–" for rank in rows["rank"]]})
    shown["Image"] = [*rows.image_id]
    shown["Caption"] = [*rows.caption]
    shown["A reference"] = [_first(references) for references in rows.references]
    for metric in metrics:
        shown[text.title(metric)] = [text.score(metric, value) for value in rows[metric]]
    values = rows[["image_id", "beam_size", "file_name", "caption", "logprob", *metrics, "rank", "scored"]]
    return Table(name, title, shown, values, small)


def selection(found: pd.DataFrame, small: str) -> Table:
    """`queries.selection_scores` as people read it."""
    shown = pd.DataFrame({"Metric (mean of cases)": [text.title(metric) for metric in found.metric]})
    for side, name in (("selected", "Selected"), ("rest", "Rest")):
        shown[name] = [_mean(row, side) for row in found.itertuples()]
        shown[f"n {side}"] = [f"{getattr(row, f'{side}_cases'):,}" for row in found.itertuples()]
    return Table("selection", "The selection against the rest", shown, found, small)


def _mean(row: Any, side: str) -> str:
    value, low, high = (getattr(row, name) for name in (side, f"{side}_low", f"{side}_high"))
    return _bounded(value, low, high, METRICS[row.metric].digits)


def makeup(found: pd.DataFrame, small: str) -> Table:
    """`queries.selection_makeup` as people read it."""
    shown = pd.DataFrame({"Tag or condition": [f"{row.kind}: {row.name}" for row in found.itertuples()]})
    for side, name in (("selected", "Selected"), ("rest", "Rest")):
        pairs = zip(found[side], found[f"{side}_cases"], strict=True)
        shown[name] = [_share(int(count), int(total)) for count, total in pairs]
    return Table("selection_makeup", "Tags and conditions of the selection and of the rest", shown, found, small)


def _share(count: int, total: int) -> str:
    if not total:
        return "–"
    low, high = wilson_interval(count, total)
    return f"{text.percent(count / total)} ({100 * low:.1f} to {100 * high:.1f}), {count:,}"


def _first(references: Any) -> str:
    known = isinstance(references, Sequence | np.ndarray) and len(references)
    return references[0] if known else "–"


def top_five(rows: Sequence[Any], title: str, small: str) -> Table:
    """Rows of `queries.zero_shot_cases` with their five surest labels."""
    return Table("top_five", title, pd.DataFrame([_guesses(row) for row in rows]), note=small)


def _guesses(row: Any) -> dict[str, str]:
    named = {"Image": row.image_id, "True label": row.label if isinstance(row.label, str) else "–"}
    return named | {
        f"#{place}": f"{guess['label']} ({text.percent(guess['probability'])})"
        for place, guess in enumerate(row.top[:5], 1)
    }


def tags(found: pd.DataFrame, total: int, small: str) -> Table:
    """`queries.tag_examples` of `total` captions."""
    shown = pd.DataFrame(
        {
            "Tag": found.tag,
            "Captions": [f"{count:,}" for count in found.images],
            "Share": [text.percent(count / total) for count in found.images],
            "Example": found.image_id,
            "Evidence": found.evidence,
        }
    )
    return Table("failure_tags", "Failure tags", shown, found, small)


def paired_test(left: str, right: str, found: pd.DataFrame, small: str) -> Table:
    """`queries.zero_shot_comparison` of two templates."""
    row = found.iloc[0]
    shown = pd.DataFrame(
        {
            "Left template": [left],
            "Right template": [right],
            "Images": [f"{int(row.images):,}"],
            "Both right": [f"{int(row.both):,}"],
            "Only left right": [f"{int(row.only_left):,}"],
            "Only right right": [f"{int(row.only_right):,}"],
            "p (exact McNemar)": [text.probability(row.p)],
        }
    )
    return Table("mcnemar", "Paired test of two templates", shown, found, small)


def class_changes(found: pd.DataFrame, small: str) -> Table:
    """`queries.zero_shot_changes` of two templates."""
    shown = pd.DataFrame(
        {
            "Class": found.label,
            "Images": found.images,
            "Left": found.left,
            "Right": found.right,
            "Change": [f"{change:+d}" if change else "0" for change in found.change],
        }
    )
    return Table("class_changes", "Images classified rightly under two templates", shown, found, small)


def confusions(found: pd.DataFrame, small: str) -> Table:
    """`queries.zero_shot_confusion`, the wrong ones only, most frequent first."""
    wrong = found[found.label != found.predicted]
    totals = found.groupby("label").images.sum()
    shown = pd.DataFrame(
        {
            "True label": wrong.label,
            "Taken for": wrong.predicted,
            "Images": wrong.images,
            "Share of the class": [text.percent(row.images / totals[row.label]) for row in wrong.itertuples()],
        }
    )
    return Table("confusions", "Confusions, most frequent first", shown, found, small)
