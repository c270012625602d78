"""Words of captions: what the model says about each of them, how it was explained, and how good its alarm is.

Runs without these tables give empty frames. An alarm is the probability that a word is made up, from the model alone.
"""

import json

import pandas as pd
from duckdb import DuckDBPyConnection

from engine.diagnosis.agreement import Agreement
from engine.diagnosis.lexicon import Mentions
from engine.statistics import bootstrap_ratio_interval
from engine.store.queries.stored import is_stored
from engine.store.queries.temporary_tables import keep

OBJECT = "object"
"""The kind of claim of words that name an object. Other kinds of alarms: colour, count, relation."""

_CASE = "run = $run AND beam_size = $beam AND image_id = $image_id"


def case_words(cursor: DuckDBPyConnection, run: str, beam_size: int, image_id: str) -> pd.DataFrame:
    """Return the rows of `words` of one caption in order: word_index, word and the columns after it in the contract."""
    return cursor.execute(
        f"SELECT * EXCLUDE (run, image_id, beam_size) FROM words WHERE {_CASE} ORDER BY word_index",
        _of_case(run, beam_size, image_id),
    ).df()


def case_samples(cursor: DuckDBPyConnection, run: str, image_id: str) -> pd.DataFrame:
    """Return the sampled captions of an image: columns view, number (from 1 in each view), caption."""
    return cursor.execute(
        """
        SELECT view, unnest(range(1, len(captions) + 1)) AS number, unnest(captions) AS caption
        FROM samples WHERE run = $run AND image_id = $image_id ORDER BY view, number
        """,
        {"run": run, "image_id": image_id},
    ).df()


def word_agreement(
    cursor: DuckDBPyConnection, run: str, beam_size: int, image_id: str, word: str, label: object = None
) -> pd.DataFrame:
    """Return the captions that the agreement of a word was computed from, and whether each of them says the same.

    They are the samples of the image or, without samples, the other hypotheses. Columns source (a view, or "n-best"),
    number, caption, agrees (bool); those that disagree come first. No row for punctuation.

    Args:
        label: the object that the word names; if it is not a string, a caption must contain the word itself.
    """
    found = case_samples(cursor, run, image_id).rename(columns={"view": "source"})
    if found.empty:
        found = cursor.execute(
            f"SELECT 'n-best' AS source, rank AS number, caption FROM hypotheses WHERE {_CASE} AND rank > 1",
            _of_case(run, beam_size, image_id),
        ).df()
    label = label if isinstance(label, str) else None  # pandas gives NaN
    labels = _labels(cursor, run, label)
    mentions = Mentions(labels) if labels else None
    agrees = [Agreement([caption], mentions).of(word, label) for caption in found.caption]
    return found.assign(agrees=agrees).dropna(subset=["agrees"]).astype({"agrees": bool}).sort_values(
        ["agrees", "source", "number"], ignore_index=True
    )  # fmt: skip


def word_maps(
    cursor: DuckDBPyConnection, run: str, beam_size: int, image_id: str, word_index: int | None = None
) -> pd.DataFrame:
    """Return the maps of a noun, or of all nouns of a caption, by each explanation method.

    Columns word_index, method, map (uint8 bytes, row by row; 255 is the cell that matters most), grid_height,
    grid_width, hit, chance, deletion, insertion, seconds; ordered by word and method, without random orders of cells.
    """
    return cursor.execute(
        f"""
        SELECT word_index, method, map, grid_height, grid_width, hit, chance, deletion, insertion, seconds
        FROM explanations WHERE {_CASE} AND method <> 'random' AND ($word IS NULL OR word_index = $word)
        ORDER BY word_index, method
        """,
        _of_case(run, beam_size, image_id) | {"word": word_index},
    ).df()


