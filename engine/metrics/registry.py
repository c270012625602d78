"""Look up metrics by name: those of the COCO evaluation, and plugins."""

from collections.abc import Iterable, Sequence
from functools import cache

from engine import protocols
from engine.metrics.base import MetricError
from engine.metrics.coco import CAPTION_METRICS, ON_REQUEST, CocoMetric
from engine.protocols import Metric, PluginError
from engine.store import schema
from engine.store.schema import METRICS

_LONGEST = 80
"""Characters of a text of a metric, such as its title."""


def named(names: Sequence[str]) -> list[Metric]:
    """Return the metrics of these names: built-in keys, installed plugins, or `package.module:factory`.

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


def ordered(keys: Iterable[str]) -> list[str]:
    """Return keys in the order of the results: built-in metrics first."""
    known = set(keys)
    return [key for key in METRICS if key in known]


def available() -> list[str]:
    """Return the names that `named` accepts, other than `package.module:factory`."""
    return [*CAPTION_METRICS, *ON_REQUEST, *protocols.installed("metrics")]


def _named(name: str) -> Metric:
    if name in CAPTION_METRICS + ON_REQUEST:
        return CocoMetric(name)
    if name in schema.BUILT_IN:
        raise MetricError(f"metric {name!r} is computed with --clip; expected one of {', '.join(available())}")
    if ":" not in name and name not in available():
        raise MetricError(
            f"unknown metric {name!r}: expected one of {', '.join(available())}, or package.module:factory"
        )
    return _plugin(name)


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
    unknown = sorted(set(metric.needs) - {"references", "photos", "objects"})
    if unknown:
        raise PluginError(f"metric {name!r} needs {unknown[0]!r}, expected references, photos or objects")
    try:
        schema.check(_definition(metric, "mean"))
    except ValueError as error:
        raise PluginError(f"metric {name!r}: {error}") from error


def _definition(metric: Metric, corpus: str) -> schema.MetricDefinition:
    named = (metric.key, metric.title, metric.unit, corpus, metric.definition)
    return schema.MetricDefinition(*named, digits=metric.digits, higher_is_better=metric.higher_is_better)


def define(metric: Metric, is_pooled: bool) -> None:
    """Register a metric in this process, so that tables have a column for it.

    Raises:
        PluginError: another metric has the same key.
    """
    if metric.key in schema.BUILT_IN:
        return
    try:
        schema.register(_definition(metric, "pooled" if is_pooled else "mean"))
    except ValueError as error:
        raise PluginError(f"metric {metric.key!r}: {error}") from error
