import json

import numpy as np
import pytest

from engine.data import registry
from engine.metrics import base, coco, ptb
from engine.metrics.base import MetricError
from engine.metrics.measure import score_captions
from tests.conftest import SHARED, needs_shared
from tests.support import caption_peers

# Published scores of three real captioners on Flickr8k's test split (../shared/data/README.md of the data; COCO caption
# metrics, PTB tokeniser): BLEU-1..4, METEOR, ROUGE-L, CIDEr.
PUBLISHED = {
    "vit8k": (0.617, 0.435, 0.298, 0.202, 0.208, 0.425, 0.538),
    "vit30k": (0.668, 0.487, 0.351, 0.253, 0.230, 0.465, 0.721),
    "resnet101": (0.586, 0.396, 0.264, 0.173, 0.192, 0.403, 0.474),
}


def flickr8k(name: str) -> tuple[list[str], list[tuple[str, ...]]]:
    file = SHARED / "flickr8k" / "predictions" / f"{name}.json"
    found = {each["img_id"].removesuffix(".jpg"): each["prediction"][0] for each in json.loads(file.read_text())}
    references = {each.image_id: each.references for each in registry.load(SHARED / "flickr8k").examples}
    return list(found.values()), [references[name] for name in found]


@needs_shared("flickr8k/predictions")
@pytest.mark.parametrize("name", PUBLISHED)
def test_three_real_captioners_get_their_published_scores(name):
    captions, references = flickr8k(name)
    scores = score_captions({1: captions}, references)[1]
    bleu = PUBLISHED[name][:4]
    expected = dict(zip(("bleu_1", "bleu_2", "bleu_3", "bleu_4"), bleu, strict=True))
    expected |= {"rouge_l": PUBLISHED[name][5], "cider": PUBLISHED[name][6]}
    for metric, value in expected.items():
        # The published digits are cut in some tables and rounded in others: either is one unit of the third decimal.
        assert scores.corpus[metric].value == pytest.approx(value, abs=0.00061), metric
        assert scores.corpus[metric].low < scores.corpus[metric].value < scores.corpus[metric].high


@pytest.mark.slow
@needs_shared("flickr8k/predictions")
@pytest.mark.parametrize("name", PUBLISHED)
def test_meteor_gives_the_published_scores(name):
    captions, references = flickr8k(name)
    scores = score_captions({1: captions}, references, ["meteor"])[1]
    assert scores.corpus["meteor"].value == pytest.approx(PUBLISHED[name][4], abs=0.00061)


@needs_shared("flickr8k/predictions")
def test_settings_scored_together_equal_pycocoevalcaps_own_runs():
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    names = ("vit8k", "resnet101")
    captions, references = {}, []
    for setting, name in enumerate(names, 1):
        texts, references = flickr8k(name)
        captions[setting] = texts
    together = score_captions(captions, references)
    flat = iter(ptb.tokenize([text for texts in references for text in texts]))
    tokens = {number: [next(flat) for _ in texts] for number, texts in enumerate(references)}
    for setting in captions:
        results = {number: [text] for number, text in enumerate(ptb.tokenize(captions[setting]))}
        for peer, keys in ((Cider(), ["cider"]), (Rouge(), ["rouge_l"])):
            value, each = peer.compute_score(tokens, results)
            np.testing.assert_allclose(together[setting].per_image[keys[0]], each, atol=1e-9)
            assert together[setting].corpus[keys[0]].value == pytest.approx(value, abs=1e-9)
        values, each = Bleu(4).compute_score(tokens, results, verbose=0)
        for order in range(4):
            np.testing.assert_allclose(together[setting].per_image[f"bleu_{order + 1}"], each[order], atol=1e-9)
            assert together[setting].corpus[f"bleu_{order + 1}"].value == pytest.approx(values[order], abs=1e-9)


def odd_captions(count: int) -> list[str]:
    """Captions as strangers write them: empty, one word, punctuation, every line break, protocol marks, 500 words."""
    generator = np.random.default_rng(0)
    words = np.array(
        ["a", "dog", "Dog", "two", "isn't", "U.S.", "café", "猫", "🐶", "-", "...", '"', "(", "|||", "10.5%"]
    )
    breaks = np.array([" ", "  ", "\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\t", "\u00a0"])
    captions = ["", " ", ".", "?!", "|||", "\n", "word " * 500]
    while len(captions) < count:
        length = int(generator.integers(0, 12))
        spaces = generator.choice(breaks, length, p=[0.78] + [0.02] * 11)
        captions.append(
            "".join(word + space for word, space in zip(generator.choice(words, length), spaces, strict=True))
        )
    return captions


def assert_equal_to_the_peers(captions: list[str], references: list[list[str]]) -> None:
    ours = score_captions({1: captions}, references)[1]
    for name, (value, each) in caption_peers.scores(captions, references).items():
        np.testing.assert_allclose(ours.per_image[name], each, atol=1e-9, err_msg=name)
        assert ours.corpus[name].value == pytest.approx(value, abs=1e-9), name


def test_ten_thousand_odd_captions_score_as_pycocoevalcaps_own_run():
    captions = odd_captions(10_000)
    references = [["a dog in the U.S.", captions[(3 * number + 1) % 5000 + 10]] for number in range(len(captions))]
    assert_equal_to_the_peers(captions, references)


@needs_shared("coco")
@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_cocos_captions_score_as_pycocoevalcaps_own_run(split):
    examples = registry.load(SHARED / "coco", split=split).examples
    assert_equal_to_the_peers(
        [each.references[0] for each in examples], [list(each.references[1:]) for each in examples]
    )


def test_a_caption_equal_to_all_its_references_has_the_full_marks():
    references = [["a dog runs on the beach"], ["a red bus stands in the street"], ["two men ride brown horses"]]
    scores = score_captions({1: [texts[0] for texts in references]}, references)[1]
    # CIDEr-D of identical n-grams is 10; a caption of five words has 4-grams, so all four orders count.
    np.testing.assert_allclose(scores.per_image["cider"], 10.0, atol=1e-9)
    np.testing.assert_allclose(scores.per_image["bleu_4"], 1.0, atol=1e-6)
    np.testing.assert_allclose(scores.per_image["rouge_l"], 1.0)


def test_an_empty_caption_scores_nothing_and_breaks_nothing():
    references = [["a dog runs on the beach"], ["a red bus stands in the street"]]
    scores = score_captions({1: ["", "..."]}, references)[1]
    for metric in coco.CAPTION_METRICS:
        np.testing.assert_allclose(scores.per_image[metric], 0, atol=1e-6)


def test_captions_that_do_not_match_the_references_are_refused():
    with pytest.raises(MetricError, match="1 captions for 2 images"):
        score_captions({1: ["a"]}, [["a"], ["b"]])
    with pytest.raises(MetricError, match="image number 1 has no references"):
        score_captions({1: ["a", "b"]}, [["a"], []])


def test_a_mean_leaves_out_images_without_a_score():
    found = base.mean_with_interval(np.array([1.0, np.nan, 3.0]))
    assert found.value == 2.0
    assert 1.0 <= found.low <= found.high <= 3.0
