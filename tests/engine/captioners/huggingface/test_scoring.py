"""Distributions at the steps of finished captions of every supported family."""

import numpy as np
import pytest

pytest.importorskip("transformers")

from engine.captioners.huggingface import explainer
from engine.config import DecodingConfig
from engine.protocols import ActivationSource
from tests.support import tiny_transformers

CONFIG = DecodingConfig(beam_sizes=(2,), max_length=6)
RULED = {"florence2"}
"""Families whose generation settings change the scores of the search."""


@pytest.mark.parametrize("name", tiny_transformers.FAMILIES)
def test_one_pass_gives_the_log_probabilities_of_the_search(tmp_path, name):
    tiny_transformers.make(name, tmp_path / name)
    captioner = explainer.load(str(tmp_path / name))
    random = np.random.default_rng(0)
    photos = [random.integers(0, 255, (48, 64, 3), dtype=np.uint8) for _ in range(2)]
    captions = [each[0] for each in captioner.caption(photos, ["a", "b"], CONFIG)[2]]
    first, second = (captioner.token_scores(photos, captions, CONFIG, [5]) for _ in range(2))
    assert captioner._scores_at_once
    for caption, steps, at_once in zip(captions, first, second, strict=True):
        assert at_once.logprobs == pytest.approx(steps.logprobs, abs=1e-4)
        assert at_once.candidates.shape == (len(caption.tokens), 1)
        assert len(captioner.word_spans(caption)) == len(caption.words)
        if name not in RULED:
            assert float(steps.logprobs.sum()) == pytest.approx(caption.logprob, abs=1e-4)
    assert len(captioner.first_tokens(["dog", "hot dog"])) == 2
    assert isinstance(captioner, ActivationSource) == (name in explainer.INSIDE)
    if name in explainer.INSIDE:
        tokens = list(captions[0].tokens)
        scores = captioner.token_scores(photos, captions, CONFIG, tokens)[0]
        found = captioner.activations(photos[0], captions[0])
        grid = captioner.maps(photos[:1], captions[:1], CONFIG, "mean")[0].grid
        assert found.image.shape == (len(tokens), grid[0] * grid[1])
        # Logits and log-probabilities of a step differ by one number.
        own, logprobs = found.text - found.text[0], (scores.candidates - scores.candidates[:, :1]).T
        assert own == pytest.approx(logprobs, abs=1e-4)
    x, y, width, height = captioner.region(photos[0])
    assert x >= 0
    assert y >= 0
    assert x + width <= 64.01
    assert y + height <= 48.01
    assert all(0 <= each <= 255 for each in captioner.fill)
