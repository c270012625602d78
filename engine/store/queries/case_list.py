"""Every SELECT over the results: one function a question, each giving a DataFrame.

Knows the views of `store.connect` and SQL. Knows nothing of pages, figures or files. Whatever comes from a person or a
file is bound as a parameter; what cannot be bound (a column to sort by) is checked against the contract first.
"""

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2s
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from duckdb import DuckDBPyConnection

from engine import statistics
from engine.metrics.pooling import BLEU_COUNTS, METEOR_COUNTS, POOLED
from engine.statistics import bootstrap_mean_interval, bootstrap_ratio_interval, wilson_interval
from engine.store.schema import METRICS


@dataclass(frozen=True)
class Lasso:
    """A region drawn around points of two metrics: its corners (x, y) in their units, the last joined to the first."""

    x: str
    y: str
    corners: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Selection:
    """Which cases of a run are meant; it selects stored scores and never changes them.

    `text` is looked for in the caption and in the references, whatever the case of its letters: a word that begins with
    it is enough, in quotation marks it is whole words.
    """

    ranges: tuple[tuple[str, float, float], ...] = ()  # (metric, lowest, highest), both included
    text: str = ""
    tag: str = ""
    condition: str = ""
    lasso: Lasso | None = None
    among: tuple[str, ...] | None = None  # image ids that alone are meant, such as those somebody judged
    besides: tuple[str, ...] = ()  # image ids that are not meant


EVERYTHING = Selection()


def metric_column(metric: str) -> str:
    """The quoted column of `metric` in `scores`: the only way a metric's name gets into SQL.

    Raises:
        ValueError: METRICS does not define it.
    """
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}: expected one of {', '.join(METRICS)}")
    return f'"{metric}"'


# Runs


def runs(cursor: DuckDBPyConnection) -> pd.DataFrame:
    """Columns run, record (`run.json` as text), captions, images, skipped, attention (rows), zero_shot (images)."""
    return cursor.execute(
        """
        SELECT run, record,
            (SELECT count(*) FROM captions WHERE captions.run = runs.run) AS captions,
            (SELECT count(*) FROM images WHERE images.run = runs.run) AS images,
            (SELECT count(*) FROM skipped WHERE skipped.run = runs.run) AS skipped,
            (SELECT count(*) FROM attention WHERE attention.run = runs.run) AS attention,
            (SELECT count(DISTINCT image_id) FROM zero_shot WHERE zero_shot.run = runs.run) AS zero_shot
        FROM runs ORDER BY run
        """
    ).df()


