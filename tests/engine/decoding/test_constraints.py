import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.generation.logits_process import NoRepeatNGramLogitsProcessor, RepetitionPenaltyLogitsProcessor

from engine.config import DecodingConfig
from engine.decoding.constraints import constrain


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 9), st.sampled_from([0.7, 1.0, 1.2, 2.0]), st.integers(0, 4))
def test_scores_are_those_of_transformers_processors(seed, length, penalty, ngram):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(2, 3, 5, generator=generator)
    tokens = torch.randint(5, (2, 3, length), generator=generator)
    expected = scores.flatten(0, 1).clone()
    if penalty != 1.0:
        expected = RepetitionPenaltyLogitsProcessor(penalty)(tokens.flatten(0, 1), expected)
    if ngram:
        expected = NoRepeatNGramLogitsProcessor(ngram)(tokens.flatten(0, 1), expected)
    found = constrain(scores, tokens, DecodingConfig(repetition_penalty=penalty, no_repeat_ngram=ngram))
    torch.testing.assert_close(found.flatten(0, 1), expected)


def test_without_constraints_scores_are_left_alone():
    scores = torch.randn(1, 1, 4)
    assert constrain(scores, torch.zeros(1, 1, 1, dtype=torch.long), DecodingConfig()) is scores
