"""Tables of zero-shot classification: accuracy by prompt template, top-5 predictions, tests of prompts, confusions.

Like `tables`: answers of queries in, with sensible digits and the full numbers for CSV.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from dashboard.items import Table
from dashboard.text import formatting
from engine import statistics
from engine.store.frames import named_rows


def accuracy(found: pd.DataFrame, published: pd.DataFrame, small: str) -> Table:
    """Return `queries.zero_shot_accuracy` with the published accuracies of the same templates."""
    shown = pd.DataFrame(
        {
            "Template": found.template,
            "Accuracy": [formatting.percent(value, 2) for value in found.accuracy],
            "Correct": [f"{row.right} of {row.known}" for row in named_rows(found)],
            "95 % interval": [
                f"{formatting.percent(row.low)} to {formatting.percent(row.high)}" if pd.notna(row.low) else "–"
                for row in named_rows(found)
            ],
        }
    )
    beside = published[published.template.isin(found.template)]
    sources = []
    for (model, source), rows in beside.groupby(["model", "source"], sort=False):
        known = rows.set_index("template").accuracy
        shown[f"Published, {model}"] = [formatting.percent(known.get(name), 2) for name in found.template]
        sources.append(f"Published, {model}: {source}, {formatting.count(int(rows.images.max()), 'image')}")
    note = "\n".join([small, *sources])
    return Table("templates", "Zero-shot accuracy by template", shown, found, note)


def top_five(rows: Sequence[Any], title: str, small: str) -> Table:
    """Return rows of `queries.zero_shot_cases` with their top-5 predictions."""
    columns = {row.image_id: pd.Series(_guesses(row)) for row in rows}
    shown = pd.DataFrame(columns, index=["True label", *(f"#{place}" for place in range(1, 6))]).fillna("–")
    values = [
        {"image_id": row.image_id, "label": row.label, "place": place, **guess}
        for row in rows
        for place, guess in enumerate(row.top[:5], 1)
    ]
    return Table("top_five", title, shown.reset_index(names=""), pd.DataFrame(values), small)


def _guesses(row: Any) -> dict[str, str]:
    named = {"True label": row.label if isinstance(row.label, str) else "–"}
    return named | {
        f"#{place}": f"{guess['label']} ({formatting.percent(guess['probability'])})"
        for place, guess in enumerate(row.top[:5], 1)
    }


def paired_tests(found: pd.DataFrame, small: str) -> Table:
    """Return rows of `queries.zero_shot_comparison`, each with its `left` and `right` prompt.

    The p-values of several rows are adjusted by Holm's method.
    """
    several, adjusted = len(found) > 1, statistics.holm([*found.p])
    shown = pd.DataFrame(
        {
            "Left prompt": [*found.left],
            "Right prompt": [*found.right],
            "Images": [f"{count:,}" for count in found.images],
            "Both correct": [f"{count:,}" for count in found.both],
            "Correct with the left prompt only": [f"{count:,}" for count in found.only_left],
            "Correct with the right prompt only": [f"{count:,}" for count in found.only_right],
            "p (exact McNemar)": [formatting.probability(p) for p in found.p],
            **({"p Holm": [formatting.probability(p) for p in adjusted]} if several else {}),
            "Result": [
                outcome(row, p, reachable)
                for row, p, reachable in zip(
                    named_rows(found), adjusted, statistics.holm([*found.p_reachable]), strict=True
                )
            ],
        }
    )
    title = "The first prompt compared with each of the others" if several else "Paired test of two prompts"
    return Table("mcnemar", title, shown, found, small, heads=_SHORT_TESTS)


def outcome(row: Any, p: float, reachable: float) -> str:
    """Return the result of the test of a row of `queries.zero_shot_comparison`.

    Args:
        p: its p-value, adjusted if there are several rows.
        reachable: the smallest value that `p` could have.
    """
    if row.only_left + row.only_right == 0:
        return "equal on every image"
    if reachable >= statistics.ALPHA:
        return statistics.too_few(int(row.images), int(row.only_left + row.only_right))
    if p >= statistics.ALPHA:
        return "not significant"
    return "left is better" if row.only_left > row.only_right else "right is better"


_SHORT_TESTS = {
    "Both correct": "Both",
    "Correct with the left prompt only": "Left only",
    "Correct with the right prompt only": "Right only",
    "p (exact McNemar)": "p",
}


def class_changes(found: pd.DataFrame, small: str) -> Table:
    """Return `queries.zero_shot_changes` of two templates."""
    shown = pd.DataFrame(
        {
            "Class": found.label,
            "Images": found.images,
            "Left": found.left,
            "Right": found.right,
            "Change": [f"{change:+d}" if change else "0" for change in found.change],
        }
    )
    return Table("class_changes", "Correct images by class and prompt", shown, found, small)


def confusions(found: pd.DataFrame, small: str) -> Table:
    """Return the wrong predictions of `queries.zero_shot_confusion`, most frequent first."""
    wrong = found[found.label != found.predicted]
    totals = found.groupby("label").images.sum()
    shown = pd.DataFrame(
        {
            "True label": wrong.label,
            "Predicted": wrong.predicted,
            "Images": wrong.images,
            "Share of the class": [formatting.percent(row.images / totals[row.label]) for row in named_rows(wrong)],
        }
    )
    return Table("confusions", "Most confused classes", shown, found, small)
