"""Searches that keep every image's row find what those find whose images leave."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import DecodingConfig
from engine.decoding import static_shapes, sweep
from engine.decoding.steps import TokenHypothesis
from tests.support import peers, tiny

BOS, EOS, CPU = 0, 1, torch.device("cpu")


class EvenTable(peers.TableSteps):
    """A table of logits whose prefixes are reordered without synchronisation."""

    reorder_static = peers.TableSteps.reorder


def table(seed: int, images: int, vocabulary: int, bias: float) -> torch.Tensor:
    logits = 2 * torch.randn(images, 23, vocabulary, generator=torch.Generator().manual_seed(seed))
    logits[..., EOS] += bias
    return logits


def walked(
    logits: torch.Tensor, size: int, config: DecodingConfig, wait: bool
) -> tuple[list[list[TokenHypothesis]], list[bool]]:
    """Return the results after the first step that finishes all images or, with `wait`, after the last step."""
    search, going, found = static_shapes.create(len(logits), size, EOS, config, CPU), [], ()
    for goes_on, state in static_shapes.run(EvenTable(logits), search, len(logits), BOS, config, CPU):
        going.append(bool(goes_on))
        found = state
        if not going[-1] and not wait:
            break
    return search.found(found), going


@settings(deadline=None, max_examples=150)
@given(
    st.integers(0, 10**6),
    st.sampled_from([1, 2, 3, 5, 10]),
    st.integers(1, 6),
    st.sampled_from([3, 12, 40]),
    st.booleans(),
    st.sampled_from([0.0, 1.0, 2.0, -0.5]),
    st.integers(1, 3),
    st.booleans(),
)
def test_what_is_found_is_what_decoding_finds(seed, size, images, vocabulary, early, penalty, n_best, wait):
    logits = table(seed, images, vocabulary, bias=1.5)
    config = DecodingConfig(
        beam_sizes=(size,), max_length=8, early_stopping=early, length_penalty=penalty, n_best=min(size, n_best)
    )
    expected = sweep.sweep(peers.TableSteps(logits), images, [size], BOS, EOS, config, CPU)[size]
    found, going = walked(logits, size, config, wait)
    assert found == expected
    assert going == sorted(going, reverse=True)
    assert not going[-1] or len(going) == config.max_length


def test_it_ends_when_the_last_image_is_done_and_not_at_the_first():
    logits = table(0, 5, 12, bias=4)
    config = DecodingConfig(beam_sizes=(1,), max_length=8)
    found, going = walked(logits, 1, config, wait=False)
    lengths = [len(each[0].tokens) for each in found]
    assert min(lengths) < max(lengths) == len(going) < 8


@pytest.mark.parametrize("device", tiny.DEVICES)
@pytest.mark.parametrize("size", [1, 3])
def test_a_captioners_steps_work_with_static_shapes(size, device):
    captioner, words = tiny.captioner().to(device), tiny.tokenizer()
    with torch.no_grad():
        captioner.head.bias[words.eos_id] += 1
    looked = captioner.precompute_cross_attention(
        2 * torch.randn(4, 20, 32, generator=torch.Generator().manual_seed(1)).to(device)
    )
    config, ids = DecodingConfig(beam_sizes=(size,), max_length=9), (words.bos_id, words.eos_id)
    with torch.inference_mode():
        expected = sweep.sweep(captioner.start(looked, 9), 4, [size], *ids, config, captioner.device)[size]
        search = static_shapes.create(4, size, words.eos_id, config, captioner.device)
        *_, (_, state) = static_shapes.run(
            captioner.start(looked, 9), search, 4, words.bos_id, config, captioner.device
        )
    found = search.found(state)
    assert [each[0].tokens for each in found] == [each[0].tokens for each in expected]
    for own, other in zip(found, expected, strict=True):
        assert own[0].score == pytest.approx(other[0].score, abs=1e-5)
