"""Tables from DataFrames: answers of queries with sensible digits, and the full numbers for CSV.

Knows column names of `engine.store.queries` and the record of a captioner. Knows no page and no file: `exports` writes
a table, a page shows its `shown`. Cells may contain untrusted text; `exports` escapes it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from dashboard.items import Table
from dashboard.metrics import ordered
from dashboard.state.record import Run
from dashboard.text import formatting
from engine.statistics import wilson_interval
from engine.store.frames import named_rows
from engine.store.orders import ALARM
from engine.store.schema import METRICS


def scores(found: pd.DataFrame, title: str, small: str) -> Table:
    """Return `queries.corpus_scores` of one setting."""
    shown = pd.DataFrame(
        {
            "Metric": [formatting.title(metric) for metric in found.metric],
            "Value": [formatting.score(row.metric, row.value) for row in named_rows(found)],
            "95 % interval": [formatting.interval(row.low, row.high) or "–" for row in named_rows(found)],
            "Images": [f"{count:,}" for count in found.images],
        }
    )
    return Table("scores", title, shown, found, small)


# Settings of the search that are recorded only if they were used.
_ASKED_FOR = {
    **{
        "repetition_penalty": "Repetition penalty",
        "no_repeat_ngram": "No repeated n-gram (tokens)",
        "n_best": "N-best",
    },
    **{"temperature": "Temperature", "top_k": "Top k", "top_p": "Top p", "seed": "Seed", "precision": "Precision"},
}


# What a captioner with a prompt records.
PROMPTED = {
    **{"family": "Family", "model": "Model", "prompt": "Prompt", "chat_template": "Chat template (fingerprint)"},
    **{"revision": "Revision", "dtype": "Precision", "device_map": "Spread over devices"},
    **{"transformers": "Version of transformers"},
}


def settings(run: Run, beam: int) -> Table:
    """Return the recorded settings of the captioner and its search."""
    rows = {
        "Encoder": run.text("captioner", "encoder"),
        "Decoder layers": run.text("captioner", "decoder_layers"),
        "Heads": run.text("captioner", "heads"),
        "Width": run.text("captioner", "d_model"),
        **{title: run.text("captioner", key) for key, title in PROMPTED.items()},
        "Beam size": run.beam(beam),
        "Search rule": run.text("decoding", "rule"),
        "Maximum length": run.text("decoding", "max_length"),
        "Length penalty": run.text("decoding", "length_penalty"),
        "Early stopping": {True: "yes", False: "no"}.get(run.part("decoding", "early_stopping"), ""),
        **{title: found for key, title in _ASKED_FOR.items() if (found := run.text("decoding", key))},
        "Data": " ".join(filter(None, [run.text("data", "name"), run.text("data", "split")])),
        "Images": f"{run.images:,}",
    }
    known = {name: value for name, value in rows.items() if value}
    shown = pd.DataFrame({"Setting": list(known), "Value": list(known.values())})
    return Table("setting", "Setting", shown)


def sortable(shown: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose numeric columns contain numbers, so that 12 is sorted after 4.

    A remark after a number moves to its own column.
    """
    made = shown.copy()
    for name in shown.columns:
        parted = shown[name].astype(str).str.replace(",", "").str.extract(r"^(-?\d+(?:\.\d+)?)(?: \((.*)\))?$")
        if parted[0].notna().any() and (parted[0].notna() | shown[name].isin(["–", ""])).all():
            made[name] = pd.to_numeric(parted[0])
            if parted[1].notna().any():
                made[f"{name} of"] = parted[1].fillna("")
    return made


_SHORT = {
    **{"Beam size": "Beam", "CLIPScore": "CLIP-S", "RefCLIPScore": "RC-S", "ROUGE-L": "R-L", "METEOR": "MET."},
    **{f"BLEU-{order}": f"B-{order}" for order in range(1, 5)},
    **{"Words per caption": "Len.", "Vocabulary size": "Voc.", "Changed (%)": "Chg.", "Unfinished (%)": "Unf."},
    "Seconds per image": "s",
}
"""Short column names for narrow tables."""


