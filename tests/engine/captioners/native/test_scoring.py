"""Distributions and gradients of finished captions of our own captioner."""

import numpy as np
import pytest
import torch

from engine.captioners.native.pipeline import NativeCaptioner
from engine.config import DecodingConfig
from engine.explain.methods import METHODS, Evidence
from tests.support import tiny


@pytest.fixture(scope="module")
def captioner(tmp_path_factory) -> NativeCaptioner:
    return NativeCaptioner.load(tiny.captioner_folder(tmp_path_factory.mktemp("native") / "captioner"))


@pytest.fixture(scope="module")
def photos(captioner) -> list[np.ndarray]:
    side = captioner.model.config.image_size
    random = np.random.default_rng(0)
    return [random.integers(0, 255, (side, side, 3), dtype=np.uint8) for _ in range(3)]


def found(captioner, photos, rule: str = "standard", size: int = 2):
    config = DecodingConfig(beam_sizes=(size,), max_length=7, rule=rule)
    return [each[0] for each in captioner.caption(photos, ["a", "b", "c"], config)[size]], config


@pytest.mark.parametrize("rule", ["standard", "study"])
def test_the_log_probabilities_are_those_of_the_search(captioner, photos, rule):
    captions, config = found(captioner, photos, rule)
    scores = captioner.token_scores(photos, captions, config)
    for caption, each in zip(captions, scores, strict=True):
        assert len(each.logprobs) == len(caption.tokens)
        assert float(each.logprobs.sum()) == pytest.approx(caption.logprob, abs=1e-4)


def test_greedy_tokens_have_rank_one_and_candidates_their_own_log_probability(captioner, photos):
    captions, config = found(captioner, photos, size=1)
    scores = captioner.token_scores(photos, captions, config, [captions[0].tokens[0], 5])
    assert all((each.ranks == 1).all() for each in scores)
    assert scores[0].candidates[0, 0] == scores[0].logprobs[0]
    assert all((each.entropies > 0).all() for each in scores)


def test_changed_photos_are_read_and_captions_of_one_photo_share_it(captioner, photos, monkeypatch):
    captions, config = found(captioner, photos)
    encoded = []
    encode = captioner._encode
    monkeypatch.setattr(captioner, "_encode", lambda given: (encoded.append(len(given)), encode(given))[1])
    grey = np.full_like(photos[0], captioner.fill)
    own = captioner.token_scores(photos, captions, config)
    without = captioner.token_scores([grey] * 3, captions, config)
    assert encoded == [1]  # photos of the last search are kept, and the grey one is encoded once
    assert any(
        float(np.abs(one.logprobs - other.logprobs).max()) > 1e-6 for one, other in zip(own, without, strict=True)
    )


def test_every_word_has_its_tokens(captioner, photos):
    captions, _ = found(captioner, photos)
    for caption in captions:
        spans = captioner.word_spans(caption)
        assert len(spans) == len(caption.words)
        assert all(0 <= start < stop <= len(caption.tokens) for start, stop in spans)


def test_gradients_are_those_of_finite_differences(captioner, photos):
    """Directional derivative of log p(word) along the pixels, against two passes with slightly changed photos."""
    captions, _ = found(captioner, photos)
    caption, spans = captions[0], captioner.word_spans(captions[0])[:2]
    gradients = captioner.gradients(photos[0], caption, spans)
    cells = gradients.pixels.shape[1]
    assert gradients.attention.shape[0] == 2
    assert gradients.attention.shape[-1] == cells
    assert np.isfinite(gradients.attention).all()
    model = captioner.model
    pixels = model.pixels(torch.from_numpy(photos[0])[None])
    inputs = torch.tensor([[captioner.tokenizer.bos_id, *caption.tokens[:-1]]])

    def logprob(values: torch.Tensor) -> float:
        with torch.inference_mode():
            found = model.logits(inputs, model.encode(values)).log_softmax(-1)[0]
        start, stop = spans[0]
        return float(sum(found[at, caption.tokens[at]] for at in range(start, stop)))

    leaf = pixels.clone().requires_grad_(True)
    out = model.logits(inputs, model.encode(leaf)).log_softmax(-1)[0]
    start, stop = spans[0]
    sum(out[at, caption.tokens[at]] for at in range(start, stop)).backward()
    expected = (leaf.grad * pixels).abs().sum(1).reshape(14, 16, 14, 16).mean((1, 3)).flatten()
    assert gradients.pixels[0] == pytest.approx(expected.numpy(), rel=1e-3, abs=1e-7)
    step = 1e-2
    slope = (logprob(pixels * (1 + step)) - logprob(pixels * (1 - step))) / (2 * step)
    assert slope == pytest.approx(float((leaf.grad * pixels).sum()), rel=0.05, abs=1e-3)


def test_rollout_distributes_all_attention_of_the_encoder(captioner, photos):
    captions, _ = found(captioner, photos)
    rollout = captioner.gradients(photos[0], captions[0], captioner.word_spans(captions[0])[:1]).rollout
    assert rollout.shape == (196, 196)
    assert (rollout >= 0).all()
    assert (rollout.sum(1) <= 1 + 1e-5).all()  # the rest is in the class token


def test_maps_do_not_depend_on_recording_the_encoder(captioner, photos):
    captions, config = found(captioner, photos)
    before = captioner.maps(photos, captions, config, "mean")[0].weights
    captioner.gradients(photos[0], captions[0], captioner.word_spans(captions[0])[:1])
    assert (captioner.maps(photos, captions, config, "mean")[0].weights == before).all()
    assert METHODS["attention"].maps(Evidence(None, [0], np.ones((1, 2, 2, 196)), 0)).shape == (1, 196)
