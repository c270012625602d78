"""The n-best lists of a run: what a perfect choice among the hypotheses would give."""

from typing import Any

import numpy as np
import pandas as pd
from duckdb import DuckDBPyConnection

from engine.store.frames import groups
from engine.store.queries.columns import direction, finite_columns, metric_column, metrics
from engine.store.queries.intervals import mean_intervals
from engine.store.queries.stored import answer
from engine.store.schema import METRICS


def oracle(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Return what a perfect choice among the n best of each beam size would give, by every metric that is a mean.

    Over the images with several stored hypotheses: columns beam_size, metric, images, kept (hypotheses per image),
    chosen, average, best (means of the first, of all, and of the best of an image's hypotheses), better (share of
    images with a better one than the first, by more than a tie), gain (how much better `best` is than `chosen`) and
    lead (how much better `chosen` is than `average`; both are differences of the metric, with the sign turned if lower
    values are better), each with its 95 % bootstrap interval gain_low, gain_high, lead_low, lead_high;
    lead_differing (images whose lead is not 0). No row if nothing was kept or scored.
    """
    order = f"beam_size, list_position({list(METRICS)}::VARCHAR[], metric)"
    return answer(cursor, "oracle", run, {}, lambda: _oracle(cursor, run), order)


def _oracle(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    means = [metric for metric in metrics(cursor) if METRICS[metric].corpus == "mean"]
    rows = [row for metric in means for row in _oracle_rows(cursor, run, metric)]
    frame = pd.DataFrame(rows, columns=_COLUMNS)
    return frame.sort_values("beam_size", kind="stable", ignore_index=True)


_COLUMNS = [
    *("beam_size", "metric", "images", "kept", "chosen", "average", "best", "better"),
    *("gain", "gain_low", "gain_high", "lead", "lead_low", "lead_high", "lead_differing"),
]


def _oracle_rows(cursor: DuckDBPyConnection, run: str, metric: str) -> list[tuple[Any, ...]]:
    """Return the rows of `oracle` of one metric."""
    column, sign = metric_column(metric), direction(metric)
    found = cursor.execute(
        f"""
        SELECT beam_size, count(*) AS kept, arg_min({column}, rank) AS chosen, avg({column}) AS average,
            {"max" if sign > 0 else "min"}({column}) AS best
        FROM hypotheses WHERE run = $run AND isfinite({column})
        GROUP BY beam_size, image_id HAVING count(*) > 1 ORDER BY beam_size, image_id
        """,
        {"run": run},
    ).df()
    rows = []
    for size, group in groups(found, "beam_size"):
        differences = sign * np.column_stack([group.best - group.chosen, group.chosen - group.average])
        gain, lead = (each[:3] for each in mean_intervals(differences))
        means = [float(group[name].mean()) for name in ("kept", "chosen", "average", "best")]
        better = float((differences[:, 0] > METRICS[metric].tie).mean())
        differing = int((differences[:, 1] != 0).sum())
        rows.append((int(size), metric, len(group), *means, better, *gain, *lead, differing))
    return rows


def case_hypotheses(cursor: DuckDBPyConnection, run: str, beam_size: int, image_id: str) -> pd.DataFrame:
    """Return the n best of one case in order: columns rank, caption, logprob, score, finished, cider, clipscore."""
    return cursor.execute(
        f"""
        SELECT rank, caption, logprob, score, finished, cider, clipscore
        FROM (SELECT * REPLACE ({finite_columns(cursor)}) FROM hypotheses)
        WHERE run = $run AND beam_size = $beam AND image_id = $image_id ORDER BY rank
        """,
        {"run": run, "beam": int(beam_size), "image_id": image_id},
    ).df()
