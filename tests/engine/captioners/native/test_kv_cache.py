"""Two ways to keep the past: both see what the attention of whole prefixes sees."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.captioners.native import kv_cache
from tests.support import tiny

DEVICE = torch.device(tiny.DEVICES[-1])
LAYERS, HEADS, WIDTH, STEPS = 2, 2, 16, 6


def ways() -> list:
    """The names of the ways that run here."""
    return ["CopiedKVCache", "LinkedKVCache"] if kv_cache.triton_attention is not None else ["CopiedKVCache"]


@pytest.mark.parametrize("way", ways())
@settings(deadline=None, max_examples=25)
@given(st.data())
def test_a_query_sees_the_tokens_of_its_own_prefix(way, data):
    kept = getattr(kv_cache, way)(LAYERS, STEPS)
    generator = torch.Generator().manual_seed(0)
    rows = data.draw(st.integers(1, 3))
    whole = [[torch.empty(rows, 0, HEADS, WIDTH, device=DEVICE)] * 2 for _ in range(LAYERS)]
    for _ in range(STEPS):
        steps = torch.randn(LAYERS, 3, rows, HEADS, WIDTH, generator=generator).to(DEVICE)
        kept.begin(rows, steps)
        for layer, (query, key, value) in enumerate(steps):
            whole[layer] = [
                torch.cat([old, new[:, None]], 1) for old, new in zip(whole[layer], (key, value), strict=True)
            ]
            found = kept.attend(layer, query, key, value)
            keys, values = (each.transpose(1, 2) for each in whole[layer])
            expected = F.scaled_dot_product_attention(query.unsqueeze(2), keys, values).squeeze(2)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        # A search may reorder several times before the next step, and always has a prefix.
        for _ in range(data.draw(st.integers(0, 2))):
            parents = sorted(data.draw(st.lists(st.integers(0, rows - 1), min_size=1, max_size=8)))
            chosen = torch.tensor(parents, device=DEVICE)
            kept.reorder(chosen)
            whole = [[each[chosen] for each in layer] for layer in whole]
            rows = len(parents)


@pytest.mark.skipif(kv_cache.triton_attention is None, reason="Triton is not installed here")
def test_a_token_is_stored_once_for_all_prefixes_that_extend_it():
    kept = kv_cache.LinkedKVCache(1, STEPS)
    one = torch.randn(1, HEADS, WIDTH, device=DEVICE)
    kept.begin(1, one)
    kept.attend(0, one, one, one)
    kept.reorder(torch.zeros(4, dtype=torch.long, device=DEVICE))
    four = torch.randn(4, HEADS, WIDTH, device=DEVICE)
    kept.begin(4, four)
    kept.attend(0, four, four, four)
    assert kept._used == 1 + 4


def test_a_machine_that_cannot_compile_the_kernel_continues_without_it(monkeypatch):
    def broken(*args: object) -> None:
        raise RuntimeError("Failed to find C compiler\nmore")

    monkeypatch.setattr(kv_cache, "triton_attention", type("Kernels", (), {"attend_linked": staticmethod(broken)}))
    kv_cache._has_kernel.cache_clear()
    with pytest.warns(UserWarning, match="cannot be compiled .Failed to find C compiler."):
        assert not kv_cache._has_kernel(torch.device("cpu"))
    kv_cache._has_kernel.cache_clear()


def test_without_triton_there_is_no_kernel(monkeypatch):
    monkeypatch.setattr(kv_cache, "triton_attention", None)
    kv_cache._has_kernel.cache_clear()
    assert not kv_cache._has_kernel(torch.device("cpu"))
    kv_cache._has_kernel.cache_clear()
