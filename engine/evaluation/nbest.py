"""What the n best hypotheses are worth: each is scored like a caption, so that a choice can be told from a lack.

Knows the table `hypotheses`, `scoring` and one tag. A caption fails because the search chose wrongly among what it
found, or because nothing better was found: only the scores of all hypotheses tell which.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from engine.data.dataset import Dataset
from engine.diagnosis.tags import Tag
from engine.evaluation import scoring
from engine.evaluation.run import RunInProgress
from engine.evaluation.scoring import ClipSettings


def scored(
    run: RunInProgress,
    hypotheses: pa.Table,
    images: pa.Table,
    photos: Sequence[Path | None],
    wanted: Sequence[str],
    clip: ClipSettings | None,
    dataset: Dataset,
) -> pa.Table:
    """The table `hypotheses` with a column for each metric; what several beam sizes found is scored once."""
    image_ids = images["image_id"].to_pylist()
    at = {image_id: row for row, image_id in enumerate(image_ids)}
    rows = [at[image_id] for image_id in hypotheses["image_id"].to_pylist()]
    texts = hypotheses["caption"].to_pylist()
    distinct: list[dict[str, int]] = [{} for _ in image_ids]
    slots = [distinct[row].setdefault(text, len(distinct[row])) for row, text in zip(rows, texts, strict=True)]
    # The metrics take one caption an image and setting: images with fewer have empty ones, which nobody asks for.
    lists = [list(each) for each in distinct]
    captions = {slot: [each[slot] if slot < len(each) else "" for each in lists] for slot in range(max(slots) + 1)}
    found, _ = scoring.measure(run, captions, images["references"].to_pylist(), photos, wanted, clip, dataset)
    for name in scoring.measured(found):
        values = np.array([found[slot].per_image[name] for slot in captions])[slots, rows]
        hypotheses = hypotheses.append_column(name, pa.array(values, mask=~np.isfinite(values)))
    return hypotheses


_TIMES, _MORE = 2.0, 0.5
"""CIDEr of another hypothesis over that of the caption: below both, a choice among near equals is no failure."""


def ranking_errors(hypotheses: pa.Table) -> dict[tuple[int, str], Tag]:
    """(beam size, image id) -> the tag of a caption that stands before a far better hypothesis by CIDEr."""
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
