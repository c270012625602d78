"""Decoding at float32: nothing but an image's own memory decides its caption; weights are laid out when they change."""

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.captioners.native import incremental, replay
from engine.config import RULES, DecodingConfig
from engine.decoding import study_rule, sweep
from tests.support import tiny

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
        looked = captioner.precompute_cross_attention(memory)
    if rule == "study":
        found = study_rule.sweep(captioner.reader(looked), len(looked), sizes, *ids, 12, captioner.device)
    else:
        found = sweep.sweep(captioner.start(looked, 12), len(looked), sizes, *ids, config, captioner.device)
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


@pytest.mark.parametrize("size", [1, 3])
def test_the_replay_has_the_weights_of_the_steps_that_chose_the_words(parts, monkeypatch, size):
    captioner, words, memory = parts
    seen, real = [], incremental.attend

    def watched(query, key, value):
        seen.append((key, (query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5).softmax(-1)))
        return real(query, key, value)

    monkeypatch.setattr(incremental, "attend", watched)
    found = captions(captioner, words, memory, size)
    assert_ends_differ(found, words)
    with torch.inference_mode():
        keys = captioner.precompute_cross_attention(memory).layers[0][0]
        replayed = replay.step_weights(captioner, words, memory, found)
    for image, tokens in enumerate(found):
        for step in range(len(tokens)):
            first, last = seen[2 * step : 2 * step + 2]
            (place,) = [
                at for at, key in enumerate(first[0]) if torch.equal(key, keys[image])
            ]  # images leave the batch
            stepped = torch.stack([first[1][place], last[1][place]])  # [layers, H, beams, P]
            gaps = (stepped - replayed[image, :, :, step].unsqueeze(2)).abs().amax((0, 1, 3))
            assert gaps.min() < 1e-5  # of the beams, one is the winner's


@pytest.mark.parametrize("size", [1, 3])
def test_under_the_studys_rule_the_replay_is_torchs_unmasked_pass_over_each_prefix(parts, size):
    captioner, words, memory = deepcopy(parts)
    with torch.no_grad():
        captioner.head.bias[words.eos_id] -= 1  # or under this rule most captions would end at once
    found = captions(captioner, words, memory, size, "study")
    assert_ends_differ(found, words)
    expected = torch_weights(captioner, words, memory, found, "study")
    assert gap(captioner, words, memory, found, "study", expected) < 1e-5
    assert gap(captioner, words, memory, found, "standard", expected) > 0.01


def assert_ends_differ(found, words) -> None:
    assert len({len(tokens) for tokens in found}) > 2
    assert any(tokens[-1] == words.eos_id for tokens in found)


def torch_weights(captioner, words, memory, found, rule) -> list[torch.Tensor]:
    """Of each caption the cross-attention [layers, H, T, P] of torch's decoder, which reads every prefix by itself."""
    decoder, asked = tiny.torch_decoder(captioner).to(captioner.device), []
    for layer in decoder.layers:
        # torch's layer does not return weights, so its attention is called again with the layer's arguments.
        layer.multihead_attn.register_forward_pre_hook(lambda module, args: asked.append((module, args)))

    def newest(prefix, image):
        mask = torch.nn.Transformer.generate_square_subsequent_mask(len(prefix), device=captioner.device)
        asked.clear()
        ids = torch.tensor([prefix], device=captioner.device)
        decoder(captioner.embed(ids), memory[image : image + 1], tgt_mask=None if rule == "study" else mask)
        again = [module(*args, need_weights=True, average_attn_weights=False) for module, args in list(asked)]
        return torch.stack([weights[0, :, -1] for _, weights in again])

    with torch.no_grad():
        return [
            torch.stack([newest([words.bos_id, *tokens[:at]], image) for at in range(len(tokens))], dim=2)
            for image, tokens in enumerate(found)
        ]


def gap(captioner, words, memory, found, rule, expected) -> float:
    """The largest difference between the maps of the replay and the expected ones, in any layer."""
    with torch.inference_mode():
        replayed = replay.step_weights(captioner, words, memory, found, rule)
    pairs = zip(replayed, expected, strict=True)
    return max(float((ours[:, :, : theirs.shape[2]] - theirs).abs().max()) for ours, theirs in pairs)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=7), min_size=1, max_size=4), st.sampled_from(RULES))
def test_any_captions_replay_as_torch_reads_their_prefixes(parts, found, rule):
    captioner, words, memory = parts
    expected = torch_weights(captioner, words, memory[: len(found)], found, rule)
    assert gap(captioner, words, memory[: len(found)], found, rule, expected) < 1e-5


def test_reading_whole_prefixes_equals_torchs_decoder_without_a_mask(parts):
    captioner, _, memory = parts
    ids = torch.randint(4, captioner.config.vocab_size, (5, 6), device=captioner.device)
    images = torch.tensor([0, 0, 2, 2, 5], device=captioner.device)
    with torch.inference_mode():
        found = captioner.reader(captioner.precompute_cross_attention(memory))(ids, images)
        decoder = tiny.torch_decoder(captioner).to(captioner.device)
        expected = captioner.head(decoder(captioner.embed(ids), memory[images])[:, -1])
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_only_changed_weights_are_packed_again():
    captioner = tiny.captioner()
    memory, ids = torch.randn(2, 9, 32), torch.tensor([[5], [6]])
    before = captioner.step_weights()
    assert captioner.step_weights() is before
    with torch.no_grad():
        for parameter in captioner.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    with torch.inference_mode():
        found = captioner.start(memory, 3).step(ids[:, 0])
        torch.testing.assert_close(found, captioner.logits(ids, memory)[:, 0], atol=1e-5, rtol=1e-4)
    assert captioner.step_weights() is not before


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_product_is_torchs_own(dtype):
    x, weight, bias = (torch.randn(shape).to(dtype) for shape in ((5, 16), (24, 16), (24,)))
    found = incremental.Product(weight, bias)(x)
    assert found.dtype == dtype
    torch.testing.assert_close(found, F.linear(x, weight, bias))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("queries", [1, 2, incremental.FEW, incremental.FEW + 1, 40])
def test_few_queries_and_many_attend_alike(queries, dtype):
    query, key, value = (torch.randn(3, count, 4, 16).to(dtype).transpose(1, 2) for count in (queries, 21, 21))
    found = incremental.attend(query, key.contiguous(), value.contiguous())
    assert found.shape == (3, 4, queries, 16)
    torch.testing.assert_close(found, F.scaled_dot_product_attention(query, key, value))


def test_bf16_decodes(parts):
    captioner = tiny.captioner().to(torch.bfloat16)
    found = captions(captioner, tiny.tokenizer(), torch.randn(2, 9, 32).bfloat16(), 3)
    assert len(found) == 2


@pytest.mark.parametrize("rule", RULES)
def test_bf16_replays_to_weights_of_32_bits(rule):
    captioner, words, memory = tiny.captioner(), tiny.tokenizer(), torch.randn(2, 9, 32)
    found = [[5, 6, words.eos_id], [7]]
    with torch.inference_mode():
        full = replay.step_weights(captioner, words, memory, found, rule)
        half = replay.step_weights(captioner.to(torch.bfloat16), words, memory.bfloat16(), found, rule)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half[0], full[0], atol=0.02, rtol=0)
