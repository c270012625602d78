"""Corpus values of summed counts against the tools that define them."""

import numpy as np
import pytest

from engine import statistics
from engine.metrics import pooling, ptb
from engine.metrics.measure import score_captions
from tests.conftest import needs_shared
from tests.engine.metrics.test_base import flickr8k


@needs_shared("flickr8k/predictions")
def test_bleu_and_its_paired_tests_agree_with_sacrebleus():
    from sacrebleu.metrics import BLEU
    from sacrebleu.significance import PairedTest

    images, systems, counts = 300, {}, {}
    for name in ("vit30k", "vit8k"):
        captions, references = flickr8k(name)
        systems[name] = ptb.tokenize(captions[:images])
        found = score_captions({1: captions[:images]}, references[:images], ["bleu_4"])[1]
        counts[name] = found.counts["bleu_counts"]
    streams = [ptb.tokenize([texts[place] for texts in references[:images]]) for place in range(5)]
    peer = {"BLEU": BLEU(tokenize="none", smooth_method="none", force=True, references=streams)}
    for name, lines in systems.items():
        own = float(pooling.bleu(counts[name].sum(0), 4))
        assert own == pytest.approx(peer["BLEU"].corpus_score(lines, None).score / 100, abs=1e-6)
    tested = PairedTest(list(systems.items()), peer, None, test_type="ar", n_samples=4000)()[1]["BLEU"]
    resampled = PairedTest(list(systems.items()), peer, None, test_type="bs", n_samples=4000)()[1]["BLEU"]
    ours = statistics.compare(counts["vit30k"], counts["vit8k"], 4000, pooled=pooling.POOLED["bleu_4"].score)
    assert ours.p_randomization == pytest.approx(tested[1].p_value, abs=0.02)
    assert ours.p_bootstrap == pytest.approx(resampled[1].p_value, abs=0.02)
    _, low, high = _interval(counts["vit8k"])
    # sacrebleu gives half of the width of the interval, in BLEU points.
    assert (high - low) / 2 == pytest.approx(resampled[1].ci / 100, rel=0.1)


def _interval(counts: np.ndarray) -> tuple[float, float, float]:
    values = pooling.bleu(statistics.bootstrap_sums(counts, 4000), 4)
    return float(pooling.bleu(counts.sum(0), 4)), *np.quantile(values, [0.025, 0.975])


def test_the_corpus_value_is_not_the_mean_of_its_images():
    # By hand: lengths 2 and 8 against the same; 1-gram matches 2 of 2 and 0 of 8.
    counts = np.array([[2, 2, 2, 1, 0, 0, 2, 1, 0, 0], [8, 8, 8, 7, 6, 5, 0, 0, 0, 0]], dtype=float)
    assert pooling.bleu(counts, 1) == pytest.approx([1.0, 0.0], abs=1e-6)
    assert pooling.bleu(counts.sum(0), 1) == pytest.approx(0.2, abs=1e-6)


def test_meteor_of_counts_equals_the_jars_score():
    # "a dog runs on the beach" against "a brown dog running quickly": as METEOR 1.5's jar printed them.
    counts = np.array([6, 5, 3, 1, 1, 1, 1, 1, 1, 1, *[0] * 10, 2, 3, 3], dtype=float)
    assert pooling.meteor(counts) == pytest.approx(0.20163925821350875, abs=1e-12)


def test_a_caption_that_is_its_reference_has_the_full_mark_and_an_empty_one_none():
    same = np.array([2, 2, 1, 1, 1, 1, 1, 1, *[0] * 12, 0, 2, 2], dtype=float)
    empty = np.array([0, 2, 0, 1, *[0] * 19], dtype=float)
    assert pooling.meteor(np.stack([same, empty])).tolist() == [1.0, 0.0]
