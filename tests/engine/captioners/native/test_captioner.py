import math

import numpy as np
import pytest
import torch
from torch import nn

from engine.captioners.native.captioner import CaptionerError, CaptionerModel, encoder_width
from engine.config import CaptionerConfig, ConfigError
from tests.support import tiny

SIZES = (("base", 768), ("large", 1024))


@pytest.fixture(scope="module")
def memory() -> torch.Tensor:
    torch.manual_seed(3)
    with torch.inference_mode():
        return tiny.captioner().encode(torch.randn(3, 3, 224, 224))


@pytest.mark.parametrize("device", tiny.DEVICES)
def test_crops_become_the_pixels_of_the_preprocessing(device):
    captioner = tiny.captioner(mean=[0.4, 0.5, 0.6], std=[0.2, 0.3, 0.25]).to(device)
    windows = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), dtype=np.uint8)
    found = captioner.pixels(torch.from_numpy(windows).to(device))
    expected = np.stack([captioner.preprocessing.normalise(window) for window in windows])
    assert found.dtype == torch.float32 and found.is_contiguous()
    np.testing.assert_array_equal(found.cpu().numpy(), expected)


@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_logits_equal_torchs_decoder_with_the_same_weights(memory, activation):
    captioner = tiny.captioner(activation=activation)
    ids = torch.randint(4, captioner.config.vocab_size, (3, 11))
    mask = nn.Transformer.generate_square_subsequent_mask(11)
    with torch.inference_mode():
        peer = captioner.head(tiny.torch_decoder(captioner)(captioner.embed(ids), memory, tgt_mask=mask))
        torch.testing.assert_close(captioner.logits(ids, memory), peer, atol=1e-4, rtol=0)


def test_replayed_attention_equals_torchs_need_weights(memory):
    captioner = tiny.captioner()
    ids = torch.randint(4, captioner.config.vocab_size, (3, 11))
    peer, seen = tiny.torch_decoder(captioner), []
    for layer in peer.layers:
        # torch's layer does not return weights, so the public module is called again with the layer's arguments.
        layer.multihead_attn.register_forward_pre_hook(
            lambda module, args, kwargs: seen.append((module, args)), with_kwargs=True
        )
    mask = nn.Transformer.generate_square_subsequent_mask(11)
    with torch.no_grad():
        peer(captioner.embed(ids), memory, tgt_mask=mask)
        expected = [module(*args, need_weights=True, average_attn_weights=False)[1] for module, args in list(seen)]
        logits, weights = captioner.replay(ids, memory)
        torch.testing.assert_close(weights, torch.stack(expected[: len(peer.layers)], 1), atol=1e-5, rtol=0)
        torch.testing.assert_close(logits, captioner.logits(ids, memory), atol=1e-5, rtol=0)


def test_positions_are_the_sine_and_cosine_of_the_paper():
    pe = tiny.captioner().positional_embedding.pe
    assert pe.shape == (1, 512, 32)
    # Vaswani et al. (2017), section 3.5: PE(pos, 2i) = sin(pos / 10000^(2i/d)), and the cosine beside it.
    assert pe[0, 7, 4].item() == pytest.approx(math.sin(7 / 10_000 ** (4 / 32)), abs=1e-5)
    assert pe[0, 7, 5].item() == pytest.approx(math.cos(7 / 10_000 ** (4 / 32)), abs=1e-5)


def test_steps_give_the_logits_of_one_teacher_forced_reading(memory):
    captioner = tiny.captioner()
    ids = torch.randint(4, captioner.config.vocab_size, (3, 9))
    with torch.inference_mode():
        steps = captioner.start(memory, 9)
        stepped = torch.stack([steps.step(ids[:, at]) for at in range(9)], dim=1)
        torch.testing.assert_close(stepped, captioner.logits(ids, memory), atol=1e-5, rtol=1e-5)


def test_prefixes_keep_their_own_past_and_images_without_one_leave(memory):
    captioner = tiny.captioner()
    ids = torch.randint(4, captioner.config.vocab_size, (9,))
    with torch.inference_mode():
        steps = captioner.start(memory, 4)
        steps.step(ids[:3])
        steps.reorder(torch.tensor([0, 1, 1, 2, 2]))  # of three images one has a single prefix
        steps.step(ids[3:8])
        steps.reorder(torch.tensor([0, 3, 3, 4]))  # the second image leaves
        logits = steps.step(ids[[8, 8, 3, 4]])
        paths = [(0, (0, 3, 8)), (2, (2, 6, 8)), (2, (2, 6, 3)), (2, (2, 7, 4))]
        for row, (image, path) in enumerate(paths):
            expected = captioner.logits(ids[list(path)].unsqueeze(0), memory[image : image + 1])[0, -1]
            torch.testing.assert_close(logits[row], expected, atol=1e-5, rtol=1e-5)


