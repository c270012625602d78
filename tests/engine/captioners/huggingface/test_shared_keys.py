"""Keys stored once per image: the same attention as with copies, in every family, with a fraction of the memory."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from engine.captioners.huggingface import estimates, explainer, handover
from engine.captioners.huggingface.shared_cache import SharedCache
from engine.captioners.huggingface.shared_keys import SharedStates
from engine.captioners.huggingface.steps import TransformersSteps, can_share
from engine.config import DecodingConfig
from engine.decoding.folds import Folds
from engine.decoding.prefix_tokens import PrefixTokens
from tests.support import tiny_transformers
from tests.support.generate_peer import photos

WIDTH, LENGTH = 3, 8


@st.composite
def cases(draw):
    """Shared and own keys and values of prefixes in uneven numbers, and the same with a copy per prefix."""
    counts = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    keys, groups = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    prompt, own = draw(st.integers(1, 5)), draw(st.integers(0, 3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))

    def numbers(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    images = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    folds = Folds.uneven(images, len(counts))
    both = []
    for _ in range(2):
        shared, mine = numbers(len(counts), keys, prompt, WIDTH), numbers(len(images), keys, own, WIDTH)
        copied = torch.cat([shared[images], mine], dim=2)
        both.append((SharedStates(shared, mine if own else None, folds), copied))
    queries = draw(st.integers(1, 2))
    return both, numbers(len(images), keys * groups, queries, WIDTH), groups


@given(cases(), st.sampled_from(["none", "choice", "bias"]))
@settings(max_examples=60, deadline=None)
def test_fused_attention_equals_that_over_copies(case, masked):
    ((keys, copied_keys), (values, copied_values)), query, groups = case
    mask = None
    if masked != "none":
        mask = torch.rand(len(query), 1, 1, keys.shape[2], generator=torch.Generator().manual_seed(1)) > 0.4
        mask[..., 0] = True
        mask = mask if masked == "choice" else torch.zeros(mask.shape, dtype=query.dtype).masked_fill(~mask, -50.0)
    found = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=0.7, enable_gqa=groups > 1)
    expected = F.scaled_dot_product_attention(
        query,
        copied_keys.repeat_interleave(groups, 1),
        copied_values.repeat_interleave(groups, 1),
        attn_mask=mask,
        scale=0.7,
    )
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


@given(cases())
@settings(max_examples=30, deadline=None)
def test_attention_written_as_products_equals_that_over_copies(case):
    ((keys, copied_keys), (values, copied_values)), query, groups = case
    weights = torch.matmul(query, keys.transpose(-1, -2)).softmax(-1)
    expected = (query @ copied_keys.repeat_interleave(groups, 1).transpose(2, 3)).softmax(-1)
    torch.testing.assert_close(weights, expected)
    torch.testing.assert_close(weights @ values, expected @ copied_values.repeat_interleave(groups, 1))
    assert (keys.shape, keys.dtype, keys.device) == (copied_keys.shape, copied_keys.dtype, copied_keys.device)


def shared() -> SharedStates:
    return SharedStates(torch.ones(1, 2, 4, WIDTH), None, Folds.even(1, 3, torch.device("cpu")))


@pytest.mark.parametrize(
    "operation",
    [
        lambda keys: keys + 1,
        lambda keys: keys[:, :, None].expand(3, 2, 2, 4, WIDTH),
        lambda keys: torch.cat([keys, keys], dim=2),
        lambda keys: keys.transpose(0, 1),
        lambda keys: keys @ torch.ones(WIDTH, 2),
        lambda keys: F.scaled_dot_product_attention(torch.ones(3, 2, 4, WIDTH), keys, keys, is_causal=True),
        lambda keys: F.scaled_dot_product_attention(torch.ones(3, 2, 4, WIDTH), keys, torch.ones(3, 2, 4, WIDTH)),
    ],
)
def test_anything_else_is_an_error_and_not_a_wrong_number(operation):
    with pytest.raises(NotImplementedError):
        operation(shared())


def test_the_rows_of_prefix_tokens_follow_their_parents_through_shared_buffers():
    spare: list[torch.Tensor] = []
    layers = [PrefixTokens(4, spare) for _ in range(3)]
    kept = [torch.empty(2, 2, 0, WIDTH) for _ in layers]
    for parents in ([0, 0, 1], [2, 2, 1, 0], [3, 0], [1, 1, 1, 0, 0]):
        rows = torch.tensor(parents)
        for at, layer in enumerate(layers):
            new = torch.randn(len(kept[at]), 2, 1, WIDTH)
            kept[at] = torch.cat([kept[at], new], dim=2)
            keys, values = layer.append(new, 2 * new)
            torch.testing.assert_close(keys, kept[at])
            torch.testing.assert_close(values, 2 * kept[at])
        for at, layer in enumerate(layers):
            layer.select(rows)
            kept[at] = kept[at][rows]


def opened(captioner, count: int):
    inputs = handover.model_inputs(captioner._loaded, photos()[:count], captioner._prompt)
    return handover.open_batch(captioner._loaded, inputs, DecodingConfig(max_length=LENGTH))


@pytest.mark.parametrize("name", tiny_transformers.FAMILIES)
def test_every_family_stores_prompt_and_photo_once(captioners, name):
    captioner = captioners(name)
    assert can_share(lambda: opened(captioner, 2), 1e-4)


def kept_bytes(steps: TransformersSteps) -> int:
    """Bytes of all tensors that the layers of a cache hold."""
    parts = [getattr(steps.cache, f"{name}_cache", None) for name in ("self_attention", "cross_attention")]
    total = 0
    for layer in [layer for part in parts if part is not None for layer in part.layers] or steps.cache.layers:
        states = [*getattr(layer, "prompt", ()), *(getattr(layer, "tokens", None) and layer.tokens._buffers or ())]
        for each in states or [layer.keys, layer.values]:
            total += (each.shared if isinstance(each, SharedStates) else each).nbytes
    return total


def first_step(captioner, room: int | None) -> tuple[TransformersSteps, torch.Tensor]:
    steps = TransformersSteps(opened(captioner, 1), room)
    with torch.inference_mode():
        return steps, steps.step(torch.empty(0, dtype=torch.long)).argmax(-1)


@pytest.mark.parametrize("name", ["llava", "vit_gpt2", "blip", "git"])
def test_a_hundred_prefixes_take_little_more_memory_than_one(captioners, name):
    captioner = captioners(name)
    used, one = {}, kept_bytes(first_step(captioner, None)[0])
    for room in (None, LENGTH):
        steps, tokens = first_step(captioner, room)
        with torch.inference_mode():
            steps.reorder(torch.zeros(100, dtype=torch.long))
            steps.step(tokens.expand(100))
        used[room] = kept_bytes(steps)
    assert used[None] > 90 * one
    # 100 prefixes have room for LENGTH tokens and a quarter each; the prompt and the photo are there once.
    tokens = estimates.sizes_of(opened(captioner, 1)).token * 100 * (LENGTH + 2) * 1.3
    assert used[LENGTH] < one + tokens


def test_a_model_that_does_more_with_keys_than_attention_is_decoded_with_copies(folders, monkeypatch, capsys):
    captioner = explainer.load(f"hf:{folders('llava')}")
    usual = captioner.caption([captioner.read(photos()[0])], ["a"], DecodingConfig(beam_sizes=(3,), max_length=LENGTH))
    assert captioner._is_shared is True
    other = explainer.load(f"hf:{folders('llava')}")
    monkeypatch.setattr(SharedStates, "products", lambda *_: pytest.fail("not reached: keys cannot be transposed"))
    other._loaded.model.set_attn_implementation("eager")  # repeats the keys of a group of heads
    found = other.caption([other.read(photos()[0])], ["a"], DecodingConfig(beam_sizes=(3,), max_length=LENGTH))
    assert other._is_shared is False
    assert "stored per beam, not per photo" in capsys.readouterr().out
    assert [each.tokens for each in found[3][0]] == [each.tokens for each in usual[3][0]]


def test_keys_in_a_sliding_window_are_not_shared():
    cache = SimpleNamespace(layers=[DynamicSlidingWindowLayer(sliding_window=4)])
    with pytest.raises(NotImplementedError, match="DynamicSlidingWindowLayer: keys of this layer cannot be shared"):
        SharedCache(cache, 1, 4, torch.device("cpu"))
    unread = SimpleNamespace(layers=[DynamicLayer()])
    with pytest.raises(NotImplementedError, match="DynamicLayer: keys of this layer cannot be shared"):
        SharedCache(unread, 1, 4, torch.device("cpu"))


def test_beam_100_of_llava_7b_is_estimated_at_two_gigabytes_and_not_at_thirty():
    # LLaVA-1.5-7B at bf16: 32 layers of width 4096, 576 tokens of the photo and 24 of the prompt.
    token = 2 * 32 * 4096 * 2
    shape = {"layers": 32, "width": 6 * 4096 + 3 * 11008, "heads": 32, "vocabulary": 32064, "item": 2}
    sizes = estimates.Sizes(tokens=600, prompt=600 * token, token=token, **shape)
    shared, copied = (estimates.bytes_per_image(sizes, 100, 20, is_shared) / 1e9 for is_shared in (True, False))
    assert 1.5 < shared < 2.5
    assert 31 < copied < 52


@pytest.mark.parametrize("name", tiny_transformers.FAMILIES)
def test_the_estimate_counts_what_the_models_cache_holds(captioners, name):
    captioner = captioners(name)
    sizes = estimates.sizes_of(opened(captioner, 1))
    text = captioner._loaded.model.config.get_text_config(decoder=True)
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    layers = getattr(text, "decoder_layers", None) or text.num_hidden_layers
    assert sizes.token == 2 * layers * heads * width * 4
    assert sizes.prompt >= sizes.tokens * sizes.token
    assert sizes.vocabulary == text.vocab_size
