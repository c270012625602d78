"""How captions change with the beam size, and which beam size is enough."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from duckdb import DuckDBPyConnection

from engine import statistics
from engine.metrics.pooling import POOLED
from engine.store.queries.columns import count_columns, direction, metric_column
from engine.store.queries.intervals import UNKNOWN, mean_intervals, share_interval, unzip


def beam_statistics(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Return the lengths, the vocabulary and the changes of the captions of each beam size.

    Columns beam_size, captions; words, words_low, words_high (mean words per caption without punctuation, bootstrap
    interval); distinct_words (vocabulary size); unfinished, unfinished_low, unfinished_high (share cut at the maximum
    length, Wilson interval; null if it is not known); previous (the next smaller beam size), changed,
    changed_low, changed_high (share of captions that differ from those of `previous`, Wilson interval; null at the
    smallest).
    """
    frame = _caption_counts(cursor, run).merge(_changes(cursor, run), on="beam_size", how="left")
    bounds = _length_bounds(_by_size(_word_counts(cursor, run), ["words"]))
    frame["words_low"], frame["words_high"] = unzip(bounds.get(size, UNKNOWN) for size in frame.beam_size)
    for share, count, total in (("unfinished", "cut", "known"), ("changed", "differing", "compared")):
        frame[share] = frame[count] / frame[total].where(frame[total] > 0)
        bounds = [share_interval(*pair) for pair in zip(frame[count], frame[total], strict=True)]
        frame[f"{share}_low"], frame[f"{share}_high"] = unzip(bounds)
    return frame.drop(columns=["cut", "known", "differing", "compared"])


def smallest_beam(cursor: DuckDBPyConnection, run: str, metric: str) -> pd.DataFrame:
    """Return the smallest beam size that is not significantly worse than the best; no row if there is only one size.

    Columns smallest, best (beam sizes), images (those that every size has a value for), pooled (whether the sizes were
    compared by the corpus value of stored counts instead of the mean of per-image values), too_few (why
    these images could not have shown that `smallest` is worse, or "").

    Raises:
        ValueError: METRICS does not define `metric`.
    """
    pooled = POOLED.get(metric)
    if pooled is not None and not _keeps_counts(cursor, run, pooled.counts):
        pooled = None
    kept = _shared_values(cursor, run, metric, None if pooled is None else pooled.counts)
    if len(kept) < 2:
        return pd.DataFrame(columns=["smallest", "best", "images", "pooled", "too_few"])
    images = len(next(iter(kept.values())))
    sign = direction(metric)  # the test looks for the highest value
    if pooled is None:
        smallest, best = statistics.smallest_not_worse({size: sign * values for size, values in kept.items()})
    else:
        smallest, best = statistics.smallest_not_worse(kept, pooled=lambda sums: sign * pooled.score(sums))
    too_few = statistics.cannot_be_worse(kept, smallest, best)
    row = {"smallest": smallest, "best": best, "images": images, "pooled": pooled is not None, "too_few": too_few}
    return pd.DataFrame([row])


def _shared_values(cursor: DuckDBPyConnection, run: str, metric: str, counts: str | None) -> dict[int, np.ndarray]:
    """Return beam size -> values on the images that every size has a value for.

    float64[images] of a metric, or float64[images, C] of the column `counts`.
    """
    column = metric_column(metric)
    values = {metric: column} if counts is None else count_columns(counts)
    found = cursor.execute(
        f"""
        SELECT beam_size, {", ".join(f'{value} AS "{name}"' for name, value in values.items())}
        FROM (
            SELECT *, count(*) FILTER (isfinite({column})) OVER (PARTITION BY image_id) AS _sizes
            FROM scores WHERE run = $run
        )
        WHERE _sizes = (SELECT count(DISTINCT beam_size) FROM scores WHERE run = $run AND isfinite({column}))
            AND isfinite({column})
        ORDER BY beam_size, image_id
        """,
        {"run": run},
    ).fetchnumpy()
    return _by_size(found, list(values))


