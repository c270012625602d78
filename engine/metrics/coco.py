"""The metrics of the COCO caption evaluation: CIDEr-D, BLEU, ROUGE-L, METEOR and SPICE.

They are one family: one Java process tokenises all texts, and the references of an image are counted once for the
captions of all settings. CIDEr takes its document frequencies from the references of the split: score a whole split at
once, and select from its values later.
"""

import sys
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from types import MappingProxyType

import numpy as np
from tqdm import tqdm

from engine.data.split import Split
from engine.metrics import meteor, ngrams, ptb, spice
from engine.metrics.base import Described, MetricError, mean_of, with_ones
from engine.metrics.pooling import POOLED
from engine.protocols import Need
from engine.reading import message

CAPTION_METRICS = ("cider", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l")
"""Computed by default."""

ON_REQUEST = ("meteor", "spice")
"""Computed on request: METEOR takes seconds; SPICE takes minutes and needs models that must be downloaded first."""

_NGRAM_METRICS = frozenset(CAPTION_METRICS)


class CocoFamily:
    """Computes the statistics of several COCO metrics and settings together."""

    def statistics(
        self, keys: Sequence[str], settings: Mapping[int, Sequence[str]], split: Split
    ) -> dict[str, dict[int, np.ndarray]]:
        """Return key -> setting -> statistics float64[N, C]; rows of images without references are NaN.

        A metric that cannot run here (SPICE without its models) is left out with a warning.

        Raises:
            MetricError: a tool failed.
        """
        rows = split.having({"references"})
        if not rows:
            return {}
        texts = [text for row in rows for text in split.references[row]]
        texts += [captions[row] for captions in settings.values() for row in rows]
        tokens = iter(ptb.tokenize(texts))
        references = [[next(tokens) for _ in split.references[row]] for row in rows]
        captions = {setting: [next(tokens) for _ in rows] for setting in settings}
        found = _ngram_statistics(keys, captions, references) if _NGRAM_METRICS & set(keys) else {}
        if "meteor" in keys:
            found["meteor"] = _meteor_counts(captions, references)
        if "spice" in keys:
            found |= _spice_scores(captions, references)
        spread = {id(each): _spread(each, rows, len(split)) for each in found.values()}  # BLEU-1 to -4 share theirs
        return {key: spread[id(each)] for key, each in found.items()}


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


def _spread(by_setting: Mapping[int, np.ndarray], rows: Sequence[int], images: int) -> dict[int, np.ndarray]:
    """Return the statistics of `rows` as those of all images, NaN elsewhere."""
    spread = {}
    for setting, some in by_setting.items():
        if len(rows) == images:
            spread[setting] = some
            continue
        spread[setting] = np.full((images, some.shape[1]), np.nan)
        spread[setting][rows] = some
    return spread


def _ngram_statistics(
    keys: Sequence[str], captions: Mapping[int, list[str]], references: Sequence[Sequence[str]]
) -> dict[str, dict[int, np.ndarray]]:
    by_image = list(zip(*captions.values(), strict=True))
    bar = tqdm(ngrams.score_images(references, by_image), "caption metrics", len(references), unit="image", delay=1)
    pairs = dict(zip(captions, zip(*bar, strict=True), strict=True))
    found: dict[str, dict[int, np.ndarray]] = {}
    for key in ("cider", "rouge_l"):
        if key in keys:
            found[key] = {
                setting: with_ones(np.array([getattr(pair, key) for pair in each])) for setting, each in pairs.items()
            }
    wanted = [key for key in keys if key.startswith("bleu_")]
    if wanted:
        counts = {
            setting: np.array([pair.bleu_counts for pair in each], dtype=np.float64) for setting, each in pairs.items()
        }
        found |= dict.fromkeys(wanted, counts)
    return found


def _meteor_counts(captions: Mapping[int, list[str]], references: list[list[str]]) -> dict[int, np.ndarray]:
    """Return METEOR's counts of all settings from one process; captions that settings share are aligned once."""
    pairs = {(image, caption) for each in captions.values() for image, caption in enumerate(each)}
    rows = {pair: row for row, pair in enumerate(sorted(pairs))}
    try:
        with meteor.start() as process:
            every = process.counts([caption for _, caption in rows], [references[image] for image, _ in rows])
    except meteor.MeteorError as error:
        raise MetricError(str(error)) from error
    return {setting: every[[rows[pair] for pair in enumerate(each)]] for setting, each in captions.items()}


def _spice_scores(captions: Mapping[int, list[str]], references: list[list[str]]) -> dict[str, dict[int, np.ndarray]]:
    """Return SPICE, or nothing with a warning if it cannot run."""
    try:
        return {"spice": {setting: with_ones(spice.score(each, references)) for setting, each in captions.items()}}
    except spice.SpiceError as error:
        tqdm.write(message(str(error)), file=sys.stderr)
        return {}
