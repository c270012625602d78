"""Caption images in chunks, which are stored, so that an interrupted run continues with the first missing chunk."""

import os

import pyarrow as pa
from tqdm import tqdm

from engine.data.dataset import Dataset
from engine.data.photos import read_ahead
from engine.evaluation import captioning
from engine.evaluation.captioning import CaptionSettings
from engine.evaluation.run import RunInProgress
from engine.protocols import Captioner
from engine.store import tables

SIZE = 64
"""Images per chunk, for captioners without a `chunk_size`."""

WAITED = "wait for photos"

_MAPS = "attention"


def caption_all(
    run: RunInProgress, captioner: Captioner, dataset: Dataset, settings: CaptionSettings
) -> dict[str, pa.Table]:
    """Return the tables of all images, except for attention, which is written; stored chunks are not computed again."""
    size = getattr(captioner, "chunk_size", SIZE)
    stage = f"captions_{size}"  # chunks of different sizes contain different images
    chunks = [dataset.examples[at : at + size] for at in range(0, len(dataset.examples), size)]
    names = list(captioning.TABLES)
    done: dict[int, dict[str, pa.Table]] = {}
    for index in range(len(chunks)):
        part = tables.read_part(run.folder, stage, index, names)
        if part is not None:
            done[index] = _without_maps(part)
    missing = [index for index in range(len(chunks)) if index not in done]
    wanted = [example for index in missing for example in chunks[index]]
    # Two chunks ahead, so that the threads finish the next chunk while the model computes one.
    reader = captioning.reader(dataset, captioner)
    photos = read_ahead(wanted, reader, workers=min(os.cpu_count() or 2, 8), ahead=2 * size)
    finished = len(dataset.examples) - len(wanted)
    with tqdm(total=len(dataset.examples), initial=finished, unit="image", desc="caption") as bar:
        for index in missing:
            with run.watch.measure(WAITED):
                some = [next(photos) for _ in chunks[index]]
            part = captioning.caption(captioner, chunks[index], some, settings, run.watch)
            tables.write_part(run.folder, stage, index, part)
            done[index] = _without_maps(part)
            run.keep_time()
            bar.update(len(chunks[index]))
    maps = (tables.read_part_table(run.folder, stage, index, _MAPS) for index in range(len(chunks)))
    run.write_rows(_MAPS, maps)
    names.remove(_MAPS)
    return {name: pa.concat_tables(done[index][name] for index in range(len(chunks))) for name in names}


def _without_maps(part: dict[str, pa.Table]) -> dict[str, pa.Table]:
    """Return the tables that are kept in memory: the maps of all images would not fit there."""
    return {name: rows for name, rows in part.items() if name != _MAPS}