def _by_size(found: Mapping[str, Any], names: list[str]) -> dict[int, np.ndarray]:
    """Return beam size -> float64[images], or float64[images, names] of several; the smallest first."""
    sizes = found["beam_size"]
    columns = np.column_stack([found[name] for name in names]).astype(np.float64)
    values = columns[:, 0] if len(names) == 1 else columns
    return {int(size): values[sizes == size] for size in np.unique(sizes)}


def _keeps_counts(cursor: DuckDBPyConnection, run: str, counts: str) -> bool:
    """Return whether every score of a run has the counts of a pooled metric: older and imported runs may lack them."""
    missing = f"SELECT count(*) FILTER ({counts} IS NULL) = 0 AND count(*) > 0 FROM scores WHERE run = ?"
    (keeps,) = cursor.execute(missing, [run]).fetchall()[0]
    return bool(keeps)


def _caption_counts(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    return cursor.execute(
        """
        WITH vocabularies AS (
            SELECT beam_size, count(DISTINCT word) AS distinct_words
            FROM (SELECT beam_size, unnest(words) AS word FROM captions WHERE run = $run)
            WHERE NOT list_contains($marks, word) GROUP BY beam_size
        )
        SELECT beam_size, count(*) AS captions, avg(COUNTED) AS words,
            coalesce(any_value(distinct_words), 0) AS distinct_words,
            count(*) FILTER (NOT finished) AS cut, count(finished) AS known
        FROM captions LEFT JOIN vocabularies USING (beam_size) WHERE run = $run GROUP BY beam_size ORDER BY beam_size
        """.replace("COUNTED", _WORD_COUNT),
        {"run": run, "marks": _marks(cursor, run)},
    ).df()


_WORD_COUNT = "len(list_filter(words, lambda word: NOT list_contains($marks, word)))"


def _marks(cursor: DuckDBPyConnection, run: str) -> list[str]:
    """Return the words of a run that have no letter or digit: punctuation, which no metric counts."""
    found = cursor.execute("SELECT DISTINCT unnest(words) AS word FROM captions WHERE run = ?", [run]).fetchall()
    return sorted(word for (word,) in found if not any(letter.isalnum() for letter in word))


def _changes(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    return cursor.execute(
        """
        WITH sizes AS (
            SELECT beam_size, lag(beam_size) OVER (ORDER BY beam_size) AS previous
            FROM (SELECT DISTINCT beam_size FROM captions WHERE run = $run)
        )
        SELECT sizes.beam_size, previous, count(*) AS compared, count(*) FILTER (b.caption <> a.caption) AS differing
        FROM sizes
        JOIN captions b ON b.run = $run AND b.beam_size = sizes.beam_size
        JOIN captions a ON a.run = $run AND a.beam_size = sizes.previous AND a.image_id = b.image_id
        GROUP BY sizes.beam_size, previous
        """,
        {"run": run},
    ).df()


def _word_counts(cursor: DuckDBPyConnection, run: str) -> Mapping[str, Any]:
    return cursor.execute(
        f"SELECT beam_size, {_WORD_COUNT} AS words FROM captions WHERE run = $run AND words IS NOT NULL "
        "ORDER BY beam_size, image_id",
        {"run": run, "marks": _marks(cursor, run)},
    ).fetchnumpy()


def _length_bounds(lengths: dict[int, np.ndarray]) -> dict[int, tuple[float, float]]:
    """Return the bootstrap interval of each mean length; sizes with equally many captions share their resamples."""
    bounds = {}
    for count in {len(values) for values in lengths.values()}:
        alike = [size for size, values in lengths.items() if len(values) == count]
        found = mean_intervals(np.column_stack([lengths[size] for size in alike]))
        bounds |= {size: (low, high) for size, (_, low, high, _) in zip(alike, found, strict=True)}
    return bounds
