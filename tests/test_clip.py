import numpy as np
import pytest
import torch
from PIL import Image

from engine import clip
from engine.clip import ClipError
from tests import tiny


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> clip.Clip:
    return clip.load(str(tiny.clip_folder(tmp_path_factory.mktemp("clip") / "small")))


def noise(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 50, 3), dtype=np.uint8))


def test_features_are_normalised_and_those_of_the_model_itself(small):
    pixels = [small.prepare(noise(seed)) for seed in range(3)]
    features = small.image_features(pixels)
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(small.model.encode_image(torch.stack(pixels)), dim=-1).numpy()
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)


def test_each_distinct_text_is_encoded_once_and_keeps_its_place(small, monkeypatch):
    seen = []
    encode = small.model.encode_text
    monkeypatch.setattr(small.model, "encode_text", lambda ids: seen.append(len(ids)) or encode(ids))
    found = small.text_features(["a dog", "a bus", "a dog"])
    assert sum(seen) == 2
    np.testing.assert_array_equal(found.features[0], found.features[2])
    assert not np.allclose(found.features[0], found.features[1])


def test_a_text_longer_than_the_context_is_cut_keeps_its_end_and_says_so(small):
    long = "a dog runs on the beach and two men ride horses in a green field"
    found = small.text_features(["a dog", long, long + " today"])
    assert found.truncated.tolist() == [False, True, True]
    np.testing.assert_array_equal(found.features[1], found.features[2])


def test_open_clips_own_tokenizer_marks_what_it_cuts():
    import open_clip

    tokenize = clip._open_clip_tokenize(open_clip.get_tokenizer("ViT-B-32"))
    ids, cut = tokenize(["a dog", "dog " * 75, "dog " * 76])
    assert cut == [False, False, True]
    assert ids.shape == (3, 77)
    assert ids[2, -1] == 49407  # CLIP's end of text


def test_another_weight_gives_another_fingerprint(small, tmp_path):
    folder = tiny.clip_folder(tmp_path / "other")
    assert clip.load(str(folder)).fingerprint == small.fingerprint
    small_model = clip.load(str(folder)).model
    with torch.no_grad():
        small_model.logit_scale += 1
    assert clip._fingerprint(small_model) != small.fingerprint


def test_a_model_that_is_not_in_the_cache_names_itself_and_the_two_ways_to_get_it(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("engine.hub.reachable", lambda: False)
    with pytest.raises(ClipError, match="CLIP 'ViT-L/14' are not in the cache") as caught:
        clip.load("ViT-L/14")
    assert "HF_HOME" in str(caught.value)
    assert "--clip ViT-L-14:/path/to/weights" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ViT-Z/99", "open_clip has no such model"),
        ("ViT-B-32:nonsense", "has no weights 'nonsense'; expected a file or one of openai"),
        ("./nowhere", "there is no such folder"),
        ("ViT-B-32:/nowhere/weights.pt", "there is no such file"),
    ],
)
def test_a_name_that_cannot_be_is_one_clear_error(name, message):
    with pytest.raises(ClipError, match=message):
        clip.load(name)


def test_a_damaged_folder_names_the_file(tmp_path):
    folder = tiny.clip_folder(tmp_path / "damaged")
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(ClipError, match="open_clip_model.safetensors is missing"):
        clip.load(str(folder))


def test_a_torchscript_archive_is_known_as_openais_and_needs_quickgelu(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "jit.pt"))
    torch.save({"a": torch.zeros(1)}, tmp_path / "plain.pt")
    assert clip._is_openai(tmp_path / "jit.pt")
    assert not clip._is_openai(tmp_path / "plain.pt")
