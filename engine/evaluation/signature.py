"""Signatures of corpus values, in the format of sacrebleu: `metric|name:value|...|version:tool`."""

import hashlib
from collections.abc import Mapping
from typing import Any

from engine.protocols import Metric

_VARIANTS = {"cider": "CIDEr-D"}
"""Metrics whose name in the signature is more precise than their title."""


_CAPTIONER = ("model", "prompt", "chat_template", "revision", "dtype", "transformers")
"""Settings in the identity of a captioner with a prompt, without which its numbers cannot be computed again."""


def captioner_fields(identity: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of signatures that describe a captioner with a prompt; {} for other captioners.

    A prompt may be long and contain any character, so that the field is a digest of it; `run.json` has its text.
    """
    if "prompt" not in identity:
        return {}
    known = {name: identity[name] for name in _CAPTIONER if name in identity}
    return {name: _safe(name, value) for name, value in known.items()}


def _safe(name: str, value: object) -> str:
    """Return a setting as the value of a field: without the separators of fields."""
    if value is None:
        return "none"
    if name == "prompt":
        return hashlib.sha256(str(value).encode()).hexdigest()[:16]
    return "".join(" " if each in "|:" or not each.isprintable() else each for each in str(value))


def signature(metric: Metric, **known: object) -> str:
    """Return the signature of a corpus value: the fields of `known`, then those of the metric, then its tool."""
    own: Mapping[str, Any] = {**known, **getattr(metric, "signature", {})}
    title = _VARIANTS.get(metric.key, metric.title).replace("|", " ").replace(":", " ")
    return "|".join([title, *(f"{name}:{value}" for name, value in own.items()), f"version:{metric.tool}"])