def test_a_vit_gives_all_its_tokens_and_a_cnn_its_map_row_by_row():
    vit = tiny.captioner()
    assert (vit.prefix_tokens, vit.grid(197)) == (1, (14, 14))
    cnn = tiny.captioner(encoder="mobilenetv2_035", encoder_kwargs={})
    with torch.inference_mode():
        pixels = torch.randn(2, 3, 224, 224)
        features, feature_map = cnn.features(pixels), cnn.encoder.forward_features(pixels)
        memory_shape = cnn.encode(pixels).shape
    assert (cnn.prefix_tokens, features.shape, memory_shape) == (0, (2, 49, 1280), (2, 49, 32))
    torch.testing.assert_close(features[:, 3 * 7 + 5], feature_map[:, :, 3, 5])


def test_a_channels_last_map_is_read_row_by_row_as_well():
    swin = tiny.captioner(encoder="swin_tiny_patch4_window7_224", encoder_kwargs={"depths": (1, 1, 1, 1)})
    with torch.inference_mode():
        pixels = torch.randn(1, 3, 224, 224)
        torch.testing.assert_close(swin.features(pixels)[0, 2 * 7 + 1], swin.encoder.forward_features(pixels)[0, 2, 1])


@pytest.mark.parametrize(
    ("encoder", "width"),
    [
        *[
            (f"deit3_{size}_in21ft1k", width)
            for size, width in (("small_patch16_224", 384), ("large_patch16_224", 1024))
        ],
        *[(f"{family}_{size}_patch16_224_in22k", width) for family in ("beit", "beitv2") for size, width in SIZES],
        *[(f"vit_base_patch{patch}_224_sam", 768) for patch in (16, 32)],
    ],
)
def test_names_of_old_timm_versions_resolve(encoder, width):
    assert encoder_width(encoder, {}) == width


def test_an_unknown_encoder_names_its_neighbours():
    with pytest.raises(CaptionerError, match="timm has no such model; similar names: .*mobilenetv2"):
        tiny.captioner(encoder="mobilenetv2_9000", encoder_kwargs={})
    with pytest.raises(CaptionerError, match="does not accept encoder_kwargs"):
        tiny.captioner(encoder_kwargs={"pad_type": "same"})
    with pytest.raises(ConfigError, match="encoder_kwargs has 'colour', which is not an option of an architecture"):
        tiny.captioner(encoder_kwargs={"colour": "red"})
    with pytest.raises(CaptionerError, match="does not accept encoder_kwargs"):
        tiny.captioner(encoder_kwargs={"depth": 1, "embed_dim": 31, "num_heads": 2})


def test_photos_of_another_size_than_the_encoders_say_which_setting_to_change():
    with pytest.raises(CaptionerError, match=r"does not accept photos of 200 pixels .*; set image_size in the recipe"):
        tiny.captioner(image_size=200).features(torch.zeros(1, 3, 200, 200))


def test_a_length_beyond_the_positions_is_refused(memory):
    with pytest.raises(ConfigError, match="expected at most 512 "):
        tiny.captioner().start(memory, 600)


def test_preprocessing_is_the_encoders_unless_the_config_overrides_it():
    assert tiny.captioner().preprocessing.crop_pct == 0.9
    changed = tiny.captioner(mean=(0.1, 0.2, 0.3), crop_pct=1.0).preprocessing
    assert (changed.mean, changed.crop_pct, changed.std) == ((0.1, 0.2, 0.3), 1.0, (0.5, 0.5, 0.5))


def test_the_config_is_what_the_model_was_built_from():
    config = CaptionerConfig(encoder="vit_tiny_patch16_224", vocab_size=9, d_model=16, nhead=2, num_layers=1)
    assert CaptionerModel(config).head.weight.shape == (9, 16)


def test_captions_that_share_an_image_read_it_as_if_alone(memory):
    captioner = tiny.captioner()
    ids, rows = torch.randint(4, captioner.config.vocab_size, (4, 6)), torch.tensor([2, 0, 0, 1])
    with torch.inference_mode():
        shared = captioner.logits(ids, memory, rows)
        torch.testing.assert_close(shared, captioner.logits(ids, memory[rows]), atol=1e-5, rtol=1e-5)
