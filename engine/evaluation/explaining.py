"""The stage that adds maps to a run whose captions are finished: those of captions with a failure tag, or on request.

Maps of all images of a large run would take most of its disk and time. The run stores those of a sample while it
captions, and this stage adds the ones that explain something.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from engine.config import ConfigError
from engine.data.dataset import Dataset
from engine.evaluation import chunks, pool
from engine.evaluation.chunks import Chunk, Work
from engine.evaluation.explanations import ExplainSettings
from engine.evaluation.pool import Place
from engine.reading import quoted
from engine.store import parts, shards, tables

STAGE = "maps"


def without_maps(work: Work) -> dict[int, frozenset[str]]:
    """Return beam size -> images outside the sample with a failure tag, at the sizes whose maps are stored."""
    sample = work.settings.sample
    found = tagged(work)
    return {size: frozenset(each for each in own if sample and not sample.has(each)) for size, own in found.items()}


def tagged(work: Work) -> dict[int, frozenset[str]]:
    """Return beam size -> images whose caption has a failure tag, at the sizes whose maps are stored."""
    found: dict[int, set[str]] = {size: set() for size in work.settings.attention_beams}
    for rows in shards.row_groups(shards.files_of(work.folder, "scores"), ["image_id", "beam_size", "tags"]):
        counts = pc.call_function("list_value_length", [rows["tags"]]).to_pylist()
        names = (rows[column].to_pylist() for column in ("image_id", "beam_size"))
        for image_id, size, count in zip(*names, counts, strict=True):
            if count and size in found:
                found[size].add(image_id)
    return {size: frozenset(images) for size, images in found.items()}


def replay(
    work: Work, every: Sequence[Chunk], wanted: Mapping[int, frozenset[str]], place: Place
) -> Iterator[pa.Table]:
    """Compute the maps of some captions of a run, and yield the attention table of each chunk in order.

    A chunk without wanted captions has none. Stored chunks are not computed again.
    """
    again = replace(work, stage=f"{STAGE}_{work.stage}", tables=("attention",), times_sizes=False)
    some = {chunk.number: chunk for each in every if (chunk := _only(each, wanted)) is not None}
    pool.compute(again, list(some.values()), place, "explain")
    for chunk in every:
        if chunk.number in some:
            yield from chunks.parts_of(again, [chunk.number], "attention")


def effects(
    work: Work, every: Sequence[Chunk], wanted: Mapping[int, frozenset[str]], settings: ExplainSettings, place: Place
) -> Iterator[pa.Table | None]:
    """Explain some captions of a run, and return the table of each chunk in order; None for a chunk without any.

    The table is `words` with the effects of covering, or `explanations` if methods are measured.
    """
    stage, table = ("certificate", "explanations") if settings.methods else ("effects", "words")
    again = replace(work, stage=f"{stage}_{work.stage}", tables=(table,), times_sizes=False, explain=settings)
    some = {chunk.number: chunk for each in every if (chunk := _only(each, wanted)) is not None}
    pool.compute(again, list(some.values()), place, "explain")

    def of(chunk: Chunk) -> pa.Table | None:
        return next(chunks.parts_of(again, [chunk.number], table)) if chunk.number in some else None

    return map(of, every)


def _only(chunk: Chunk, wanted: Mapping[int, frozenset[str]]) -> Chunk | None:
    """Return the part of a chunk whose captions get maps."""
    ids = {example.image_id for example in chunk.examples}
    own = {size: frozenset(images & ids) for size, images in wanted.items() if images & ids}
    kept = frozenset().union(*own.values())
    if not kept:
        return None
    return Chunk(chunk.number, [example for example in chunk.examples if example.image_id in kept], own)


def add(work: Work, dataset: Dataset, images: Sequence[str], place: Place) -> int:
    """Add the maps of all captions of some images to a finished run; return how many were added.

    Raises:
        ConfigError: the run has no caption of an image.
    """
    wanted = dict.fromkeys(work.settings.attention_beams, frozenset(images))
    known = chunks.finished_captions(work.folder, wanted)
    for image in images:
        if not any(image in by_image for by_image in known.values()):
            raise ConfigError(f"--attention-of {quoted(image)}: the run has no caption of it; expected an image id")
    stored = tables.read_images(work.folder, "attention", images, ["image_id", "beam_size"]).to_pylist()
    there = {(row["beam_size"], row["image_id"]) for row in stored}
    left = {size: frozenset(image for image in images if (size, image) not in there) for size in known}
    chunk = _only(Chunk(0, [each for each in dataset.examples if each.image_id in set(images)]), left)
    if chunk is None:
        return 0
    again = replace(work, stage=f"{STAGE}_added", tables=("attention",), times_sizes=False)
    parts.drop_stage(*again.where)
    pool.compute(again, [chunk], place, "explain")
    rows = parts.read_part_table(*again.where, 0, "attention")
    tables.add_rows(work.folder, "attention", rows)
    parts.drop_stage(*again.where)
    return len(rows)
