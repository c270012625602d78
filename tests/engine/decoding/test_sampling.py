"""Sampling against transformers' warpers, and what makes it repeatable."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from engine.config import DecodingConfig
from engine.decoding import sampling, sweep
from engine.decoding.steps import TokenHypothesis
from tests.support import peers

BOS, EOS = 0, 1
CPU = torch.device("cpu")


def sampled(**changes: object) -> DecodingConfig:
    return DecodingConfig(**{"beam_sizes": (1,), "sample": True, **changes})


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 10**6), st.floats(0.3, 3), st.integers(0, 12), st.floats(0.05, 1))
def test_the_distribution_is_that_of_transformers_warpers(seed, temperature, top_k, top_p):
    logits = torch.randn(4, 10, generator=torch.Generator().manual_seed(seed)) * 3
    expected = TemperatureLogitsWarper(temperature)(None, logits)
    if top_k:
        expected = TopKLogitsWarper(top_k)(None, expected)
    if top_p < 1:
        expected = TopPLogitsWarper(top_p)(None, expected)
    found = sampling.warp(logits, sampled(temperature=temperature, top_k=top_k, top_p=top_p))
    torch.testing.assert_close(found, expected)


def test_tokens_are_drawn_with_their_probability_and_never_without():
    logits = torch.tensor([0.5, 0.2, 0.0, 0.3]).log()
    numbers = sampling.uniforms([3], 1, 40_000)[0, 0]
    drawn = sampling.draw(logits.expand(40_000, 4), numbers)
    shares = torch.bincount(drawn, minlength=4) / 40_000
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.2, 0.0, 0.3]), atol=0.01, rtol=0)
    edges = sampling.draw(logits.expand(2, 4), torch.tensor([0.0, 1 - 2**-53], dtype=torch.float64))
    assert edges.tolist() == [0, 3]


def draw(logits: torch.Tensor, seeds: list[int], **changes: object) -> list[list[TokenHypothesis]]:
    config = sampled(**{"max_length": 6, **changes})
    return sweep.sweep(peers.TableSteps(logits), len(logits), [1], BOS, EOS, config, CPU, seeds)[1]


def table(images: int) -> torch.Tensor:
    return torch.randn(images, 11, 9, generator=torch.Generator().manual_seed(5))


@settings(deadline=None, max_examples=30)
@given(st.permutations(range(5)), st.integers(1, 4))
def test_neither_the_batch_nor_its_order_changes_a_sample(order, width):
    logits, seeds = table(5), [10, 11, 12, 13, 14]
    together = draw(logits[list(order)], [seeds[image] for image in order], n_best=width)
    alone = [draw(logits[image : image + 1], [seeds[image]], n_best=width)[0] for image in order]
    assert [[each.tokens for each in found] for found in together] == [
        [each.tokens for each in found] for found in alone
    ]


def test_another_seed_draws_other_captions_and_the_same_seed_the_same():
    logits = table(5)
    first, again, other = (draw(logits, [seed] * 5, n_best=3) for seed in (1, 1, 2))
    assert first == again != other
    assert len({each.tokens for each in first[0]}) > 1


def test_a_samples_log_probability_is_the_models_whatever_the_temperature():
    logits = table(3)
    for image, found in enumerate(draw(logits, [1, 2, 3], n_best=4, temperature=0.5, top_k=5)):
        for each in found:
            path = torch.tensor([0, BOS, *each.tokens])
            rows = peers.table_rows(path[:-2], path[1:-1], 11)
            total = logits[image, rows].log_softmax(-1).gather(1, path[2:, None]).sum().item()
            assert each.logprob == pytest.approx(total, abs=1e-4)


def test_sampling_needs_a_seed_for_each_image():
    with pytest.raises(ValueError, match="expected one per image"):
        draw(table(3), [1, 2])


@pytest.mark.parametrize(("settings_", "same"), [({"top_k": 1}, True), ({"temperature": 1e-4}, True), ({}, False)])
def test_a_single_candidate_is_greedy_search(settings_, same):
    logits = table(5)
    greedy = sweep.search(peers.TableSteps(logits), 5, 1, BOS, EOS, DecodingConfig(max_length=6), CPU)
    found = draw(logits, [1, 2, 3, 4, 5], **settings_)
    assert ([each[0].tokens for each in found] == [each.tokens for each in greedy]) == same
