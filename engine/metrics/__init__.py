"""Caption metrics: statistics per image first, aggregation last."""
