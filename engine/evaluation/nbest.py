"""The stage that scores n-best lists and finds ranking errors.

Every hypothesis is scored like a caption, which shows whether the search ranked badly or found nothing better.
"""

from collections import defaultdict

import numpy as np
import pyarrow as pa

from engine.data.split import Split
from engine.diagnosis.tags import Tag
from engine.evaluation.scoring import MetricSettings, Timed, keys_of


def scored(hypotheses: pa.Table, split: Split, wanted: MetricSettings, timed: Timed) -> pa.Table:
    """Return the table `hypotheses` with one column per metric; texts that beam sizes share are scored once."""
    at = {image_id: row for row, image_id in enumerate(split.image_ids)}
    rows = [at[image_id] for image_id in hypotheses["image_id"].to_pylist()]
    texts = hypotheses["caption"].to_pylist()
    distinct: list[dict[str, int]] = [{} for _ in split.image_ids]
    slots = [distinct[row].setdefault(text, len(distinct[row])) for row, text in zip(rows, texts, strict=True)]
    # Metrics take one caption per image and setting; images with fewer texts get empty ones, which no row uses.
    lists = [list(each) for each in distinct]
    captions = {slot: [each[slot] if slot < len(each) else "" for each in lists] for slot in range(max(slots) + 1)}
    found, _, _ = wanted.measure(captions, split, timed)
    for name in keys_of(found):
        values = np.array([found[slot].per_image[name] for slot in captions])[slots, rows]
        hypotheses = hypotheses.append_column(name, pa.array(values, mask=~np.isfinite(values)))
    return hypotheses


_TIMES, _MORE = 2.0, 0.5
"""Minimum ratio and difference of CIDEr for a ranking error; similar hypotheses do not count."""


def ranking_errors(hypotheses: pa.Table) -> dict[tuple[int, str], Tag]:
    """Return tags by (beam size, image id) for captions ranked above a hypothesis with a much higher CIDEr."""
    if "cider" not in hypotheses.column_names:
        return {}
    by_case: dict[tuple[int, str], list[tuple[int, str, float]]] = defaultdict(list)
    columns = (hypotheses[name].to_pylist() for name in ("beam_size", "image_id", "rank", "caption", "cider"))
    for size, image_id, rank, caption, cider in zip(*columns, strict=True):
        if cider is not None:
            by_case[size, image_id].append((rank, caption, cider))
    tags = {}
    for case, found in by_case.items():
        _, _, chosen = min(found)
        rank, caption, best = max(found, key=lambda each: each[2])
        if best >= max(_TIMES * chosen, chosen + _MORE):
            tags[case] = Tag("ranking error", f"rank {rank}, CIDEr {best:.2f} instead of {chosen:.2f}: {caption}")
    return tags
