"""The training of the demo models: what its arrays mean, and that both models share one image tower."""

from random import Random

import numpy as np
import open_clip
import pytest
import timm
import torch

from engine.demo import corpus, pretraining
from engine.demo.scenes import compose, draw, portrait
from engine.models.tokenizer import CaptionTokenizer


@pytest.fixture(scope="module")
def tokenizer() -> CaptionTokenizer:
    return CaptionTokenizer.train(["a red dog in a park.", "two cats on a couch.", "a photo of a dog"], 300)


@pytest.fixture
def data() -> corpus.Corpus:
    scenes = [portrait("dog", 1), portrait("cat", 2), compose(3)]
    pictures = [draw(scene) for scene in scenes]
    return corpus.Corpus(
        np.stack([np.asarray(picture.image) for picture in pictures]),
        np.stack([corpus.patch_labels(*pair) for pair in zip(scenes, pictures, strict=True)]),
        [["a red dog in a park."] * 5, ["two cats on a couch."] * 5, ["there is a park."] * 5],
        [["dog"], ["cat", "dog"], ["horse"]],
    )


def test_the_captioners_encoder_is_the_clips_image_tower(tokenizer):
    torch.manual_seed(0)
    clip = open_clip.CLIP(**pretraining.model_config(tokenizer)).eval()
    encoder = timm.create_model(
        pretraining.TIMM_NAME, pretrained=False, num_classes=0, **pretraining.TIMM_KWARGS
    ).eval()
    encoder.load_state_dict(pretraining.timm_state(clip.visual))
    pixels = torch.randn(2, 3, 224, 224)
    with torch.inference_mode():
        tokens = encoder.forward_features(pixels)
        torch.testing.assert_close(tokens[:, 0] @ clip.visual.proj, clip.visual(pixels), atol=1e-5, rtol=1e-4)
    assert tokens.shape == (2, 1 + corpus.GRID**2, pretraining.WIDTH)


def test_a_text_feature_does_not_depend_on_padding(tokenizer):
    torch.manual_seed(0)
    model = pretraining.Pretraining(tokenizer).eval()
    ids = torch.tensor([tokenizer.encode("a red dog")])
    padded = torch.nn.functional.pad(ids, (0, pretraining.CONTEXT - ids.shape[1]), value=tokenizer.pad_id)
    with torch.inference_mode():
        torch.testing.assert_close(model.encode_text(ids), model.encode_text(padded))
        torch.testing.assert_close(model.encode_text(ids), model.clip.encode_text(padded, normalize=True))


def test_a_patch_is_labelled_with_what_covers_it_and_its_colour():
    scene = portrait("bus", 4)
    picture = draw(scene)
    names, colours = corpus.patch_labels(scene, picture)
    ys, xs = np.nonzero(picture.masks[0])
    middle = (int(ys.mean()) // corpus.PATCH) * corpus.GRID + int(xs.mean()) // corpus.PATCH
    assert corpus.PATCH_NAMES[names[middle]] == "bus"
    assert corpus.COLOUR_NAMES[colours[middle]] == scene.groups[0].colour
    assert (corpus.PATCH_NAMES[names[0]], colours[0]) == (scene.place, corpus.NO_COLOUR)


def test_a_text_that_may_describe_another_image_is_not_its_negative(data, tokenizer):
    batch = pretraining.make_batch(data, tokenizer, np.arange(3), Random(0), share=1.0)
    prompts = batch.forbidden[:, :3]
    assert prompts.tolist() == [[False, False, False], [True, False, False], [False, False, False]]
    assert batch.forbidden[:, 3:].all(), "a prompt has no wrong copy"


def test_a_reference_without_a_swappable_word_has_no_wrong_copy(data, tokenizer):
    batch = pretraining.make_batch(data, tokenizer, np.arange(3), Random(0), share=0.0)
    assert batch.forbidden[:, 3:].tolist() == [[False, False, True]] * 3
    assert not batch.forbidden[:, :3].any()


def test_a_batch_is_normalised_as_clip_wants_it(data, tokenizer):
    batch = pretraining.make_batch(data, tokenizer, np.arange(1), Random(0), share=0.0)
    assert batch.pixels.shape == (1, 3, 224, 224)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (pretraining.MEAN, pretraining.STD))
    restored = batch.pixels[0] * std + mean
    ratio = (restored.mean() * 255 / float(data.pixels[0].mean())).item()
    assert 0.88 <= ratio <= 1.12


def test_an_epoch_shows_every_scene_once():
    recipe = pretraining.PretrainingRecipe(batch=4)
    seen = np.concatenate([pretraining.batch_numbers(12, recipe, step) for step in range(3)])
    assert sorted(seen) == list(range(12))
    again = np.concatenate([pretraining.batch_numbers(12, recipe, step) for step in range(3, 6)])
    assert sorted(again) == list(range(12)) and list(seen) != list(again)


def test_the_rate_rises_then_falls_to_nothing():
    recipe = pretraining.PretrainingRecipe()
    rates = [pretraining.learning_rate(recipe, progress) for progress in (0.0, 0.015, 0.031, 0.5, 1.0)]
    assert rates[0] < rates[1] < rates[2] and rates[2] > rates[3] > rates[4]
    assert rates[2] == pytest.approx(recipe.lr, rel=0.01) and rates[4] == pytest.approx(0)


def test_a_loss_is_finite_and_reaches_every_weight(data, tokenizer):
    torch.manual_seed(0)
    model = pretraining.Pretraining(tokenizer)
    batch = pretraining.make_batch(data, tokenizer, np.arange(3), Random(0), share=0.0)
    kept = pretraining.sparse_patches(batch.patches, seed=0)
    loss, told = pretraining.losses(model, batch, kept, pretraining.PretrainingRecipe())
    loss.backward()
    assert np.isfinite(told["loss"])
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []


def test_the_training_set_starts_with_portraits_and_leaves_the_train_split_its_seeds():
    scenes = [corpus.training_scene(number, 8) for number in range(8)]
    assert [scene.groups[0].kind for scene in scenes[:2]] == list(corpus.CLASSES[:2])
    assert min(scene.seed for scene in scenes) >= corpus.FIRST_SEED["train"] + corpus.BLOCK // 2


def test_the_sparse_patches_are_the_objects_and_some_background(data, tokenizer):
    patches = torch.from_numpy(data.patches.astype(np.int64))
    kept = pretraining.sparse_patches(patches, seed=0)
    assert kept.shape == (3, pretraining.KEPT) and all(len(set(row)) == pretraining.KEPT for row in kept.tolist())
    for labels, row in zip(patches[:, 0], kept, strict=True):
        objects = set(torch.nonzero(labels < pretraining.FIRST_PLACE).flatten().tolist())
        assert objects <= set(row.tolist()) or set(row.tolist()) <= objects
