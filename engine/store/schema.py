"""The results contract: tables, their columns with units, and the metrics with their definitions.

This module, `word_schema`, `slice_schema` and `answer_schema` are the only ones that name a column type.
"""

import re
from dataclasses import dataclass

import pyarrow as pa

from engine.store.answer_schema import ANSWER_KEYS, ANSWERS
from engine.store.slice_schema import SLICE_KEYS, SLICE_TABLES
from engine.store.word_schema import WORD_KEYS, WORD_TABLES

RUN_RECORD = "run.json"
"""The file that goes last: a run folder without it is unfinished."""

VERSION = 3
"""Version of this contract. Every run record names the version it was written with."""

RENAMED = 3
"""The version that renamed tables, record keys and tags; readers apply the three maps below to older runs."""

RENAMED_TABLES = {"skipped": "set_aside"}
"""Table -> its file's name in runs of versions before RENAMED."""

RENAMED_KEYS = {"set_aside": "skipped"}
"""Record key before RENAMED -> the key now."""

RENAMED_TAGS = {
    "invented object": "hallucinated object",
    "missed object": "omitted object",
    "passed over": "ranking error",
}
"""Failure tag before RENAMED -> the tag now."""

END_WORD = "<end>"
"""The end token, kept as a word of its own in the attention table: where the model looked when it decided to stop."""

ATTENTION_PASSES = {"standard": "causal replay", "study": "study's pass (no causal mask)"}
"""Rule of the search -> the pass that the maps are read from: the one in which that rule chooses words.

A run record names it under attention.pass. Records without it are of runs whose maps come from a causal replay,
whatever their rule.
"""


KEYS = {
    "images": ("image_id",),
    "captions": ("image_id", "beam_size"),
    "hypotheses": ("image_id", "beam_size", "rank"),
    "scores": ("image_id", "beam_size"),
    "corpus_scores": ("beam_size", "metric"),
    "attention": ("image_id", "beam_size"),
    **WORD_KEYS,
    **SLICE_KEYS,
    **ANSWER_KEYS,
}
"""Table -> the columns that identify a row: queries join by them, so that a second row would count twice."""


def _struct(**fields: pa.DataType) -> pa.DataType:
    return pa.struct(list(fields.items()))


_WORDS = pa.list_(pa.string())
_OBJECT = _struct(label=pa.string(), x=pa.float64(), y=pa.float64(), width=pa.float64(), height=pa.float64())
_TAG = _struct(tag=pa.string(), evidence=pa.string())
_GUESS = _struct(label=pa.string(), probability=pa.float64())
_BOX = _struct(x=pa.float64(), y=pa.float64(), width=pa.float64(), height=pa.float64())

