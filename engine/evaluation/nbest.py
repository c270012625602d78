"""The stage that scores n-best lists and finds ranking errors.

Every hypothesis is scored like a caption, which shows whether the search ranked badly or found nothing better.
"""

from collections.abc import Iterator
from copy import copy
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from engine.data.blocks import Block
from engine.data.split import Split
from engine.diagnosis.tags import Tag
from engine.evaluation.caption_blocks import RunBlocks, joined
from engine.evaluation.scoring import MetricSettings, Timed
from engine.evaluation.split_scores import Statistics
from engine.metrics import registry
from engine.metrics.base import Resampled, Scores
from engine.metrics.passes import Apply


def scored(
    hypotheses: pa.Table, images: RunBlocks, wanted: MetricSettings, timed: Timed, folder: Path, apply: Apply = map
) -> pa.Table:
    """Return the table `hypotheses` with one column per metric; texts that beam sizes share are scored once.

    Args:
        images: the images of the run.
        folder: an empty folder for what is kept between the passes over blocks.
        apply: where blocks are computed, see `passes.Apply`.
    """
    blocks, statistics = HypothesisBlocks(hypotheses, images), Statistics(folder, apply)
    metrics = wanted.computed(statistics, blocks, timed)
    values = {metric.key: np.full(len(hypotheses), np.nan) for metric in metrics}
    for slot in range(blocks.slots):
        found, resampled = Scores(), Resampled()
        for metric, each in statistics.read(metrics, slot):
            found.add(metric, each, resampled)
        rows = np.flatnonzero(blocks.slot == slot)
        for key, own in found.per_image.items():
            values[key][rows] = own[blocks.image[rows]]
    for key in registry.ordered(values):
        hypotheses = hypotheses.append_column(key, pa.array(values[key], mask=~np.isfinite(values[key])))
    return hypotheses


class HypothesisBlocks:
    """The distinct hypotheses of each image as captions.

    Metrics take one caption per image and setting, so that the settings are the places 0, 1, ... in the list of an
    image; images with fewer texts get empty ones, which no row uses.
    """

    def __init__(self, hypotheses: pa.Table, images: RunBlocks) -> None:
        self._images, self.fingerprint = images, images.fingerprint
        ids = pa.array([image_id for split in images.splits() for image_id in split.image_ids], pa.string())
        self.image = pc.call_function("index_in", [hypotheses["image_id"]], pc.SetLookupOptions(ids)).to_numpy()
        """The image of each hypothesis, int64[H]."""
        texts = hypotheses["caption"].combine_chunks().dictionary_encode()
        self._texts, count = texts.dictionary, max(len(texts.dictionary), 1)
        self._distinct, row = np.unique(
            self.image.astype(np.int64) * count + texts.indices.to_numpy(), return_inverse=True
        )
        self._of_image, self._text = np.divmod(self._distinct, count)
        self._starts = np.searchsorted(self._of_image, np.arange(len(ids) + 1))
        self._place = np.arange(len(self._distinct)) - self._starts[self._of_image]
        self.slot = self._place[row]
        """The place of each hypothesis in the list of its image, int64[H]."""
        self.slots = int(self._place.max(initial=-1)) + 1
        self.sizes = tuple(range(self.slots))

    def __iter__(self) -> Iterator[Block]:
        start = 0
        for split in self.splits():
            own = slice(self._starts[start], self._starts[start + len(split)])
            captions = {slot: [""] * len(split) for slot in self.sizes}
            texts = self._texts.take(pa.array(self._text[own])).to_pylist()
            for text, slot, image in zip(texts, self._place[own], self._of_image[own] - start, strict=True):
                captions[slot][image] = text
            yield Block(split, captions)
            start += len(split)

    def splits(self) -> Iterator[Split]:
        """Yield the images of each block."""
        return self._images.splits()

    def of_size(self, size: int) -> "HypothesisBlocks":
        """Return the same hypotheses in blocks of `size` images."""
        other = copy(self)
        other._images = self._images.of_size(size)
        return other

    def whole(self) -> tuple[Split, dict[int, list[str]]]:
        """Return all images and the captions of each place, in memory."""
        return joined(self)


_TIMES, _MORE = 2.0, 0.5
"""Minimum ratio and difference of CIDEr for a ranking error; similar hypotheses do not count."""


def ranking_errors(hypotheses: pa.Table) -> dict[tuple[int, str], Tag]:
    """Return tags by (beam size, image id) for captions ranked above a hypothesis with a much higher CIDEr."""
    if "cider" not in hypotheses.column_names:
        return {}
    known = hypotheses.filter(pc.field("cider").is_valid())
    if not len(known):
        return {}
    size, rank, cider = (known[name].to_numpy() for name in ("beam_size", "rank", "cider"))
    image = known["image_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    order = np.lexsort((rank, image, size))
    size, image, cider = size[order], image[order], cider[order]
    first = np.flatnonzero(np.concatenate([[True], (size[1:] != size[:-1]) | (image[1:] != image[:-1])]))
    last = np.append(first[1:], len(cider))
    chosen, best = cider[first], np.maximum.reduceat(cider, first)
    tags = {}
    for case in np.flatnonzero(best >= np.maximum(_TIMES * chosen, chosen + _MORE)).tolist():
        at = order[first[case] + int(np.argmax(cider[first[case] : last[case]]))]
        row = known.slice(at, 1).to_pylist()[0]
        evidence = f"rank {row['rank']}, CIDEr {best[case]:.2f} instead of {chosen[case]:.2f}: {row['caption']}"
        tags[row["beam_size"], row["image_id"]] = Tag("ranking error", evidence)
    return tags
