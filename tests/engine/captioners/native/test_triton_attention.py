"""The kernels against torch's own operations; without a GPU in Triton's interpreter, which runs the same code."""

import pytest
import torch
import torch.nn.functional as F

from tests.support import tiny

kernels = pytest.importorskip("engine.captioners.native.triton_attention", reason="Triton is not installed here")
DEVICE = tiny.DEVICES[-1]


def parts(rows: int, tokens: int, heads: int, width: int, dtype: torch.dtype):
    """Return queries as from a joint projection, blocks with unused rows, and the links of each prefix."""
    generator = torch.Generator().manual_seed(rows + tokens)
    places = rows * tokens + 5
    query = torch.randn(rows, 3, heads, width, generator=generator).to(DEVICE, dtype)[:, 0]
    keys, values = (torch.randn(places, heads * width, generator=generator).to(DEVICE, dtype) for _ in "kv")
    links = torch.randint(places, (rows, tokens + 3), generator=generator, dtype=torch.int32).to(DEVICE)
    return query, keys, values, links


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6), (torch.bfloat16, 1e-2)]
)
@pytest.mark.parametrize(
    ("rows", "tokens", "heads", "width"), [(1, 1, 1, 16), (3, 5, 2, 16), (5, 16, 2, 24), (4, 17, 3, 8), (2, 40, 2, 128)]
)
def test_linked_attention_is_torchs_over_the_places_that_a_prefix_links_to(
    rows, tokens, heads, width, dtype, tolerance
):
    query, keys, values, links = parts(rows, tokens, heads, width, dtype)
    found = kernels.attend_linked(query, keys, values, links, tokens)
    own = links[:, :tokens].long()
    key, value = (each[own].unflatten(-1, (heads, width)).transpose(1, 2).double() for each in (keys, values))
    expected = F.scaled_dot_product_attention(query.double().unsqueeze(2), key, value).squeeze(2)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=tolerance)


def test_large_scores_overflow_nowhere():
    query, keys, values, links = parts(3, 20, 2, 16, torch.float32)
    found = kernels.attend_linked(query * 1e4, keys, values, links, 20)
    assert bool(found.isfinite().all())