TABLES: dict[str, pa.Schema] = {
    **WORD_TABLES,
    **SLICE_TABLES,
    # A row is an image. Sizes and boxes are pixels of the upright photo (EXIF rotation applied).
    "images": pa.schema(
        {
            "image_id": pa.string(),  # the file name without folder and extension
            "file_name": pa.string(),  # relative to run.json's roots.images
            "width": pa.int32(),
            "height": pa.int32(),
            "references": pa.list_(pa.string()),
            "objects": pa.list_(_OBJECT),
            "crowds": pa.list_(_OBJECT),  # regions of several objects (COCO's iscrowd); absent in older runs
            "conditions": pa.list_(
                pa.string()
            ),  # what makes the photo difficult, such as blur, and the columns of the dataset's own
            "brightness": pa.float64(),  # mean of the photo's gray values, 0 to 1
            "contrast": pa.float64(),  # their standard deviation, 0 to 0.5
        }
    ),
    # A row is a photo that could not be used, and why.
    "skipped": pa.schema({"image_id": pa.string(), "file_name": pa.string(), "reason": pa.string()}),
    # A row is an image at a beam size. beam_size 0 marks a prediction file whose decoding is not known.
    "captions": pa.schema(
        {
            "image_id": pa.string(),
            "beam_size": pa.int32(),  # 1 is greedy
            "caption": pa.string(),
            "words": _WORDS,
            "logprob": pa.float64(),  # nats, summed over the new tokens; null for imported predictions
            "score": pa.float64(),  # value that ranks hypotheses: logprob / tokens ** length_penalty
            "finished": pa.bool_(),  # an end token was produced before the maximum length
            "tokens": pa.list_(pa.int32()),  # ids of the new tokens, with the end token; null if they are not known
        }
    ),
    # A row is a hypothesis of an image's n-best list at a beam size (--n-best), with metric columns as in
    # scores. Rank 1 is the caption itself.
    "hypotheses": pa.schema(
        {
            "image_id": pa.string(),
            "beam_size": pa.int32(),
            "rank": pa.int32(),  # 1 is the best; of samples, the order in which they were drawn
            "caption": pa.string(),
            "logprob": pa.float64(),  # as in captions
            "score": pa.float64(),
            "finished": pa.bool_(),
        }
    ),
    # A row is an image at a beam size; one DOUBLE column per metric of METRICS that was computed.
    "scores": pa.schema(
        {
            "image_id": pa.string(),
            "beam_size": pa.int32(),
            "clip_truncated": pa.bool_(),  # the caption was longer than CLIP's context
            "tags": pa.list_(_TAG),
            "bleu_counts": pa.list_(pa.int32()),  # see pooling: corpus BLEU comes from their sums
            "meteor_counts": pa.list_(pa.int32()),
            "chair_counts": pa.list_(pa.int32()),  # hallucinated mentions, mentions, whether there is one, 1
        }
    ),
    # A row is a metric at a beam size over the whole split; low and high are a 95 % interval.
    "corpus_scores": pa.schema(
        {
            "beam_size": pa.int32(),
            "metric": pa.string(),
            "value": pa.float64(),
            "low": pa.float64(),
            "high": pa.float64(),
            "images": pa.int32(),
            "signature": pa.string(),
        }
    ),
    # A row is an image at a beam size. weights is uint8 [words, layers, heads, patches], row-major; the weight itself
    # is byte / 255 * scale[word, layer, head]. Patches are the grid's, row by row. The crop is the part of
    # the photo that the model saw.
    "attention": pa.schema(
        {
            "image_id": pa.string(),
            "beam_size": pa.int32(),
            "words": _WORDS,  # the caption's words and END_WORD
            "shape": pa.list_(pa.int32()),  # [words, layers, heads, patches]
            "weights": pa.binary(),
            "scale": pa.list_(pa.float32()),  # one per map, [words * layers * heads]
            "grid_height": pa.int32(),
            "grid_width": pa.int32(),
            "crop": _BOX,  # pixels of the upright photo
            # One per word: the part of its attention that its maps hold, mean over layers and heads of exact weights.
            "share": pa.list_(pa.float32()),
        }
    ),
    # A row is a noun of a caption whose object has a box, for one layer and head (head -1 is the mean).
    "grounding": pa.schema(
        {
            "image_id": pa.string(),
            "beam_size": pa.int32(),
            "word_index": pa.int32(),
            "word": pa.string(),
            "label": pa.string(),
            "layer": pa.int32(),
            "head": pa.int32(),
            "offset": pa.int32(),  # words away from the noun, -3..+3; 0 is the noun's own map
            "mass": pa.float64(),  # share of the attention inside the boxes
            "lift": pa.float64(),  # mass over the boxes' share of the picture
            "hit": pa.bool_(),  # the map's peak lies inside a box, or its patch contains a box smaller than a patch
            "shuffled_hit": pa.bool_(),  # the same with boxes of the label in another image: chance
        }
    ),
    # A row is an image under a template.
    "zero_shot": pa.schema(
        {
            "image_id": pa.string(),
            "file_name": pa.string(),  # relative to run.json's roots.zero_shot
            "template": pa.string(),
            "label": pa.string(),  # the true class; null if it is not known
            "predicted": pa.string(),
            "correct": pa.bool_(),
            "top": pa.list_(_GUESS),  # best first; softmax with CLIP's learned scale
        }
    ),
    # A row is a logged step (loss, lr, grad_norm) or the end of an epoch (validation metrics).
    "training": pa.schema(
        {
            "step": pa.int64(),
            "epoch": pa.int32(),
            "loss": pa.float64(),  # nats per token
            "lr": pa.float64(),
            "grad_norm": pa.float64(),
            "validation_cider": pa.float64(),
            "validation_clipscore": pa.float64(),
        }
    ),
}


