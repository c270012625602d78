"""How captions change with the beam size, and which beam size is enough.

Everything is computed one beam size after the other, so that memory does not grow with their number.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from duckdb import DuckDBPyConnection

from engine import statistics
from engine.metrics.pooling import POOLED
from engine.store.queries import aligned
from engine.store.queries.columns import COUNTS, direction, metric_column
from engine.store.queries.intervals import UNKNOWN, mean_intervals, share_interval
from engine.store.queries.stored import answer


def beam_statistics(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Return the lengths, the vocabulary and the changes of the captions of each beam size.

    Columns beam_size, captions; words, words_low, words_high (mean words per caption without punctuation, bootstrap
    interval); distinct_words (vocabulary size); unfinished, unfinished_low, unfinished_high (share cut at the maximum
    length, Wilson interval; null if it is not known); previous (the next smaller beam size), changed,
    changed_low, changed_high (share of captions that differ from those of `previous`, Wilson interval; null at the
    smallest).
    """
    return answer(cursor, "beam_statistics", run, {}, lambda: _statistics(cursor, run), "beam_size")


def smallest_beam(cursor: DuckDBPyConnection, run: str, metric: str) -> pd.DataFrame:
    """Return the smallest beam size that is not significantly worse than the best; no row if there is only one size.

    Columns smallest, best (beam sizes), images (those that every size has a value for), pooled (whether the sizes were
    compared by the corpus value of stored counts instead of the mean of per-image values), too_few (why
    these images could not have shown that `smallest` is worse, or "").

    Raises:
        ValueError: METRICS does not define `metric`.
    """
    metric_column(metric)
    return answer(cursor, "beam_choices", run, {"metric": metric}, lambda: _choice(cursor, run, metric), "smallest")


def _choice(cursor: DuckDBPyConnection, run: str, metric: str) -> pd.DataFrame:
    pooled = POOLED.get(metric)
    if pooled is not None and not _keeps_counts(cursor, run, pooled.counts):
        pooled = None
    values = _Values(cursor, run, metric, None if pooled is None else pooled.counts)
    if len(values) < 2 or not len(values.images):
        return pd.DataFrame(columns=["smallest", "best", "images", "pooled", "too_few"])
    sign = direction(metric)  # the test looks for the highest value
    score = None if pooled is None else lambda sums: sign * pooled.score(sums)
    found = statistics.smallest_not_worse(values, pooled=score)
    row = {"smallest": found.smallest, "best": found.best, "images": len(values.images)}
    return pd.DataFrame([row | {"pooled": pooled is not None, "too_few": found.too_few}])


class _Values(Mapping[int, np.ndarray]):
    """Beam size -> values on the images that every size has a value for, read when they are taken.

    float64[images] of a metric (with the sign turned if lower values are better), or float64[images, C] of counts.
    """

    def __init__(self, cursor: DuckDBPyConnection, run: str, metric: str, counts: str | None) -> None:
        self._cursor, self._run, self._metric, self._counts = cursor, run, metric, counts
        sizes = cursor.execute(
            f"SELECT DISTINCT beam_size FROM scores WHERE run = ? AND isfinite({metric_column(metric)}) ORDER BY ALL",
            [run],
        ).fetchall()
        self._sizes = [int(size) for (size,) in sizes]
        self.images = pa.chunked_array([], pa.string())
        self._kept: dict[int, np.ndarray] = {}  # values on self.images, 8 bytes per caption
        for place, size in enumerate(self._sizes if len(self._sizes) > 1 else []):
            self._add(size, is_first=place == 0)

    def __len__(self) -> int:
        return len(self._sizes)

    def __iter__(self) -> Iterator[int]:
        return iter(self._sizes)

    def _add(self, size: int, is_first: bool) -> None:
        """Leave out the images that this size has no value for."""
        found = self._known(size)
        ids = found["image_id"]
        if not is_first and not ids.equals(self.images):
            shared = aligned.only(found, self.images)["image_id"]
            if not shared.equals(self.images):
                self._kept.clear()
        else:
            shared = ids
        self.images = shared
        if self._counts is None and ids.equals(shared):
            self._kept[size] = direction(self._metric) * aligned.numbers(found, self._metric)

    def __getitem__(self, size: int) -> np.ndarray:
        if size in self._kept:
            return self._kept[size]
        found = self._known(size)
        if not found["image_id"].equals(self.images):
            found = aligned.only(found, self.images)
        if self._counts is not None:
            return aligned.counts_of(found, self._counts)
        return direction(self._metric) * aligned.numbers(found, self._metric)

    def _known(self, size: int) -> pa.Table:
        """Return the scores of the images that have a value, or counts: CHAIRi of a caption may have counts only."""
        counts = self._counts
        found = aligned.scores(self._cursor, self._run, size, [self._metric], [counts] if counts else [])
        values = aligned.counts_of(found, counts)[:, 0] if counts else aligned.numbers(found, self._metric)
        known = np.isfinite(values)
        return found if known.all() else found.filter(pa.array(known))


