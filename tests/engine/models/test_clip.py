import json

import numpy as np
import pytest
import torch
from PIL import Image

from engine.models import clip, clip_files
from engine.models.clip import ClipError
from tests.support import tiny


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
    encode = clip._encode_text
    monkeypatch.setattr(clip, "_encode_text", lambda model, ids: seen.append(len(ids)) or encode(model, ids))
    found = small.text_features(["a dog", "a bus", "a dog"])
    assert sum(seen) == 2
    np.testing.assert_array_equal(found.features[0], found.features[2])
    assert not np.allclose(found.features[0], found.features[1])


@pytest.mark.parametrize("name", ["demo", "ViT-B-32"])
def test_leaving_out_the_padding_changes_no_feature(name):
    import open_clip

    if name == "demo":
        model, tokenize = clip.load("demo").model, clip.load("demo")._tokenize
    else:
        torch.manual_seed(0)
        model = open_clip.create_model(name).eval()
        tokenize = clip._open_clip_tokenize(open_clip.get_tokenizer(name))
    texts = ["a dog", "", "two men ride brown horses in a green field at night", "word " * 200]
    ids, _ = tokenize(texts)
    found = clip.Clip(model, None, tokenize, name, False).text_features(texts).features
    with torch.inference_mode():
        whole = torch.nn.functional.normalize(model.encode_text(ids), dim=-1).numpy()
    np.testing.assert_allclose(found, whole, atol=2e-6)
    assert clip._text_lengths(model, ids)[0] < ids.shape[1] == clip._text_lengths(model, ids)[3]


def test_a_text_longer_than_the_context_is_truncated_and_marked(small):
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


@pytest.mark.parametrize(
    ("end", "padding", "last"), [([1], 1, []), ([2], 1, []), ([2], 0, [3]), ([], 1, []), ([], 0, [])]
)
def test_what_is_cut_is_known_whatever_the_padding(end, padding, last):
    def tokenizer(texts, context_length=8):
        rows = []
        for text in texts:
            ids = [10 + len(word) for word in text.split()][: context_length - len(end + last)] + end
            rows.append(ids + [padding] * (context_length - len(ids + last)) + last)
        return torch.tensor(rows)

    room = 8 - len(end + last)
    _, cut = clip._open_clip_tokenize(tokenizer)(["", "a", "a " * room, "a " * (room + 1), "word " * 20])
    assert cut == [False, False, False, True, True]


def test_another_weight_gives_another_fingerprint(small, tmp_path):
    folder = tiny.clip_folder(tmp_path / "other")
    assert clip.load(str(folder)).fingerprint == small.fingerprint
    small_model = clip.load(str(folder)).model
    with torch.no_grad():
        small_model.logit_scale += 1
    assert clip._fingerprint(small_model) != small.fingerprint


def test_preprocessing_and_activation_give_another_setup_and_the_weights_alone_do_not(small, tmp_path):
    folder = tiny.clip_folder(tmp_path / "other")
    assert clip.load(str(folder)).setup == small.setup
    file = folder / "open_clip_config.json"
    config = json.loads(file.read_text())
    for part, change in (("preprocess_cfg", {"mean": [0.1, 0.1, 0.1]}), ("model_cfg", {"quick_gelu": True})):
        tiny.write_json(file, config | {part: config[part] | change})
        other = clip.load(str(folder))
        assert other.fingerprint == small.fingerprint
        assert other.setup != small.setup


def test_the_setup_is_the_same_after_use(small):
    before = small.setup
    small.image_features([small.prepare(noise(0))])
    assert clip._setup(small.model, small.prepare) == before


def test_a_model_that_is_not_in_the_cache_names_itself_and_the_two_ways_to_get_it(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("engine.models.hub.reachable", lambda: False)
    with pytest.raises(ClipError, match="CLIP 'ViT-L/14' are not in the cache") as caught:
        clip.load("ViT-L/14")
    assert "HF_HOME" in str(caught.value)
    assert "in place of the name: ViT-L-14:/path/to/weights" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ViT-Z/99", "open_clip has no such model"),
        ("ViT-B-32:nonsense", "has no weights 'nonsense'; expected a file or one of openai"),
        ("./nowhere", "neither a model of open_clip nor a folder"),
        ("ViT-B-32:/nowhere/weights.pt", "there is no such file"),
    ],
)
def test_a_name_that_cannot_be_is_one_clear_error(name, message):
    with pytest.raises(ClipError, match=message):
        clip.load(name)


