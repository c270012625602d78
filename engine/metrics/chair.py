"""CHAIRi and CHAIRs: hallucinated objects, counted like the original code (see `chair_rules`).

An image counts if it has annotated objects or references and the split annotates categories of COCO. Its truth are the
categories of all annotated objects, crowds included, and those that its references name.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from tqdm import tqdm

from engine.data.blocks import Block, blocks_of
from engine.data.split import Split
from engine.metrics import chair_rules
from engine.metrics.base import Described, MetricError
from engine.metrics.coco import Statistics, joined
from engine.metrics.passes import Apply
from engine.metrics.pooling import CHAIR_COUNTS, POOLED
from engine.protocols import Need

CHAIR = ("chair_i", "chair_s")
"""Computed by default if a dataset annotates categories of COCO."""


class ChairFamily:
    """Counts the mentions of both metrics once."""

    def statistics(self, keys: Sequence[str], settings: Mapping[int, Sequence[str]], split: Split) -> Statistics:
        """Return the statistics of captions that are in memory; {} if the split annotates no category of COCO."""
        return joined(self.by_block(keys, blocks_of(split, settings), None))

    def by_block(
        self, keys: Sequence[str], blocks: Iterable[Block], folder: Path | None, apply: Apply = map
    ) -> Iterator[Statistics]:
        """Yield the statistics of each block; see `CocoFamily.by_block`. Nothing is kept in `folder`."""
        # Whether the split is annotated is known after the last block; the counts of a million captions take 16 MB.
        found = list(tqdm(apply(_counts, blocks), desc="CHAIR", unit="block", delay=1))
        annotated = any(block_annotated for block_annotated, _ in found)
        for _, counts in found:
            own = {setting: _with_gaps(each) for setting, each in counts.items()} if annotated else {}
            yield {key: own for key in keys} if annotated else {}


FAMILY = ChairFamily()


class ChairMetric(Described):
    """CHAIRi or CHAIRs; their statistics are the four counts of `pooling.CHAIR_COUNTS`."""

    higher_is_better = False
    # References alone are not enough: they name only some of the objects.
    needs: Collection[Need] = frozenset({"objects"})
    signature = MappingProxyType({"synonyms": "original"})
    family = FAMILY
    tool = "Hallucination-6e4d33c"
    is_mean = False

    def __init__(self, key: str) -> None:
        self.key, self.counts = key, POOLED[key].counts

    def statistics(self, captions: Sequence[str], split: Split) -> np.ndarray:
        """Return float64[N, 4]; see `protocols.Metric`.

        Raises:
            MetricError: no object of the split is of a category of COCO.
        """
        found = self.family.statistics([self.key], {0: captions}, split)
        if self.key not in found:
            raise MetricError(f"{self.title} needs annotated objects with COCO's category names; this split has none")
        return found[self.key][0]

    def value(self, sums: np.ndarray) -> np.ndarray:
        """Return the metric of summed statistics; see `protocols.Metric`."""
        return POOLED[self.key].score(sums)


def _with_gaps(counts: np.ndarray) -> np.ndarray:
    """Return counts int32[N, 4] as statistics float64[N, 4]: rows of NaN for images without a truth."""
    return np.where(counts[:, 3:] > 0, counts.astype(np.float64), np.nan)


def _counts(block: Block) -> tuple[bool, dict[int, np.ndarray]]:
    """Return whether a block annotates categories of COCO, and the counts int32[N, 4] of its captions."""
    split, images = block.split, len(block.split)
    both = zip(split.objects or [()] * images, split.crowds or [()] * images, strict=True)
    labels = [{box.label for box in (*objects, *crowds)} for objects, crowds in both]
    annotated = any(map(chair_rules.annotates, labels))
    counts = {setting: np.zeros((images, CHAIR_COUNTS), np.int32) for setting in block.captions}
    for row in range(images):
        references = split.references[row]
        if not labels[row] and not references:
            continue
        shown = chair_rules.truth(labels[row], references)
        texts = {each[row] for each in block.captions.values()}  # captions that settings share are read once
        own = {text: _of_caption(text, shown) for text in texts}
        for setting, captions in block.captions.items():
            counts[setting][row] = own[captions[row]]
    return annotated, counts


def _of_caption(caption: str, shown: frozenset[str]) -> tuple[int, int, int, int]:
    found = chair_rules.mentions(caption)
    hallucinated = sum(each.category not in shown for each in found)
    return hallucinated, len(found), int(hallucinated > 0), 1
