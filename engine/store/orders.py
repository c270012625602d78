"""What cases can be sorted by besides metrics, and the definition of either."""

from engine.store.schema import METRICS, MetricDefinition

ALARM = MetricDefinition(
    "alarm",
    "Most alarming noun",
    "probability",
    "mean",
    "The highest alarm of the caption's nouns: the probability that the noun is made up, from the model alone.",
    digits=2,
    higher_is_better=False,
)
"""Its values come from the table `words`. It is not a metric: runs are not compared by it."""


def definition(key: str) -> MetricDefinition:
    """Return the definition of a metric, or of ALARM.

    Raises:
        KeyError: neither is called `key`.
    """
    return ALARM if key == ALARM.key else METRICS[key]
