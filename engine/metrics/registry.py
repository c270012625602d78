"""Look up metrics by name: those of the COCO evaluation, CHAIR, and plugins."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache

from engine import protocols
from engine.metrics import chair_rules, exec_metric
from engine.metrics.base import MetricError, is_mean
from engine.metrics.chair import CHAIR, ChairMetric
from engine.metrics.coco import CAPTION_METRICS, ON_REQUEST, CocoMetric
from engine.protocols import Metric, PluginError
from engine.store import schema
from engine.store.schema import METRICS

_ENTRY = re.compile(r"[a-z][a-z0-9_]*")
_TAKEN = {
    *("beam", "images", "refs", "data", "tok", "version", "rule", "max_length", "length_penalty", "early_stopping"),
    *("prompt", "chat_template", "revision", "dtype", "transformers"),
}
"""Entries of a signature that do not come from the metric."""

_LONGEST = 80
"""Characters of a text of a metric, such as its title."""


def named(names: Sequence[str]) -> list[Metric]:
    """Return the metrics of these names: built-in keys, installed plugins, `package.module:factory`, or `exec:COMMAND`.

    Raises:
        MetricError: a name is unknown, or two metrics have the same key.
        PluginError: a plugin cannot be loaded or used.
    """
    found = [_named(name) for name in dict.fromkeys(names)]
    keys = [metric.key for metric in found]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise MetricError(f"two metrics have the key {twice!r}; leave one out of --metrics")
    return found


def by_default(labels: Collection[str]) -> tuple[str, ...]:
    """Return the metrics that are computed by default; CHAIR if annotated objects have COCO's `labels`."""
    return (*CAPTION_METRICS, *CHAIR) if chair_rules.annotates(labels) else CAPTION_METRICS


def ordered(keys: Iterable[str]) -> list[str]:
    """Return keys in the order of the results: built-in metrics first."""
    known = set(keys)
    return [key for key in METRICS if key in known & schema.BUILT_IN] + sorted(known - schema.BUILT_IN)


def available() -> list[str]:
    """Return the names that `named` accepts, other than `package.module:factory`."""
    return [*CAPTION_METRICS, *CHAIR, *ON_REQUEST, *protocols.installed("metrics")]


def _named(name: str) -> Metric:
    if name in CAPTION_METRICS + ON_REQUEST:
        return CocoMetric(name)
    if name in CHAIR:
        return ChairMetric(name)
    if name in schema.BUILT_IN:
        raise MetricError(f"metric {name!r} is computed with --clip; expected one of {', '.join(available())}")
    if ":" not in name and name not in available():
        expected = f"{', '.join(available())}, package.module:factory, or exec:COMMAND"
        raise MetricError(f"unknown metric {name!r}: expected one of {expected}")
    metric = _command(name) if name.startswith(exec_metric.PREFIX) else _plugin(name)
    try:
        schema.register(_definition(metric))
    except ValueError as error:
        raise PluginError(f"metric {name!r}: {error}") from error
    return metric


def _command(name: str) -> Metric:
    """Load a metric that is a command and check what its header says."""
    metric = exec_metric.load(name)
    _check(name, metric)
    return metric


@cache
def _plugin(name: str) -> Metric:
    """Load a plugin and check it."""
    metric = protocols.plugin("metrics", name)
    _check(name, metric)
    return metric


def _check(name: str, metric: Metric) -> None:
    """Check the parts of other people's metric, before anything is computed.

    Raises:
        PluginError: a part is missing or is not what the protocol says.
    """
    for part in ("key", "title", "unit", "definition", "tool"):
        value = getattr(metric, part)
        if not (isinstance(value, str) and value.strip() and value.isprintable() and len(value) <= _LONGEST):
            expected = f"one line of 1 to {_LONGEST} characters"
            raise PluginError(f"metric {name!r}: {part} is {value!r}, expected {expected}")
    if type(metric.digits) is not int:
        raise PluginError(f"metric {name!r}: digits is {metric.digits!r}, expected a whole number")
    if type(metric.higher_is_better) is not bool:
        raise PluginError(f"metric {name!r}: higher_is_better is {metric.higher_is_better!r}, expected True or False")
    known = ("references", "photos", "objects")
    if not isinstance(metric.needs, set | frozenset | tuple | list) or not all(need in known for need in metric.needs):
        raise PluginError(f"metric {name!r}: needs is {metric.needs!r}, expected a set of references, photos, objects")
    _check_signature(name, metric)


def _check_signature(name: str, metric: Metric) -> None:
    """Check that a metric's entries of a signature are distinct from the others."""
    if "|" in metric.tool:
        raise PluginError(f"metric {name!r}: tool is {metric.tool!r}, expected a name and a version without |")
    extra = getattr(metric, "signature", {})
    if not isinstance(extra, Mapping):
        raise PluginError(f"metric {name!r}: signature is {extra!r}, expected a dictionary")
    for key, value in extra.items():
        if not (isinstance(key, str) and _ENTRY.fullmatch(key)) or key in _TAKEN:
            raise PluginError(f"metric {name!r}: signature has the entry {key!r}, expected a name of its own")
        if not isinstance(value, str | int | float | bool) or "|" in str(value):
            raise PluginError(f"metric {name!r}: signature[{key!r}] is {value!r}, expected text without | or a number")


def _definition(metric: Metric) -> schema.MetricDefinition:
    named = (metric.key, metric.title, metric.unit, "mean" if is_mean(metric) else "pooled", metric.definition)
    return schema.MetricDefinition(*named, digits=metric.digits, higher_is_better=metric.higher_is_better)
