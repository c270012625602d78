"""Stage: the slices of a run, on which its captions are worse; see `diagnosis.slices`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine.data.dataset import Box
from engine.diagnosis import slices
from engine.diagnosis.conditions import ImageFacts, conditions_of
from engine.store import shards, tables
from engine.store.schema import METRICS

if TYPE_CHECKING:  # it loads torch, which a reader of these tables does not need
    from engine.evaluation.run import RunInProgress

SCORES = ("cider", "clipscore")
"""Metrics whose slices are stored, if the run has them."""

MOST_IMAGES = 50_000
"""Images whose conditions are in memory; of larger splits as many, evenly spread in the order of the table."""

_COLUMNS = ("image_id", "references", "objects", "width", "height", "brightness", "contrast", "conditions")


def write(run: "RunInProgress") -> None:
    """Write the tables `slices` and `slice_images` of a run whose images and scores are written."""
    with run.watch.measure("slices"):
        rows = pa.concat_tables(shards.row_groups(shards.files_of(run.folder, "images"), list(_COLUMNS)))
        rows = _spread(rows, MOST_IMAGES)
        ids = rows["image_id"].to_pylist()
        found = conditions_of(list(facts_of(rows)), slices.SMALLEST)
        every: list[dict[str, Any]] = []
        members: list[pa.Table] = [tables.table_of("slice_images", [])]
        for size, metric, values in _scores(run, ids):
            is_higher_better = METRICS[metric].higher_is_better
            ranked = slices.find(values, found.members, found.names, is_higher_better, preferred=found.own)
            for rank, each in enumerate(ranked, 1):
                key = {"beam_size": size, "metric": metric, "rank": rank}
                every.append(key | row_of(each))
                members.append(_members(key, [ids[row] for row in each.images]))
    run.write("slices", tables.table_of("slices", every))
    run.write("slice_images", pa.concat_tables(members))


def facts_of(images: pa.Table) -> Iterator[ImageFacts]:
    """Yield what rows of `images` state, in their order."""
    names = [name for name in _COLUMNS[1:] if name in images.column_names]
    for batch in images.select(names).to_batches(max_chunksize=1_000):
        for row in batch.to_pylist():
            row["objects"] = [Box(**box) for box in row.get("objects") or ()]
            yield ImageFacts(**{name: value for name, value in row.items() if value is not None})


def row_of(each: slices.Slice) -> dict[str, Any]:
    """Return the row of `slices` of one slice, without its key."""
    names = ("condition", "size", "inside", "outside", "effect", "low", "high", "p", "q")
    return {name: getattr(each, name) for name in names} | {"also": list(each.also)}


def _members(key: dict[str, Any], image_ids: list[str]) -> pa.Table:
    return tables.table_of("slice_images", [{**key, "image_id": image_id} for image_id in image_ids])


def _spread(rows: pa.Table, most: int) -> pa.Table:
    """Return `most` rows, evenly spread, or all if there are fewer."""
    if len(rows) <= most:
        return rows
    return rows.take(pa.array(np.linspace(0, len(rows) - 1, most).astype(np.int64)))


def _scores(run: "RunInProgress", ids: list[str]) -> Iterator[tuple[int, str, np.ndarray]]:
    """Yield beam size, metric and the scores of the images, float64[N], NaN if an image has none."""
    files = shards.files_of(run.folder, "scores")
    known = [name for name in SCORES if name in pq.read_schema(files[0]).names]
    scores = pa.concat_tables(shards.row_groups(files, ["image_id", "beam_size", *known]))
    for size in sorted(scores["beam_size"].unique().to_pylist()):
        own = scores.filter(pc.field("beam_size") == size)
        places = pc.call_function("index_in", [pa.array(ids)], pc.SetLookupOptions(own["image_id"]))
        for metric in known:
            values = own[metric].take(places).to_numpy(zero_copy_only=False).astype(np.float64)
            yield size, metric, values
