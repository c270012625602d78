"""Equality with the table of pycocoevalcap 1.2."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.rouge.rouge import my_lcs

from engine.metrics import lcs

TEXT = st.lists(st.integers(0, 9), max_size=80)


def flat(texts: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    words = np.array([word for text in texts for word in text], dtype=np.int64)
    return words, np.cumsum([0, *map(len, texts)])


@settings(deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=4), st.lists(TEXT, min_size=1, max_size=4))
def test_the_longest_common_subsequence_is_the_tables(captions, references):
    pairs = np.array([(row, column) for row in range(len(captions)) for column in range(len(references))])
    found = lcs.lengths(flat(captions), flat(references), pairs)
    assert found.tolist() == [my_lcs(references[column], captions[row]) for row, column in pairs.tolist()]
