"""Metrics that a run record defines: `metric_definitions` of metrics that are not built in.

A run can then be read where the plugin that computed the metric is not installed. Records are untrusted: whatever is
not a definition becomes a Problem that names the run.
"""

from collections.abc import Iterable
from typing import Any

from engine.store.errors import Problem
from engine.store.records import FinishedRun
from engine.store.schema import RUN_RECORD, MetricDefinition, register

KEY = "metric_definitions"
"""The key of a run record: metric -> title, unit, corpus, definition, digits, higher_is_better."""

_MOST = 100
"""Definitions per run; each adds a column to every query."""

_TEXTS = {"title": 80, "unit": 80, "corpus": 80, "definition": 1000}
"""Required fields with the largest number of characters."""


def definition(metric: MetricDefinition) -> dict[str, Any]:
    """Return the entry of `metric_definitions` that describes a metric."""
    return {
        **{name: getattr(metric, name) for name in _TEXTS},
        "digits": metric.digits,
        "higher_is_better": metric.higher_is_better,
    }


def register_all(runs: Iterable[FinishedRun]) -> list[Problem]:
    """Register the metrics that the records of runs define; return the definitions that were refused.

    Of two definitions of a metric the first is kept, built-in ones before all.
    """
    problems = []
    for run in runs:
        for reason in _register(run.record.get(KEY)):
            problems.append(Problem(run.folder / RUN_RECORD, f"run {run.name!r}: {reason}"))
    return problems


def _register(definitions: object) -> Iterable[str]:
    """Register the definitions of one record; yield why some were refused."""
    if definitions is None:
        return
    if not isinstance(definitions, dict):
        yield f"{KEY} is {_quoted(definitions)}, expected an object of definitions"
        return
    if len(definitions) > _MOST:
        yield f"{KEY} has {len(definitions):,} entries, expected at most {_MOST}"
        return
    for key, values in definitions.items():
        try:
            register(_metric(key, values))
        except ValueError as error:
            yield str(error)


def _metric(key: str, values: object) -> MetricDefinition:
    """Return the metric of a definition.

    Raises:
        ValueError: a field is missing or has the wrong type.
    """
    if not isinstance(values, dict):
        raise ValueError(f"definition of metric {_quoted(key)} is {_quoted(values)}, expected an object")
    for name, longest in _TEXTS.items():
        value = values.get(name)
        if not (isinstance(value, str) and value.strip() and len(value) <= longest and value.isprintable()):
            expected = f"one line of 1 to {longest} characters"
            raise ValueError(f"{name} of metric {_quoted(key)} is {_quoted(value)}, expected {expected}")
    digits, higher = (
        values.get("digits", MetricDefinition.digits),
        values.get("higher_is_better", MetricDefinition.higher_is_better),
    )
    if type(digits) is not int:
        raise ValueError(f"digits of metric {_quoted(key)} is {_quoted(digits)}, expected a whole number")
    if type(higher) is not bool:
        raise ValueError(f"higher_is_better of metric {_quoted(key)} is {_quoted(higher)}, expected true or false")
    texts = {name: values[name] for name in _TEXTS}
    return MetricDefinition(key, **texts, digits=digits, higher_is_better=higher)


def _quoted(value: object) -> str:
    """Return a JSON value for a message: at most 60 characters, and only the kind of a list or an object."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
