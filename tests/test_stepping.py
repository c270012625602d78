"""Decoding at float32: nothing but an image's own memory decides its caption; weights are laid out when they change."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import decoding, stepping, study_rule
from engine.config import DecodingConfig
from tests import tiny

IMAGES = 7


@pytest.fixture(scope="module", params=tiny.DEVICES)
def parts(request):
    """A captioner whose captions end at different lengths, its tokenizer, and the memory of some images."""
    captioner, words = tiny.captioner(), tiny.tokenizer()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        captioner.head.weight.normal_(0, 0.5, generator=generator)
        captioner.head.bias[words.eos_id] += 5
    memory = torch.randn(IMAGES, 20, 32, generator=generator) * 2
    return captioner.to(request.param), words, memory.to(request.param)


def captions(captioner, words, memory, size, rule="standard", others=()) -> list[tuple[int, ...]]:
    """Those of one beam size in a sweep with the others."""
    config, sizes = DecodingConfig(beam_sizes=(size,), max_length=12, rule=rule), list(dict.fromkeys([*others, size]))
    ids = (words.bos_id, words.eos_id)
    with torch.inference_mode():
        looked = captioner.look(memory)
    if rule == "study":
        found = study_rule.sweep(captioner.reader(looked), len(looked), sizes, *ids, 12, captioner.device)
    else:
        found = decoding.sweep(captioner.start(looked, 12), len(looked), sizes, *ids, config, captioner.device)
    return [each[0].tokens for each in found[size]]


@settings(deadline=None, max_examples=40)
@given(st.data(), st.sampled_from([1, 2, 3, 5, 10]), st.sampled_from(["standard", "study"]))
def test_order_batch_size_and_the_other_sizes_of_a_sweep_change_no_token(parts, data, size, rule):
    captioner, words, memory = parts
    alone = [captions(captioner, words, memory[image : image + 1], size, rule)[0] for image in range(IMAGES)]
    order = data.draw(st.permutations(range(IMAGES)))
    batch = data.draw(st.integers(1, IMAGES))
    others = data.draw(st.lists(st.sampled_from([1, 2, 3, 5, 10]), max_size=3))
    found = []
    for at in range(0, IMAGES, batch):
        found += captions(captioner, words, memory[order[at : at + batch]], size, rule, others)
    assert found == [alone[image] for image in order]


def test_captions_of_the_batch_leave_it_at_different_steps(parts):
    captioner, words, memory = parts
    assert len({len(tokens) for tokens in captions(captioner, words, memory, 3)}) > 2


def test_the_padding_of_shorter_captions_changes_no_map(parts):
    captioner, _, memory = parts
    ids = torch.randint(4, captioner.config.vocab_size, (2, 9), device=captioner.device)
    padded = ids.clone()
    padded[0, 4:] = 0
    with torch.inference_mode():
        long, short = captioner.replay(padded, memory[:2])[1], captioner.replay(ids[:1, :4], memory[:1])[1]
    torch.testing.assert_close(long[0, :, :, :4], short[0], atol=1e-6, rtol=0)


def test_one_replay_has_the_weights_of_a_step_by_step_greedy_run(parts, monkeypatch):
    captioner, words, memory = parts
    seen, real = [], stepping.attend

    def watched(query, key, value):
        seen.append((query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5).softmax(-1))
        return real(query, key, value)

    monkeypatch.setattr(stepping, "attend", watched)
    for image in range(IMAGES):
        seen.clear()
        (tokens,) = captions(captioner, words, memory[image : image + 1], 1)
        stepped = torch.cat(seen).view(len(tokens), 2, 2, 20).permute(1, 2, 0, 3)  # [layers, heads, T, P]
        ids = torch.tensor([[words.bos_id, *tokens[:-1]]], device=captioner.device)
        with torch.inference_mode():
            replayed = captioner.replay(ids, memory[image : image + 1])[1][0]
        torch.testing.assert_close(replayed, stepped, atol=1e-5, rtol=0)


def test_reading_anew_gives_the_logits_of_torchs_own_decoder_without_a_mask(parts):
    captioner, _, memory = parts
    ids = torch.randint(4, captioner.config.vocab_size, (5, 6), device=captioner.device)
    images = torch.tensor([0, 0, 2, 2, 5], device=captioner.device)
    with torch.inference_mode():
        found = captioner.reader(captioner.look(memory))(ids, images)
        decoder = tiny.torch_decoder(captioner).to(captioner.device)
        expected = captioner.head(decoder(captioner.embed(ids), memory[images])[:, -1])
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_changed_weights_are_laid_out_anew_and_unchanged_ones_are_not():
    captioner = tiny.captioner()
    memory, ids = torch.randn(2, 9, 32), torch.tensor([[5], [6]])
    before = stepping.weights_of(captioner)
    assert stepping.weights_of(captioner) is before
    with torch.no_grad():
        for parameter in captioner.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    with torch.inference_mode():
        found = captioner.start(memory, 3).step(ids[:, 0])
        torch.testing.assert_close(found, captioner.logits(ids, memory)[:, 0], atol=1e-5, rtol=1e-4)
    assert stepping.weights_of(captioner) is not before


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_product_is_torchs_own(dtype):
    x, weight, bias = (torch.randn(shape).to(dtype) for shape in ((5, 16), (24, 16), (24,)))
    found = stepping.Product(weight, bias)(x)
    assert found.dtype == dtype
    torch.testing.assert_close(found, F.linear(x, weight, bias))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("queries", [1, 2, stepping.FEW, stepping.FEW + 1, 40])
def test_few_queries_and_many_attend_alike(queries, dtype):
    query, key, value = (torch.randn(3, count, 4, 16).to(dtype).transpose(1, 2) for count in (queries, 21, 21))
    found = stepping.attend(query, key.contiguous(), value.contiguous())
    assert found.shape == (3, 4, queries, 16)
    torch.testing.assert_close(found, F.scaled_dot_product_attention(query, key, value))


def test_bf16_decodes(parts):
    captioner = tiny.captioner().to(torch.bfloat16)
    found = captions(captioner, tiny.tokenizer(), torch.randn(2, 9, 32).bfloat16(), 3)
    assert len(found) == 2