ADDED: dict[str, tuple[str, ...]] = {
    "images": ("brightness", "contrast"),
    "scores": ("bleu_counts", "meteor_counts", "chair_counts"),
    "attention": ("share",),
    "captions": ("tokens",),
}
"""Columns that were added to tables of the contract: a file without them is read, NULL in their place."""


@dataclass(frozen=True)
class MetricDefinition:
    """A caption metric: how it is called, what it means, and how it aggregates.

    `corpus` says how the corpus value comes from the images: "mean" of per-image values, or "pooled" where the
    corpus value is computed from counts over the whole split (BLEU).
    """

    key: str
    title: str
    unit: str
    corpus: str
    definition: str
    digits: int = 3
    higher_is_better: bool = True

    @property
    def counts(self) -> str:
        """Return the column of a pooled metric's statistics, for metrics that are not built in."""
        return f"{self.key}_counts"

    @property
    def tie(self) -> float:
        """Return the difference below which two values count as equal: they are displayed with the same digits.

        BLEU's smoothing alone makes captions without any 4-gram of a reference differ by up to 0.0002.
        """
        return 0.5 * 10**-self.digits


METRICS: dict[str, MetricDefinition] = {
    metric.key: metric
    for metric in (
        MetricDefinition(
            "cider", "CIDEr", "0 to 10", "mean", "CIDEr-D: tf-idf n-gram cosine, clipped, sigma 6, times 10"
        ),
        MetricDefinition("bleu_1", "BLEU-1", "0 to 1", "pooled", "clipped 1-gram precision with brevity penalty"),
        MetricDefinition("bleu_2", "BLEU-2", "0 to 1", "pooled", "geometric mean of 1- and 2-gram precisions"),
        MetricDefinition("bleu_3", "BLEU-3", "0 to 1", "pooled", "geometric mean of 1- to 3-gram precisions"),
        MetricDefinition("bleu_4", "BLEU-4", "0 to 1", "pooled", "geometric mean of 1- to 4-gram precisions"),
        MetricDefinition(
            "rouge_l", "ROUGE-L", "0 to 1", "mean", "F-measure (beta 1.2) of the longest common subsequence"
        ),
        MetricDefinition("meteor", "METEOR", "0 to 1", "pooled", "METEOR 1.5 with stems, synonyms and paraphrases"),
        MetricDefinition("spice", "SPICE", "0 to 1", "mean", "F-score of the propositions in caption and references"),
        MetricDefinition("clipscore", "CLIPScore", "0 to 2.5", "mean", "2.5 * max(cos(image, caption), 0)"),
        MetricDefinition(
            "refclipscore",
            "RefCLIPScore",
            "0 to 1.43",
            "mean",
            "harmonic mean of CLIPScore and the best cosine to a reference",
        ),
        MetricDefinition(
            "chair_i",
            "CHAIRi",
            "0 to 1",
            "pooled",
            "hallucinated mentions of COCO objects over all mentions, as in the original code",
            higher_is_better=False,
        ),
        MetricDefinition(
            "chair_s",
            "CHAIRs",
            "0 to 1",
            "pooled",
            "captions with a hallucinated COCO object over all captions, as in the original code",
            higher_is_better=False,
        ),
    )
}

BUILT_IN = frozenset(METRICS)
"""The metrics that need no definition in a run record."""

_USED = (
    "run filename rowid draw scored source tag name kind picked metric value low high beam images captions scores "
    "hypotheses entry percentile better worse place"
)
"""Columns of views, queries and published figures."""

RESERVED = frozenset({*_USED.split(), *(name for table in TABLES.values() for name in table.names)})
"""Names that no registered metric can have, because its column would hide another one."""

_METRIC_KEY = re.compile(r"[a-z][a-z0-9_]{0,63}")


def register(metric: MetricDefinition) -> None:
    """Add a metric that is not built in to METRICS: scored tables, views and queries then have a column for it.

    Registering the same definition again changes nothing.

    Raises:
        ValueError: the key has another definition or is not the name of a column, or a field is out of range.
    """
    if METRICS.get(metric.key) == metric:
        return
    check(metric)
    if known := METRICS.get(metric.key):
        what = f"has another definition already ({known.definition[:60]})"
        raise ValueError(f"metric {metric.key!r} {what}; give the new metric another key")
    METRICS[metric.key] = metric


