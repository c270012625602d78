"""Hallucinated objects by two counts, CHAIR and the failure tag, which know different words."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from duckdb import DuckDBPyConnection

from engine.metrics import chair_rules
from engine.metrics.chair_rules import Mention
from engine.store.queries.stored import answer

_TAG = "hallucinated object"
_MARKS = f"""
    chair_counts[3] > 0 AS by_chair, list_contains(list_transform(tags, lambda entry: entry.tag), '{_TAG}') AS by_tag
"""


def hallucinations(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Return, by beam size, what CHAIR depends on, and how many captions each count calls hallucinated.

    Columns beam_size, captions (those that CHAIR counts), mentions (of COCO objects per caption), unfinished (share of
    captions cut at the maximum length; null if it is not known), by_chair, by_tag, by_both (captions that have a
    hallucinated object). No row if the run has no CHAIR.
    """
    return answer(cursor, "hallucinations", run, {}, lambda: _hallucinations(cursor, run), "beam_size")


def _hallucinations(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    return cursor.execute(
        f"""
        WITH counted AS (
            SELECT beam_size, count(*) AS captions, sum(chair_counts[2]) / count(*) AS mentions,
                count(*) FILTER (by_chair) AS by_chair, count(*) FILTER (by_tag) AS by_tag,
                count(*) FILTER (by_chair AND by_tag) AS by_both
            FROM (SELECT beam_size, chair_counts, {_MARKS} FROM scores WHERE run = $run AND len(chair_counts) = 4)
            GROUP BY beam_size
        ),
        finished AS (
            SELECT beam_size, count(*) FILTER (NOT finished) / nullif(count(finished), 0) AS unfinished
            FROM captions WHERE run = $run GROUP BY beam_size
        )
        SELECT beam_size, captions, mentions, unfinished, by_chair, by_tag, by_both
        FROM counted LEFT JOIN finished USING (beam_size) ORDER BY beam_size
        """,
        {"run": run},
    ).df()


def hallucination_differences(cursor: DuckDBPyConnection, run: str, beam_size: int, limit: int = 1000) -> pd.DataFrame:
    """Return the captions that only one of the two counts calls hallucinated, by image id.

    Columns image_id, caption, tag_reason, chair_reason: what each count found.
    """
    found = cursor.execute(
        f"""
        WITH differing AS (
            SELECT image_id, tags FROM
                (SELECT image_id, tags, {_MARKS} FROM scores
                WHERE run = $run AND beam_size = $beam AND len(chair_counts) = 4)
            WHERE by_chair <> coalesce(by_tag, false) ORDER BY image_id LIMIT $limit
        )
        SELECT image_id, caption, list_transform(list_filter(tags, lambda entry: entry.tag = '{_TAG}'),
            lambda entry: entry.evidence) AS evidence, "references",
            list_transform(list_concat(coalesce(objects, []), coalesce(crowds, [])), lambda box: box.label) AS labels
        FROM differing
        JOIN (SELECT image_id, caption FROM captions WHERE run = $run AND beam_size = $beam) USING (image_id)
        JOIN (SELECT image_id, "references", objects, crowds FROM images WHERE run = $run) USING (image_id)
        ORDER BY image_id
        """,
        {"run": run, "beam": int(beam_size), "limit": limit},
    ).fetchall()
    rows = [
        (image_id, caption, _tag_reason(evidence or ()), _chair_reason(caption, labels, references or ()))
        for image_id, caption, evidence, references, labels in found
    ]
    return pd.DataFrame(rows, columns=["image_id", "caption", "tag_reason", "chair_reason"])


def _tag_reason(evidence: Sequence[str]) -> str:
    return f"hallucinated: {', '.join(evidence)}" if evidence else "none hallucinated"


def _chair_reason(caption: str, labels: Sequence[Any], references: Sequence[Any]) -> str:
    """Return what CHAIR finds in a caption, from the same rules that counted it."""
    found = chair_rules.mentions(caption or "")
    shown = chair_rules.truth([label for label in labels if label], [text for text in references if text])
    named = ", ".join(dict.fromkeys(_named(each) for each in found if each.category not in shown))
    if named:
        return f"hallucinated: {named}"
    named = ", ".join(dict.fromkeys(map(_named, found)))
    return f"none hallucinated; mentions {named}" if named else "no mention of an object"


def _named(mention: Mention) -> str:
    word, category = mention.word, mention.category
    return word if word == category else f"{word} ({category})"
