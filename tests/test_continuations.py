import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import continuations


@settings(deadline=None, max_examples=150)
@given(
    st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 6), st.integers(1, 700), st.integers(1, 12), st.booleans()
)
def test_two_stages_find_what_a_sort_of_everything_finds(seed, images, beams, vocabulary, count, tied):
    generator = torch.Generator().manual_seed(seed)
    logprobs = torch.randn(images, beams, vocabulary, generator=generator)
    running = torch.randn(images, beams, generator=generator)
    if tied:
        logprobs, running = logprobs.round(), running.round()
    positions, sums = continuations.best(logprobs, running, count)
    expected = continuations.of_all(logprobs, running, min(count, beams * vocabulary))
    assert positions.tolist() == expected[0].tolist()
    assert sums.tolist() == expected[1].tolist()


def test_impossible_tokens_are_found_last():
    logprobs = torch.full((1, 2, 1000), -torch.inf)
    logprobs[0, 1, 999], logprobs[0, 0, 3] = -1.0, -2.0
    positions, sums = continuations.best(logprobs, torch.zeros(1, 2), 2)
    assert (positions.tolist(), sums.tolist()) == ([[1999, 3]], [[-1.0, -2.0]])
