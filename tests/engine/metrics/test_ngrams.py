"""Equality with pycocoevalcap 1.2, whose definitions these are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from pycocoevalcap.cider.cider_scorer import CiderScorer
from pycocoevalcap.rouge.rouge import Rouge, my_lcs

from engine.metrics import ngrams, pooling

WORDS = st.sampled_from(["a", "dog", "runs", "the", "on", "beach", "two", "n't", "é", "猫", "-lrb-"])
TEXT = st.lists(WORDS, max_size=15).map(" ".join)
IMAGES = st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=5)), min_size=2, max_size=8)


def peer(pairs: list[tuple[str, list[str]]]) -> tuple[np.ndarray, list[float], list, list]:
    cider, bleu, rouge = CiderScorer(n=4, sigma=6.0), BleuScorer(n=4), Rouge()
    for caption, references in pairs:
        cider += (caption, references)
        bleu += (caption, references)
    pooled, each = bleu.compute_score(option="closest", verbose=0)
    rouges = [rouge.calc_score([caption], references) for caption, references in pairs]
    return cider.compute_score()[1], rouges, pooled, each


@settings(deadline=None, max_examples=150)
@given(IMAGES)
def test_every_score_equals_pycocoevalcaps(pairs):
    # The tool stops where no reference has a word at all: its largest document frequency is then that of nothing.
    pairs = [(caption, [*references, "a cat"]) for caption, references in pairs]
    found = [
        each[0] for each in ngrams.score_images([texts for _, texts in pairs], [[caption] for caption, _ in pairs])
    ]
    cider, rouge, pooled, bleu = peer(pairs)
    counts = np.array([each.bleu_counts for each in found], dtype=float)
    np.testing.assert_allclose([each.cider for each in found], cider, atol=1e-9)
    np.testing.assert_allclose([each.rouge_l for each in found], rouge, atol=1e-9)
    for order in range(1, 5):
        np.testing.assert_allclose(pooling.bleu(counts, order), bleu[order - 1], atol=1e-9)
        np.testing.assert_allclose(pooling.bleu(counts.sum(0), order), pooled[order - 1], atol=1e-9)


@given(st.lists(WORDS, max_size=80), st.lists(WORDS, max_size=80))
def test_the_longest_common_subsequence_is_the_tables(left, right):
    positions = ngrams.word_positions(left)
    assert ngrams.longest_common_subsequence(positions, len(left), right) == my_lcs(left, right)


def test_a_caption_shared_by_several_settings_is_scored_once(monkeypatch):
    calls = []
    real = ngrams.ImageReferences.score
    monkeypatch.setattr(ngrams.ImageReferences, "score", lambda self, text: calls.append(text) or real(self, text))
    found = list(ngrams.score_images([["a dog"], ["a cat"]], [["a dog", "a dog", "a bus"], ["x", "x", "x"]]))
    assert calls == ["a dog", "a bus", "x"]
    assert found[0][0] == found[0][1] != found[0][2]


def test_document_frequencies_count_images_and_not_references():
    frequencies = ngrams.CorpusFrequencies([["a dog", "a dog"], ["a cat"]])
    assert frequencies.weight(("dog",)) == pytest.approx(np.log(2))
    assert frequencies.weight(("a",)) == 0
    assert frequencies.weight(("nothing",)) == pytest.approx(np.log(2))
