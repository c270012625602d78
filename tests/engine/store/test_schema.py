import pyarrow as pa
import pytest

from engine.store import schema


def test_scores_take_their_metric_columns_in_one_order():
    found = schema.scored_schema("scores", ["rouge_l", "cider"])
    metrics = ["cider", "rouge_l"]
    counts = ["bleu_counts", "meteor_counts", "chair_counts"]
    assert found.names == ["image_id", "beam_size", *metrics, "clip_truncated", "tags", *counts]
    assert found.field("cider").type == pa.float64()


def test_registered_metrics_follow_the_built_in_ones_by_key(monkeypatch):
    for key in ("zeta", "alpha"):
        monkeypatch.setitem(schema.METRICS, key, schema.MetricDefinition(key, key, "", "mean", "registered"))
    names = schema.scored_schema("scores", ["zeta", "cider", "alpha", "bleu_1"]).names
    assert names[2:6] == ["cider", "bleu_1", "alpha", "zeta"]


def test_an_unknown_metric_is_named():
    with pytest.raises(KeyError, match="unknown metric 'wer'"):
        schema.scored_schema("hypotheses", ["wer"])


def test_the_schema_of_a_scores_file_follows_its_own_columns():
    assert schema.schema_of("scores", ["image_id", "beam_size", "meteor", "tags"]).names[2] == "meteor"
    assert schema.schema_of("hypotheses", ["image_id", "cider"]).names[-1] == "cider"
    assert schema.schema_of("images", ["cider"]) == schema.TABLES["images"]


@pytest.mark.parametrize("metric", schema.METRICS.values(), ids=lambda metric: metric.key)
def test_every_metric_is_defined_with_its_unit(metric):
    assert metric.title and metric.unit and metric.definition
    assert metric.corpus in ("mean", "pooled")
