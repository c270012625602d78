"""Attention grounding: the maps of nouns compared with the boxes of the objects they name."""

import pandas as pd
from duckdb import DuckDBPyConnection

from engine.statistics import bootstrap_ratio_interval
from engine.store.frames import groups
from engine.store.queries.intervals import share_interval, unzip


def grounding_heads(cursor: DuckDBPyConnection, run: str, beam_size: int) -> pd.DataFrame:
    """Return how often the maps of each layer and head peak in a box of the object that the noun names.

    Head -1 is the mean of a layer's heads. Columns layer, head, nouns, images, hit (hit rate: share of nouns whose
    brightest patch lies in a box of their object), lift (median over the nouns); tested (nouns whose label has a box in
    another image, too), and of those only own (hit rate), chance (hit rate in the boxes of the other image), gain
    (own - chance) with its 95 % interval low, high, bootstrapped over images; compared (images of those nouns) and
    differing (those whose two rates differ). Rates and intervals of `tested` nouns are null if there are none.
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
    rows = [(*of, *_pointing(group)) for of, group in groups(found, ["layer", "head"])]
    frame = pd.DataFrame(rows, columns=["layer", "head", *_POINTING])
    return frame.merge(lifts, on=["layer", "head"], how="left")


_GROUNDED = "grounding WHERE run = $run AND beam_size = $beam"


_POINTING = ["nouns", "images", "hit", "tested", "own", "chance", "gain", "low", "high", "compared", "differing"]


def _pointing(group: pd.DataFrame) -> tuple[float, ...]:
    """Return the columns _POINTING of one layer and head from its counts per image."""
    nouns, tested = int(group.nouns.sum()), group[group.tested > 0]
    hit, count = float(group.hits.sum()) / nouns, int(tested.tested.sum())
    if not count:
        return nouns, len(group), hit, 0, *[float("nan")] * 5, 0, 0
    low, high = bootstrap_ratio_interval(tested.more, tested.tested)
    chance, gain = float(tested.others.sum()) / count, float(tested.more.sum()) / count
    differing = int((tested.more != 0).sum())
    return nouns, len(group), hit, count, chance + gain, chance, gain, low, high, len(tested), differing


def grounding_offsets(cursor: DuckDBPyConnection, run: str, beam_size: int) -> pd.DataFrame:
    """Return the hit rate of the maps of the words before and after a noun, averaged over heads.

    Columns layer, offset (words after the noun, -3 to 3), nouns, hit (hit rate) and its 95 % interval low, high,
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
        for of, group in groups(found, ["layer", "offset"])
    ]
    return pd.DataFrame(rows, columns=["layer", "offset", "nouns", "hit", "low", "high"])


def grounding_labels(cursor: DuckDBPyConnection, run: str, beam_size: int, layer: int, head: int) -> pd.DataFrame:
    """Return the hit rate of one layer and head by label, the lowest first.

    Columns label, nouns, hit (hit rate) and its 95 % Wilson interval low, high, chance (as in `grounding_heads`; null
    if no other image has the label), lift (median), image_id and word_index (of the worst example).
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
    frame["low"], frame["high"] = unzip(share_interval(*pair) for pair in zip(frame.hits, frame.nouns, strict=True))
    ordered = frame.sort_values(["hit", "nouns", "label"], ascending=[True, False, True], ignore_index=True)
    return ordered[["label", "nouns", "hit", "low", "high", "chance", "lift", "image_id", "word_index"]]


def case_grounding(cursor: DuckDBPyConnection, run: str, beam_size: int, image_id: str) -> pd.DataFrame:
    """Return the nouns of one caption that have a box, by layer and head.

    Columns word_index, word, label, layer, head, mass, lift, hit, ordered by word_index, layer and head.
    """
    return cursor.execute(
        f"""
        SELECT word_index, word, label, layer, head, mass, lift, hit FROM {_GROUNDED} AND image_id = $image_id
            AND "offset" = 0 ORDER BY word_index, layer, head
        """,
        {"run": run, "beam": int(beam_size), "image_id": image_id},
    ).df()


def boxes(cursor: DuckDBPyConnection, run: str, image_id: str) -> pd.DataFrame:
    """Return the annotated objects of an image: label; x, y, width, height in pixels of the upright photo."""
    return cursor.execute(
        """
        SELECT unnest(objects, recursive := true) FROM images WHERE run = $run AND image_id = $image_id
        """,
        {"run": run, "image_id": image_id},
    ).df()
