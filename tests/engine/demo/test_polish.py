"""The last minutes of the demo CLIP: what is kept, what moves, and that it learns to tell classes apart."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest
import torch

from engine.demo import corpus, polish, pretraining
from engine.demo.scenes import compose, draw, portrait
from engine.demo.world import CLASSES
from engine.models.tokenizer import CaptionTokenizer

TEXTS = [template.format(object=kind) for template in corpus.TRAINING_PROMPTS for kind in CLASSES]


@pytest.fixture(scope="module")
def tokenizer() -> CaptionTokenizer:
    return CaptionTokenizer.train([*TEXTS, "a red dog in a park.", "two cats on a couch."], 400)


@pytest.fixture(scope="module")
def data() -> corpus.Corpus:
    scenes = [portrait(kind, seed) for seed, kind in enumerate(["dog", "bus", "cup"])] + [compose(7), compose(8)]
    pictures = [draw(scene) for scene in scenes]
    return corpus.Corpus(
        np.stack([np.asarray(picture.image) for picture in pictures]),
        np.stack([corpus.patch_labels(*pair) for pair in zip(scenes, pictures, strict=True)]),
        [["a red dog in a park."] * 5] * 3 + [["two cats on a couch."] * 5, ["there is a park."] * 5],
        [["dog"], ["bus"], ["cup"], ["cat"], ["bench"]],
    )


@pytest.fixture
def model(tokenizer) -> pretraining.Pretraining:
    torch.manual_seed(0)
    return pretraining.Pretraining(tokenizer)


def test_kept_tokens_give_the_features_of_the_whole_tower(model, data):
    kept = torch.from_numpy(polish.kept_tokens(model, data)).float()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (pretraining.MEAN, pretraining.STD))
    pixels = torch.from_numpy(data.pixels).float().permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        whole, _ = model.encode_image((pixels - mean) / std, None)
        found = polish.image_features(model, kept)
    torch.testing.assert_close(found, whole, atol=0.03, rtol=0)  # kept in half precision, computed in bfloat16


def test_only_the_layers_above_the_kept_tokens_change_and_the_portraits_are_learned(model, data, tokenizer):
    before = {name: value.clone() for name, value in model.clip.state_dict().items()}
    images = torch.from_numpy(polish.kept_tokens(model, data)[:3]).float()
    labels = torch.tensor([CLASSES.index(kind) for kind in ("dog", "bus", "cup")])

    def loss() -> float:
        with torch.inference_mode():
            features = polish.image_features(model, images)
            return float(polish.class_loss(model, features, labels, tokenizer, Random(0)))

    first = loss()
    polish.polish(model, data, tokenizer, replace(polish.Polish(), minutes=0.1, batch=4))
    assert loss() < first - 0.5
    moved = {name for name, value in model.clip.state_dict().items() if not torch.equal(value, before[name])}
    assert "visual.proj" in moved and "token_embedding.weight" in moved
    assert any(name.startswith(f"visual.transformer.resblocks.{polish.FROZEN}.") for name in moved)
    frozen = ("visual.conv1", "visual.positional", "visual.ln_pre", "visual.transformer.resblocks.0.")
    assert not [name for name in moved if name.startswith(frozen)]


def test_a_caption_without_a_swappable_word_has_no_wrong_copy_to_beat(model, tokenizer):
    images = torch.nn.functional.normalize(torch.randn(2, pretraining.EMBEDDING), dim=-1)
    loss = polish.caption_loss(model, images, ["there is a park.", "here we go."], tokenizer, Random(0))
    assert torch.isfinite(loss)
