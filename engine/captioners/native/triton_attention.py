"""Triton kernel: attention over a linked key-value cache.

Torch's own operations would copy the keys and values first. On a CPU, Triton's interpreter runs the same code; the
tests use it on machines without a GPU.

Shapes: R prefixes, T tokens, H heads, d width of a head, N stored tokens.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

_TOKENS = 8  # tokens of a prefix per block; on an H200, 8 is faster than 16 or 32, and one warp than two or four


def attend_linked(query: Tensor, keys: Tensor, values: Tensor, links: Tensor, tokens: int) -> Tensor:
    """Return the attention of one query per prefix over the prefix's tokens, whose keys and values are linked.

    Args:
        query: [R, H, d], its last two dimensions contiguous.
        keys: [N, H * d], contiguous, like `values`.
        links: int32[R, at least `tokens`]: the row in `keys` of each token of a prefix.
        tokens: T, the number of tokens of every prefix.

    Returns:
        [R, H, d], in the dtype of the query; sums are in float32, or float64 if the query is.
    """
    rows, heads, width = query.shape
    out = torch.empty((rows, heads, width), dtype=query.dtype, device=query.device)
    with torch.cuda.device_of(query):  # Triton launches on the current device, not on that of the tensors
        _attend_linked[(rows, heads)](
            *(query, keys, values, links, out, tokens),
            *(query.stride(0), links.stride(0)),
            HEADS=heads,
            WIDTH=width,
            SPAN=triton.next_power_of_2(width),
            TOKENS=_TOKENS,
            SUM=tl.float64 if query.dtype == torch.float64 else tl.float32,
            num_warps=1,
        )
    return out


@triton.jit(do_not_specialize=["tokens"])
def _attend_linked(  # noqa: PLR0913 - a kernel's arguments are pointers and sizes
    query,
    keys,
    values,
    links,
    out,
    tokens,
    query_stride,
    links_stride,
    HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    SPAN: tl.constexpr,
    TOKENS: tl.constexpr,
    SUM: tl.constexpr,
):
    """One prefix and head: softmax over blocks of tokens with a running maximum (Milakov and Gimelshein 2018)."""
    row, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    across = tl.arange(0, SPAN)
    is_inside = across < WIDTH
    own_query = tl.load(query + row * query_stride + head * WIDTH + across, mask=is_inside, other=0).to(SUM)
    own_query = own_query / tl.sqrt(tl.full((), WIDTH, SUM))
    most = tl.full((), float("-inf"), SUM)
    total = tl.full((), 0, SUM)
    seen = tl.zeros((SPAN,), SUM)
    for first in range(0, tokens, TOKENS):
        token = first + tl.arange(0, TOKENS)
        is_there = token < tokens
        place = tl.load(links + row * links_stride + token, mask=is_there, other=0).to(tl.int64)
        at = (place * HEADS + head)[:, None] * WIDTH + across[None, :]
        mask = is_there[:, None] & is_inside[None, :]
        key = tl.load(keys + at, mask=mask, other=0).to(SUM)
        value = tl.load(values + at, mask=mask, other=0).to(SUM)
        score = tl.where(is_there, tl.sum(key * own_query[None, :], axis=1), float("-inf"))
        now = tl.maximum(most, tl.max(score, axis=0))
        weight = tl.exp(score - now)
        fade = tl.exp(most - now)
        seen = seen * fade + tl.sum(weight[:, None] * value, axis=0)
        total = total * fade + tl.sum(weight, axis=0)
        most = now
    tl.store(out + (row * HEADS + head) * WIDTH + across, (seen / total).to(out.dtype.element_ty), mask=is_inside)
