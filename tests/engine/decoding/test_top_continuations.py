import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decoding.top_continuations import Continuations


@settings(deadline=None, max_examples=150)
@given(
    st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 6), st.integers(1, 700), st.integers(1, 12), st.booleans()
)
def test_two_stages_find_what_a_sort_of_everything_finds(seed, images, beams, vocabulary, count, tied):
    generator = torch.Generator().manual_seed(seed)
    logprobs = torch.randn(images * beams, vocabulary, generator=generator)
    # Some prefixes belong to several beams, some to none.
    prefixes = torch.randint(images * beams, (images, beams), generator=generator)
    running = torch.randn(images, beams, generator=generator)
    if tied:
        logprobs, running = logprobs.round(), running.round()
    found = Continuations(logprobs).best(prefixes, running, count)
    totals = (logprobs[prefixes] + running.unsqueeze(-1)).flatten(1)
    expected = totals.topk(min(count, beams * vocabulary))
    assert (found[0] * vocabulary + found[1]).tolist() == expected.indices.tolist()
    assert found[2].tolist() == expected.values.tolist()


def test_impossible_tokens_are_found_last():
    logprobs = torch.full((2, 1000), -torch.inf)
    logprobs[1, 999], logprobs[0, 3] = -1.0, -2.0
    beams, tokens, sums = Continuations(logprobs).best(torch.tensor([[0, 1]]), torch.zeros(1, 2), 2)
    assert (beams.tolist(), tokens.tolist(), sums.tolist()) == ([[1, 0]], [[999, 3]], [[-1.0, -2.0]])


@pytest.mark.parametrize(("values", "distinct"), [([0, 1, 2, 3], True), ([0, 2, 2, 3], False), ([0, 0, 2, 3], True)])
def test_ties_among_the_best_and_the_next_are_seen(values, distinct):
    logprobs = torch.tensor([[9.0, 8, 7, 6], values])
    assert Continuations(logprobs).are_distinct(torch.tensor([1]), 2) is distinct
    assert not Continuations(logprobs).are_distinct(torch.tensor([0]), 4)
