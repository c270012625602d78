"""What each word of a caption claims, and whether that is true: the columns fact, verdict and evidence of `words`."""

from collections.abc import Mapping, Sequence
from typing import Any

from engine.diagnosis.lexicon import Mentions
from engine.evaluation.words import Judge


def judge_of(labels: Sequence[str]) -> Judge:
    """Return the judge of a run whose images are annotated with `labels`."""
    mentions = Mentions(labels) if labels else None

    def judge(words: Sequence[str], image: Mapping[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = [{} for _ in words]
        if mentions is None:
            return found
        shown = [box["label"] for box in (*(image["objects"] or ()), *(image["crowds"] or ()))]
        named = [set(mentions.find(text)) for text in image["references"] or ()]
        for _, stop, label in mentions.spans(words):
            boxes, said = shown.count(label), sum(label in each for each in named)
            verdict = "correct" if boxes or said else "wrong"
            evidence = f"{boxes} boxes, {said} of {len(named)} references"
            found[stop - 1] = {"fact": "object", "verdict": verdict, "evidence": evidence}
        return found

    return judge