@pytest.mark.parametrize("name", ["ViT-Z/99", "ViT-B-32:nonsense", "./nowhere", "ViT-B-32:/nowhere/weights.pt"])
def test_a_name_can_be_checked_without_loading_weights(name):
    with pytest.raises(ClipError):
        clip.check(name)
    for known in ("demo", "ViT-B/32", "ViT-L-14:openai", str(clip.DEMO)):
        clip.check(known)


def test_a_damaged_folder_names_the_file(tmp_path):
    folder = tiny.clip_folder(tmp_path / "damaged")
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(ClipError, match="open_clip_model.safetensors is missing"):
        clip.load(str(folder))


class _Openais(torch.nn.Module):
    """OpenAI's files hold the model with three numbers beside the weights."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        for name, child in model.named_children():
            self.add_module(name, child)
        for name, parameter in model.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        for name in clip_files.OPENAI_MARKS:
            self.register_buffer(name, torch.tensor(1))

    def forward(self, text: torch.Tensor) -> torch.Tensor:
        return self.token_embedding(text)


@pytest.fixture(scope="module")
def quick() -> torch.nn.Module:
    import open_clip

    torch.manual_seed(0)
    return open_clip.create_model("ViT-B-32-quickgelu").eval()


@pytest.mark.parametrize("form", ["torchscript", "state_dict", "safetensors", "open_clip"])
def test_weight_files_load_with_the_activation_they_were_trained_with(quick, tmp_path, form):
    from safetensors.torch import save_file

    file, name, openais = tmp_path / f"{form}.pt", "ViT-B-32", _Openais(quick)
    if form == "torchscript":
        torch.jit.trace(openais, torch.zeros(1, 77, dtype=torch.long), check_trace=False).save(str(file))
    elif form == "state_dict":
        torch.save(openais.state_dict(), file)
    elif form == "safetensors":
        file = tmp_path / "weights.safetensors"
        save_file({key: value.contiguous() for key, value in openais.state_dict().items()}, file)
    else:  # open_clip's own checkpoints say nothing of their activation: the name does
        torch.save(quick.state_dict(), file)
        name = "ViT-B-32-quickgelu"
    loaded = clip.load(f"{name}:{file}")
    pixels = [loaded.prepare(noise(1))]
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(quick.encode_image(torch.stack(pixels)), dim=-1).numpy()
    np.testing.assert_allclose(loaded.image_features(pixels), expected, atol=1e-6)


def test_weights_of_another_model_name_the_file(quick, tmp_path):
    torch.save(_Openais(quick).state_dict(), tmp_path / "weights.pt")
    with pytest.raises(ClipError, match="weights.pt does not fit ViT-B-16"):
        clip.load(f"ViT-B-16:{tmp_path / 'weights.pt'}")


@pytest.mark.parametrize("prefix", ["", "A photo depicts "])
def test_clipscore_is_the_published_definition_on_the_same_weights(quick, prefix):
    # Hessel et al. 2021, section 3, and the two texts: the paper's code puts a prefix, the study does not.
    import open_clip

    from engine.metrics import clipscore

    captions = ["a dog runs on the beach", "two men ride horses"]
    loaded = clip.Clip(
        quick, clip.load("demo").prepare, clip._open_clip_tokenize(open_clip.get_tokenizer("ViT-B-32")), "x", False
    )
    pixels = [loaded.prepare(noise(seed)) for seed in range(2)]
    with torch.inference_mode():
        image = quick.encode_image(torch.stack(pixels))
        text = quick.encode_text(open_clip.get_tokenizer("ViT-B-32")([prefix + caption for caption in captions]))
        expected = 2.5 * torch.nn.functional.cosine_similarity(image, text).clamp(min=0).numpy()
    texts = loaded.text_features([prefix + caption for caption in captions]).features
    np.testing.assert_allclose(clipscore.clipscore(loaded.image_features(pixels), texts), expected, atol=1e-5)