def beams(scores: pd.DataFrame, found: pd.DataFrame, run: Run, small: str, signatures: Sequence[str] = ()) -> Table:
    """Return scores and caption statistics by beam size; columns that are always zero or unknown are left out.

    Args:
        scores: `queries.corpus_scores`.
        found: `queries.beam_statistics`.
    """
    shown_metrics = ordered(scores.metric)
    values = scores.pivot(index="beam_size", columns="metric", values="value")
    values = values[[*dict.fromkeys(scores.metric)]].reset_index()
    joined = values.merge(found, on="beam_size", how="outer").merge(run.seconds_per_image(), on="beam_size", how="left")
    described = {
        "Words per caption": [formatting.number(value, 2) for value in joined.words],
        "Vocabulary size": [formatting.number(value, 0) for value in joined.distinct_words],
        "Unfinished (%)": [formatting.number(100 * value, 1) for value in joined.unfinished],
        "Changed (%)": [formatting.number(100 * value, 1) for value in joined.changed],
        "Seconds per image": [formatting.number(value) for value in joined.seconds],
    }
    shown = pd.DataFrame(
        {
            "Beam size": [run.beam(size) for size in joined.beam_size],
            **{
                formatting.title(metric): [formatting.score(metric, value) for value in joined[metric]]
                for metric in shown_metrics
            },
            **described,
        }
    )
    shown, gone = informative(shown, [name for name in shown if name not in described])
    small = "\n".join(filter(None, [small, _CHANGED if "Changed (%)" in shown else "", gone]))
    return Table("beams", "Scores and captions by beam size", shown, joined, small, tuple(signatures), _SHORT)


_CHANGED = "Changed: captions that differ from those of the next smaller beam size"


def informative(shown: pd.DataFrame, kept: Sequence[str]) -> tuple[pd.DataFrame, str]:
    """Return a table without the columns that are unknown or zero in every row, and a line that names the zero columns.

    Args:
        kept: columns that are kept even if they are zero.
    """
    unknown = [name for name in shown if (shown[name] == "–").all()]
    zero = [name for name in shown if name not in (*kept, *unknown) and shown[name].map(_is_zero).all()]
    line = f"Zero in every row, not shown: {', '.join(zero)}" if zero else ""
    return shown.drop(columns=[*unknown, *zero]), line


def _is_zero(cell: str) -> bool:
    """Return whether a cell is zero or unknown."""
    return not set(str(cell)) - set("0.,– %")


def oracle(found: pd.DataFrame, run: Run, small: str) -> Table:
    """Return `queries.oracle`: the chosen caption beside the mean and the best of all hypotheses."""
    rows = [(row, METRICS[row.metric].digits) for row in named_rows(found)]
    shown = pd.DataFrame(
        {
            "Beam size": [run.beam(size) for size in found.beam_size],
            "Metric": [formatting.title(metric) for metric in found.metric],
            "Kept": [formatting.mean_count(count) for count in found.kept],
            "Chosen": [formatting.number(row.chosen, digits) for row, digits in rows],
            "Mean of list": [formatting.number(row.average, digits) for row, digits in rows],
            "Best of list": [formatting.number(row.best, digits) for row, digits in rows],
            "Gain (95 %)": [_bounded(row.gain, row.gain_low, row.gain_high, digits) for row, digits in rows],
            "Images with a better hypothesis": [formatting.percent(share) for share in found.better],
        }
    )
    return Table("oracle", oracle_title(run), shown, found, small)


def oracle_title(run: Run) -> str:
    """Return the title of the oracle of a run."""
    return f"Oracle of the {'samples' if run.is_sampled else 'n-best lists'}"


def _bounded(value: float, low: float, high: float, digits: int) -> str:
    bounds = formatting.interval(low, high, digits)
    return formatting.number(value, digits) + (f" ({bounds})" if bounds else "")


def grounding_heads(found: pd.DataFrame, small: str) -> Table:
    """Return `queries.grounding_heads` as a table."""
    shown = pd.DataFrame(
        {
            "Layer": [f"{layer + 1}" for layer in found.layer],
            "Head": ["mean" if head < 0 else f"{head + 1}" for head in found["head"]],
            "Nouns": [f"{count:,}" for count in found.tested.where(found.tested > 0, found.nouns)],
            "Hit rate": [formatting.percent(share) for share in found.own.fillna(found.hit)],
            "Chance": [formatting.percent(share) for share in found.chance],
            "Hit rate - chance (points, 95 % CI)": [_points(row) for row in named_rows(found)],
            "Lift (median)": [formatting.number(lift, 2) for lift in found.lift],
        }
    )
    return Table("grounding_heads", "Hit rate by layer and head", shown, found, small)


def _points(row: Any) -> str:
    return _bounded(100 * row.gain, 100 * row.low, 100 * row.high, 1)


def grounding_labels(found: pd.DataFrame, named: str, small: str) -> Table:
    """Return `queries.grounding_labels` of the layer and head called `named` as a table.

    Args:
        found: may have a column `caption`, that of the worst example.
    """
    captions = {"Caption of the worst example": found.caption} if "caption" in found else {}
    shown = pd.DataFrame(
        {
            "Label": found.label,
            "Hit rate (95 % CI)": [_share(round(row.hit * row.nouns), row.nouns) for row in named_rows(found)],
            "Chance": [formatting.percent(share) for share in found.chance],
            "Lift (median)": [formatting.number(lift, 2) for lift in found.lift],
            "Worst example": found.image_id,
            **captions,
        }
    )
    short = {"Lift (median)": "Lift", "Worst example": "Example", "Caption of the worst example": "Caption"}
    return Table("grounding_labels", f"Hit rate by label ({named})", shown, found, small, heads=short)


