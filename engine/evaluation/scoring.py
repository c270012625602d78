"""The stage from captions to the tables `scores` and `corpus_scores`: metrics, failure tags and signatures.

It reads the tables `images` and `captions` of a run and works block by block, so that its memory hardly grows with the
split: a few numbers per caption are in memory, and for one beam size at a time.
"""

import math
import os
import shutil
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from engine.data.split import Split
from engine.diagnosis.tags import Tag
from engine.evaluation.caption_blocks import CaptionBlocks, RunBlocks
from engine.evaluation.clip_settings import ClipSettings
from engine.evaluation.run import RunInProgress
from engine.evaluation.signature import signature
from engine.evaluation.split_scores import SplitSummary, Statistics, TagFiles
from engine.metrics import registry
from engine.metrics.base import Resampled, Scores, counts_column, is_mean
from engine.metrics.measure import measure
from engine.metrics.passes import Apply
from engine.parallel import Workers
from engine.protocols import Metric
from engine.store import schema, tables
from engine.store.metric_definitions import KEY, definition

Timed = Callable[[str], AbstractContextManager]

IMPORTED = 0
"""The beam size of captions that were generated elsewhere."""

_FEW = 20_000
"""Captions that one process scores, because others take longer to start than they save."""
_PROCESSES = 2


@dataclass(frozen=True)
class MetricSettings:
    """The metrics of a run: metrics by name, and those of a CLIP."""

    names: tuple[str, ...]
    clip: ClipSettings | None
    results: Path

    def measure(
        self, captions: Mapping[int, Sequence[str]], split: Split, timed: Timed = nullcontext
    ) -> tuple[dict[int, Scores], list[Metric], dict[str, bool]]:
        """Return the scores of each setting, the metrics, and whether CLIP truncated each caption."""
        metrics = registry.named(self.names)
        with timed("caption metrics"):
            found = measure(captions, split, metrics)
        if self.clip is None:
            return found, metrics, {}
        family = self.clip.family(self.results)
        with timed("CLIP"):
            for setting, each in measure(captions, split, family.metrics).items():
                found[setting].update(each)
        return found, [*metrics, *family.metrics], family.truncated

    def computed(self, statistics: Statistics, blocks: RunBlocks, timed: Timed) -> list[Metric]:
        """Add the statistics of the metrics of all blocks, and return the metrics that were computed."""
        metrics = registry.named(self.names)
        with timed("caption metrics"):
            statistics.add_metrics(metrics, blocks)
        if self.clip is not None:
            with timed("CLIP"):
                family, features = self.clip.of_run(self.results, blocks)
                statistics.add_clip(family, features, blocks)
            metrics += family.metrics
        return [metric for metric in metrics if statistics.has(metric)]


