"""Signatures of corpus values, in the format of sacrebleu: `metric|name:value|...|version:tool`."""

from collections.abc import Mapping
from typing import Any

from engine.protocols import Metric

_VARIANTS = {"cider": "CIDEr-D"}
"""Metrics whose name in the signature is more precise than their title."""


def signature(metric: Metric, **known: object) -> str:
    """Return the signature of a corpus value: the fields of `known`, then those of the metric, then its tool."""
    own: Mapping[str, Any] = {**known, **getattr(metric, "signature", {})}
    title = _VARIANTS.get(metric.key, metric.title).replace("|", " ").replace(":", " ")
    return "|".join([title, *(f"{name}:{value}" for name, value in own.items()), f"version:{metric.tool}"])