def cases(rows: pd.DataFrame, name: str, title: str, small: str) -> Table:
    """Return rows of `queries.cases` with every score that some row has."""
    metrics = _scored(rows)
    shown = pd.DataFrame({"Rank": [f"{int(rank)}" if pd.notna(rank) else "–" for rank in rows["rank"]]})
    shown["Image"] = [*rows.image_id]
    shown["Caption"] = [*rows.caption]
    shown["A reference"] = [_first(references) for references in rows.references]
    for metric in metrics:
        shown[formatting.title(metric)] = [formatting.score(metric, value) for value in rows[metric]]
    return Table(name, title, shown, _numbers(rows), small)


def _scored(rows: pd.DataFrame) -> list[str]:
    """Return the metrics that some row of `queries.cases` has, and the alarm.

    A metric that was registered later has no column.
    """
    return [key for key in (*METRICS, ALARM.key) if key in rows and rows[key].notna().any()]


def _numbers(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of `queries.cases` that a CSV file holds, with the metrics that some case has."""
    return rows[["image_id", "beam_size", "file_name", "caption", "logprob", *_scored(rows), "rank", "scored"]]


def pair(rows: pd.DataFrame, title: str, small: str, signatures: tuple[str, ...]) -> Table:
    """Return one or two rows of `queries.cases`, best first, a column each: caption, references and every score."""
    references = [[*each] if _are_known(each) else [] for each in rows.references]
    most = max(map(len, references))
    lines = {
        "Image": [*rows.image_id],
        "Rank": [f"{int(row.rank)} of {int(row.scored)}" if pd.notna(row.rank) else "–" for row in named_rows(rows)],
        "Caption": [*map(formatting.caption, rows.caption)],
        **{f"Reference {n + 1}": [each[n] if n < len(each) else "–" for each in references] for n in range(most)},
    }
    for metric in _scored(rows):
        lines[formatting.title(metric)] = [formatting.score(metric, value) for value in rows[metric]]
    names = ["Best", "Worst"] if len(rows) > 1 else ["Only case"]
    columns = {name: [cells[place] for cells in lines.values()] for place, name in enumerate(names)}
    shown = pd.DataFrame({"": [*lines], **columns})
    return Table("best_and_worst", title, shown, _numbers(rows), small, signatures)


def selection(found: pd.DataFrame, small: str) -> Table:
    """Return `queries.selection_scores` as a table."""
    shown = pd.DataFrame({"Metric (mean of cases)": [formatting.title(metric) for metric in found.metric]})
    for side, name in (("selected", "Selected"), ("rest", "Rest")):
        shown[name] = [_mean(row, side) for row in named_rows(found)]
        shown[f"n {side}"] = [f"{getattr(row, f'{side}_cases'):,}" for row in named_rows(found)]
    return Table("selection", "Selection vs. rest", shown, found, small)


def _mean(row: Any, side: str) -> str:
    value, low, high = (getattr(row, name) for name in (side, f"{side}_low", f"{side}_high"))
    return _bounded(value, low, high, METRICS[row.metric].digits)


def makeup(found: pd.DataFrame, small: str) -> Table:
    """Return `queries.selection_makeup` as a table."""
    shown = pd.DataFrame({"Tag or condition": [f"{row.kind}: {row.name}" for row in named_rows(found)]})
    for side, name in (("selected", "Selected"), ("rest", "Rest")):
        pairs = zip(found[side], found[f"{side}_cases"], strict=True)
        shown[name] = [_share(int(count), int(total)) for count, total in pairs]
    return Table("selection_makeup", "Tags and conditions: selection vs. rest", shown, found, small)


def _share(count: int, total: int) -> str:
    if not total:
        return "–"
    low, high = wilson_interval(count, total)
    return f"{count:,} of {total:,} ({formatting.percent(count / total)}, 95 % CI {100 * low:.1f}-{100 * high:.1f})"


def _first(references: Any) -> str:
    return references[0] if _are_known(references) else "–"


def _are_known(references: Any) -> bool:
    return isinstance(references, Sequence | np.ndarray) and len(references) > 0


def tags(found: pd.DataFrame, total: int, small: str) -> Table:
    """Return `queries.tag_examples` of `total` captions."""
    shown = pd.DataFrame(
        {
            "Tag": found.tag,
            "Captions": [f"{count:,}" for count in found.images],
            "Share": [formatting.percent(count / total) if total else "-" for count in found.images],
            "Example": found.image_id,
            "Caption of the example": [*map(formatting.caption, found.caption)],
            "Evidence": found.evidence,
        }
    )
    return Table("failure_tags", "Failure tags", shown, found, small)
