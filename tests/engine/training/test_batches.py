import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.config import ConfigError, TrainingConfig
from engine.training import batches

sizes = st.integers(1, 9)


@given(captions=st.integers(1, 40), ranks=sizes, accumulate=sizes)
def test_every_caption_of_a_step_counts_once_and_ranks_have_equally_many_micro_batches(captions, ranks, accumulate):
    batch = np.arange(100, 100 + captions)
    by_rank = [batches.divide(batch, rank, ranks, accumulate) for rank in range(ranks)]
    parts = [part for mine in by_rank for part in mine]
    counted = np.concatenate([part.positions for part in parts if part.is_counted])
    assert sorted(counted) == batch.tolist()
    assert all(len(part.positions) == 1 and part.positions[0] in batch for part in parts if not part.is_counted)
    assert 1 <= len(by_rank[0]) <= accumulate and {len(mine) for mine in by_rank} == {len(by_rank[0])}
    lengths = [len(part.positions) for part in parts if part.is_counted]
    assert max(lengths) - min(lengths) <= 1


@given(captions=st.integers(1, 40), parts=sizes)
def test_micro_batches_of_one_rank_are_the_batches_of_as_many_ranks(captions, parts):
    batch = np.arange(captions)
    alone = [part.positions.tolist() for part in batches.divide(batch, 0, 1, parts)]
    many = [part for rank in range(parts) for part in batches.divide(batch, rank, parts, 1)]
    assert alone == [part.positions.tolist() for part in many if part.is_counted]


def test_tokens_are_counted_without_the_start_token_and_padding():
    captions = [[2, 7, 8, 3], [2, 9, 3]]
    padded = batches.pad(captions, 0)
    assert padded.dtype == torch.int64 and padded.tolist() == [[2, 7, 8, 3], [2, 9, 3, 0]]
    assert batches.token_count(captions, 0) == batches.token_count(padded.tolist(), 0) == 5


def test_more_micro_batches_than_captions_are_one_sentence():
    with pytest.raises(ConfigError, match=r"accumulate is 8, expected at most batch_size \(4\)"):
        TrainingConfig(batch_size=4, accumulate=8)
    with pytest.raises(ConfigError, match="accumulate is 0"):
        TrainingConfig(accumulate=0)
