"""The statistics and failure tags of a run, computed block by block and kept on disk until all blocks are done."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from engine.data.blocks import Block
from engine.data.dataset import Box
from engine.data.split import Split
from engine.diagnosis import tags
from engine.diagnosis.frequent import FrequentCaptions
from engine.diagnosis.tags import Case, Tag, TagContext
from engine.evaluation.caption_blocks import CaptionBlock, CaptionBlocks, RunBlocks
from engine.evaluation.columns import Columns
from engine.metrics import measure
from engine.metrics.base import counts_column, is_mean
from engine.metrics.clipscore import ClipFamily
from engine.metrics.passes import Apply
from engine.protocols import Metric
from engine.store.schema import TABLES

TAGS: pa.DataType = TABLES["scores"].field("tags").type

_TRUNCATED = "clip_truncated"
_CLIP_IMAGES = 2_048
"""Images whose texts CLIP encodes together. Fixed, because the last digit of a feature depends on its batch."""


@dataclass
class SplitSummary:
    """What is known about a split after its blocks were seen once."""

    images: int = 0
    references: set[int] = field(default_factory=set)
    """Numbers of references that images have."""
    labels: set[str] = field(default_factory=set)
    frequent: dict[int, FrequentCaptions] = field(default_factory=dict)

    def add(self, block: Block) -> None:
        """Add what is known about a block."""
        self.images += len(block.split)
        self.references |= {len(texts) for texts in block.split.references}
        self.labels |= {box.label for boxes in block.split.every_box() for box in boxes}
        for size, captions in block.captions.items():
            self.frequent.setdefault(size, FrequentCaptions()).add(captions)

    def of_tags(self, blocks: CaptionBlocks) -> TagContext:
        """Return what the tags need to know."""
        frequent = {}
        for size, counted in self.frequent.items():
            found = counted.found()
            frequent[size] = counted.recounted(blocks.captions(size)) if found is None else found
        return TagContext(frozenset(self.labels), frequent)


class Statistics:
    """The statistics of the metrics of a run: sums of them are corpus values."""

    def __init__(self, folder: Path, apply: Apply) -> None:
        """`folder` is empty; `apply` says where blocks are computed, see `passes.Apply`."""
        self._folder, self._apply = folder, apply
        self._columns = Columns(folder / "columns")

    def add_metrics(self, metrics: Sequence[Metric], blocks: RunBlocks) -> None:
        """Compute metrics that need no CLIP.

        Raises:
            MetricError: a tool failed, or a metric returned the wrong shape.
        """
        families, others = measure.grouped(metrics)
        for number, (family, members) in enumerate(families):
            own = self._folder / f"family{number}"
            own.mkdir()
            needed = map(partial(_needed, any("objects" in metric.needs for metric in members)), blocks)
            for part in family.by_block([metric.key for metric in members], needed, own, self._apply):
                self._append(members, part)
        # Other people's metrics may need the whole split in one call.
        if others:
            split, captions = blocks.whole()
            for metric in others:
                self._append([metric], {metric.key: measure.alone(metric, captions, split)})

    def add_clip(self, family: ClipFamily, features: np.ndarray, blocks: RunBlocks) -> None:
        """Compute CLIP metrics; `features` are those of the photos, float32[N, D], NaN where there is none."""
        start, has_references = 0, False
        for block in blocks.of_size(_CLIP_IMAGES):
            references = block.split.references
            has_references |= any(references)
            family.truncated.clear()
            images = np.array(features[start : start + len(references)])
            self._append(family.metrics, family.of_features(block.captions, references, images))
            cut = {size: [[family.truncated[text]] for text in each] for size, each in block.captions.items()}
            self._columns.append(_TRUNCATED, {size: np.array(each) for size, each in cut.items()})
            start += len(references)
        if not has_references:
            self._columns.drop("refclipscore")

    def _append(self, metrics: Sequence[Metric], part: Mapping[str, Mapping[int, np.ndarray]]) -> None:
        for name, key in {_column(metric): metric.key for metric in metrics}.items():
            self._columns.append(name, part.get(key, {}))

    def has(self, metric: Metric) -> bool:
        """Return whether a metric was computed."""
        return _column(metric) in self._columns

    def read(self, metrics: Sequence[Metric], size: int) -> list[tuple[Metric, np.ndarray]]:
        """Return each metric with its statistics float64[N, C] at a beam size; metrics may share an array."""
        arrays = {name: self._columns.read(name, size) for name in dict.fromkeys(map(_column, metrics))}
        return [(metric, arrays[_column(metric)]) for metric in metrics]

    def truncated(self, size: int) -> np.ndarray | None:
        """Return whether CLIP truncated each caption, bool[N]; None without a CLIP."""
        return self._columns.read(_TRUNCATED, size)[:, 0].astype(bool) if _TRUNCATED in self._columns else None


def _needed(has_objects: bool, block: Block) -> Block:
    """Return a block without what metrics of texts, or of texts and objects, do not need: other processes get it."""
    split = block.split
    objects, crowds = (split.objects, split.crowds) if has_objects else ((), ())
    return Block(Split(split.image_ids, split.references, objects=objects, crowds=crowds), block.captions)


def _column(metric: Metric) -> str:
    return metric.key if is_mean(metric) else counts_column(metric)


class TagFiles:
    """The image ids and tags of a run, in a file for each beam size."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(
        self,
        blocks: CaptionBlocks,
        context: TagContext,
        further: Mapping[tuple[int, str], Sequence[Tag]],
        images: int,
        apply: Apply,
    ) -> None:
        """Compute the tags of all blocks; `further` are tags by (beam size, image id) that need more than a caption."""
        schema = pa.schema({"image_id": pa.string(), "tags": TAGS})
        writers = {size: pa.ipc.new_file(self._file(size), schema) for size in blocks.sizes}
        try:
            found = apply(partial(_tags, context), _with_further(blocks, further))
            with tqdm(total=images, desc="failure tags", unit="image", delay=1) as bar:
                for image_ids, by_size in found:
                    for size, own in by_size.items():
                        writers[size].write(pa.record_batch([image_ids, own], schema=schema))
                    bar.update(len(image_ids))
        finally:
            for writer in writers.values():
                writer.close()

    def read(self, size: int) -> Iterator[pa.RecordBatch]:
        """Yield the image ids and tags of a beam size, block by block."""
        with pa.memory_map(str(self._file(size))) as source, pa.ipc.open_file(source) as file:
            for number in range(file.num_record_batches):
                yield file.get_batch(number)

    def _file(self, size: int) -> str:
        return str(self._folder / f"tags-{size}.arrow")


