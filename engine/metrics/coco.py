"""The metrics of the COCO caption evaluation: CIDEr-D, BLEU, ROUGE-L, METEOR and SPICE.

They are one family: one tokeniser for all, and the references of an image are counted once for the captions of all
settings. CIDEr takes its document frequencies from the references of the split: score a whole split at once, and select
from its values later.
"""

import sys
import tempfile
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

import numpy as np
from tqdm import tqdm

from engine.data.blocks import Block, blocks_of
from engine.data.split import Split
from engine.metrics import meteor, passes, spice, tokens
from engine.metrics.base import Described, MetricError, mean_of, with_ones
from engine.metrics.pooling import POOLED
from engine.protocols import Need
from engine.reading import message

CAPTION_METRICS = ("cider", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l")
"""Computed by default."""

ON_REQUEST = ("meteor", "spice")
"""Computed on request: METEOR takes seconds; SPICE takes minutes and needs models that must be downloaded first."""

Statistics = dict[str, dict[int, np.ndarray]]
"""Metric -> setting -> statistics float64[N, C] of N images."""

_NGRAM_METRICS = frozenset(CAPTION_METRICS)


class CocoFamily:
    """Computes the statistics of several COCO metrics and settings together."""

    def statistics(self, keys: Sequence[str], settings: Mapping[int, Sequence[str]], split: Split) -> Statistics:
        """Return the statistics of captions that are in memory; rows of images without references are NaN.

        A metric that cannot run here (SPICE without its models) is left out with a warning.

        Raises:
            MetricError: a tool failed.
        """
        with tempfile.TemporaryDirectory() as folder:
            return joined(self.by_block(keys, blocks_of(split, settings), Path(folder)))

    def by_block(
        self, keys: Sequence[str], blocks: Iterable[Block], folder: Path, apply: passes.Apply = map
    ) -> Iterator[Statistics]:
        """Yield the statistics of each block, the same for every division of a split into blocks.

        Args:
            blocks: are read once, before the first result.
            folder: an empty folder for what is kept between the passes.
            apply: where the passes run, see `passes.Apply`.
        """
        settings: list[int] = []

        def noted() -> Iterator[Block]:
            for block in blocks:
                settings[:] = block.captions
                yield block

        prepared = passes.tokenise(noted(), folder, apply)
        if not prepared.images:
            yield from ({} for _ in range(prepared.blocks))
            return
        streams = {}
        if _NGRAM_METRICS & set(keys):
            passes.count_documents(prepared, apply)
            streams["ngrams"] = _ngram_statistics(keys, prepared, settings, apply)
        if "meteor" in keys:
            streams["meteor"] = _meteor_counts(prepared, settings)
        if "spice" in keys:
            streams["spice"] = _spice_scores(prepared, settings)
        with ExitStack() as stack:
            for stream in streams.values():
                stack.callback(stream.close)  # also after an error, because METEOR is a process
            for number in range(prepared.blocks):
                block = tokens.read(folder, number)
                every: Statistics = {}
                for stream in streams.values():
                    every |= next(stream)
                yield _spread(every, block)


def joined(parts: Iterable[Statistics]) -> Statistics:
    """Return the statistics of consecutive blocks as those of all their images."""
    every = list(parts)
    found: dict[int, dict[int, np.ndarray]] = {}
    for each in every[0].values() if every else ():  # BLEU-1 to -4 share theirs
        keys = [key for key in every[0] if every[0][key] is each]
        found[id(each)] = {setting: np.concatenate([part[keys[0]][setting] for part in every]) for setting in each}
    return {key: found[id(each)] for key, each in every[0].items()} if every else {}


COCO = CocoFamily()


class CocoMetric(Described):
    """One metric of the family; its corpus value is a mean, or is pooled from counts (BLEU and METEOR)."""

    needs: Collection[Need] = frozenset({"references"})
    signature = MappingProxyType({"tok": "ptb"})
    family = COCO

    def __init__(self, key: str) -> None:
        self.key, self.is_mean = key, key not in POOLED
        if key in POOLED:
            self.counts = POOLED[key].counts

    @cached_property
    def tool(self) -> str:
        """Return the name and version of the package that defines the number."""
        return f"pycocoevalcap-{version('pycocoevalcap')}"

    def statistics(self, captions: Sequence[str], split: Split) -> np.ndarray:
        """Return float64[N, C]; see `protocols.Metric`."""
        found = self.family.statistics([self.key], {0: captions}, split)
        if self.key not in found:
            raise MetricError(f"{self.title} cannot be computed here; see the warning above")
        return found[self.key][0]

    def value(self, sums: np.ndarray) -> np.ndarray:
        """Return the metric of summed statistics; see `protocols.Metric`."""
        return POOLED[self.key].score(sums) if self.key in POOLED else mean_of(sums)


def _spread(every: Statistics, block: tokens.BlockTokens) -> Statistics:
    """Return the statistics of images with references as those of all images of the block, NaN elsewhere."""
    if len(block.rows) == block.images:
        return every
    spread: dict[int, dict[int, np.ndarray]] = {}
    for each in every.values():
        if id(each) not in spread:
            spread[id(each)] = {
                setting: np.full((block.images, some.shape[1]), np.nan) for setting, some in each.items()
            }
            for setting, some in each.items():
                spread[id(each)][setting][block.rows] = some
    return {key: spread[id(each)] for key, each in every.items()}


def _ngram_statistics(
    keys: Sequence[str], prepared: passes.Prepared, settings: Sequence[int], apply: passes.Apply
) -> Generator[Statistics]:
    with tqdm(total=prepared.images, desc="caption metrics", unit="image", delay=1) as bar:
        for scores in passes.score(prepared, apply):
            found: Statistics = {
                key: dict(zip(settings, map(with_ones, scores[key]), strict=True))
                for key in ("cider", "rouge_l")
                if key in keys
            }
            counts = dict(zip(settings, scores["bleu"], strict=True))
            bar.update(scores["bleu"].shape[1])
            yield found | {key: counts for key in keys if key.startswith("bleu_")}


def _meteor_counts(prepared: passes.Prepared, settings: Sequence[int]) -> Generator[Statistics]:
    """Yield METEOR's counts from one process; captions that settings share are aligned once."""
    try:
        with meteor.start() as process:
            for captions, references in _texts(prepared):
                pairs = {(image, caption) for each in captions for image, caption in enumerate(each)}
                rows = {pair: row for row, pair in enumerate(sorted(pairs))}
                every = process.counts([caption for _, caption in rows], [references[image] for image, _ in rows])
                own = [every[[rows[pair] for pair in enumerate(each)]] for each in captions]
                yield {"meteor": dict(zip(settings, own, strict=True))}
    except meteor.MeteorError as error:
        raise MetricError(str(error)) from error


def _spice_scores(prepared: passes.Prepared, settings: Sequence[int]) -> Generator[Statistics]:
    """Yield SPICE, or nothing with a warning if it cannot run."""
    try:
        # All blocks before the first result, so that it is there for all of them or for none.
        found: list[Statistics] = [
            {
                "spice": {
                    name: with_ones(spice.score(each, references))
                    for name, each in zip(settings, captions, strict=True)
                }
            }
            for captions, references in _texts(prepared)
        ]
    except spice.SpiceError as error:
        tqdm.write(message(str(error)), file=sys.stderr)
        found = [{}] * prepared.blocks
    yield from found


def _texts(prepared: passes.Prepared) -> Iterator[tuple[list[list[str]], list[list[str]]]]:
    """Yield the captions of each setting and the references of each image of a block, as tokens joined by spaces."""
    for number in range(prepared.blocks):
        block = tokens.read(prepared.folder, number)
        lines = [
            " ".join(prepared.words[word] for word in words)
            for words in np.split(block.texts.words, block.texts.starts[1:-1])
        ]
        of_image = np.split(block.references, block.starts[1:-1])
        yield [[lines[at] for at in each] for each in block.captions], [[lines[at] for at in each] for each in of_image]
