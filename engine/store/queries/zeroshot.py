"""Zero-shot classification: accuracy, cases and confusion of templates."""

import json

import pandas as pd
from duckdb import DuckDBPyConnection

from engine import statistics
from engine.store.frames import named_rows
from engine.store.queries.intervals import share_interval, unzip


def zero_shot_accuracy(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Return columns template, images, known (with a true label), right, accuracy, low, high; best first.

    Accuracy is a share of `known`, null if that is 0; low and high are its 95 % Wilson interval. Equal templates are
    in the order in which they were given.
    """
    frame = cursor.execute(
        """
        SELECT template, count(*) AS images, count(label) AS known,
            count(*) FILTER (correct AND label IS NOT NULL) AS right,
            count(*) FILTER (correct AND label IS NOT NULL) / nullif(count(label), 0) AS accuracy
        FROM zero_shot WHERE run = $run GROUP BY template
        ORDER BY accuracy DESC NULLS LAST, list_position($given, template) NULLS LAST, template
        """,
        {"run": run, "given": _given_templates(cursor, run)},
    ).df()
    frame["low"], frame["high"] = unzip([share_interval(*pair) for pair in zip(frame.right, frame.known, strict=True)])
    return frame


def _given_templates(cursor: DuckDBPyConnection, run: str) -> list[str]:
    """Return the templates of a run in the order in which they were given; empty if its record does not say."""
    found = cursor.execute("SELECT record FROM runs WHERE run = ?", [run]).fetchone()
    record = json.loads(found[0]) if found else {}
    plan = record.get("plan")
    given = record.get("templates") or (plan.get("templates") if isinstance(plan, dict) else None)
    return [name for name in given if isinstance(name, str)] if isinstance(given, list) else []


def zero_shot_labels(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Return columns label, images: the true labels of a run, by name."""
    return cursor.execute(
        """
        SELECT label, count(DISTINCT image_id) AS images FROM zero_shot
        WHERE run = ? AND label IS NOT NULL GROUP BY label ORDER BY label
        """,
        [run],
    ).df()


_OUTCOMES = {"all": "true", "right": "correct", "wrong": "label IS NOT NULL AND NOT correct"}


def zero_shot_cases(
    cursor: DuckDBPyConnection,
    run: str,
    template: str,
    outcome: str = "all",
    label: str = "",
    limit: int = 24,
    offset: int = 0,
    predicted: str = "",
) -> pd.DataFrame:
    """Return images classified with a template, the most confident prediction first.

    Args:
        label, predicted: only images with this true label, and only those classified as this; "" for any.

    Columns image_id, file_name, label, predicted, correct, top (list of dicts with label and probability), matching
    (the number of matching images, whatever the limit).

    Raises:
        ValueError: `outcome` is not all, right or wrong.
    """
    if outcome not in _OUTCOMES:
        raise ValueError(f"outcome is {outcome!r}, expected one of {', '.join(_OUTCOMES)}")
    return cursor.execute(
        f"""
        SELECT image_id, file_name, label, predicted, correct, top, count(*) OVER () AS matching FROM zero_shot
        WHERE run = $run AND template = $template AND {_OUTCOMES[outcome]} AND ($label = '' OR label = $label)
            AND ($predicted = '' OR predicted = $predicted)
        ORDER BY top[1].probability DESC NULLS LAST, image_id LIMIT $limit OFFSET $offset
        """,
        {"run": run, "template": template, "label": label, "limit": limit, "offset": offset} | {"predicted": predicted},
    ).df()


def zero_shot_comparison(cursor: DuckDBPyConnection, run: str, left: str, right: str) -> pd.DataFrame:
    """Return two templates compared on the same images with a known label; no row if there are none.

    Columns images, both, only_left, only_right, neither (correct images), p (exact McNemar test), p_reachable (the
    smallest p that only_left + only_right images can give).
    """
    frame = cursor.execute(
        f"""
        SELECT count(*) AS images, count(*) FILTER (a AND b) AS both, count(*) FILTER (a AND NOT b) AS only_left,
            count(*) FILTER (b AND NOT a) AS only_right, count(*) FILTER (NOT a AND NOT b) AS neither
        FROM ({_TEMPLATES})
        """,
        {"run": run, "left": left, "right": right},
    ).df()
    frame["p"] = [
        statistics.mcnemar(
            [True] * row.only_left + [False] * row.only_right, [False] * row.only_left + [True] * row.only_right
        )
        for row in named_rows(frame)
    ]
    frame["p_reachable"] = [statistics.smallest_p(int(row.only_left + row.only_right)) for row in named_rows(frame)]
    return frame[frame.images > 0]


def zero_shot_changes(cursor: DuckDBPyConnection, run: str, left: str, right: str) -> pd.DataFrame:
    """Return the correct images of each class with two templates, the largest change first.

    Columns label, images, left, right (correct images), change (left - right).
    """
    return cursor.execute(
        f"""
        SELECT label, count(*) AS images, count(*) FILTER (a) AS left, count(*) FILTER (b) AS right,
            count(*) FILTER (a) - count(*) FILTER (b) AS change
        FROM ({_TEMPLATES}) GROUP BY label ORDER BY abs(change) DESC, change DESC, label
        """,
        {"run": run, "left": left, "right": right},
    ).df()


_TEMPLATES = """
    SELECT one.label AS label, one.correct AS a, other.correct AS b
    FROM zero_shot one JOIN zero_shot other USING (run, image_id, label)
    WHERE run = $run AND one.template = $left AND other.template = $right
        AND one.correct IS NOT NULL AND other.correct IS NOT NULL
"""


def zero_shot_confusion(cursor: DuckDBPyConnection, run: str, template: str) -> pd.DataFrame:
    """Return the confusion matrix of a template: columns label, predicted, images; most frequent first."""
    return cursor.execute(
        """
        SELECT label, predicted, count(*) AS images FROM zero_shot
        WHERE run = ? AND template = ? AND label IS NOT NULL AND predicted IS NOT NULL
        GROUP BY label, predicted ORDER BY images DESC, label, predicted
        """,
        [run, template],
    ).df()
