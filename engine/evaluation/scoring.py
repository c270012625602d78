"""The stage from captions to the tables `scores` and `corpus_scores`: metrics, failure tags and signatures."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from engine.data.dataset import Box, Dataset
from engine.data.split import Split
from engine.diagnosis import tags
from engine.diagnosis.tags import Tag
from engine.evaluation.clip_settings import ClipSettings
from engine.evaluation.run import RunInProgress
from engine.evaluation.signature import signature
from engine.metrics import registry
from engine.metrics.base import Scores
from engine.metrics.measure import measure
from engine.protocols import Metric
from engine.store import schema, tables
from engine.store.metric_definitions import KEY, definition

Timed = Callable[[str], AbstractContextManager]

IMPORTED = 0
"""The beam size of captions that were generated elsewhere."""


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


@dataclass(frozen=True)
class Scored:
    """The results of the stage."""

    scores: pa.Table
    corpus_scores: pa.Table
    metrics: list[str]
    """Keys of the metrics, in the order of the results."""
    definitions: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Definitions of metrics that are not built in, for `run.json`."""


def split_of(images: pa.Table, dataset: Dataset, missing: frozenset[str] = frozenset()) -> Split:
    """Return the images of a table as a `Split` for metrics; photos with an id in `missing` are left out."""
    ids = images["image_id"].to_pylist()
    names = images["file_name"].to_pylist()
    return Split(
        tuple(ids),
        tuple(map(tuple, images["references"].to_pylist())),
        tuple(None if key in missing else dataset.root / name for key, name in zip(ids, names, strict=True)),
        boxes_of(images, "objects"),
        boxes_of(images, "crowds"),
        dataset.fingerprint,
    )


def boxes_of(images: pa.Table, column: str) -> tuple[tuple[Box, ...], ...]:
    """Return the boxes of each image in a column of `images`; none if a part of an older run lacks the column."""
    if column not in images.column_names:
        return ((),) * len(images)
    return tuple(tuple(Box(**box) for box in boxes or ()) for boxes in images[column].to_pylist())


def by_setting(captions: pa.Table, split: Split) -> dict[int, list[dict[str, Any]]]:
    """Return the rows of `captions` by beam size, in the order of the split."""
    rows: dict[int, dict[str, dict]] = {}
    for row in captions.to_pylist():
        rows.setdefault(row["beam_size"], {})[row["image_id"]] = row
    return {size: [found[image_id] for image_id in split.image_ids] for size, found in sorted(rows.items())}


def write(run: RunInProgress, scored: Scored, clip: ClipSettings | None) -> None:
    """Write the tables of the stage and their metadata into a run."""
    run.write("scores", scored.scores)
    run.write("corpus_scores", scored.corpus_scores)
    run.metadata["metrics"] = scored.metrics
    if scored.definitions:
        run.metadata[KEY] = scored.definitions
    if clip is not None:
        run.metadata["clip"] = clip.metadata()


def score(
    split: Split,
    settings: Mapping[int, Sequence[dict[str, Any]]],
    wanted: MetricSettings,
    decoding: Mapping[str, Any] = MappingProxyType({}),
    further: Mapping[tuple[int, str], Tag] = MappingProxyType({}),
    timed: Timed = nullcontext,
) -> Scored:
    """Score the captions of every setting.

    Args:
        settings: beam size -> rows of `captions`, in the order of the split.
        decoding: fields of signatures that describe the search.
        further: (beam size, image id) -> tags that need more than the caption.
        timed: takes the name of a part and returns a context manager that times it.
    """
    captions = {size: [row["caption"] for row in rows] for size, rows in settings.items()}
    found, metrics, truncated = wanted.measure(captions, split, timed)
    names = keys_of(found)
    definitions = {key: definition(schema.METRICS[key]) for key in names if key not in schema.BUILT_IN}
    given = tags.tag_settings(_cases(split, settings))
    for size, each in given.items():
        for image_id, of_image in zip(split.image_ids, each, strict=True):
            if tag := further.get((size, image_id)):
                of_image.append(tag)
    rows = [
        row
        for size, texts in captions.items()
        for row in _score_rows(size, split, found[size], [truncated.get(text) for text in texts], given[size])
    ]
    known = {"images": len(split), "refs": _reference_range(split.references), "data": split.fingerprint, **decoding}
    corpus = [row for size, each in found.items() for row in _corpus_rows(size, each, metrics, known)]
    corpus.sort(key=lambda row: (list(found).index(row["beam_size"]), names.index(row["metric"])))
    table = tables.table_of("scores", rows, names)
    return Scored(table, tables.table_of("corpus_scores", corpus), names, definitions)


def keys_of(found: Mapping[int, Scores]) -> list[str]:
    """Return the metrics that some setting has, in the order of the results contract."""
    return registry.ordered(key for each in found.values() for key in each.per_image)


def _cases(split: Split, settings: Mapping[int, Sequence[dict]]) -> dict[int, list[tags.Case]]:
    """Return the captions of each setting with the annotations of their images."""
    labels = [[box.label for box in boxes] for boxes in split.every_box()]
    return {
        size: [
            tags.Case(row["caption"], row["words"], row.get("finished"), texts, named)
            for row, texts, named in zip(rows, split.references, labels, strict=True)
        ]
        for size, rows in settings.items()
    }


def _score_rows(
    size: int, split: Split, found: Scores, truncated: Sequence[bool | None], given: Sequence[Sequence[Tag]]
) -> list[dict[str, Any]]:
    rows = []
    for row, image_id in enumerate(split.image_ids):
        own: dict[str, Any] = {"clip_truncated": truncated[row], "tags": [asdict(tag) for tag in given[row]]}
        own |= {column: _counts(counts[row]) for column, counts in found.counts.items()}
        values = {name: _number(each[row]) for name, each in found.per_image.items()}
        rows.append({"image_id": image_id, "beam_size": size, **own, **values})
    return rows


def _corpus_rows(size: int, found: Scores, metrics: Sequence[Metric], known: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for metric in metrics:
        if metric.key not in found.corpus:
            continue
        corpus, images = found.corpus[metric.key], int(np.isfinite(found.per_image[metric.key]).sum())
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


def _reference_range(references: Sequence[Sequence[str]]) -> str:
    counts = {len(texts) for texts in references}
    return "-".join(str(count) for count in sorted({min(counts), max(counts)}))


def _counts(values: np.ndarray) -> list[float] | None:
    """Return the counts of one image, as int if integral; None if it has no references."""
    if not np.isfinite(values).all():
        return None
    return [int(value) if value.is_integer() else float(value) for value in values.tolist()]


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