Tagged = tuple[CaptionBlock, dict[tuple[int, str], Sequence[Tag]]]


def _with_further(blocks: CaptionBlocks, further: Mapping[tuple[int, str], Sequence[Tag]]) -> Iterator[Tagged]:
    for block in blocks:
        keys = [(size, image_id) for size in block.captions for image_id in block.split.image_ids] if further else []
        yield block, {key: further[key] for key in keys if key in further}


def _boxes(split: Split) -> tuple[Sequence[Sequence[Box]], Sequence[Sequence[Box]]]:
    """Return the single objects and the regions of several objects of each image."""
    none = ((),) * len(split)
    return split.objects or none, split.crowds or none


def _tags(context: TagContext, tagged: Tagged) -> tuple[pa.Array, dict[int, pa.Array]]:
    """Return the image ids of a block, and the tags of its captions at each beam size."""
    block, further = tagged
    split = block.split
    labels, crowds = ([[box.label for box in boxes] for boxes in each] for each in _boxes(split))
    cases = {
        size: [
            Case(*each)
            for each in zip(
                captions, block.words[size], block.finished[size], split.references, labels, crowds, strict=True
            )
        ]
        for size, captions in block.captions.items()
    }
    given = tags.tag_block(cases, context)
    for (size, image_id), more in further.items():
        given[size][block.split.image_ids.index(image_id)] += more
    by_size = {
        size: pa.array([[{"tag": tag.tag, "evidence": tag.evidence} for tag in own] for own in each], TAGS)
        for size, each in given.items()
    }
    return pa.array(block.split.image_ids, pa.string()), by_size
