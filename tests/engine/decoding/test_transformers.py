"""Our search against Hugging Face transformers' `generate()`: the same tokens, scores within 1e-4.

Their model has our weights and is fed the same memory. In float64, so that a rounding of the two ways to compute the
same logits decides nothing; both searches count in float32 all the same.
"""

from functools import cache

import pytest
import torch

from engine.captioners.native.captioner import CaptionerModel
from engine.config import DecodingConfig
from engine.decoding import sweep
from engine.decoding.steps import TokenHypothesis
from tests.support import peers, tiny

BEAMS = (1, 2, 3, 5, 10, 15)
IMAGES = 50
BOS, EOS = 0, 1


@pytest.fixture(params=tiny.DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    return request.param


def memories(device: str, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(IMAGES, 20, 32, generator=torch.Generator().manual_seed(1)).to(device, dtype) * 2


@cache
def pair(kind: str, device: str, dtype: torch.dtype = torch.float64):
    """A captioner whose distributions are of a kind, and transformers' model with its weights."""
    captioner, words = tiny.captioner(), tiny.tokenizer()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        captioner.head.weight.normal_(0, {"flat": 0.05, "peaked": 1.5, "ends": 0.5}[kind], generator=generator)
        captioner.head.bias.normal_(0, 0.1, generator=generator)
        # So that captions end after a few tokens, at the same step as others, or never.
        captioner.head.bias[words.eos_id] += {"flat": -0.3, "peaked": 12.0, "ends": 5.0}[kind]
    captioner = captioner.to(device, dtype)
    return captioner, words, peers.marian(captioner, words.bos_id, words.eos_id, words.pad_id).to(device)


def ours(captioner: CaptionerModel, words, memory: torch.Tensor, beams: int, **changes: object):
    config = DecodingConfig(beam_sizes=(beams,), **{"max_length": 30, **changes})
    steps = captioner.start(memory, config.max_length)
    return sweep.sweep(steps, len(memory), [beams], words.bos_id, words.eos_id, config, captioner.device)[beams]


def assert_same(found: list[list[TokenHypothesis]], expected: list[list[peers.Found]]) -> None:
    for image, (mine, theirs) in enumerate(zip(found, expected, strict=True)):
        for rank, (own, their) in enumerate(zip(mine, theirs, strict=True)):
            assert own.tokens == their.tokens, (image, rank)
            if their.score is not None:
                assert own.score == pytest.approx(their.score, abs=1e-4), (image, rank)


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("beams", BEAMS)
@pytest.mark.parametrize(
    ("kind", "penalty"), [("flat", 1.0), ("peaked", 1.0), ("ends", 1.0), ("ends", 0.0), ("peaked", 2.0), ("ends", -0.5)]
)
def test_tokens_and_scores_are_those_of_generate(kind, penalty, beams, early, device):
    captioner, words, model = pair(kind, device)
    memory = memories(device)
    settings = {"length_penalty": penalty, "early_stopping": early} if beams > 1 else {}
    expected = peers.generate(model, memory, beams, words.eos_id, **settings)
    changes = {"length_penalty": penalty, "early_stopping": early}
    assert_same(ours(captioner, words, memory, beams, **changes), expected)


@pytest.mark.parametrize("kind", ["peaked", "ends"])
def test_the_captions_compared_end_early_late_and_never(kind, device):
    captioner, words, _ = pair(kind, device)
    found = [each[0] for each in ours(captioner, words, memories(device), 3)]
    lengths = [len(each.tokens) for each in found if each.finished]
    assert 3 <= len(lengths) < IMAGES
    assert min(lengths) <= 3
    assert len(set(lengths)) >= 6


@pytest.mark.parametrize("beams", [1, 3, 10])
def test_float32_gives_the_same_tokens_as_well(beams, device):
    captioner, words, model = pair("ends", device, torch.float32)
    memory = memories(device, torch.float32)
    assert_same(ours(captioner, words, memory, beams), peers.generate(model, memory, beams, words.eos_id))


@pytest.mark.parametrize("beams", [2, 3, 10])
def test_the_n_best_are_generates_returned_sequences(beams, device):
    captioner, words, model = pair("ends", device)
    memory, count = memories(device)[:20], min(beams, 5)
    expected = peers.generate(model, memory, beams, words.eos_id, num_return_sequences=count)
    found = ours(captioner, words, memory, beams, n_best=count)
    assert all(len(each) == count for each in found)
    assert_same(found, expected)


@pytest.mark.parametrize("beams", [1, 3, 5])
@pytest.mark.parametrize(("penalty", "ngram"), [(1.5, 0), (1.0, 2), (1.0, 1), (1.3, 3), (0.8, 0)])
def test_repetition_penalty_and_forbidden_ngrams_mean_what_they_mean_there(beams, penalty, ngram, device):
    captioner, words, model = pair("peaked", device)
    memory = memories(device)[:25]
    expected = peers.generate(
        model, memory, beams, words.eos_id, repetition_penalty=penalty, no_repeat_ngram_size=ngram
    )
    found = ours(captioner, words, memory, beams, repetition_penalty=penalty, no_repeat_ngram=ngram)
    assert_same(found, expected)
    if penalty != 0.8:
        assert [each[0].tokens for each in found] != [each[0].tokens for each in ours(captioner, words, memory, beams)]


# Ties: tables whose logits are halves, so that many sums are equal. Which of equals wins is up to torch.topk.


def tied_table(seed: int, images: int, vocabulary: int, rows: int = 23) -> torch.Tensor:
    logits = torch.randn(images, rows, vocabulary, generator=torch.Generator().manual_seed(seed))
    logits = (logits * 2).round() / 2
    logits[..., EOS] += 1.5
    return logits


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("beams", BEAMS)
@pytest.mark.parametrize("vocabulary", [3, 12, 40, 1500])
def test_ties_are_broken_as_generate_breaks_them(vocabulary, beams, early):
    logits = tied_table(vocabulary, 12, vocabulary)
    model = peers.TableModel(logits, BOS, EOS)
    settings = {"early_stopping": early} if beams > 1 else {}
    # One image at a time: in a batch, transformers sorts ties of a finished image again at each step.
    expected = [
        peers.generate(model, torch.full((1, 1, 1), float(image)), beams, EOS, max_new_tokens=8, **settings)[0]
        for image in range(12)
    ]
    config = DecodingConfig(beam_sizes=(beams,), max_length=8, early_stopping=early)
    assert_same(
        sweep.sweep(peers.TableSteps(logits), 12, [beams], BOS, EOS, config, torch.device("cpu"))[beams], expected
    )


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("beams", [1, 2, 3, 5])
@pytest.mark.parametrize("ends", [(EOS, 5), (EOS, 5, 7), (EOS, 3, 4, 5, 6, 7, 8)])
def test_several_end_tokens_leave_as_many_beams_as_in_generate(ends, beams, early):
    """Every beam can end in several ways at once, so more continuations than 2K must be considered."""
    logits = torch.randn(12, 23, 40, generator=torch.Generator().manual_seed(len(ends)))
    logits[..., list(ends)] += 2.0
    model = peers.TableModel(logits, BOS, EOS)
    settings = {"early_stopping": early, "num_return_sequences": beams} if beams > 1 else {}
    memory = torch.arange(12.0).view(12, 1, 1)
    expected = peers.generate(model, memory, beams, ends, max_new_tokens=8, **settings)
    config = DecodingConfig(beam_sizes=(beams,), max_length=8, early_stopping=early, n_best=beams)
    found = sweep.sweep(peers.TableSteps(logits), 12, [beams], BOS, ends, config, torch.device("cpu"))[beams]
    assert_same(found, expected)
