"""Two settings on the same images: shared images and the values of both."""

from collections.abc import Sequence

import pandas as pd
from duckdb import DuckDBPyConnection

from engine.store.queries import aligned
from engine.store.queries.case_tables import among_images
from engine.store.queries.columns import direction, metric_column
from engine.store.queries.stored import answer
from engine.store.queries.temporary_tables import keep
from engine.store.schema import METRICS


def partners(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Return columns run, shared (images): captioned runs with images of `run`; itself, then most shared first."""
    return cursor.execute(
        """
        SELECT * FROM (
            SELECT run, count(*) AS shared FROM images WHERE run = $run GROUP BY run
            UNION ALL
            SELECT b.run, count(*) FROM images a JOIN images b USING (image_id)
            WHERE a.run = $run AND b.run <> $run GROUP BY b.run
        )
        WHERE run IN (SELECT DISTINCT run FROM captions) ORDER BY run <> $run, shared DESC, run
        """,
        {"run": run},
    ).df()


def overlap(cursor: DuckDBPyConnection, run: str, beam: int, other: str, other_beam: int) -> pd.DataFrame:
    """Return one row: left, right (images of each setting), shared, same (shared images with the same caption)."""
    if run != other:
        return _overlap(cursor, run, beam, other, other_beam)
    keys = {"beam_size": int(min(beam, other_beam)), "other_beam_size": int(max(beam, other_beam))}
    smaller, larger = keys.values()
    found = answer(cursor, "beam_overlaps", run, keys, lambda: _overlap(cursor, run, smaller, run, larger), "shared")
    return found if beam <= other_beam else found.assign(left=found.right, right=found.left)


def _overlap(cursor: DuckDBPyConnection, run: str, beam: int, other: str, other_beam: int) -> pd.DataFrame:
    # The hashes of the captions need a fifth of the memory.
    select = "SELECT image_id, hash(caption) AS text FROM captions WHERE run = $run AND beam_size = $beam"
    sides = [
        aligned.in_order(cursor, select, {"run": name, "beam": int(size)})
        for name, size in ((run, beam), (other, other_beam))
    ]
    left, right = aligned.on_shared(*sides)
    same = int((left["text"].to_numpy() == right["text"].to_numpy()).sum())
    row = {"left": len(sides[0]), "right": len(sides[1]), "shared": len(left), "same": same}
    return pd.DataFrame([row])


def id_collisions(cursor: DuckDBPyConnection, run: str, other: str) -> pd.DataFrame:
    """Return one row: images, how many ids of two runs have references in both, but none in common.

    Two datasets may give the same id to different photos.
    """
    if run == other:
        return pd.DataFrame({"images": [0]})
    return cursor.execute(
        """
        SELECT count(*) AS images FROM images a JOIN images b USING (image_id) WHERE a.run = $run AND b.run = $other
            AND len(a."references") > 0 AND len(b."references") > 0 AND NOT list_has_any(a."references", b."references")
        """,
        {"run": run, "other": other},
    ).df()


def paired_scores(
    cursor: DuckDBPyConnection, run: str, beam: int, other: str, other_beam: int, metric: str, limit: int = 4000
) -> pd.DataFrame:
    """Return columns image_id, left, right, shared: a metric's two values on at most `limit` images that have both.

    Of more images it returns a sample that is always the same; `shared` counts all of them.

    Raises:
        ValueError: METRICS does not define `metric`.
    """
    return cursor.execute(
        f"""
        SELECT image_id, "left", "right", count(*) OVER () AS shared
        FROM {_pairs(cursor, run, beam, other, other_beam, metric)} ORDER BY hash(image_id), image_id LIMIT $limit
        """,
        {"limit": limit},
    ).df()


def _pairs(cursor: DuckDBPyConnection, run: str, beam: int, other: str, other_beam: int, metric: str) -> str:
    """Return the name of a table in memory with image_id, left and right: images with both values of a metric."""
    column = metric_column(metric)
    side = f"SELECT image_id, {column} AS value FROM scores WHERE isfinite({column}) AND run = "
    select = f"""
        SELECT image_id, a.value AS "left", b.value AS "right"
        FROM ({side}$left_run AND beam_size = $left_beam) a JOIN ({side}$right_run AND beam_size = $right_beam) b
            USING (image_id)
    """
    bound = {"left_run": run, "left_beam": int(beam), "right_run": other, "right_beam": int(other_beam)}
    return keep(cursor, select, bound)


def paired_cases(
    cursor: DuckDBPyConnection,
    run: str,
    beam: int,
    other: str,
    other_beam: int,
    metric: str,
    left_better: bool,
    limit: int = 6,
    offset: int = 0,
) -> pd.DataFrame:
    """Return the shared images on which one side is better by a metric, the largest difference first; no ties.

    Columns image_id, file_name (in the left run), left, right, change (left - right), left_caption, right_caption,
    matching (the number of such images, whatever the limit).

    Args:
        left_better: whether the images are those on which left is better, else right.

    Raises:
        ValueError: METRICS does not define `metric`.
    """
    changed, gain = _changed(cursor, (run, beam, other, other_beam), metric, left_better)
    found = cursor.execute(
        f"""
        SELECT image_id, "left", "right", "left" - "right" AS change, count(*) OVER () AS matching
        FROM ({changed}) ORDER BY {gain} DESC, image_id LIMIT $limit OFFSET $offset
        """,
        {"limit": limit, "offset": offset},
    ).df()
    ids = list(found.image_id)
    for side, name, size in (("left", run, beam), ("right", other, other_beam)):
        found[f"{side}_caption"] = found.image_id.map(_texts(cursor, "captions", name, ids, "caption", size))
    found["file_name"] = found.image_id.map(_texts(cursor, "images", run, ids, "file_name"))
    columns = ["image_id", "file_name", "left", "right", "change", "left_caption", "right_caption", "matching"]
    return found[columns]


def all_paired_cases(
    cursor: DuckDBPyConnection, run: str, beam: int, other: str, other_beam: int, metric: str, left_better: bool
) -> pd.DataFrame:
    """Return every row of `paired_cases`, for a file: columns image_id to right_caption.

    Raises:
        ValueError: METRICS does not define `metric`.
    """
    changed, gain = _changed(cursor, (run, beam, other, other_beam), metric, left_better)
    return cursor.execute(
        f"""
        SELECT image_id, file_name, "left", "right", "left" - "right" AS change, a.caption AS left_caption,
            b.caption AS right_caption
        FROM ({changed})
        LEFT JOIN (SELECT image_id, file_name FROM images WHERE run = $run) USING (image_id)
        LEFT JOIN (SELECT image_id, caption FROM captions WHERE run = $run AND beam_size = $beam) a USING (image_id)
        LEFT JOIN (SELECT image_id, caption FROM captions WHERE run = $other AND beam_size = $size) b USING (image_id)
        ORDER BY {gain} DESC, image_id
        """,
        {"run": run, "beam": int(beam), "other": other, "size": int(other_beam)},
    ).df()


def changed_images(
    cursor: DuckDBPyConnection, run: str, beam: int, other: str, other_beam: int, metric: str, left_better: bool
) -> str:
    """Return the name of a table in memory with the image_id of every row of `paired_cases`.

    Raises:
        ValueError: METRICS does not define `metric`.
    """
    changed, _ = _changed(cursor, (run, beam, other, other_beam), metric, left_better)
    return keep(cursor, f"SELECT image_id FROM ({changed})", {})


def _changed(
    cursor: DuckDBPyConnection, sides: tuple[str, int, str, int], metric: str, left_better: bool
) -> tuple[str, str]:
    """Return a SELECT of image_id, left and right where one side is better, and how much better it is, in SQL."""
    is_left_higher = left_better == (direction(metric) > 0)
    gain = '"left" - "right"' if is_left_higher else '"right" - "left"'
    return f"SELECT * FROM {_pairs(cursor, *sides, metric)} WHERE {gain} >= {METRICS[metric].tie}", gain


def _texts(
    cursor: DuckDBPyConnection, table: str, run: str, image_ids: Sequence[str], column: str, beam: int | None = None
) -> dict[str, str]:
    """Return image id -> a column of `captions` (of a beam size) or `images`."""
    among, bound = among_images(image_ids)
    size = "" if beam is None else " AND beam_size = $beam"
    bound |= {"run": run} | ({} if beam is None else {"beam": int(beam)})
    found = cursor.execute(f"SELECT image_id, {column} FROM {table} WHERE run = $run{size} AND {among}", bound)
    return dict(found.fetchall())