def check(metric: MetricDefinition) -> None:
    """Check the definition of a metric that is not built in.

    Raises:
        ValueError: the key is taken or is not the name of a column, or a field is out of range.
    """
    key = metric.key
    if not _METRIC_KEY.fullmatch(key):
        expected = "a letter, then letters, digits and _, all lower case, at most 64"
        raise ValueError(f"metric key {key[:60]!r}: expected {expected}")
    if key in BUILT_IN:
        raise ValueError(
            f"metric {key!r} is built in ({METRICS[key].definition[:60]}); give the new metric another key"
        )
    counts = {each.counts for name, each in METRICS.items() if name not in BUILT_IN}
    if key in RESERVED | counts or key.endswith("_counts") or metric.counts in METRICS:
        raise ValueError(f"metric key {key!r} is the name of a column of the results; give the metric another key")
    same = next((each.key for each in METRICS.values() if each.title == metric.title and each.key != key), None)
    if same is not None:
        raise ValueError(f"title of metric {key!r} is {metric.title[:60]!r}, which is that of metric {same!r}")
    if metric.corpus not in _CORPUS:
        raise ValueError(f"corpus of metric {key!r} is {metric.corpus!r}, expected one of {', '.join(_CORPUS)}")
    if not 0 <= metric.digits <= _MOST_DIGITS:
        raise ValueError(f"digits of metric {key!r} is {metric.digits}, expected 0 to {_MOST_DIGITS}")


_CORPUS = ("mean", "pooled")
_MOST_DIGITS = 9

TAGS = {
    "empty": "the caption has no words",
    "unfinished": "the caption reached the maximum length before an end token",
    "repetition": "a phrase of two or more words is repeated directly, or occurs three times",
    "generic": "the same caption was given to at least 3 images and to at least 1 % of the split",
    "hallucinated object": "the caption names an object that is not annotated in the image and that no reference names "
    "(compare CHAIR)",
    "omitted object": "the caption does not name an object that most references name",
    "wrong colour": "references name another colour of the same object, and none names the caption's",
    "wrong count": "references and annotated objects agree on another number of an object than the caption states",
    "wrong relation": "references state another relation of the same two objects, such as under instead of on",
    "wrong person": "every reference that names a person uses another word, such as woman instead of man, and none a "
    "neutral one such as person; the references are the evidence, not how somebody looks",
    "right for the wrong reason": "the image shows the object, but covering it hardly changes p(word), and attention "
    "does not prefer it (only with --explain occlusion)",
    "ranking error": "another hypothesis of the n-best list has at least twice the CIDEr, and 0.5 more",
}
"""The failure tags with their definitions; `diagnosis.tags` assigns them, the last two stages of `evaluation`."""

SCORED = {"scores": 2, "hypotheses": 7}
"""The tables with metric columns, each with the number of columns before those."""


def scored_schema(table: str, metrics: list[str]) -> pa.Schema:
    """Return the schema of a table of SCORED with a DOUBLE column for each of `metrics`.

    Built-in ones come in METRICS' order, then others by key: the order does not depend on when a metric was registered,
    so that another process can continue a run.

    Raises:
        KeyError: a metric that METRICS does not define.
    """
    if unknown := sorted(set(metrics) - set(METRICS)):
        raise KeyError(f"unknown metric {unknown[0]!r}: expected one of {', '.join(METRICS)}")
    base, before = list(TABLES[table]), SCORED[table]
    every = sorted(METRICS, key=lambda key: (key not in BUILT_IN, key if key not in BUILT_IN else ""))
    ordered = [key for key in every if key in metrics]
    columns = [pa.field(key, pa.float64()) for key in ordered]
    pooled = [METRICS[key] for key in ordered if key not in BUILT_IN and METRICS[key].corpus == "pooled"]
    counts = [pa.field(each.counts, pa.list_(pa.float64())) for each in pooled if table == "scores"]
    return pa.schema([*base[:before], *columns, *base[before:], *counts])


def schema_of(table: str, columns: list[str]) -> pa.Schema:
    """Return the schema of `table`, with those of `columns` that are metrics if it has metric columns."""
    if table in SCORED:
        return scored_schema(table, [name for name in columns if name in METRICS])
    return ANSWERS[table] if table in ANSWERS else TABLES[table]
