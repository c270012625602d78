"""Every SELECT over the results: one function a question, each giving a DataFrame.

Knows the views of `store.connect` and SQL. Knows nothing of pages, figures or files. Whatever comes from a person or a
file is bound as a parameter; what cannot be bound (a column to sort by) is checked against the contract first.
"""

from dataclasses import dataclass
from typing import Any

import pandas as pd
from duckdb import DuckDBPyConnection

from engine.schema import METRICS
from engine.statistics import bootstrap_mean_interval, wilson_interval


@dataclass(frozen=True)
class Selection:
    """Which cases of a run are meant; it selects stored scores and never changes them.

    `text` is looked for in the caption and in the references, as it stands, whatever the case of its letters.
    """

    ranges: tuple[tuple[str, float, float], ...] = ()  # (metric, lowest, highest), both included
    text: str = ""
    tag: str = ""
    condition: str = ""


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
    """Columns run, record (`run.json` as text), captions, images, set_aside, attention (rows), zero_shot (images)."""
    return cursor.execute(
        """
        SELECT run, record,
            (SELECT count(*) FROM captions WHERE captions.run = runs.run) AS captions,
            (SELECT count(*) FROM images WHERE images.run = runs.run) AS images,
            (SELECT count(*) FROM set_aside WHERE set_aside.run = runs.run) AS set_aside,
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


def training(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Columns step, epoch, loss (nats a token), lr, grad_norm, validation_cider, validation_clipscore; by step."""
    return cursor.execute(
        """
        SELECT step, epoch, loss, lr, grad_norm, validation_cider, validation_clipscore
        FROM training WHERE run = ? ORDER BY step
        """,
        [run],
    ).df()


def set_aside(cursor: DuckDBPyConnection, run: str, limit: int = 1000) -> pd.DataFrame:
    """Columns image_id, file_name, reason: the first `limit` photos of a run that could not be used."""
    return cursor.execute(
        "SELECT image_id, file_name, reason FROM set_aside WHERE run = ? ORDER BY file_name, image_id LIMIT ?",
        [run, limit],
    ).df()


# Beam sizes


def beam_statistics(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """What the captions of each beam size are like.

    Columns beam_size, captions; words, words_low, words_high (mean words a caption, bootstrap interval); distinct_words
    (in all captions together); unfinished, unfinished_low, unfinished_high (share cut at the maximum length, Wilson
    interval; null where it is not known); previous (the next smaller beam size), changed, changed_low, changed_high
    (share of captions that differ from those of `previous`, Wilson interval; null at the smallest).
    """
    frame = _caption_counts(cursor, run).merge(_changes(cursor, run), on="beam_size", how="left")
    lengths = _word_counts(cursor, run)
    bounds = frame.beam_size.map(lambda beam: bootstrap_mean_interval(lengths.words[lengths.beam_size == beam]))
    frame["words_low"], frame["words_high"] = _unzip(bounds)
    for share, count, total in (("unfinished", "cut", "known"), ("changed", "differing", "compared")):
        frame[share] = frame[count] / frame[total].where(frame[total] > 0)
        bounds = [_wilson(*pair) for pair in zip(frame[count], frame[total], strict=True)]
        frame[f"{share}_low"], frame[f"{share}_high"] = _unzip(bounds)
    return frame.drop(columns=["cut", "known", "differing", "compared"])


def _caption_counts(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    return cursor.execute(
        """
        SELECT beam_size, count(*) AS captions, avg(len(words)) AS words,
            len(list_distinct(flatten(list(words)))) AS distinct_words,
            count(*) FILTER (NOT finished) AS cut, count(finished) AS known
        FROM captions WHERE run = ? GROUP BY beam_size ORDER BY beam_size
        """,
        [run],
    ).df()


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


def _word_counts(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    return cursor.execute(
        "SELECT beam_size, len(words) AS words FROM captions WHERE run = ? AND words IS NOT NULL "
        "ORDER BY beam_size, image_id",
        [run],
    ).df()


def _wilson(count: float, total: float) -> tuple[float, float]:
    return wilson_interval(int(count), int(total)) if total > 0 else (float("nan"), float("nan"))


def _unzip(bounds: Any) -> tuple[list[float], list[float]]:
    pairs = list(bounds)
    return [low for low, _ in pairs], [high for _, high in pairs]


# Cases: an image at a beam size

_CASES = """
    SELECT captions.image_id, captions.beam_size, file_name, caption, captions.words AS words, logprob, finished,
        "references", coalesce(conditions, []) AS conditions, coalesce(tags, []) AS tags, clip_truncated, {metrics}
    FROM captions
    LEFT JOIN scores USING (run, image_id, beam_size)
    LEFT JOIN images USING (run, image_id)
    WHERE run = $run AND captions.beam_size = $beam_size
"""
# A NaN or an infinity of a foreign file is no score: DuckDB would rank it above every number.
_CASES = _CASES.format(
    metrics=", ".join(
        f"CASE WHEN isfinite({column}) THEN {column} END AS {column}" for column in map(metric_column, METRICS)
    )
)


def case_count(cursor: DuckDBPyConnection, run: str, beam_size: int, selection: Selection = EVERYTHING) -> pd.DataFrame:
    """One row with the columns selected and total: cases that `selection` leaves, and all of the beam size."""
    where, parameters = _condition(selection)
    return cursor.execute(
        f"WITH cases AS ({_CASES}) SELECT count(*) FILTER ({where}) AS selected, count(*) AS total FROM cases",
        {"run": run, "beam_size": beam_size, **parameters},
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
    """Cases in order of a metric; those without a score come last.

    Columns image_id, beam_size, file_name, caption, words, logprob, finished, references, conditions, tags,
    clip_truncated, a column a metric, and rank and scored: the place by `sort` (1 is the best) among the scored cases
    of the beam size, whatever the selection.

    Raises:
        ValueError: `sort` is no metric.
    """
    column, direction = metric_column(sort), "DESC" if descending else "ASC"
    where, parameters = _condition(selection)
    return cursor.execute(
        f"""
        WITH cases AS ({_CASES}),
        ranked AS (
            SELECT *, count({column}) OVER () AS scored,
                CASE WHEN {column} IS NOT NULL THEN rank() OVER (ORDER BY {column} DESC NULLS LAST) END AS rank
            FROM cases
        )
        SELECT * FROM ranked WHERE {where} ORDER BY {column} {direction} NULLS LAST, image_id
        LIMIT $limit OFFSET $offset
        """,
        {"run": run, "beam_size": beam_size, "limit": limit, "offset": offset, **parameters},
    ).df()


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
    column, direction = metric_column(sort), "DESC" if descending else "ASC"
    where, parameters = _condition(selection)
    return cursor.execute(
        f"""
        WITH cases AS ({_CASES}),
        placed AS (
            SELECT image_id, lag(image_id) OVER shown AS previous, lead(image_id) OVER shown AS next,
                row_number() OVER shown AS position, count(*) OVER () AS selected
            FROM cases WHERE {where} WINDOW shown AS (ORDER BY {column} {direction} NULLS LAST, image_id)
        )
        SELECT previous, next, position, selected FROM placed WHERE image_id = $image_id
        """,
        {"run": run, "beam_size": beam_size, "image_id": image_id, **parameters},
    ).df()


def case(cursor: DuckDBPyConnection, run: str, beam_size: int, image_id: str) -> pd.DataFrame:
    """The one row of `cases` (without rank) for an image, or none."""
    return cursor.execute(
        f"WITH cases AS ({_CASES}) SELECT * FROM cases WHERE image_id = $image_id",
        {"run": run, "beam_size": beam_size, "image_id": image_id},
    ).df()


def case_metrics(cursor: DuckDBPyConnection, run: str, beam_size: int, image_id: str) -> pd.DataFrame:
    """How one case stands among all of its beam size, a row a metric that it has.

    Columns metric, value, rank (1 is the best), scored (cases with a value), percentile (percent of the other cases
    with a lower value; ties count half; null where there is no other case), in METRICS' order.
    """
    columns = ", ".join(metric_column(metric) for metric in METRICS)
    return cursor.execute(
        f"""
        WITH values AS (
            FROM (UNPIVOT (SELECT image_id, {columns} FROM scores WHERE run = $run AND beam_size = $beam_size)
                ON {columns} INTO NAME metric VALUE value)
            WHERE isfinite(value)
        ),
        mine AS (SELECT metric, value FROM values WHERE image_id = $image_id)
        SELECT mine.metric, mine.value,
            count(*) FILTER (values.value > mine.value) + 1 AS rank, count(*) AS scored,
            100.0 * (count(*) FILTER (values.value < mine.value)
                + 0.5 * (count(*) FILTER (values.value = mine.value) - 1)) / nullif(count(*) - 1, 0) AS percentile
        FROM mine JOIN values USING (metric) GROUP BY mine.metric, mine.value
        ORDER BY list_position($metrics, mine.metric)
        """,
        {"run": run, "beam_size": beam_size, "image_id": image_id, "metrics": list(METRICS)},
    ).df()


def case_captions(cursor: DuckDBPyConnection, run: str, image_id: str) -> pd.DataFrame:
    """What every beam size said about an image: columns beam_size, caption, logprob, finished, a column a metric."""
    columns = ", ".join(metric_column(metric) for metric in METRICS)
    return cursor.execute(
        f"""
        SELECT captions.beam_size, caption, logprob, finished, {columns}
        FROM captions LEFT JOIN scores USING (run, image_id, beam_size)
        WHERE run = ? AND image_id = ? ORDER BY captions.beam_size
        """,
        [run, image_id],
    ).df()


def metric_ranges(cursor: DuckDBPyConnection, run: str, beam_size: int) -> pd.DataFrame:
    """Columns metric, low, high, scored: the range of every metric that some case has, in METRICS' order."""
    columns = ", ".join(metric_column(metric) for metric in METRICS)
    return cursor.execute(
        f"""
        SELECT metric, min(value) AS low, max(value) AS high, count(*) AS scored
        FROM (UNPIVOT (SELECT {columns} FROM scores WHERE run = ? AND beam_size = ?)
            ON {columns} INTO NAME metric VALUE value)
        WHERE isfinite(value) GROUP BY metric ORDER BY list_position(?, metric)
        """,
        [run, beam_size, list(METRICS)],
    ).df()


def tags(cursor: DuckDBPyConnection, run: str, beam_size: int) -> pd.DataFrame:
    """Columns tag, images: how often each failure tag was given, most frequent first."""
    return cursor.execute(
        """
        SELECT unnest(list_distinct(list_transform(tags, lambda entry: entry.tag))) AS tag, count(*) AS images
        FROM scores WHERE run = ? AND beam_size = ? GROUP BY tag ORDER BY images DESC, tag
        """,
        [run, beam_size],
    ).df()


def conditions(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Columns condition, images: what makes photos hard, where the dataset says so."""
    return cursor.execute(
        """
        SELECT unnest(list_distinct(conditions)) AS condition, count(*) AS images
        FROM images WHERE run = ? GROUP BY condition ORDER BY images DESC, condition
        """,
        [run],
    ).df()


def _condition(selection: Selection) -> tuple[str, dict[str, Any]]:
    """A WHERE clause over `cases`, and the values bound in it."""
    clauses: list[str] = ["true"]
    bound: dict[str, Any] = {}
    for index, (metric, low, high) in enumerate(selection.ranges):
        clauses.append(f"{metric_column(metric)} BETWEEN $low_{index} AND $high_{index}")
        bound |= {f"low_{index}": low, f"high_{index}": high}
    if selection.text:
        # contains() and not LIKE: a percent sign in the search is a percent sign.
        clauses.append(
            '(contains(lower(caption), lower($text)) OR contains(lower(array_to_string("references", chr(10))), '
            "lower($text)))"
        )
        bound["text"] = selection.text
    if selection.tag:
        clauses.append("list_contains(list_transform(tags, lambda entry: entry.tag), $tag)")
        bound["tag"] = selection.tag
    if selection.condition:
        clauses.append("list_contains(conditions, $condition)")
        bound["condition"] = selection.condition
    return " AND ".join(clauses), bound


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


# Zero-shot


def zero_shot_accuracy(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Columns template, images, known (with a true label), right, accuracy, low, high; best first.

    Accuracy is a share of `known`, null where that is 0; low and high are its 95 % Wilson interval.
    """
    frame = cursor.execute(
        """
        SELECT template, count(*) AS images, count(label) AS known,
            count(*) FILTER (correct AND label IS NOT NULL) AS right,
            count(*) FILTER (correct AND label IS NOT NULL) / nullif(count(label), 0) AS accuracy
        FROM zero_shot WHERE run = ? GROUP BY template ORDER BY accuracy DESC NULLS LAST, template
        """,
        [run],
    ).df()
    frame["low"], frame["high"] = _unzip([_wilson(*pair) for pair in zip(frame.right, frame.known, strict=True)])
    return frame


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