def certificates(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Return the rows of `certificates` of a run: the recommended method first, then by faithfulness."""
    return cursor.execute(
        """
        SELECT * EXCLUDE run FROM certificates WHERE run = $run
        ORDER BY beam_size, recommended DESC, certified DESC, insertion - deletion DESC, method
        """,
        {"run": run},
    ).df()


def alarms(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Return how well alarms separate wrong words from right ones: the rows of `alarms`, by beam size, OBJECT first."""
    return cursor.execute(
        """
        SELECT beam_size, kind, words, wrong, auroc, low, high FROM alarms WHERE run = $run
        ORDER BY beam_size, kind <> $object, kind
        """,
        {"run": run, "object": OBJECT},
    ).df()


def alarm_bins(cursor: DuckDBPyConnection, run: str, beam_size: int, kind: str = OBJECT) -> pd.DataFrame:
    """Return the mean alarm and the share of wrong words of groups of equal size: columns bin, words, said, wrong."""
    return cursor.execute(
        "SELECT bin, words, said, wrong FROM alarm_bins WHERE run = ? AND beam_size = ? AND kind = ? ORDER BY bin",
        [run, int(beam_size), kind],
    ).df()


def suspicious_words(cursor: DuckDBPyConnection, run: str, beam_size: int, limit: int = 50) -> pd.DataFrame:
    """Return the nouns with the highest alarms: image_id, word_index, word, label, alarm, agreement, verdict, evidence.

    Equal ones by image and place.
    """
    # The lowest of them first, from one column: then DuckDB reads the other columns of few rows.
    return cursor.execute(
        """
        WITH highest AS (
            SELECT alarm FROM words
            WHERE run = $run AND beam_size = $beam AND label IS NOT NULL AND alarm IS NOT NULL
            ORDER BY alarm DESC LIMIT $limit
        )
        SELECT image_id, word_index, word, label, alarm, agreement, verdict, evidence
        FROM words
        WHERE run = $run AND beam_size = $beam AND label IS NOT NULL AND alarm >= (SELECT min(alarm) FROM highest)
        ORDER BY alarm DESC, image_id, word_index LIMIT $limit
        """,
        {"run": run, "beam": int(beam_size), "limit": int(limit)},
    ).df()


def word_claims(cursor: DuckDBPyConnection, run: str, beam_size: int) -> pd.DataFrame:
    """Return columns fact, verdict, words, captions: what words of a beam size claim and whether it is true.

    Wrong ones come first, then by frequency.
    """
    select = """
        SELECT fact, verdict, count(*) AS words, count(DISTINCT image_id) AS captions
        FROM words WHERE run = $run AND beam_size = $beam AND fact IS NOT NULL AND verdict IS NOT NULL
        GROUP BY fact, verdict
    """
    table = keep(cursor, select, {"run": run, "beam": int(beam_size)})
    return cursor.execute(f"SELECT * FROM {table} ORDER BY verdict <> 'wrong', words DESC, fact").df()


def has_words(cursor: DuckDBPyConnection, run: str) -> pd.DataFrame:
    """Return columns words, samples, alarms, certificates: whether a run has these tables."""
    names = ("words", "samples", "alarms", "certificates")
    return pd.DataFrame({name: [is_stored(cursor, name, run)] for name in names})


def best_attention_head(cursor: DuckDBPyConnection, run: str, beam_size: int) -> pd.DataFrame:
    """Return the attention map that points best at objects, chosen on half of the images, measured on the other half.

    The best of many maps is partly best by luck on the images it was chosen on, so those are not measured. One row:
    layer, head (-1: the mean of heads), chosen_nouns, chosen_hit (hit rate where it was chosen), nouns, images, hit
    (hit rate on the other half) with its 95 % interval low, high, bootstrapped over images; no row if a half is empty.
    Halves are by a hash of the image id. Of equal maps the last layer, and the mean of heads, is chosen.
    """
    counts = cursor.execute(
        """
        SELECT image_id, md5_number_lower(image_id) % 2 = 1 AS choosing, layer, head, count(*) AS nouns,
            count_if(hit) AS hits
        FROM grounding WHERE run = $run AND beam_size = $beam AND "offset" = 0
        GROUP BY image_id, layer, head ORDER BY image_id
        """,
        {"run": run, "beam": int(beam_size)},
    ).df()
    columns = ["layer", "head", "chosen_nouns", "chosen_hit", "nouns", "images", "hit", "low", "high"]
    if counts.choosing.nunique() < 2:
        return pd.DataFrame(columns=columns)
    sums = counts[counts.choosing].groupby(["layer", "head"])[["nouns", "hits"]].sum().reset_index()
    ranked = sums.assign(hit=sums.hits / sums.nouns).sort_values(
        ["hit", "layer", "head"], ascending=[False, False, True]
    )
    best = ranked.iloc[0]
    rest = counts[~counts.choosing & (counts.layer == best.layer) & (counts["head"] == best["head"])]
    if rest.empty:
        return pd.DataFrame(columns=columns)
    low, high = bootstrap_ratio_interval(rest.hits, rest.nouns)
    row = (int(best.layer), int(best["head"]), int(best.nouns), float(best.hit), int(rest.nouns.sum()), len(rest))
    return pd.DataFrame([(*row, rest.hits.sum() / rest.nouns.sum(), low, high)], columns=columns)


def _of_case(run: str, beam_size: int, image_id: str) -> dict[str, object]:
    return {"run": run, "beam": int(beam_size), "image_id": image_id}


def _labels(cursor: DuckDBPyConnection, run: str, label: str | None) -> list[str]:
    """Return the labels that words of a run may name: those of its record, and the one that is asked for."""
    found = cursor.execute(
        "SELECT json_extract(record, '$.plan.words.labels')::VARCHAR FROM runs WHERE run = ?", [run]
    ).fetchone()
    stored = json.loads(found[0]) if found and found[0] else []
    known = [each for each in stored if isinstance(each, str)] if isinstance(stored, list) else []
    return list(dict.fromkeys([*known, *([label] if label else [])]))
