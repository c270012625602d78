"""Search over small tables whose answers are known by trying everything."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config import DecodingConfig
from engine.decoding import sweep
from engine.decoding.steps import TokenHypothesis
from tests.support import tiny

BOS, EOS = 0, 1


class Table:
    """A `Steps` over a table of logits that depend on the last two tokens: logits[image, before, last]."""

    def __init__(self, logits: torch.Tensor) -> None:
        self.logits = logits
        self.images = torch.arange(len(logits))
        self.before = self.last = torch.zeros_like(self.images)
        self.read = 0

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        self.before, self.last = self.last, tokens
        self.read += len(tokens)
        return self.logits[self.images, self.before, self.last]

    def reorder(self, parents: torch.Tensor) -> None:
        assert bool((parents[1:] >= parents[:-1]).all())
        self.images, self.before, self.last = self.images[parents], self.before[parents], self.last[parents]


def table(seed: int, images: int = 1, vocabulary: int = 4, spread: float = 2.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(images, vocabulary, vocabulary, vocabulary, generator=generator) * spread


def find(logits: torch.Tensor, size: int, **changes: object) -> list[TokenHypothesis]:
    config = DecodingConfig(beam_sizes=(size,), **{"max_length": 4, **changes})
    return sweep.search(Table(logits), len(logits), size, BOS, EOS, config, torch.device("cpu"))


def logprob_of(logits: torch.Tensor, tokens: tuple[int, ...]) -> float:
    path = [BOS, BOS, *tokens]
    rows = [logits[path[at], path[at + 1]].log_softmax(-1)[path[at + 2]] for at in range(len(tokens))]
    return float(sum(rows))


def every_caption(vocabulary: int, longest: int):
    """All token sequences that end at their only end token, or at the maximum length."""
    others = [token for token in range(vocabulary) if token != EOS]
    for length in range(1, longest + 1):
        for head in itertools.product(others, repeat=length - 1):
            yield (*head, EOS)
    yield from itertools.product(others, repeat=longest)


@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(100))
def test_a_beam_as_wide_as_the_space_is_exhaustive_search(seed, penalty):
    logits = table(seed)
    found = find(logits, 100, length_penalty=penalty)[0]
    scores = {tokens: logprob_of(logits[0], tokens) / len(tokens) ** penalty for tokens in every_caption(4, 4)}
    best = max(scores, key=scores.get)
    assert found.tokens == best
    assert found.score == pytest.approx(scores[best], abs=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_beam_size_one_is_greedy(seed):
    logits = table(seed)
    path = [BOS, BOS]
    while len(path) < 6 and path[-1] != EOS:
        path.append(int(logits[0, path[-2], path[-1]].argmax()))
    assert find(logits, 1)[0].tokens == tuple(path[2:])


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 8), st.booleans(), st.floats(0.2, 6), st.floats(0, 2))
def test_logprob_and_score_are_those_of_the_tokens(seed, size, early, spread, penalty):
    logits = table(seed, spread=spread)
    found = find(logits, size, early_stopping=early, length_penalty=penalty)[0]
    assert found.logprob == pytest.approx(logprob_of(logits[0], found.tokens), abs=1e-4)
    assert found.score == pytest.approx(found.logprob / len(found.tokens) ** penalty, abs=1e-4)
    assert found.finished == (found.tokens[-1] == EOS)
    assert EOS not in found.tokens[:-1]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 8), st.permutations(range(5)), st.booleans())
def test_neither_the_batch_nor_its_order_changes_a_caption(seed, size, order, early):
    logits = table(seed, images=5)
    together = find(logits[list(order)], size, early_stopping=early)
    alone = [find(logits[image : image + 1], size, early_stopping=early)[0] for image in order]
    assert [each.tokens for each in together] == [each.tokens for each in alone]


@settings(deadline=None, max_examples=80)
@given(
    st.integers(0, 10**6),
    st.lists(st.integers(1, 9), min_size=2, max_size=5, unique=True),
    st.booleans(),
    st.integers(0, 2),
    st.sampled_from([1.0, 1.5]),
)
def test_each_size_of_a_sweep_finds_what_it_finds_alone(seed, sizes, early, ngram, penalty):
    logits = table(seed, images=3, vocabulary=5)
    config = DecodingConfig(
        beam_sizes=tuple(sizes), max_length=5, early_stopping=early, no_repeat_ngram=ngram, repetition_penalty=penalty
    )
    rest = (BOS, EOS, config, torch.device("cpu"))
    together = sweep.sweep(Table(logits), 3, sizes, *rest)
    assert list(together) == sizes
    for size in sizes:
        assert together[size] == sweep.sweep(Table(logits), 3, [size], *rest)[size]


def test_a_prefix_that_several_sizes_need_is_read_once():
    logits, config = table(3, images=2, vocabulary=6), DecodingConfig(beam_sizes=(1, 2, 3, 4), max_length=5)
    counts = {}
    for sizes in ((1, 2, 3, 4), (4,), (3,), (2,), (1,)):
        steps = Table(logits)
        sweep.sweep(steps, 2, sizes, BOS, EOS, config, torch.device("cpu"))
        counts[sizes] = steps.read
    alone = sum(read for sizes, read in counts.items() if len(sizes) == 1)
    assert counts[(4,)] <= counts[(1, 2, 3, 4)] < 0.7 * alone


def test_early_stopping_takes_the_first_candidates_and_the_default_waits_for_better_ones():
    # Each step ends with 35 % and continues with 65 %. At penalty 2, (2, end) scores (ln .65 + ln .35) / 4 = -0.370 and
    # beats (end) = -1.050; six times 2 scores 6 ln .65 / 36 = -0.072, but only a patient search gets there.
    logits = torch.full((1, 3, 3, 3), -1e4)
    logits[..., EOS], logits[..., 2] = math.log(0.35), math.log(0.65)
    choices = {"length_penalty": 2.0, "max_length": 6}
    early = find(logits, 2, early_stopping=True, **choices)[0]
    patient = find(logits, 2, early_stopping=False, **choices)[0]
    assert (early.tokens, early.score) == ((2, EOS), pytest.approx(-0.370, abs=1e-3))
    assert (patient.tokens, patient.score) == ((2,) * 6, pytest.approx(-0.072, abs=1e-3))


def test_a_caption_that_never_ends_stops_at_the_maximum_length_unfinished():
    logits = table(0)
    logits[..., EOS] = -1e4
    for size in (1, 3):
        found = find(logits, size)[0]
        assert (len(found.tokens), found.finished) == (4, False)


def test_the_captioners_own_steps_and_scores_agree():
    captioner, words = tiny.captioner(), tiny.tokenizer()
    with torch.inference_mode():
        memory = captioner.encode(torch.randn(4, 3, 224, 224))
        for size in (1, 3, 10):
            steps = captioner.start(memory, 12)
            config = DecodingConfig(beam_sizes=(size,), max_length=12)
            found = sweep.search(steps, 4, size, words.bos_id, words.eos_id, config, torch.device("cpu"))
            for image, each in enumerate(found):
                ids = torch.tensor([[words.bos_id, *each.tokens]])
                logprobs = captioner.logits(ids[:, :-1], memory[image : image + 1]).log_softmax(-1)
                total = logprobs.gather(2, ids[:, 1:, None]).sum().item()
                assert each.logprob == pytest.approx(total, abs=1e-3)
