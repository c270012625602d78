"""Models that captioners and metrics share: CLIP and the tokenizer."""
