"""Equality with pycocoevalcap 1.2, whose definitions these are, and independence of the blocks of a split."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from pycocoevalcap.cider.cider_scorer import CiderScorer
from pycocoevalcap.rouge.rouge import Rouge

from engine.data.blocks import blocks_of
from engine.data.split import Split
from engine.metrics import coco, frequencies, passes, pooling, ptb

WORDS = st.sampled_from(["a", "dog", "runs", "the", "on", "beach", "two", "n't", "é", "猫", "-lrb-", "1\xa01/2"])
TEXT = st.lists(WORDS, max_size=15).map(" ".join)
IMAGES = st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=5)), min_size=2, max_size=8)


@pytest.fixture(autouse=True)
def tokens(monkeypatch):
    """Take texts as tokens, because the tokeniser's Java would start for every example."""
    monkeypatch.setattr(ptb, "tokenize", list)


def peer(pairs: list[tuple[str, list[str]]]) -> tuple[np.ndarray, list[float], list, list]:
    cider, bleu, rouge = CiderScorer(n=4, sigma=6.0), BleuScorer(n=4), Rouge()
    for caption, references in pairs:
        cider += (caption, references)
        bleu += (caption, references)
    pooled, each = bleu.compute_score(option="closest", verbose=0)
    rouges = [rouge.calc_score([caption], references) for caption, references in pairs]
    return cider.compute_score()[1], rouges, pooled, each


def scored(split: Split, captions: dict[int, list[str]], size: int) -> coco.Statistics:
    """Return the statistics of a split in blocks of `size` images."""
    with tempfile.TemporaryDirectory() as folder:
        return coco.joined(coco.COCO.by_block(coco.CAPTION_METRICS, blocks_of(split, captions, size), Path(folder)))


LONG = " ".join(f"w{number % 90}" for number in range(200))


# monkeypatch lasts for all examples of a test, which share its one replacement
@settings(deadline=None, max_examples=150)
@given(IMAGES)
@example([(LONG, [LONG[:300], "a dog"]), ("a dog w1", [LONG, LONG[10:]])])
def test_every_score_equals_pycocoevalcaps(pairs):
    # The tool stops where no reference has a word at all: its largest document frequency is then that of nothing.
    pairs = [(caption, [*references, "a cat"]) for caption, references in pairs]
    found = scored(Split.of_references([texts for _, texts in pairs]), {0: [caption for caption, _ in pairs]}, 3)
    cider, rouge, pooled, bleu = peer(pairs)
    np.testing.assert_allclose(found["cider"][0][:, 0], cider, atol=1e-9)
    np.testing.assert_allclose(found["rouge_l"][0][:, 0], rouge, atol=1e-9)
    for order in range(1, 5):
        counts = found[f"bleu_{order}"][0]
        np.testing.assert_allclose(pooling.bleu(counts, order), bleu[order - 1], atol=1e-9)
        np.testing.assert_allclose(pooling.bleu(counts.sum(0), order), pooled[order - 1], atol=1e-9)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(TEXT, TEXT, st.lists(TEXT, max_size=4)), min_size=1, max_size=9),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 3),
)
def test_any_partition_into_blocks_gives_the_same_bits(images, size, together, at_once):
    split = Split.of_references([references for _, _, references in images])
    captions = {1: [each[0] for each in images], 5: [each[1] for each in images]}
    whole = scored(split, captions, len(images))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passes, "_TOGETHER", together)
        patch.setattr(frequencies, "_AT_ONCE", at_once)
        parts = scored(split, captions, size)
    assert set(parts) == set(whole)
    for key, by_setting in whole.items():
        for setting, statistics in by_setting.items():
            np.testing.assert_array_equal(parts[key][setting], statistics, strict=True)
    # METEOR and SPICE take the texts; BLEU-1 to -4 share their counts, so that these are resampled once.
    assert not whole or whole["bleu_1"] is whole["bleu_4"] and parts["bleu_1"] is parts["bleu_4"]


def test_document_frequencies_count_images_and_not_references(tmp_path):
    references = [["a dog", "a dog"], ["a cat"], ["a dog"]]
    prepared = passes.tokenise(blocks_of(Split.of_references(references), {0: ["", "", ""]}, 1), tmp_path)
    passes.count_documents(prepared)
    known = frequencies.read(tmp_path, prepared.images)
    a, dog, cat = (prepared.words.index(word) for word in ("a", "dog", "cat"))
    assert known.tables[1].T.tolist() == [[a, 3], [dog, 2]]
    assert known.tables[2].T.tolist() == [[a << 32 | dog, 2]]
    texts = passes.ngrams.Texts(np.array([a, dog, a, cat]), np.array([2, 2]))
    np.testing.assert_array_equal(known.weights(1, np.array([0, 1, 3]), texts), np.log(3) - np.log([3, 2, 1]))
    np.testing.assert_array_equal(known.weights(2, np.array([0, 2]), texts), np.log(3) - np.log([2, 1]))


def test_the_texts_of_other_tools_are_the_tokens(tmp_path):
    split = Split.of_references([["a  dog", ""], ["1\xa01/2 cats"]])
    prepared = passes.tokenise(blocks_of(split, {0: ["a", ""]}, 1), tmp_path)
    assert list(coco._texts(prepared)) == [([["a"]], [["a  dog", ""]]), ([[""]], [["1\xa01/2 cats"]])]
