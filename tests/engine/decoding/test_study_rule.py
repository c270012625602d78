"""The study's rule against its own sentences."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decoding import study_rule
from engine.decoding.steps import TokenHypothesis
from tests.engine.decoding.test_sweep import BOS, EOS, table
from tests.support import tiny


def search(read: study_rule.Read, images: int, size: int, *rest: object) -> list[TokenHypothesis]:
    """The best hypothesis of each image at one beam size."""
    return [found[0] for found in study_rule.sweep(read, images, [size], *rest)[size]]


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
    found = search(read_table(logits), 1, size, BOS, EOS, 6, torch.device("cpu"))[0]
    tokens, score = study_by_hand(logits, size, 6)
    assert found.tokens == tokens
    assert found.score == pytest.approx(score, abs=1e-5)


def test_an_end_token_in_the_first_step_does_not_end_under_the_studys_rule():
    logits = torch.full((1, 6, 6, 6), -9.0)
    logits[..., EOS] = 5.0
    found = search(read_table(logits), 1, 2, BOS, EOS, 6, torch.device("cpu"))[0]
    assert found.tokens == (EOS, EOS)


@pytest.mark.parametrize("size", [1, 3])
def test_the_studys_rule_gives_each_image_of_a_batch_what_it_gets_alone(size):
    logits = table(7, images=4, vocabulary=6)
    together = search(read_table(logits), 4, size, BOS, EOS, 6, torch.device("cpu"))
    for image in range(4):
        alone = search(read_table(logits[image : image + 1]), 1, size, BOS, EOS, 6, torch.device("cpu"))
        assert together[image].tokens == alone[0].tokens


def test_the_studys_greedy_search_is_the_argmax_of_an_unmasked_reading():
    captioner, words = tiny.captioner(), tiny.tokenizer()
    with torch.inference_mode():
        memory = captioner.encode(torch.randn(1, 3, 224, 224))
    ids = [words.bos_id]
    peer = tiny.torch_decoder(captioner)
    while len(ids) < 9 and ids[-1] != words.eos_id:
        with torch.inference_mode():
            ids.append(int(captioner.head(peer(captioner.embed(torch.tensor([ids])), memory))[0, -1].argmax()))
    with torch.inference_mode():
        read = captioner.reader(captioner.precompute_cross_attention(memory))
    found = search(read, 1, 1, words.bos_id, words.eos_id, 8, torch.device("cpu"))
    assert found[0].tokens == tuple(ids[1:])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10**6), st.lists(st.integers(1, 7), min_size=2, max_size=4, unique=True), st.integers(1, 3))
def test_each_size_of_a_sweep_finds_what_it_finds_alone(seed, sizes, n_best):
    logits, read = table(seed, images=3, vocabulary=6), []

    def noted(ids: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        read.append(len(ids))
        return read_table(logits)(ids, rows)

    rest = (BOS, EOS, 6, torch.device("cpu"), n_best)
    together, shared = study_rule.sweep(noted, 3, sizes, *rest), sum(read)
    read.clear()
    for size in sizes:
        assert together[size] == study_rule.sweep(noted, 3, [size], *rest)[size]
    assert shared < sum(read)
