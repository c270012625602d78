"""Runs, their beam sizes and their corpus scores."""

import pandas as pd
from duckdb import DuckDBPyConnection

from engine.store.queries.columns import lower_is_better
from engine.store.schema import METRICS


def runs(cursor: DuckDBPyConnection) -> pd.DataFrame:
    """Return the finished runs by name.

    Columns run, record (`run.json` as text), captions, images, skipped, attention (rows), zero_shot (images).
    """
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
    """Return columns beam_size (ascending; 0 is imported), captions (a count)."""
    return cursor.execute(
        "SELECT beam_size, count(*) AS captions FROM captions WHERE run = ? GROUP BY beam_size ORDER BY beam_size",
        [run],
    ).df()


def corpus_scores(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Return columns beam_size, metric, value, low, high (95 %), images, signature; metrics in METRICS' order."""
    return cursor.execute(
        """
        SELECT beam_size, metric, value, low, high, images, signature FROM corpus_scores
        WHERE run = ? AND list_contains(?, metric) ORDER BY list_position(?, metric), beam_size
        """,
        [run, list(METRICS), list(METRICS)],
    ).df()


def best_scores(cursor: DuckDBPyConnection) -> pd.DataFrame:
    """Return the best beam size of each run by each metric.

    Columns run, metric, beam_size, value, low, high, images, signature. Of two equal beam sizes the smaller is the
    better: it costs less.
    """
    return cursor.execute(
        """
        SELECT run, metric, beam_size, value, low, high, images, signature FROM corpus_scores
        QUALIFY row_number() OVER (
            PARTITION BY run, metric
            ORDER BY if(list_contains(?::VARCHAR[], metric), -value, value) DESC NULLS LAST, beam_size
        ) = 1
        ORDER BY run, list_position(?, metric)
        """,
        [lower_is_better(), list(METRICS)],
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
    """Return the training curve by step.

    Columns step, epoch, loss (nats per token), lr, grad_norm, validation_cider, validation_clipscore.
    """
    return cursor.execute(
        """
        SELECT step, epoch, loss, lr, grad_norm, validation_cider, validation_clipscore
        FROM training WHERE run = ? ORDER BY step
        """,
        [run],
    ).df()


def skipped(cursor: DuckDBPyConnection, run: str, limit: int = 1000) -> pd.DataFrame:
    """Return columns image_id, file_name, reason: the first `limit` photos that a run skipped."""
    return cursor.execute(
        "SELECT image_id, file_name, reason FROM skipped WHERE run = ? ORDER BY file_name, image_id LIMIT ?",
        [run, limit],
    ).df()


def skipped_count(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Return column skipped: how many photos a run skipped."""
    return cursor.execute("SELECT count(*) AS skipped FROM skipped WHERE run = ?", [run]).df()