def _keeps_counts(cursor: DuckDBPyConnection, run: str, counts: str) -> bool:
    """Return whether every score of a run has the counts of a pooled metric: older and imported runs may lack them."""
    lacking = f"count(*) FILTER ({counts} IS NULL OR len({counts}) <> ?)"
    found = cursor.execute(f"SELECT {lacking} = 0 AND count(*) > 0 FROM scores WHERE run = ?", [COUNTS[counts], run])
    return bool(found.fetchall()[0][0])


def _statistics(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    vocabularies = _vocabularies(cursor, run)
    _read_captions(cursor, run, sorted({word for words in vocabularies.values() for word in words if _is_mark(word)}))
    try:
        sizes = [size for (size,) in cursor.execute("SELECT DISTINCT beam_size FROM read ORDER BY ALL").fetchall()]
        rows = [_row(cursor, size, vocabularies.get(size, [])) for size in sizes]
        changes = {size: _changes(cursor, previous, size) for previous, size in pairwise(sizes)}
    finally:
        cursor.execute("DROP TABLE read")
    frame = pd.DataFrame(rows, columns=_COUNTED)
    found = [changes.get(size, (None, *[float("nan")] * 3)) for size in sizes]
    frame[["previous", "changed", "changed_low", "changed_high"]] = pd.DataFrame(found, columns=list("abcd"))
    return frame


_COUNTED = ["beam_size", "captions", "words", "words_low", "words_high", "distinct_words"]
_COUNTED += ["unfinished", "unfinished_low", "unfinished_high"]


def _vocabularies(cursor: DuckDBPyConnection, run: str) -> dict[int, list[str]]:
    """Return beam size -> the different words of its captions."""
    found = cursor.execute(
        """
        SELECT beam_size, list(word) FROM
            (SELECT DISTINCT beam_size, unnest(words) AS word FROM captions WHERE run = ?)
        GROUP BY beam_size
        """,
        [run],
    ).fetchall()
    return {size: [word for word in words if word is not None] for size, words in found}


def _is_mark(word: str) -> bool:
    """Return whether a word has no letter or digit: punctuation, which no metric counts."""
    return not any(letter.isalnum() for letter in word)


def _read_captions(cursor: DuckDBPyConnection, run: str, marks: list[str]) -> None:
    """Make a table `read` of what is needed of every caption, because the files are in the order of images.

    Texts are compared by their hashes of 64 bits, which need a fifth of the memory.
    """
    # A cursor has its own temporary tables, so that two pages do not meet.
    cursor.execute(
        """
        CREATE OR REPLACE TEMP TABLE read AS
        SELECT image_id, beam_size, finished, hash(caption) AS text,
            len(list_filter(words, lambda word: NOT list_contains($marks::VARCHAR[], word)))::INT AS length
        FROM captions WHERE run = $run
        """,
        {"run": run, "marks": marks},
    )


def _row(cursor: DuckDBPyConnection, size: int, vocabulary: list[str]) -> tuple[Any, ...]:
    """Return the values _COUNTED of one beam size."""
    read = _of_size(cursor, size, "length")
    lengths = aligned.numbers(read, "length")
    lengths = lengths[np.isfinite(lengths)]
    mean, low, high, _ = mean_intervals(lengths[:, None])[0] if len(lengths) else (np.nan, *UNKNOWN, 0)
    cut, known = cursor.execute(
        "SELECT count(*) FILTER (NOT finished), count(finished) FROM read WHERE beam_size = ?", [size]
    ).fetchall()[0]
    words = sum(not _is_mark(word) for word in vocabulary)
    return size, len(read), mean, low, high, words, cut / known if known else np.nan, *share_interval(cut, known)


def _changes(cursor: DuckDBPyConnection, previous: int, size: int) -> tuple[Any, ...]:
    """Return `previous`, and the share of captions that differ from those of that size with its interval."""
    before, now = aligned.on_shared(_of_size(cursor, previous, "text"), _of_size(cursor, size, "text"))
    differing = int((before["text"].to_numpy() != now["text"].to_numpy()).sum())
    share = differing / len(now) if len(now) else np.nan
    return (previous if len(now) else None), share, *share_interval(differing, len(now))


def _of_size(cursor: DuckDBPyConnection, size: int, column: str) -> pa.Table:
    return aligned.in_order(cursor, f"SELECT image_id, {column} FROM read WHERE beam_size = $size", {"size": size})
