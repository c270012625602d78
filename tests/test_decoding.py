"""Search over small tables whose answers are known by trying everything."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import decoding
from engine.config import DecodingConfig
from tests import tiny

BOS, EOS = 0, 1


class Table:
    """A `Steps` over a table of logits that depend on the last two tokens: logits[image, before, last]."""

    def __init__(self, logits: torch.Tensor) -> None:
        self.logits = logits
        self.before = torch.zeros(len(logits), 1, dtype=torch.long)
        self.last = torch.zeros(len(logits), 1, dtype=torch.long)

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        self.before, self.last = self.last, tokens
        image = torch.arange(len(self.logits))[:, None]
        return self.logits[image, self.before, self.last]

    def reorder(self, parents: torch.Tensor) -> None:
        self.before, self.last = self.before.gather(1, parents), self.last.gather(1, parents)

    def keep(self, images: torch.Tensor) -> None:
        self.logits, self.before, self.last = self.logits[images], self.before[images], self.last[images]


def table(seed: int, images: int = 1, vocabulary: int = 4, spread: float = 2.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(images, vocabulary, vocabulary, vocabulary, generator=generator) * spread


def find(logits: torch.Tensor, size: int, **changes: object) -> list[decoding.Hypothesis]:
    config = DecodingConfig(beam_sizes=(size,), **{"max_length": 4, **changes})
    return decoding.search(Table(logits), len(logits), size, BOS, EOS, config, torch.device("cpu"))


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


def test_early_stopping_takes_the_first_candidates_and_the_default_waits_for_better_ones():
    # Each step ends with 35 % and goes on with 65 %. At penalty 2, (2, end) scores (ln .65 + ln .35) / 4 = -0.370 and
    # beats (end) = -1.050; six times 2 scores 6 ln .65 / 36 = -0.072, but only a patient search gets there.
    logits = torch.full((1, 3, 3, 3), -1e4)
    logits[..., EOS], logits[..., 2] = math.log(0.35), math.log(0.65)
    choices = {"length_penalty": 2.0, "max_length": 6}
    early = find(logits, 2, early_stopping=True, **choices)[0]
    patient = find(logits, 2, early_stopping=False, **choices)[0]
    assert (early.tokens, early.score) == ((2, EOS), pytest.approx(-0.370, abs=1e-3))
    assert (patient.tokens, patient.score) == ((2,) * 6, pytest.approx(-0.072, abs=1e-3))


def test_a_caption_that_never_ends_stops_at_the_maximum_length_and_says_so():
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
            found = decoding.search(steps, 4, size, words.bos_id, words.eos_id, config, torch.device("cpu"))
            for image, each in enumerate(found):
                ids = torch.tensor([[words.bos_id, *each.tokens]])
                logprobs = captioner.logits(ids[:, :-1], memory[image : image + 1]).log_softmax(-1)
                total = logprobs.gather(2, ids[:, 1:, None]).sum().item()
                assert each.logprob == pytest.approx(total, abs=1e-3)


# The study's rule


def read_table(logits: torch.Tensor):
    """The next token depends on the whole prefix's sum, as nothing is kept from step to step."""

    def read(ids: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return logits[rows, ids.sum(1) % logits.shape[1], ids[:, -1]]

    return read


def study_by_hand(logits: torch.Tensor, size: int, longest: int) -> tuple[tuple[int, ...], float]:
    """The rule as its sentences say it, for one image, with lists."""
    read = read_table(logits)

    def logprobs(tokens: list[int]) -> list[float]:
        return read(torch.tensor([tokens]), torch.tensor([0]))[0].log_softmax(-1).tolist()

    beams = sorted(((lp, [BOS, token]) for token, lp in enumerate(logprobs([BOS]))), key=lambda beam: -beam[0])[:size]
    gone: list[tuple[float, list[int]]] = []
    for step in range(2, longest + 1):
        wider = [(lp + more, [*ids, token]) for lp, ids in beams for token, more in enumerate(logprobs(ids))]
        beams = []
        for lp, ids in sorted(wider, key=lambda beam: -beam[0])[: size - len(gone)]:
            (gone if ids[-1] == EOS or step == longest else beams).append((lp, ids))
        if not beams:
            break
    lp, ids = max(gone, key=lambda each: each[0] / len(each[1]))
    return tuple(ids[1:]), lp / len(ids)


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("seed", range(40))
def test_the_studys_rule_is_what_its_sentences_say(seed, size):
    logits = table(seed, vocabulary=6)
    found = decoding.search_study(read_table(logits), 1, size, BOS, EOS, 6, torch.device("cpu"))[0]
    tokens, score = study_by_hand(logits, size, 6)
    assert found.tokens == tokens
    assert found.score == pytest.approx(score, abs=1e-5)


def test_an_end_token_among_the_very_first_is_no_end_in_the_studys_rule():
    logits = torch.full((1, 6, 6, 6), -9.0)
    logits[..., EOS] = 5.0
    found = decoding.search_study(read_table(logits), 1, 2, BOS, EOS, 6, torch.device("cpu"))[0]
    assert found.tokens == (EOS, EOS)


@pytest.mark.parametrize("size", [1, 3])
def test_the_studys_rule_gives_each_image_of_a_batch_what_it_gets_alone(size):
    logits = table(7, images=4, vocabulary=6)
    together = decoding.search_study(read_table(logits), 4, size, BOS, EOS, 6, torch.device("cpu"))
    for image in range(4):
        alone = decoding.search_study(read_table(logits[image : image + 1]), 1, size, BOS, EOS, 6, torch.device("cpu"))
        assert together[image].tokens == alone[0].tokens


def test_the_studys_greedy_search_is_the_argmax_of_an_unmasked_reading():
    captioner, words = tiny.captioner(), tiny.tokenizer()
    with torch.inference_mode():
        memory = captioner.encode(torch.randn(1, 3, 224, 224))
    ids = [words.bos_id]
    layer = torch.nn.TransformerDecoderLayer(32, 2, 48, activation="gelu", batch_first=True)
    peer = torch.nn.TransformerDecoder(layer, 2).eval()
    peer.load_state_dict(captioner.decoder.state_dict())
    while len(ids) < 9 and ids[-1] != words.eos_id:
        with torch.inference_mode():
            ids.append(int(captioner.head(peer(captioner.embed(torch.tensor([ids])), memory))[0, -1].argmax()))
    found = decoding.search_study(
        lambda prefix, rows: captioner.last_logits_unmasked(prefix, memory, rows),
        *(1, 1, words.bos_id, words.eos_id, 8, torch.device("cpu")),
    )
    assert found[0].tokens == tuple(ids[1:])
