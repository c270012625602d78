import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.metrics import ptb
from engine.metrics.base import MetricError


def test_tokens_are_the_ptb_tokenisers_without_punctuation():
    # Read off pycocoevalcap 1.2's own PTBTokenizer: it means to drop brackets, but lower-cases them first.
    texts = ["Hello, it's Mike's U.S. dog.", "", "...", "A man (old) & a WOMAN"]
    assert ptb.tokenize(texts) == ["hello it 's mike 's u.s. dog", "", "", "a man -lrb- old -rrb- & a woman"]


@settings(deadline=None, max_examples=8)
@given(
    st.lists(
        st.text(st.sampled_from("ab .,|'\"\n\r\x0b\x0c\x1c\x85\u2028\u2029é猫"), max_size=12), min_size=1, max_size=30
    )
)
def test_no_line_breaking_character_shifts_a_later_caption(texts):
    marked = [
        text for pair in zip(texts, (f"marker{number}" for number in range(len(texts))), strict=True) for text in pair
    ]
    assert ptb.tokenize(marked)[1::2] == [f"marker{number}" for number in range(len(texts))]


def test_a_failing_tokeniser_reports_why(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, b"", b"no memory")
    monkeypatch.setattr(ptb.subprocess, "run", lambda *args, **kwargs: failed)
    with pytest.raises(MetricError, match="no memory"):
        ptb.tokenize(["a dog"])


def test_lines_that_do_not_match_are_never_scored(monkeypatch):
    shifted = subprocess.CompletedProcess([], 0, b"a\nb\nc\nd\n", b"")
    monkeypatch.setattr(ptb.subprocess, "run", lambda *args, **kwargs: shifted)
    with pytest.raises(MetricError, match="lines for 2 captions"):
        ptb.tokenize(["a", "b"])
