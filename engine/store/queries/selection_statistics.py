"""The selected cases compared with the rest: scores, tags and conditions."""

from typing import Any

import pandas as pd
from duckdb import DuckDBPyConnection

from engine.store.queries.case_tables import case_table, condition_table
from engine.store.queries.columns import metric_column, metrics
from engine.store.queries.intervals import mean_intervals
from engine.store.queries.selection import Selection, where_clause


def selection_scores(cursor: DuckDBPyConnection, run: str, beam_size: int, selection: Selection) -> pd.DataFrame:
    """Return every metric of the selected cases and of the rest.

    Columns metric, selected, selected_low, selected_high, selected_cases and the same of rest: the mean of per-image
    values with its 95 % bootstrap interval (null if there are no cases), in METRICS' order.
    """
    known = metrics(cursor)
    where, bound = where_clause(cursor, run, beam_size, selection)
    columns = ", ".join(map(metric_column, known))
    found = cursor.execute(
        f"SELECT {columns}, ({where}) IS TRUE AS _picked FROM {case_table(cursor, run, beam_size)} ORDER BY image_id",
        bound,
    ).df()
    sides = {"selected": found[found["_picked"]], "rest": found[~found["_picked"]]}
    tested = {side: mean_intervals(frame[known].to_numpy(float)) for side, frame in sides.items()}
    rows = []
    for place, metric in enumerate(known):
        row: dict[str, Any] = {"metric": metric}
        for side, values in tested.items():
            row |= dict(zip((side, f"{side}_low", f"{side}_high", f"{side}_cases"), values[place], strict=True))
        rows.append(row)
    frame = pd.DataFrame(rows)
    return frame[frame.selected_cases + frame.rest_cases > 0].reset_index(drop=True)


def selection_makeup(cursor: DuckDBPyConnection, run: str, beam_size: int, selection: Selection) -> pd.DataFrame:
    """Return how often tags and conditions occur in the selected cases and in the rest.

    Columns kind ("tag" or "condition"), name, selected, selected_cases, rest, rest_cases: the cases that have it, and
    all cases of that side; the most over-represented first.
    """
    where, bound = where_clause(cursor, run, beam_size, selection)
    return cursor.execute(
        f"""
        WITH cases AS (
            SELECT image_id, ({where}) IS TRUE AS picked, list_transform(tags, lambda _entry: _entry.tag) AS tags
            FROM {case_table(cursor, run, beam_size)}
        ),
        named AS (
            SELECT 'tag' AS kind, unnest(list_distinct(tags)) AS name, picked FROM cases WHERE len(tags) > 0
            UNION ALL
            SELECT 'condition', unnest(list_distinct(conditions)), picked
            FROM cases JOIN {condition_table(cursor, run)} USING (image_id) WHERE len(conditions) > 0
        ),
        sides AS (
            SELECT count(*) FILTER (picked) AS selected_cases, count(*) FILTER (NOT picked) AS rest_cases FROM cases
        )
        SELECT kind, name, count(*) FILTER (picked) AS selected, selected_cases,
            count(*) FILTER (NOT picked) AS rest, rest_cases
        FROM named, sides GROUP BY kind, name, selected_cases, rest_cases
        ORDER BY selected / nullif(selected_cases, 0) - coalesce(rest / nullif(rest_cases, 0), 0) DESC, kind, name
        """,
        bound,
    ).df()