def beam_sizes(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Columns beam_size (ascending; 0 is imported), captions."""
    return cursor.execute(
        "SELECT beam_size, count(*) AS captions FROM captions WHERE run = ? GROUP BY beam_size ORDER BY beam_size",
        [run],
    ).df()


def corpus_scores(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Columns beam_size, metric, value, low, high (95 %), images, signature; metrics in METRICS' order."""
    return cursor.execute(
        """
        SELECT beam_size, metric, value, low, high, images, signature FROM corpus_scores
        WHERE run = ? AND list_contains(?, metric) ORDER BY list_position(?, metric), beam_size
        """,
        [run, list(METRICS), list(METRICS)],
    ).df()


def best_scores(cursor: DuckDBPyConnection) -> pd.DataFrame:
    """Columns run, metric, beam_size, value, low, high, images, signature: each run's best beam size by each metric.

    Of two equal beam sizes the smaller is the better: it costs less.
    """
    return cursor.execute(
        """
        SELECT run, metric, beam_size, value, low, high, images, signature FROM corpus_scores
        QUALIFY row_number() OVER (PARTITION BY run, metric ORDER BY value DESC NULLS LAST, beam_size) = 1
        ORDER BY run, list_position(?, metric)
        """,
        [list(METRICS)],
    ).df()


def headline_scores(cursor: DuckDBPyConnection) -> pd.DataFrame:
    """Return columns run, beam_size, cider, clipscore: both scores of the same captions, null where not computed."""
    return cursor.execute(
        """
        SELECT run, beam_size, any_value(value) FILTER (metric = 'cider') AS cider,
            any_value(value) FILTER (metric = 'clipscore') AS clipscore
        FROM corpus_scores GROUP BY run, beam_size ORDER BY run, beam_size
        """
    ).df()


def training(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Columns step, epoch, loss (nats a token), lr, grad_norm, validation_cider, validation_clipscore; by step."""
    return cursor.execute(
        """
        SELECT step, epoch, loss, lr, grad_norm, validation_cider, validation_clipscore
        FROM training WHERE run = ? ORDER BY step
        """,
        [run],
    ).df()


def skipped(cursor: DuckDBPyConnection, run: str, limit: int = 1000) -> pd.DataFrame:
    """Columns image_id, file_name, reason: the first `limit` photos of a run that could not be used."""
    return cursor.execute(
        "SELECT image_id, file_name, reason FROM skipped WHERE run = ? ORDER BY file_name, image_id LIMIT ?",
        [run, limit],
    ).df()


# Beam sizes


def beam_statistics(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """What the captions of each beam size are like.

    Columns beam_size, captions; words, words_low, words_high (mean words a caption, marks not counted, bootstrap
    interval); distinct_words (in all captions together); unfinished, unfinished_low, unfinished_high (share cut at the
    maximum length, Wilson interval; null where it is not known); previous (the next smaller beam size), changed,
    changed_low, changed_high (share of captions that differ from those of `previous`, Wilson interval; null at the
    smallest).
    """
    frame = _caption_counts(cursor, run).merge(_changes(cursor, run), on="beam_size", how="left")
    bounds = _length_bounds(_by_size(_word_counts(cursor, run), ["words"]))
    frame["words_low"], frame["words_high"] = _unzip(bounds.get(size, _UNKNOWN) for size in frame.beam_size)
    for share, count, total in (("unfinished", "cut", "known"), ("changed", "differing", "compared")):
        frame[share] = frame[count] / frame[total].where(frame[total] > 0)
        bounds = [_wilson(*pair) for pair in zip(frame[count], frame[total], strict=True)]
        frame[f"{share}_low"], frame[f"{share}_high"] = _unzip(bounds)
    return frame.drop(columns=["cut", "known", "differing", "compared"])


def smallest_beam(cursor: DuckDBPyConnection, run: str, metric: str) -> pd.DataFrame:
    """The smallest beam size that is not significantly worse than the best, or no row where there is one size only.

    Columns smallest, best (beam sizes), images (those that every size has a value for), pooled (whether the sizes were
    held against each other by the corpus value of kept counts, and not by the mean of per-image values).

    Raises:
        ValueError: `metric` is no metric.
    """
    column, pooled = metric_column(metric), POOLED.get(metric)
    if pooled is not None and not _keeps_counts(cursor, run, pooled.counts):
        pooled = None
    # Numbers come out of the database ten times as fast as lists of them.
    values = {metric: column} if pooled is None else _count_columns(pooled.counts)
    found = cursor.execute(
        f"""
        SELECT beam_size, {", ".join(f"{value} AS {name}" for name, value in values.items())}
        FROM (
            SELECT *, count(*) FILTER (isfinite({column})) OVER (PARTITION BY image_id) AS sizes
            FROM scores WHERE run = $run
        )
        WHERE sizes = (SELECT count(DISTINCT beam_size) FROM scores WHERE run = $run AND isfinite({column}))
            AND isfinite({column})
        ORDER BY beam_size, image_id
        """,
        {"run": run},
    ).fetchnumpy()
    kept = _by_size(found, list(values))
    if len(kept) < 2:
        return pd.DataFrame(columns=["smallest", "best", "images", "pooled"])
    smallest, best = statistics.smallest_not_worse(kept, pooled=pooled and pooled.score)
    images = len(next(iter(kept.values())))
    return pd.DataFrame([{"smallest": smallest, "best": best, "images": images, "pooled": pooled is not None}])


def _by_size(found: dict[str, np.ndarray], names: list[str]) -> dict[int, np.ndarray]:
    """float64[images], or float64[images, names] of several, of each beam size, smallest first."""
    sizes = found["beam_size"]
    columns = np.column_stack([found[name] for name in names]).astype(np.float64)
    values = columns[:, 0] if len(names) == 1 else columns
    return {int(size): values[sizes == size] for size in np.unique(sizes)}


def _keeps_counts(cursor: DuckDBPyConnection, run: str, counts: str) -> bool:
    """Whether every score of a run has the counts that a pooled metric comes from: older and foreign runs do not."""
    missing = f"SELECT count(*) FILTER ({counts} IS NULL) = 0 AND count(*) > 0 FROM scores WHERE run = ?"
    return bool(cursor.execute(missing, [run]).fetchone()[0])


def _caption_counts(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    return cursor.execute(
        """
        WITH spoken AS (
            SELECT beam_size, count(DISTINCT word) AS distinct_words
            FROM (SELECT beam_size, unnest(words) AS word FROM captions WHERE run = $run)
            WHERE NOT list_contains($marks, word) GROUP BY beam_size
        )
        SELECT beam_size, count(*) AS captions, avg(SPOKEN) AS words,
            coalesce(any_value(distinct_words), 0) AS distinct_words,
            count(*) FILTER (NOT finished) AS cut, count(finished) AS known
        FROM captions LEFT JOIN spoken USING (beam_size) WHERE run = $run GROUP BY beam_size ORDER BY beam_size
        """.replace("SPOKEN", _SPOKEN_WORDS),
        {"run": run, "marks": _marks(cursor, run)},
    ).df()


_SPOKEN_WORDS = "len(list_filter(words, lambda word: NOT list_contains($marks, word)))"


def _marks(cursor: DuckDBPyConnection, run: str) -> list[str]:
    """What stands among a run's words and is none: full stops and the like, which no metric counts."""
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


def _word_counts(cursor: DuckDBPyConnection, run: str) -> dict[str, np.ndarray]:
    return cursor.execute(
        f"SELECT beam_size, {_SPOKEN_WORDS} AS words FROM captions WHERE run = $run AND words IS NOT NULL "
        "ORDER BY beam_size, image_id",
        {"run": run, "marks": _marks(cursor, run)},
    ).fetchnumpy()


def _length_bounds(lengths: dict[int, np.ndarray]) -> dict[int, tuple[float, float]]:
    """The bootstrap interval of each mean length; sizes with as many captions are drawn together."""
    bounds = {}
    for count in {len(values) for values in lengths.values()}:
        alike = [size for size, values in lengths.items() if len(values) == count]
        found = _means(np.column_stack([lengths[size] for size in alike]))
        bounds |= {size: (low, high) for size, (_, low, high, _) in zip(alike, found, strict=True)}
    return bounds


_UNKNOWN = (float("nan"), float("nan"))


def _wilson(count: float, total: float) -> tuple[float, float]:
    return wilson_interval(int(count), int(total)) if total > 0 else _UNKNOWN


def _unzip(bounds: Any) -> tuple[list[float], list[float]]:
    pairs = list(bounds)
    return [low for low, _ in pairs], [high for _, high in pairs]


def oracle(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """What each beam size's n best are worth beside the caption that was chosen, a row a metric that is a mean.

    Over the images of which several hypotheses were kept: columns beam_size, metric, images, kept (hypotheses an
    image), chosen, average, best (means of the first, of all, and of the highest of an image's hypotheses), better
    (share of images with a higher one than the first, more than a tie), gain (best - chosen) and lead (chosen -
    average), each with its 95 % bootstrap interval gain_low, gain_high, lead_low, lead_high. No row where nothing was
    kept or scored.
    """
    means = [metric for metric, each in METRICS.items() if each.corpus == "mean"]
    rows = [row for metric in means for row in _worth(cursor, run, metric)]
    frame = pd.DataFrame(rows, columns=_WORTH)
    return frame.sort_values("beam_size", kind="stable", ignore_index=True)


_WORTH = [
    *("beam_size", "metric", "images", "kept", "chosen", "average", "best", "better"),
    *("gain", "gain_low", "gain_high", "lead", "lead_low", "lead_high"),
]


def _worth(cursor: DuckDBPyConnection, run: str, metric: str) -> list[tuple[Any, ...]]:
    """The rows of `oracle` of one metric."""
    column = metric_column(metric)
    found = cursor.execute(
        f"""
        SELECT beam_size, count(*) AS kept, arg_min({column}, rank) AS chosen, avg({column}) AS average,
            max({column}) AS best
        FROM hypotheses WHERE run = $run AND isfinite({column})
        GROUP BY beam_size, image_id HAVING count(*) > 1 ORDER BY beam_size, image_id
        """,
        {"run": run},
    ).df()
    rows = []
    for size, group in found.groupby("beam_size"):
        differences = np.column_stack([group.best - group.chosen, group.chosen - group.average])
        gain, lead = (each[:3] for each in _means(differences))
        means = [float(group[name].mean()) for name in ("kept", "chosen", "average", "best")]
        better = float((differences[:, 0] > METRICS[metric].tie).mean())
        rows.append((int(size), metric, len(group), *means, better, *gain, *lead))
    return rows


# Cases: an image at a beam size

# A NaN or an infinity of a foreign file is no score: DuckDB would rank it above every number.
_FINITE = ", ".join(
    f"CASE WHEN isfinite({column}) THEN {column} END AS {column}" for column in map(metric_column, METRICS)
)
# What is sorted and filtered by. `draw` is a number of the image alone: the lowest are a sample that stays the same.
_CASES = f"""
    SELECT captions.image_id, captions.beam_size, caption, logprob, finished, coalesce(tags, []) AS tags,
        clip_truncated, md5_number_lower(captions.image_id) AS draw, {_FINITE}
    FROM (SELECT * EXCLUDE run FROM captions WHERE run = $run AND NARROWED) captions
    LEFT JOIN (SELECT * EXCLUDE run FROM scores WHERE run = $run AND NARROWED) scores USING (image_id, beam_size)
"""
_PHOTOS = """
    SELECT image_id, file_name, "references", coalesce(conditions, []) AS conditions FROM images WHERE run = $run
"""
_MOST_HELD = 2_500_000
"""Rows held in memory at a time, about 250 bytes each."""

_SMALL = 50_000
"""Captions of a run up to which all its beam sizes are held together: opening Parquet for each takes longer."""

_holding = threading.Lock()


def _cases(cursor: DuckDBPyConnection, run: str, beam_size: int) -> str:
    """The name of a table in memory with the narrow columns of a beam size: sorting Parquet takes ten times as long."""
    beam = {"beam_size": int(beam_size)}
    read = _CASES.replace("NARROWED", "beam_size = $beam_size"), {"run": run} | beam

    def rows() -> tuple[str, dict[str, Any]]:
        whole = _name(*_whole(run))
        if not _exists(cursor, whole) and _captions(cursor, run) > _SMALL:
            return read
        return f"SELECT * FROM {_held(cursor, *_whole(run))} WHERE beam_size = $beam_size", beam

    return _made(cursor, _name(*read), rows)


def _captions(cursor: DuckDBPyConnection, run: str) -> int:
    return cursor.execute("SELECT count(*) FROM captions WHERE run = ?", [run]).fetchone()[0]


def _whole(run: str) -> tuple[str, dict[str, Any]]:
    """What `_cases` gives, of all beam sizes of a run: a SELECT and what is bound in it."""
    return _CASES.replace("NARROWED", "true"), {"run": run}


def _photos(cursor: DuckDBPyConnection, run: str) -> str:
    """The name of a table in memory with a run's images: image_id, file_name, references, conditions."""
    return _held(cursor, _PHOTOS, {"run": run})


def _spoken(cursor: DuckDBPyConnection, run: str, beam_size: int, text: str) -> str:
    """The name of a table in memory with the rowid in `_cases` of every case with `text` in caption or references."""
    cases = _cases(cursor, run, beam_size)
    lines = f"""
        SELECT image_id, lower(array_to_string("references", chr(10))) AS line FROM {_photos(cursor, run)}
    """
    phrase, is_whole = sought(text)
    # "man" is not in "woman". Scripts that write no spaces have no such edges: their letters (Lo) are left out of it.
    # What is bound is put together once; the plain search before it spares most lines the regular expression.
    said = f"""
        contains(LINE, lower($phrase)) AND regexp_matches(LINE,
            if(regexp_matches($phrase, '^{_LETTER}'), '(?:^|{_NO_LETTER})', '') || regexp_escape(lower($phrase))
            || if($whole AND regexp_matches($phrase, '{_LETTER}$'), '(?:$|{_NO_LETTER})', ''))
    """
    # Every question about the selection joins what is found here: row numbers join three times as fast as image ids.
    select = f"""
        SELECT rowid AS place FROM {cases} WHERE {said.replace("LINE", "lower(caption)")}
            OR image_id IN (SELECT image_id FROM {_held(cursor, lines, {})} WHERE {said.replace("LINE", "line")})
    """
    return _held(cursor, select, {"phrase": phrase, "whole": is_whole}, cases)


_LETTER, _NO_LETTER = (rf"[{no}\p{{Lu}}\p{{Ll}}\p{{Lt}}\p{{M}}\p{{N}}]" for no in ("", "^"))


def sought(text: str) -> tuple[str, bool]:
    """What a search is for, and whether whole words are meant: it stands in quotation marks."""
    text = text.strip()  # a space typed behind the last word would miss it before a full stop
    within = text[1:-1].strip()
    is_whole = bool(within) and text[0] in _QUOTES and text[-1] in _QUOTES
    return (within, True) if is_whole else (text, False)


_QUOTES = '"“”„'


def _enclosed(cursor: DuckDBPyConnection, run: str, beam_size: int, lasso: Lasso) -> str:
    """The name of a table in memory with the rowid in `_cases` of every case inside a region, which is tried once."""
    cases, (inside, corners) = _cases(cursor, run, beam_size), _inside(lasso)
    return _held(cursor, f"SELECT rowid AS place FROM {cases} WHERE {inside}", corners, cases)


def _held(cursor: DuckDBPyConnection, select: str, bound: dict[str, Any], base: str = "held") -> str:
    """The name of the table that holds the rows of `select`, made on its first use.

    It is as old as the connection's first look: whoever writes results opens a new connection.

    Args:
        base: the held table whose row numbers `select` gives, if it does: it takes this one with it when it goes.
    """
    return _made(cursor, _name(select, bound, base), lambda: (select, bound))


def _name(select: str, bound: dict[str, Any], base: str = "held") -> str:
    return f"{base}_" + blake2s(repr((select, sorted(bound.items()))).encode(), digest_size=12).hexdigest()


def _made(cursor: DuckDBPyConnection, name: str, rows: Callable[[], tuple[str, dict[str, Any]]]) -> str:
    """`name`, after the table with the rows of a SELECT and what is bound in it was made, if it was not there."""
    if not _exists(cursor, name):
        select, bound = rows()
        with _holding:  # two pages that open at once would make the same table
            if not _exists(cursor, name):
                cursor.execute(f"CREATE TABLE {name} AS {select}", bound)
                _let_go(cursor, name)
    return name


def _exists(cursor: DuckDBPyConnection, name: str) -> bool:
    try:
        cursor.table(name)  # a third of the time of a SELECT: every question of a page asks this first
    except duckdb.CatalogException:
        return False
    return True


def _let_go(cursor: DuckDBPyConnection, newest: str) -> None:
    """Drops the oldest held tables until at most _MOST_HELD rows are left; never the newest and what it rests on.

    With a table go those that hold its row numbers: one made anew may number its rows otherwise.
    """
    held = cursor.execute(
        "SELECT table_name, estimated_size FROM duckdb_tables() WHERE starts_with(table_name, 'held_') "
        "ORDER BY table_oid DESC"
    ).fetchall()
    rows, names = 0, [name for name, _ in held]
    for name, size in held:
        rows += size
        if rows > _MOST_HELD and not newest.startswith(name):
            for gone in (each for each in names if each.startswith(name)):
                cursor.execute(f"DROP TABLE IF EXISTS {gone}")


def case_count(cursor: DuckDBPyConnection, run: str, beam_size: int, selection: Selection = EVERYTHING) -> pd.DataFrame:
    """One row with the columns selected and total: cases that `selection` leaves, and all of the beam size."""
    where, bound = _condition(cursor, run, beam_size, selection)
    return cursor.execute(
        f"SELECT count(*) FILTER ({where}) AS selected, count(*) AS total FROM {_cases(cursor, run, beam_size)}", bound
    ).df()


def cases(
    cursor: DuckDBPyConnection,
    run: str,
    beam_size: int,
    sort: str,
    descending: bool,
    selection: Selection = EVERYTHING,
    limit: int = 50,
    offset: int = 0,
) -> pd.DataFrame:
    """Cases in order of a metric as it is written; those without a score come last, those alike by image.

    Columns image_id, beam_size, caption, logprob, finished, tags, clip_truncated, a column a metric, file_name,
    references, conditions, and rank and scored: the place by `sort` (1 is the best) among the scored cases of the beam
    size, whatever the selection.

    Raises:
        ValueError: `sort` is no metric.
    """
    direction = "DESC" if descending else "ASC"
    where, bound = _condition(cursor, run, beam_size, selection)
    held = _cases(cursor, run, beam_size)
    order = f"{_written(sort)} {direction} NULLS LAST, image_id"
    frame = cursor.execute(
        f"""
        WITH shown AS (SELECT * FROM {held} WHERE {where} ORDER BY {order} LIMIT $limit OFFSET $offset)
        SELECT shown.* EXCLUDE draw, {_PHOTO_COLUMNS}
        FROM shown LEFT JOIN {_photos(cursor, run)} photos USING (image_id) ORDER BY {order}
        """,
        {"limit": limit, "offset": offset, **bound},
    ).df()
    scored = _known(cursor, held, [sort])[sort]
    ranks = _ranks(_rounded(frame[sort].to_numpy(float, na_value=np.nan), sort), _rounded(scored, sort))
    return frame.assign(rank=ranks, scored=len(scored))


def _written(metric: str) -> str:
    """A metric as it is written, to its last digit: values that people read as equal share a rank."""
    return f"round({metric_column(metric)}, {METRICS[metric].digits})"


def _rounded(values: np.ndarray, metric: str) -> np.ndarray:
    """As `_written` rounds: halves away from zero, where numpy would take the even one."""
    scale = 10 ** METRICS[metric].digits
    return np.trunc(values * scale + np.copysign(0.5, values)) / scale


def _ranks(values: np.ndarray, scored: np.ndarray) -> pd.array:
    """Int64[cases]: 1 + how many of `scored` (float64[N]) are above each value (float64[cases]); null for NaN."""
    above = len(scored) - np.searchsorted(np.sort(scored), values, side="right")
    return pd.array(np.where(np.isnan(values), np.nan, 1 + above), dtype="Int64")


_PHOTO_COLUMNS = 'file_name, "references", coalesce(conditions, []) AS conditions'


def neighbours(
    cursor: DuckDBPyConnection,
    run: str,
    beam_size: int,
    sort: str,
    descending: bool,
    selection: Selection,
    image_id: str,
) -> pd.DataFrame:
    """The cases before and after one in the order of `cases`, or no row where `selection` leaves it out.

    Columns previous, next (image ids, null at the ends), position (1 is the first), selected (cases in that order).

    Raises:
        ValueError: `sort` is no metric.
    """
    column = _written(sort)
    where, bound = _condition(cursor, run, beam_size, selection)
    # Ascending in (missing, key, image_id) is the order of the list: no sorting to find three places in it.
    shown = f"""
        WITH shown AS (
            SELECT image_id, {column} IS NULL AS missing, coalesce({"-" if descending else ""}{column}, 0) AS key
            FROM {_cases(cursor, run, beam_size)} WHERE {where}
        )
    """
    mine = cursor.execute(
        f"{shown} SELECT missing, key FROM shown WHERE image_id = $image_id", bound | {"image_id": image_id}
    )
    place = mine.fetchone()
    if place is None:
        return pd.DataFrame(columns=["previous", "next", "position", "selected"])
    before, after = (f"(missing, key, image_id) {sign} ($missing, $key, $image_id)" for sign in "<>")
    return cursor.execute(
        f"""
        {shown}
        SELECT (SELECT image_id FROM shown WHERE {before} ORDER BY missing DESC, key DESC, image_id DESC LIMIT 1)
                AS previous,
            (SELECT image_id FROM shown WHERE {after} ORDER BY missing, key, image_id LIMIT 1) AS next,
            count(*) FILTER ({before}) + 1 AS position, count(*) AS selected
        FROM shown
        """,
        bound | {"image_id": image_id, "missing": place[0], "key": place[1]},
    ).df()


def case(cursor: DuckDBPyConnection, run: str, beam_size: int, image_id: str) -> pd.DataFrame:
    """The one row of `cases` (without rank and scored) for an image, or none."""
    return cursor.execute(
        f"""
        SELECT cases.* EXCLUDE draw, {_PHOTO_COLUMNS} FROM {_cases(cursor, run, beam_size)} cases
        LEFT JOIN (SELECT * FROM {_photos(cursor, run)} WHERE image_id = $image_id) photos USING (image_id)
        WHERE cases.image_id = $image_id
        """,
        {"image_id": image_id},
    ).df()


def case_metrics(cursor: DuckDBPyConnection, run: str, beam_size: int, image_id: str) -> pd.DataFrame:
    """How one case stands among all of its beam size, a row a metric that it has.

    Columns metric, value, rank (1 is the best), scored (cases with a value), percentile (percent of the other cases
    with a lower value; ties count half; null where there is no other case), in METRICS' order.
    """
    held, columns = _cases(cursor, run, beam_size), ", ".join(map(metric_column, METRICS))
    mine = cursor.execute(f"SELECT {columns} FROM {held} WHERE image_id = ?", [image_id]).fetchone()
    known = {metric: value for metric, value in zip(METRICS, mine or (), strict=False) if value is not None}
    everybody = _known(cursor, held, known)
    rows = [_stands(metric, value, everybody[metric]) for metric, value in known.items()]
    return pd.DataFrame(rows, columns=["metric", "value", "rank", "scored", "percentile"])


def _stands(metric: str, value: float, everybody: np.ndarray) -> tuple[str, float, int, int, float]:
    written, mine, scored = _rounded(everybody, metric), _rounded(np.float64(value), metric), len(everybody)
    above, below = int((written > mine).sum()), int((written < mine).sum())
    ties = scored - above - below - 1
    percentile = 100 * (below + ties / 2) / (scored - 1) if scored > 1 else float("nan")
    return metric, value, above + 1, scored, percentile


def _known(
    cursor: DuckDBPyConnection,
    held: str,
    metrics: Iterable[str],
    where: str = "true",
    bound: dict[str, Any] | None = None,
) -> dict[str, np.ndarray]:
    """float64[cases] of each metric: its values in a table of `_cases`, those that are missing left out.

    Counting and sorting columns here takes less time than planning the statement that would do it there.
    """
    asked = {metric: metric_column(metric) for metric in metrics}
    if not asked:
        return {}
    found = cursor.execute(f"SELECT {', '.join(asked.values())} FROM {held} WHERE {where}", bound or {}).fetchnumpy()
    return {metric: np.ma.compressed(found[metric]) for metric in asked}


def case_captions(cursor: DuckDBPyConnection, run: str, image_id: str) -> pd.DataFrame:
    """What every beam size said about an image: columns beam_size, caption, logprob, finished, cider, clipscore."""
    columns, whole = "beam_size, caption, logprob, finished, cider, clipscore", _name(*_whole(run))
    if _exists(cursor, whole):
        where = "WHERE image_id = ? ORDER BY beam_size"
        return cursor.execute(f"SELECT {columns} FROM {whole} {where}", [image_id]).df()
    # Each side is narrowed before the join: DuckDB then reads the few row groups that can hold the image.
    return cursor.execute(
        f"""
        SELECT {columns}
        FROM (SELECT beam_size, caption, logprob, finished FROM captions WHERE run = $run AND image_id = $image_id)
        LEFT JOIN (SELECT beam_size, cider, clipscore FROM scores WHERE run = $run AND image_id = $image_id)
            USING (beam_size)
        ORDER BY beam_size
        """,
        {"run": run, "image_id": image_id},
    ).df()


def case_hypotheses(cursor: DuckDBPyConnection, run: str, beam_size: int, image_id: str) -> pd.DataFrame:
    """The n best of one case, in order: columns rank, caption, logprob, score, finished, cider, clipscore."""
    return cursor.execute(
        f"""
        SELECT rank, caption, logprob, score, finished, cider, clipscore
        FROM (SELECT * REPLACE ({_FINITE}) FROM hypotheses)
        WHERE run = $run AND beam_size = $beam AND image_id = $image_id ORDER BY rank
        """,
        {"run": run, "beam": int(beam_size), "image_id": image_id},
    ).df()


def metric_ranges(cursor: DuckDBPyConnection, run: str, beam_size: int) -> pd.DataFrame:
    """Columns metric, low, high, middle (median), scored: every metric that some case has, in METRICS' order."""
    rows = [
        (metric, values.min(), values.max(), np.median(values), len(values))
        for metric, values in _known(cursor, _cases(cursor, run, beam_size), METRICS).items()
        if len(values)
    ]
    return pd.DataFrame(rows, columns=["metric", "low", "high", "middle", "scored"])


def histograms(
    cursor: DuckDBPyConnection,
    run: str,
    beam_size: int,
    edges: tuple[tuple[str, float, float], ...],
    selection: Selection = EVERYTHING,
    bins: int = 24,
) -> pd.DataFrame:
    """How the values of metrics lie: columns metric, bin (0 to bins - 1), cases that `selection` leaves.

    Args:
        edges: (metric, lowest, highest), the range that the bins of each metric share equally; empty ones have no row.

    Raises:
        ValueError: a metric that is none.
    """
    if not edges:
        return pd.DataFrame(columns=["metric", "bin", "cases"])
    where, bound = _condition(cursor, run, beam_size, selection)
    values = _known(cursor, _cases(cursor, run, beam_size), [metric for metric, _, _ in edges], where, bound)
    rows = [
        (metric, place, int(count))
        for metric, low, high in sorted(edges)
        for place, count in enumerate(_binned(values[metric], low, high, bins))
        if count
    ]
    return pd.DataFrame(rows, columns=["metric", "bin", "cases"])


def _binned(values: np.ndarray, low: float, high: float, bins: int) -> np.ndarray:
    """int[bins]: how many of `values` lie in each of equal bins; the outer ones take what lies beyond the ends."""
    places = np.clip((values - low) * (bins / (high - low)), 0, bins - 1).astype(int)
    return np.bincount(places, minlength=bins)


def scattered(
    cursor: DuckDBPyConnection,
    run: str,
    beam_size: int,
    x: str,
    y: str,
    selection: Selection = EVERYTHING,
    limit: int = 1200,
) -> pd.DataFrame:
    """Columns image_id, x, y, selected: two metrics of cases that `selection` leaves and of others, `limit` of each.

    Of more cases a sample is given that is the same every time; `matching` counts all that have both metrics and are
    selected, or are not.

    Raises:
        ValueError: `x` or `y` is no metric.
    """
    where, bound = _condition(cursor, run, beam_size, selection)
    first, second, held = metric_column(x), metric_column(y), _cases(cursor, run, beam_size)
    sides = " UNION ALL ".join(
        f"""(SELECT image_id, {first} AS x, {second} AS y, {selected} AS selected, count(*) OVER () AS matching
        FROM {held}
        WHERE {first} IS NOT NULL AND {second} IS NOT NULL AND ({where}) IS {"" if selected else "NOT"} TRUE
        ORDER BY draw, image_id LIMIT $limit)"""
        for selected in (False, True)
    )
    return cursor.execute(f"SELECT * FROM ({sides}) ORDER BY selected, image_id", bound | {"limit": limit}).df()


def quadrants(
    cursor: DuckDBPyConnection,
    run: str,
    beam_size: int,
    x: str,
    y: str,
    parted: tuple[float, float],
    selection: Selection = EVERYTHING,
) -> pd.DataFrame:
    """Columns right, above (whether x and y are over `parted`), cases that `selection` leaves; quadrants with any.

    Raises:
        ValueError: `x` or `y` is no metric.
    """
    where, bound = _condition(cursor, run, beam_size, selection)
    first, second = metric_column(x), metric_column(y)
    return cursor.execute(
        f"""
        SELECT {first} > $part_x AS right, {second} > $part_y AS above, count(*) AS cases
        FROM {_cases(cursor, run, beam_size)} WHERE {first} IS NOT NULL AND {second} IS NOT NULL AND {where}
        GROUP BY ALL ORDER BY ALL
        """,
        bound | {"part_x": parted[0], "part_y": parted[1]},
    ).df()


def selection_scores(cursor: DuckDBPyConnection, run: str, beam_size: int, selection: Selection) -> pd.DataFrame:
    """Every metric on the cases that `selection` leaves and on the rest.

    Columns metric, selected, selected_low, selected_high, selected_cases and the same of rest: the mean of per-image
    values with its 95 % bootstrap interval (null where there are no cases), in METRICS' order.
    """
    where, bound = _condition(cursor, run, beam_size, selection)
    columns = ", ".join(map(metric_column, METRICS))
    found = cursor.execute(
        f"SELECT {columns}, ({where}) IS TRUE AS picked FROM {_cases(cursor, run, beam_size)} ORDER BY image_id", bound
    ).df()
    sides = {"selected": found[found.picked], "rest": found[~found.picked]}
    tested = {side: _means(frame[list(METRICS)].to_numpy(float)) for side, frame in sides.items()}
    rows = []
    for place, metric in enumerate(METRICS):
        row = {"metric": metric}
        for side, values in tested.items():
            row |= dict(zip((side, f"{side}_low", f"{side}_high", f"{side}_cases"), values[place], strict=True))
        rows.append(row)
    frame = pd.DataFrame(rows)
    return frame[frame.selected_cases + frame.rest_cases > 0].reset_index(drop=True)


def _means(values: np.ndarray) -> list[tuple[float, float, float, int]]:
    """(mean, low, high, cases) of each column of float64[cases, metrics]; NaN is no value."""
    known = np.isfinite(values)
    whole = np.flatnonzero(known.all(0)) if len(values) else []
    bounds: dict[int, np.ndarray] = {}
    if len(whole) and len(values) > 1:  # all at once: drawing is most of the work
        resampled = statistics.bootstrap_sums(values[:, whole]) / len(values)
        bounds = dict(zip(whole, np.quantile(resampled, [0.025, 0.975], axis=0).T, strict=True))
    found = []
    for place in range(values.shape[1]):
        mine = values[known[:, place], place]
        low, high = bounds[place] if place in bounds else bootstrap_mean_interval(mine)
        found.append((float(mine.mean()) if len(mine) else float("nan"), float(low), float(high), len(mine)))
    return found


def selection_makeup(cursor: DuckDBPyConnection, run: str, beam_size: int, selection: Selection) -> pd.DataFrame:
    """How often tags and conditions stand among the cases that `selection` leaves, and among the rest.

    Columns kind ("tag" or "condition"), name, selected, selected_cases, rest, rest_cases: cases that have it, and all
    of that side; what is most over-represented comes first.
    """
    where, bound = _condition(cursor, run, beam_size, selection)
    return cursor.execute(
        f"""
        WITH cases AS (
            SELECT image_id, ({where}) IS TRUE AS picked, list_transform(tags, lambda entry: entry.tag) AS tags
            FROM {_cases(cursor, run, beam_size)}
        ),
        named AS (
            SELECT 'tag' AS kind, unnest(list_distinct(tags)) AS name, picked FROM cases WHERE len(tags) > 0
            UNION ALL
            SELECT 'condition', unnest(list_distinct(conditions)), picked
            FROM cases JOIN {_photos(cursor, run)} USING (image_id) WHERE len(conditions) > 0
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


def tags(cursor: DuckDBPyConnection, run: str, beam_size: int) -> pd.DataFrame:
    """Columns tag, images: how often each failure tag was given, most frequent first."""
    return cursor.execute(
        f"""
        SELECT unnest(list_distinct(list_transform(tags, lambda entry: entry.tag))) AS tag, count(*) AS images
        FROM {_cases(cursor, run, beam_size)} WHERE len(tags) > 0 GROUP BY tag ORDER BY images DESC, tag
        """
    ).df()


def conditions(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Columns condition, images: what makes photos hard, where the dataset says so."""
    return cursor.execute(
        f"""
        SELECT unnest(list_distinct(conditions)) AS condition, count(*) AS images
        FROM {_photos(cursor, run)} GROUP BY condition ORDER BY images DESC, condition
        """
    ).df()


def _condition(
    cursor: DuckDBPyConnection, run: str, beam_size: int, selection: Selection
) -> tuple[str, dict[str, Any]]:
    """A WHERE clause over `_cases`, and the values bound in it."""
    clauses: list[str] = ["true"]
    bound: dict[str, Any] = {}
    for index, (metric, low, high) in enumerate(selection.ranges):
        clauses.append(f"{metric_column(metric)} BETWEEN $low_{index} AND $high_{index}")
        bound |= {f"low_{index}": low, f"high_{index}": high}
    if selection.text:
        clauses.append(f"rowid IN (FROM {_spoken(cursor, run, beam_size, selection.text)})")
    if selection.tag:
        clauses.append("list_contains(list_transform(tags, lambda entry: entry.tag), $tag)")
        bound["tag"] = selection.tag
    if selection.condition:
        clauses.append(
            f"image_id IN (SELECT image_id FROM {_photos(cursor, run)} WHERE list_contains(conditions, $condition))"
        )
        bound["condition"] = selection.condition
    if selection.lasso is not None:
        clauses.append(f"rowid IN (FROM {_enclosed(cursor, run, beam_size, selection.lasso)})")
    if selection.among is not None:
        clauses.append("image_id IN (SELECT unnest($among::VARCHAR[]))")
        bound["among"] = list(selection.among)
    if selection.besides:
        clauses.append("image_id NOT IN (SELECT unnest($besides::VARCHAR[]))")
        bound["besides"] = list(selection.besides)
    return " AND ".join(clauses), bound


def _inside(lasso: Lasso) -> tuple[str, dict[str, float]]:
    """Whether a point lies in the region: a ray from it crosses the border an odd number of times."""
    x, y = metric_column(lasso.x), metric_column(lasso.y)
    bound: dict[str, float] = {}
    crossings = []
    borders = zip(lasso.corners, lasso.corners[1:] + lasso.corners[:1], strict=True)
    for n, ((x0, y0), (x1, y1)) in enumerate(borders):
        if y0 == y1:  # level borders are crossed by no level ray
            continue
        # As y lies between the ends, the border is right of the point where x < start + (y - y0) * slope.
        bound |= {f"y0_{n}": y0, f"y1_{n}": y1, f"x0_{n}": x0, f"slope_{n}": (x1 - x0) / (y1 - y0)}
        between = f"($y0_{n} > {y}) <> ($y1_{n} > {y})"
        crossings.append(f"({between} AND {x} < $x0_{n} + ({y} - $y0_{n}) * $slope_{n})::INT")
    if not crossings:
        return "false", {}
    for axis, values in (("x", [x for x, _ in lasso.corners]), ("y", [y for _, y in lasso.corners])):
        bound |= {f"lasso_{axis}_low": min(values), f"lasso_{axis}_high": max(values)}
    # The box around it first: for most points that is all there is to do.
    boxed = f"{x} BETWEEN $lasso_x_low AND $lasso_x_high AND {y} BETWEEN $lasso_y_low AND $lasso_y_high"
    return f"({boxed} AND ({' + '.join(crossings)}) % 2 = 1)", bound


def tag_examples(cursor: DuckDBPyConnection, run: str, beam_size: int) -> pd.DataFrame:
    """Columns tag, images, image_id, caption, evidence: each failure tag with its first case, most frequent first."""
    return cursor.execute(
        """
        SELECT entry.tag AS tag, count(DISTINCT image_id) AS images, min(image_id) AS image_id,
            arg_min(caption, image_id) AS caption, arg_min(entry.evidence, image_id) AS evidence
        FROM (SELECT run, beam_size, image_id, unnest(tags) AS entry FROM scores WHERE run = $run AND beam_size = $beam)
        LEFT JOIN captions USING (run, beam_size, image_id)
        GROUP BY entry.tag ORDER BY images DESC, tag
        """,
        {"run": run, "beam": beam_size},
    ).df()


# Two settings on the same images

_SETTING = f"""
    SELECT image_id, caption, {_FINITE}, bleu_counts, meteor_counts
    FROM captions LEFT JOIN scores USING (run, image_id, beam_size)
    WHERE run = $SIDE_run AND beam_size = $SIDE_beam
"""
_PAIR = f"WITH a AS ({_SETTING.replace('SIDE', 'left')}), b AS ({_SETTING.replace('SIDE', 'right')})"


def partners(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Columns run, shared: captioned runs with images of `run` (itself among them), most shared images first."""
    return cursor.execute(
        """
        SELECT b.run AS run, count(*) AS shared FROM images a JOIN images b USING (image_id)
        WHERE a.run = $run AND b.run IN (SELECT DISTINCT run FROM captions)
        GROUP BY b.run ORDER BY b.run <> $run, shared DESC, b.run
        """,
        {"run": run},
    ).df()


def overlap(cursor: DuckDBPyConnection, run: str, beam: int, other: str, other_beam: int) -> pd.DataFrame:
    """One row: left, right (images of each setting), shared, same (shared images with the same caption)."""
    return cursor.execute(
        f"""
        {_PAIR}
        SELECT (SELECT count(*) FROM a) AS left, (SELECT count(*) FROM b) AS right, count(*) AS shared,
            count(*) FILTER (a.caption = b.caption) AS same
        FROM a JOIN b USING (image_id)
        """,
        _sides(run, beam, other, other_beam),
    ).df()


def namesakes(cursor: DuckDBPyConnection, run: str, other: str) -> pd.DataFrame:
    """One row: images, how many of two runs have one id and references on both sides, but none in common.

    Two datasets may give the same id to different photos.
    """
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
    """Columns image_id, left, right, shared: a metric's two values on images that have both, at most `limit` of them.

    Of more images a sample is given that is the same every time; `shared` counts all of them.

    Raises:
        ValueError: `metric` is no metric.
    """
    column = metric_column(metric)
    return cursor.execute(
        f"""
        {_PAIR}
        SELECT image_id, a.{column} AS left, b.{column} AS right, count(*) OVER () AS shared
        FROM a JOIN b USING (image_id) WHERE a.{column} IS NOT NULL AND b.{column} IS NOT NULL
        ORDER BY md5(image_id), image_id LIMIT $limit
        """,
        _sides(run, beam, other, other_beam) | {"limit": limit},
    ).df()


def paired_cases(
    cursor: DuckDBPyConnection,
    run: str,
    beam: int,
    other: str,
    other_beam: int,
    metric: str,
    descending: bool,
    limit: int = 6,
) -> pd.DataFrame:
    """Shared images with the largest change of a metric, only those that changed in that direction by more than a tie.

    Columns image_id, file_name (in the left run), left, right, change (left - right), left_caption, right_caption.

    Raises:
        ValueError: `metric` is no metric.
    """
    column, direction = metric_column(metric), "DESC" if descending else "ASC"
    return cursor.execute(
        f"""
        {_PAIR}
        SELECT image_id, file_name, a.{column} AS left, b.{column} AS right, a.{column} - b.{column} AS change,
            a.caption AS left_caption, b.caption AS right_caption
        FROM a JOIN b USING (image_id) LEFT JOIN images ON images.run = $left_run AND images.image_id = a.image_id
        WHERE {f"a.{column} - b.{column}" if descending else f"b.{column} - a.{column}"} >= {METRICS[metric].tie}
        ORDER BY change {direction}, a.image_id LIMIT $limit
        """,
        _sides(run, beam, other, other_beam) | {"limit": limit},
    ).df()


def comparison(cursor: DuckDBPyConnection, run: str, beam: int, other: str, other_beam: int) -> pd.DataFrame:
    """Every metric that two settings have on the same images, with its paired tests.

    Columns metric, images, left, right (over those images: means, or the corpus value of a pooled metric whose counts
    were kept), difference (left - right), low, high (95 % bootstrap interval), wins, ties, losses, p_bootstrap,
    p_randomization, p_holm (p_randomization, corrected for the number of metrics), pooled (whether the values are
    corpus values of kept counts); in METRICS' order.
    """
    columns = ", ".join(f"{side}.{metric_column(metric)} AS {side}_{metric}" for metric in METRICS for side in "ab")
    counted = {
        f"{side}_{name}": f"{side}.{column}"
        for side in "ab"
        for kept in _COUNTS
        for name, column in _count_columns(kept).items()
    }
    counts = ", ".join(f"{column} AS {name}" for name, column in counted.items())
    found = cursor.execute(
        f"{_PAIR} SELECT {columns}, {counts} FROM a JOIN b USING (image_id) ORDER BY image_id",
        _sides(run, beam, other, other_beam),
    ).df()
    rows = [_tested(metric, found) for metric in METRICS]
    frame = pd.DataFrame(
        [row for row in rows if row], columns=["metric", "images", "left", "right", "pooled", *_TESTED]
    )
    frame["p_holm"] = statistics.holm(list(frame.p_randomization))
    return frame


_TESTED = ["difference", "low", "high", "wins", "ties", "losses", "p_bootstrap", "p_randomization"]
_COUNTS = {"bleu_counts": BLEU_COUNTS, "meteor_counts": METEOR_COUNTS}


def _count_columns(counts: str) -> dict[str, str]:
    """Name -> expression of each of the kept counts: numbers come out of the database faster than lists."""
    return {f"{counts}_{n}": f"{counts}[{n + 1}]" for n in range(_COUNTS[counts])}


def _tested(metric: str, found: pd.DataFrame) -> dict[str, Any] | None:
    """The row of `comparison` for one metric, or None where no image has both values."""
    known = found[found[[f"a_{metric}", f"b_{metric}"]].notna().all(axis=1)]
    if known.empty:
        return None
    left, right = (known[f"{side}_{metric}"].to_numpy(float) for side in "ab")
    score = None
    if metric in POOLED:
        counted = [_counted(known, side, POOLED[metric].counts) for side in "ab"]
        if all(np.isfinite(counts).all() for counts in counted):
            (left, right), score = counted, POOLED[metric].score
    tested = statistics.compare(left, right, pooled=score, tie=METRICS[metric].tie)
    corpus = [float(np.mean(side)) if score is None else float(score(side.sum(0))) for side in (left, right)]
    row = {"metric": metric, "images": len(known), "left": corpus[0], "right": corpus[1], "pooled": score is not None}
    return row | {name: getattr(tested, name) for name in _TESTED}


def _counted(known: pd.DataFrame, side: str, counts: str) -> np.ndarray:
    """float64[images, C]: the counts of one side; NaN where they were not kept."""
    return known[[f"{side}_{name}" for name in _count_columns(counts)]].to_numpy(float, na_value=np.nan)


def _sides(run: str, beam: int, other: str, other_beam: int) -> dict[str, Any]:
    return {"left_run": run, "left_beam": beam, "right_run": other, "right_beam": other_beam}


# Attention


def attention(cursor: DuckDBPyConnection, run: str, beam_size: int, image_id: str) -> pd.DataFrame:
    """The stored maps of one caption, or no row.

    Columns words, shape [words, layers, heads, patches], weights (bytes), scale, grid_height, grid_width, crop (a dict
    with x, y, width, height in pixels of the upright photo), file_name, width, height (of the photo; may be null).
    """
    return cursor.execute(
        """
        SELECT attention.words, shape, weights, scale, grid_height, grid_width, crop, file_name, width, height
        FROM attention LEFT JOIN images USING (run, image_id)
        WHERE run = ? AND attention.beam_size = ? AND image_id = ?
        """,
        [run, beam_size, image_id],
    ).df()


def has_attention(cursor: DuckDBPyConnection, run: str, beam_size: int, image_id: str) -> pd.DataFrame:
    """One row where the maps of a caption were kept, none where they were not: reads no map."""
    held = _held(cursor, "SELECT image_id, beam_size FROM attention WHERE run = $run", {"run": run})
    where = "WHERE image_id = ? AND beam_size = ?"
    return cursor.execute(f"SELECT image_id FROM {held} {where}", [image_id, beam_size]).df()


def attention_captions(cursor: DuckDBPyConnection, run: str, beam_size: int, limit: int = 1000) -> pd.DataFrame:
    """Columns image_id, caption: the first `limit` captions of a beam size whose maps were kept, by image."""
    return cursor.execute(
        """
        SELECT image_id, caption FROM attention LEFT JOIN captions USING (run, image_id, beam_size)
        WHERE run = ? AND attention.beam_size = ? ORDER BY image_id LIMIT ?
        """,
        [run, beam_size, limit],
    ).df()


def attention_beam_sizes(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Columns beam_size, captions: where attention was kept."""
    return cursor.execute(
        "SELECT beam_size, count(*) AS captions FROM attention WHERE run = ? GROUP BY beam_size ORDER BY beam_size",
        [run],
    ).df()


# Grounding: nouns against the boxes of what they name. head -1 is the mean of a layer's heads.


def grounding_heads(cursor: DuckDBPyConnection, run: str, beam_size: int) -> pd.DataFrame:
    """How well each layer and head points at what the nouns name, by layer and head.

    Columns layer, head, nouns, images, hit (share of nouns whose brightest patch lies in a box of theirs), lift (median
    over the nouns); tested (nouns whose label is boxed in another image as well), and of those alone own (share whose
    brightest patch lies in their own boxes), chance (in those of that other image), gain (own - chance) with its 95 %
    interval low, high, bootstrapped over images. What rests on tested nouns is null where there are none.
    """
    found = cursor.execute(
        f"""
        SELECT layer, head, image_id, count(*) AS nouns, count_if(hit) AS hits, count(shuffled_hit) AS tested,
            count_if(shuffled_hit) AS others, count_if(hit AND shuffled_hit IS NOT NULL) - others AS more
        FROM {_GROUNDED} AND "offset" = 0 GROUP BY layer, head, image_id ORDER BY layer, head, image_id
        """,
        {"run": run, "beam": int(beam_size)},
    ).df()
    lifts = cursor.execute(
        f'SELECT layer, head, median(lift) AS lift FROM {_GROUNDED} AND "offset" = 0 GROUP BY layer, head',
        {"run": run, "beam": int(beam_size)},
    ).df()
    rows = [(*of, *_pointing(group)) for of, group in found.groupby(["layer", "head"])]
    frame = pd.DataFrame(rows, columns=["layer", "head", *_POINTING])
    return frame.merge(lifts, on=["layer", "head"], how="left")


_GROUNDED = "grounding WHERE run = $run AND beam_size = $beam"
_POINTING = ["nouns", "images", "hit", "tested", "own", "chance", "gain", "low", "high"]


def _pointing(group: pd.DataFrame) -> tuple[float, ...]:
    """The columns _POINTING of one layer and head, of its counts by image."""
    nouns, tested = int(group.nouns.sum()), group[group.tested > 0]
    hit, count = float(group.hits.sum()) / nouns, int(tested.tested.sum())
    if not count:
        return nouns, len(group), hit, 0, *[float("nan")] * 5
    low, high = bootstrap_ratio_interval(tested.more, tested.tested)
    chance, gain = float(tested.others.sum()) / count, float(tested.more.sum()) / count
    return nouns, len(group), hit, count, chance + gain, chance, gain, low, high


def grounding_offsets(cursor: DuckDBPyConnection, run: str, beam_size: int) -> pd.DataFrame:
    """How well the maps of words before and after a noun point at what it names, heads averaged.

    Columns layer, offset (words after the noun, -3 to 3), nouns, hit (share) and its 95 % interval low, high,
    bootstrapped over images. Nouns near an end of the caption lack some offsets.
    """
    found = cursor.execute(
        f"""
        SELECT layer, "offset", image_id, count(*) AS nouns, count_if(hit) AS hits
        FROM {_GROUNDED} AND head = -1 GROUP BY layer, "offset", image_id ORDER BY layer, "offset", image_id
        """,
        {"run": run, "beam": int(beam_size)},
    ).df()
    rows = [
        (*of, int(group.nouns.sum()), group.hits.sum() / group.nouns.sum())
        + bootstrap_ratio_interval(group.hits, group.nouns)
        for of, group in found.groupby(["layer", "offset"])
    ]
    return pd.DataFrame(rows, columns=["layer", "offset", "nouns", "hit", "low", "high"])


def grounding_labels(cursor: DuckDBPyConnection, run: str, beam_size: int, layer: int, head: int) -> pd.DataFrame:
    """How well one layer and head points at each label, the worst first.

    Columns label, nouns, hit (share) and its 95 % Wilson interval low, high, chance (as in `grounding_heads`, null
    where no other image has the label), lift (median), image_id and word_index (of the noun it is furthest off).
    """
    frame = cursor.execute(
        f"""
        SELECT label, count(*) AS nouns, count_if(hit) AS hits, avg(shuffled_hit::INT) AS chance, median(lift) AS lift,
            arg_min(image_id, (hit, lift, image_id, word_index)) AS image_id,
            arg_min(word_index, (hit, lift, image_id, word_index)) AS word_index
        FROM {_GROUNDED} AND "offset" = 0 AND layer = $layer AND head = $head GROUP BY label
        """,
        {"run": run, "beam": int(beam_size), "layer": int(layer), "head": int(head)},
    ).df()
    frame["hit"] = frame.hits / frame.nouns
    frame["low"], frame["high"] = _unzip(_wilson(*pair) for pair in zip(frame.hits, frame.nouns, strict=True))
    ordered = frame.sort_values(["hit", "nouns", "label"], ascending=[True, False, True], ignore_index=True)
    return ordered[["label", "nouns", "hit", "low", "high", "chance", "lift", "image_id", "word_index"]]


def case_grounding(cursor: DuckDBPyConnection, run: str, beam_size: int, image_id: str) -> pd.DataFrame:
    """The nouns of one caption with a box to hold them against, under every layer and head.

    Columns word_index, word, label, layer, head, mass, lift, hit, ordered by the first and by layer and head.
    """
    return cursor.execute(
        f"""
        SELECT word_index, word, label, layer, head, mass, lift, hit FROM {_GROUNDED} AND image_id = $image_id
            AND "offset" = 0 ORDER BY word_index, layer, head
        """,
        {"run": run, "beam": int(beam_size), "image_id": image_id},
    ).df()


def boxes(cursor: DuckDBPyConnection, run: str, image_id: str) -> pd.DataFrame:
    """The annotated objects of an image: columns label, x, y, width, height, in pixels of the upright photo."""
    return cursor.execute(
        """
        SELECT unnest(objects, recursive := true) FROM images WHERE run = $run AND image_id = $image_id
        """,
        {"run": run, "image_id": image_id},
    ).df()


# Zero-shot


def zero_shot_accuracy(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Return columns template, images, known (with a true label), right, accuracy, low, high; best first.

    Accuracy is a share of `known`, null where that is 0; low and high are its 95 % Wilson interval. Of equal templates
    the one that was given first comes first.
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
    frame["low"], frame["high"] = _unzip([_wilson(*pair) for pair in zip(frame.right, frame.known, strict=True)])
    return frame


def _given_templates(cursor: DuckDBPyConnection, run: str) -> list[str]:
    """The templates of a run in the order in which they were given; empty where its record does not say."""
    found = cursor.execute("SELECT record FROM runs WHERE run = ?", [run]).fetchone()
    record = json.loads(found[0]) if found else {}
    plan = record.get("plan")
    given = record.get("templates") or (plan.get("templates") if isinstance(plan, dict) else None)
    return [name for name in given if isinstance(name, str)] if isinstance(given, list) else []


def zero_shot_labels(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Columns label, images: the true labels of a run, by name."""
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
) -> pd.DataFrame:
    """Images under a template, the surest prediction first.

    Columns image_id, file_name, label, predicted, correct, top (list of dicts with label and probability), matching
    (how many images the choice leaves, whatever the limit).

    Raises:
        ValueError: `outcome` is not all, right or wrong.
    """
    if outcome not in _OUTCOMES:
        raise ValueError(f"outcome is {outcome!r}, expected one of {', '.join(_OUTCOMES)}")
    return cursor.execute(
        f"""
        SELECT image_id, file_name, label, predicted, correct, top, count(*) OVER () AS matching FROM zero_shot
        WHERE run = $run AND template = $template AND {_OUTCOMES[outcome]} AND ($label = '' OR label = $label)
        ORDER BY top[1].probability DESC NULLS LAST, image_id LIMIT $limit OFFSET $offset
        """,
        {"run": run, "template": template, "label": label, "limit": limit, "offset": offset},
    ).df()


def zero_shot_comparison(cursor: DuckDBPyConnection, run: str, left: str, right: str) -> pd.DataFrame:
    """Two templates on the same images with a known label, or no row where there are none.

    Columns images, both, only_left, only_right, neither (images classified rightly), p (exact McNemar test).
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
        for row in frame.itertuples()
    ]
    return frame[frame.images > 0]


def zero_shot_changes(cursor: DuckDBPyConnection, run: str, left: str, right: str) -> pd.DataFrame:
    """Classes under two templates: what the left one gains over the right one, largest change first.

    Columns label, images, left, right (images classified rightly), change (left - right).
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
    """Columns label, predicted, images: what the classes are taken for under a template, most frequent first."""
    return cursor.execute(
        """
        SELECT label, predicted, count(*) AS images FROM zero_shot
        WHERE run = ? AND template = ? AND label IS NOT NULL AND predicted IS NOT NULL
        GROUP BY label, predicted ORDER BY images DESC, label, predicted
        """,
        [run, template],
    ).df()
