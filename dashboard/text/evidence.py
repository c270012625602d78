"""What is known about one word of a caption, in words.

Knows a named row of `queries.case_words` and the answer of `queries.word_agreement`. Returns plain text; draws nothing.
"""

import math
from typing import Any

import pandas as pd

from dashboard.text import formatting
from engine.store.frames import named_rows

ALARM = (
    "The alarm is the probability that the word is made up, estimated from the model alone: agreement of samples, "
    "probabilities of other objects, image gain. It is for sorting: look at the highest alarms first. It does not show "
    "that a word is wrong; many words with a high alarm are correct."
)


COVERED = (
    "Region: the tenth of the photo that the word's attention points at. Object: the boxes of what the word names. "
    "Each gets the colour of its surroundings, and the caption is read again. If p(word) stays, the model did not need "
    "that part."
)


def facts(word: Any, agreement: pd.DataFrame) -> list[tuple[str, str]]:
    """Return (name, value) of what is known about a word, most important first; what is not known is left out."""
    found = [
        ("Names", _text(word.label)),
        ("Verdict", _verdict(word)),
        ("Alarm", _number(word.alarm, 2, "probability that the word is made up")),
        ("Agreement", _agreement(word, agreement)),
        ("p(word)", _number(_p(word.logprob), 3)),
        ("p(word), region covered", _covered(word, word.region_effect)),
        ("p(word), object covered", _covered(word, word.object_effect)),
        ("Image gain", _signed(word.gain_grey, "nats compared with a grey picture")),
        ("Gain over another photo", _signed(word.gain_other, "nats")),
        ("Rank", "" if pd.isna(word.rank) else f"{int(word.rank)} of all words that could follow"),
        ("Entropy", _number(word.entropy, 2, "nats")),
    ]
    return [(name, value) for name, value in found if value]


def after(logprob: float, effect: float) -> float:
    """Return p(word) after covering: `effect` is the log-probability minus that after covering, nats."""
    return math.exp(min(logprob - effect, 0.0))


def disagreeing(agreement: pd.DataFrame) -> list[str]:
    """Return the captions that do not say the word, with where they come from."""
    rows = agreement[~agreement.agrees] if len(agreement) else agreement
    return [f"{formatting.caption(row.caption)} ({_source(row)})" for row in named_rows(rows)]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: float, digits: int, unit: str = "") -> str:
    return "" if pd.isna(value) else f"{formatting.number(float(value), digits)} {unit}".strip()


def _signed(value: float, unit: str) -> str:
    return "" if pd.isna(value) else f"{float(value):+z.2f} {unit}"


def _p(logprob: float) -> float:
    return math.nan if pd.isna(logprob) else math.exp(logprob)


def _verdict(word: Any) -> str:
    if not _text(word.verdict):
        return ""
    kind, evidence = _text(word.fact), _text(word.evidence)
    return f"{word.verdict}{f' {kind}' * bool(kind)}{f' ({evidence})' * bool(evidence)}"


def _agreement(word: Any, agreement: pd.DataFrame) -> str:
    if not len(agreement):
        return _number(word.agreement, 2, "of the samples say the same")
    said = int(agreement.agrees.sum())
    kind = "hypotheses" if (agreement.source == "n-best").all() else "samples"
    what = "name the same object" if _text(word.label) else "contain the word"
    return f"{said} of {len(agreement)} {kind} {what}"


def _covered(word: Any, effect: float) -> str:
    if pd.isna(word.logprob) or pd.isna(effect):
        return ""
    return f"{formatting.number(after(word.logprob, effect), 3)} ({-float(effect):+z.2f} nats)"


def _source(row: Any) -> str:
    return f"hypothesis {row.number}" if row.source == "n-best" else f"{row.source} photo, sample {row.number}"
