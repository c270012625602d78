"""Frequent captions are found with few counters."""

from collections import Counter

from hypothesis import example, given
from hypothesis import strategies as st

from engine.diagnosis import frequent


@example([[*"aaabbb"]], 1)
@given(st.lists(st.lists(st.sampled_from("abcdefghij"), max_size=12), max_size=12), st.integers(1, 8))
def test_those_that_are_found_are_those_that_a_full_count_finds(blocks, kept):
    every = Counter(text for captions in blocks for text in captions)
    often = max(frequent.LEAST, total / kept) if (total := every.total()) else 0
    counted = frequent.FrequentCaptions()
    try:
        before = frequent._KEPT, frequent.SHARE
        # So few counters find every share above 1 / (kept + 1).
        frequent._KEPT, frequent.SHARE = kept, 1 / kept
        for captions in blocks:
            counted.add(captions)
            assert len(counted._counts) <= kept
        found = counted.found()
        exact = counted.recounted(blocks) if found is None else found
    finally:
        frequent._KEPT, frequent.SHARE = before
    assert exact == {text: count for text, count in every.items() if count >= often}
