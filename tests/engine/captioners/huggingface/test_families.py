"""Every supported family: attention weights equal those of `generate()`, and each word has a map on the photo."""

import numpy as np
import pytest
import torch

from engine.captioners.huggingface import explainer, families, handover, replay
from engine.config import DecodingConfig
from tests.conftest import ROOT
from tests.support import tiny_transformers
from tests.support.generate_peer import photos

LENGTH = 8


def captions_of(captioner, beam_size: int = 2):
    """Captions of unequal length."""
    config = DecodingConfig(beam_sizes=(beam_size,), max_length=LENGTH)
    found = captioner.caption([captioner.read(photo) for photo in photos()], ["a", "b", "c"], config)[beam_size]
    tokens = [each[0].tokens for each in found]
    return [tokens[0][:3], tokens[1], tokens[2][:5]], config


@pytest.mark.parametrize("name", tiny_transformers.FAMILIES)
def test_one_pass_gives_the_weights_of_the_steps_and_of_generate(folders, name):
    captioner = explainer.load(f"hf:{folders(name)}")
    captions, config = captions_of(captioner)
    loaded = captioner._loaded
    inputs = handover.model_inputs(loaded, photos(), captioner._prompt)
    quick = replay.one_pass(handover.open_batch(loaded, inputs, config), captions)
    slow = replay.step_by_step(handover.open_batch(loaded, inputs, config), captions)
    assert quick.values.shape == slow.values.shape and quick.is_cross == slow.is_cross
    assert replay.difference(quick, slow, captions) < 1e-5
    if quick.is_cross:
        sums = torch.stack([row[..., : len(c), :].sum(-1).min() for row, c in zip(quick.values, captions, strict=True)])
        torch.testing.assert_close(sums, torch.ones(len(captions)), atol=1e-4, rtol=0)
    greedy = greedy_weights(captioner, inputs)
    if greedy is None:
        return
    tokens, reference = greedy
    found = replay.one_pass(handover.open_batch(loaded, inputs, config), tokens)
    assert replay.difference(found, replay.Weights(reference, found.is_cross), tokens) < 1e-5


@pytest.mark.parametrize("name", tiny_transformers.FAMILIES)
def test_at_bf16_both_ways_agree_within_the_stated_tolerances(folders, name):
    captioner = explainer.load(f"hf:{folders(name)}", precision="bf16")
    captions, config = captions_of(captioner)
    assert captioner._is_shared  # logits with keys stored once per image
    loaded = captioner._loaded
    inputs = handover.model_inputs(loaded, photos(), captioner._prompt)
    quick = replay.one_pass(handover.open_batch(loaded, inputs, config), captions)
    slow = replay.step_by_step(handover.open_batch(loaded, inputs, config), captions)
    assert replay.difference(quick, slow, captions) < explainer.TOLERANCE[torch.bfloat16]


def greedy_weights(captioner, inputs):
    """The tokens and weights that `generate()` returns itself; None where it returns no cross-attention (BLIP)."""
    loaded = captioner._loaded
    if loaded.model.config.model_type == "blip":
        return None
    loaded.model.set_attn_implementation("eager")
    with torch.no_grad():
        found = loaded.model.generate(
            **inputs,
            max_new_tokens=LENGTH,
            do_sample=False,
            num_beams=1,
            return_dict_in_generate=True,
            output_attentions=True,
            output_scores=True,
        )
    cross = getattr(found, "cross_attentions", None)
    steps = cross if cross and cross[0] else getattr(found, "decoder_attentions", None) or found.attentions
    keys = steps[0][0].shape[-1]
    weights = torch.stack([torch.stack([layer[:, :, -1, :keys] for layer in step], 1) for step in steps], 3)
    return [tuple(row.tolist()) for row in found.sequences[:, -len(found.scores) :]], weights.float()


def whole(width, height):
    return 0, 0, width, height


def square(width, height):
    side = min(width, height)
    return (width - side) / 2, (height - side) / 2, side, side


CROPPED = ("git", "llava")
"""Families whose processors crop the middle; the others squash, tile or pad the whole photo."""


@pytest.mark.parametrize("size", [(160, 120), (90, 150)])
@pytest.mark.parametrize("name", tiny_transformers.FAMILIES)
def test_maps_cover_the_part_of_the_photo_that_the_model_sees(captioners, name, size):
    captioner = captioners(name)
    found = captioner.crop(*size)
    expected = square(*size) if name in CROPPED else whole(*size)
    pixel = min(size) / 28  # a model pixel, in the photo's pixels
    np.testing.assert_allclose(found, expected, atol=1.5 * pixel)
    grid = captioner._grids[size]
    assert grid.rows * grid.columns == grid.spread.shape[1]
    sums = grid.spread.sum(1)
    assert bool(((sums - 1).abs() < 1e-5).logical_or(sums == 0).all()) and bool((sums > 0).any())


def loaded_config(captioner):
    return captioner._loaded.model.config


@pytest.mark.parametrize("name", tiny_transformers.FAMILIES)
def test_each_word_has_a_map_that_keeps_the_images_share(captioners, name):
    captioner = captioners(name)
    config = DecodingConfig(beam_sizes=(2,), max_length=LENGTH)
    read = [captioner.read(photo) for photo in photos()]
    best = [each[0] for each in captioner.caption(read, ["a", "b", "c"], config)[2]]
    maps = captioner.maps(read, best, config, "mean")
    for caption, each, photo in zip(best, maps, photos(), strict=True):
        assert each.words[: len(caption.words)] == caption.words
        assert each.weights.shape[-1] == each.grid[0] * each.grid[1]
        sums = each.floats().sum(-1)
        assert sums.max() <= 1 + 0.02 and sums.max() > 0
        assert each.share.shape == (len(each.words),)
        np.testing.assert_allclose(each.share, sums.mean((1, 2)), atol=0.02)
        is_cross = loaded_config(captioner).is_encoder_decoder or name == "blip"
        assert (each.share < 0.99).all() or is_cross
        assert captioner.crop(*photo.size)[2] > 0


@pytest.mark.parametrize("model_type", families.FAMILIES)
def test_every_family_has_a_section_with_its_command_and_its_prompt(model_type):
    text = (ROOT / "docs" / "captioners.md").read_text()
    sections = [each for each in text.split("\n### ") if f"(`{model_type}`)" in each.split("\n")[0]]
    assert len(sections) == 1
    section = " ".join(sections[0].split("\n## ")[0].split())
    family = families.FAMILIES[model_type]
    assert section.startswith(family.title) and "`--captioner hf:" in section
    refers = "rompt as for LLaVA" in section or "Prompt and maps as for" in section
    assert family.prompt is None or family.prompt in section or refers
    assert family.prompt is not None or "no prompt" in section.lower()