@dataclass(frozen=True)
class Scored:
    """The results of the stage, besides the table `scores`."""

    corpus_scores: pa.Table
    metrics: list[str]
    """Keys of the metrics, in the order of the results."""
    definitions: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Definitions of metrics that are not built in, for `run.json`."""


def score(
    run: RunInProgress,
    blocks: CaptionBlocks,
    wanted: MetricSettings,
    decoding: Mapping[str, Any] = MappingProxyType({}),
    further: Mapping[tuple[int, str], Sequence[Tag]] = MappingProxyType({}),
) -> Scored:
    """Score the captions of every beam size, and write the tables `scores` and `corpus_scores` and their metadata.

    Args:
        blocks: the images and captions of the run.
        decoding: fields of signatures that describe the search.
        further: (beam size, image id) -> tags that need more than the caption.

    Raises:
        MetricError, WorkerError: the message says what to do.
    """
    summary = SplitSummary()
    with scratch(run) as folder, processes(blocks) as apply:
        statistics, tag_files = Statistics(folder, apply), TagFiles(folder)
        for block in blocks:
            summary.add(block)
        metrics = wanted.computed(statistics, blocks, run.watch.measure)
        tag_files.write(blocks, summary.of_tags(blocks), further, summary.images, apply)
        known = {"images": summary.images, "refs": _reference_range(summary.references), "data": blocks.fingerprint}
        found = _Tables(metrics, statistics, tag_files, {**known, **decoding})
        run.write_rows("scores", found.scores(blocks.sizes))
    scored = found.scored()
    run.write("corpus_scores", scored.corpus_scores)
    run.metadata["metrics"] = scored.metrics
    if scored.definitions:
        run.metadata[KEY] = scored.definitions
    if wanted.clip is not None:
        run.metadata["clip"] = wanted.clip.metadata()
    return scored


@contextmanager
def scratch(run: RunInProgress) -> Generator[Path]:
    """Yield an empty folder for what is kept between passes; it is in the run's folder, because it may be large."""
    folder = run.folder / ".parts" / "scoring"
    shutil.rmtree(folder, ignore_errors=True)  # a kill leaves it
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def processes(blocks: CaptionBlocks) -> Generator[Apply]:
    """Yield what applies a function to blocks: two processes for many captions, else this one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if min(cores, _PROCESSES) < 2 or blocks.images * len(blocks.sizes) < _FEW:
        yield map
        return
    with Workers(_PROCESSES) as workers:
        yield workers.map


def keys_of(found: Mapping[int, Scores]) -> list[str]:
    """Return the metrics that some setting has, in the order of the results contract."""
    return registry.ordered(key for each in found.values() for key in each.per_image)


class _Tables:
    """Makes the tables of the stage, one beam size after the other."""

    def __init__(
        self, metrics: Sequence[Metric], statistics: Statistics, tag_files: TagFiles, known: Mapping[str, Any]
    ) -> None:
        self._metrics, self._statistics, self._tag_files, self._known = metrics, statistics, tag_files, known
        self._names = registry.ordered(metric.key for metric in metrics)
        self._corpus: list[dict[str, Any]] = []

    def scores(self, sizes: Sequence[int]) -> Iterator[pa.Table]:
        """Yield parts of the table `scores`, and note the corpus values."""
        columns = schema.schema_of("scores", self._names)
        for size in sizes:
            found, resampled = Scores(), Resampled()
            for metric, statistics in self._statistics.read(self._metrics, size):
                found.add(metric, statistics, resampled)
            rows = _corpus_rows(size, found, self._metrics, self._known)
            self._corpus += sorted(rows, key=lambda row: self._names.index(row["metric"]))
            truncated, start = self._statistics.truncated(size), 0
            for batch in self._tag_files.read(size):
                some = slice(start, start + len(batch))
                yield _part(columns, size, batch, found, some, None if truncated is None else truncated[some])
                start += len(batch)

    def scored(self) -> Scored:
        """Return the results, after all of `scores`."""
        definitions = {key: definition(schema.METRICS[key]) for key in self._names if key not in schema.BUILT_IN}
        return Scored(tables.table_of("corpus_scores", self._corpus), self._names, definitions)


def _part(
    columns: pa.Schema, size: int, batch: pa.RecordBatch, found: Scores, some: slice, truncated: np.ndarray | None
) -> pa.Table:
    """Return the rows of `scores` of some images."""
    known = {"image_id": batch["image_id"], "tags": batch["tags"]}
    known["beam_size"] = pa.array(np.full(len(batch), size), pa.int32())
    if truncated is not None:
        known["clip_truncated"] = pa.array(truncated)
    for name, values in found.per_image.items():
        known[name] = pa.array(values[some], mask=~np.isfinite(values[some]))
    for name, counts in found.counts.items():
        # NULL if an image has no references.
        rows = [None if any(map(math.isnan, row)) else row for row in counts[some].tolist()]
        known[name] = pa.array(rows, columns.field(name).type)
    return pa.table(
        [known[each.name] if each.name in known else pa.nulls(len(batch), each.type) for each in columns],
        schema=columns,
    )


def _corpus_rows(size: int, found: Scores, metrics: Sequence[Metric], known: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for metric in metrics:
        if metric.key not in found.corpus:
            continue
        # Of a pooled metric, an image without a value of its own counts, too: CHAIRi of a caption without mentions.
        counted = found.per_image[metric.key] if is_mean(metric) else found.counts[counts_column(metric)].sum(axis=1)
        corpus, images = found.corpus[metric.key], int(np.isfinite(counted).sum())
        rows.append(
            {
                "beam_size": size,
                "metric": metric.key,
                "value": _number(corpus.value),
                "low": corpus.low,
                "high": corpus.high,
                "images": images,
                "signature": signature(
                    metric, beam="imported" if size == IMPORTED else size, **{**known, "images": images}
                ),
            }
        )
    return rows


def _reference_range(counts: set[int]) -> str:
    return "-".join(str(count) for count in sorted({min(counts), max(counts)}))


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
