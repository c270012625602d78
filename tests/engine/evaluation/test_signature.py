from types import SimpleNamespace

from engine.evaluation.signature import signature
from engine.metrics.coco import CocoMetric


def test_a_signature_describes_how_a_number_was_computed():
    found = signature(CocoMetric("cider"), beam=3, refs=5)
    assert found == "CIDEr-D|beam:3|refs:5|tok:ptb|version:pycocoevalcap-1.2"


def test_a_signature_takes_the_tool_of_the_metric_and_no_bar_of_its_title():
    metric = SimpleNamespace(key="mine", title="A|B:C", tool="mine-2.0")
    assert signature(metric, refs=5) == "A B C|refs:5|version:mine-2.0"
