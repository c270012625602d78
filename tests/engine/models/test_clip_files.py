"""Checkpoints and folders of CLIP from anywhere: the same features however they were saved, and no code or network."""

import json
import socket
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from engine.models import clip
from engine.models.clip import ClipError
from tests.support import tiny

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
NAME = "tiny-test-clip"


@pytest.fixture(scope="module", autouse=True)
def named(tmp_path_factory) -> None:
    """A small model of open_clip with a name, as other people register theirs."""
    open_clip.add_model_config(tiny.write_json(tmp_path_factory.mktemp("configs") / f"{NAME}.json", CONFIG))


@pytest.fixture(scope="module")
def plain() -> torch.nn.Module:
    torch.manual_seed(1)
    model = open_clip.create_model(NAME).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # some start as ones and zeros, which would hide an exchange
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def features(model: clip.Clip) -> tuple[np.ndarray, np.ndarray]:
    noise = [Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 50, 3), np.uint8)) for seed in range(3)]
    texts = ["a dog runs", "two men ride brown horses in a green field", ""]
    return model.image_features([model.prepare(photo) for photo in noise]), model.text_features(texts).features


@pytest.fixture(scope="module")
def expected(plain, tmp_path_factory) -> tuple[np.ndarray, np.ndarray]:
    file = tmp_path_factory.mktemp("plain") / "plain.pt"
    torch.save(plain.state_dict(), file)
    return features(clip.load(f"{NAME}:{file}"))


def prefixed(prefix: str, weights: dict) -> dict:
    return {f"{prefix}{name}": tensor for name, tensor in weights.items()}


WRAPPERS = {
    "compiled": lambda weights: prefixed("_orig_mod.", weights),
    "parallel": lambda weights: prefixed("module.", weights),
    "both": lambda weights: prefixed("module._orig_mod.", weights),
    "open_clip's training": lambda weights: {"epoch": 5, "state_dict": prefixed("module.", weights), "optimizer": {}},
    "model_state_dict": lambda weights: {"model_state_dict": weights, "epoch": 1},
    "model": lambda weights: {"model": weights},
    "half precision": lambda weights: {name: tensor.bfloat16().float() for name, tensor in weights.items()},
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_a_wrapped_checkpoint_gives_the_features_of_the_plain_one(plain, expected, tmp_path, wrap):
    torch.save(wrap(plain.state_dict()), tmp_path / "weights.pt")
    for found, wanted in zip(features(clip.load(f"{NAME}:{tmp_path / 'weights.pt'}")), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=2e-2 if wrap is WRAPPERS["half precision"] else 1e-6)


def hugging_face(activation: str):
    """transformers' CLIPModel of the same sizes at random weights."""
    from transformers import CLIPConfig, CLIPModel

    shape = {"hidden_size": 32, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    shape |= {"projection_dim": 16, "hidden_act": activation}
    text = {**shape, "vocab_size": 49408, "max_position_embeddings": 77, "eos_token_id": 49407, "bos_token_id": 49406}
    vision = {**shape, "image_size": 32, "patch_size": 16}
    torch.manual_seed(3)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


def their_features(model, loaded: clip.Clip) -> list[np.ndarray]:
    noise = [Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 50, 3), np.uint8)) for seed in range(3)]
    pixels = torch.stack([loaded.prepare(photo) for photo in noise])
    ids = open_clip.get_tokenizer(NAME)(["a dog runs", "two men ride brown horses in a green field", ""])
    with torch.inference_mode():
        found = [model.get_image_features(pixels), model.get_text_features(ids, attention_mask=torch.ones_like(ids))]
    tensors = [getattr(each, "pooler_output", each) for each in found]
    return [torch.nn.functional.normalize(each, dim=-1).numpy() for each in tensors]


@pytest.mark.parametrize("form", ["state_dict.pt", "state_dict.safetensors", "save_pretrained"])
def test_transformers_own_model_gives_its_own_features(tmp_path, form):
    model = hugging_face("gelu")
    if form == "save_pretrained":
        model.save_pretrained(tmp_path)
        file = tmp_path / "model.safetensors"
    else:
        file = tmp_path / form
        weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        torch.save(weights, file) if form.endswith(".pt") else save_file(weights, file)
    loaded = clip.load(f"{NAME}:{file}")
    for found, wanted in zip(features(loaded), their_features(model, loaded), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_the_config_of_transformers_decides_on_the_activation(tmp_path):
    model = hugging_face("quick_gelu")
    model.save_pretrained(tmp_path)
    loaded = clip.load(f"{NAME}:{tmp_path / 'model.safetensors'}")
    for found, wanted in zip(features(loaded), their_features(model, loaded), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def transformers_names(weights: dict) -> dict:
    """open_clip's weights under the names of transformers, written down independently of the loader."""
    found = {
        "logit_scale": weights["logit_scale"],
        "text_projection.weight": weights["text_projection"].T.contiguous(),
        "visual_projection.weight": weights["visual.proj"].T.contiguous(),
        "text_model.embeddings.token_embedding.weight": weights["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": weights["positional_embedding"],
        "text_model.embeddings.position_ids": torch.arange(77)[None],
        "vision_model.embeddings.class_embedding": weights["visual.class_embedding"],
        "vision_model.embeddings.patch_embedding.weight": weights["visual.conv1.weight"],
        "vision_model.embeddings.position_embedding.weight": weights["visual.positional_embedding"],
        "vision_model.embeddings.position_ids": torch.arange(5)[None],
    }
    towers = {"text_model.encoder.layers": "transformer.resblocks"}
    towers["vision_model.encoder.layers"] = "visual.transformer.resblocks"
    for part in ("weight", "bias"):
        found[f"text_model.final_layer_norm.{part}"] = weights[f"ln_final.{part}"]
        found[f"vision_model.pre_layrnorm.{part}"] = weights[f"visual.ln_pre.{part}"]
        found[f"vision_model.post_layernorm.{part}"] = weights[f"visual.ln_post.{part}"]
        for theirs, ours in towers.items():
            for layer in range(2):
                old, new = f"{ours}.{layer}", f"{theirs}.{layer}"
                for row, name in enumerate(("q_proj", "k_proj", "v_proj")):
                    rows = weights[f"{old}.attn.in_proj_{part}"][32 * row : 32 * (row + 1)]
                    found[f"{new}.self_attn.{name}.{part}"] = rows.contiguous()
                found[f"{new}.self_attn.out_proj.{part}"] = weights[f"{old}.attn.out_proj.{part}"]
                for number in (1, 2):
                    found[f"{new}.layer_norm{number}.{part}"] = weights[f"{old}.ln_{number}.{part}"]
                found[f"{new}.mlp.fc1.{part}"] = weights[f"{old}.mlp.c_fc.{part}"]
                found[f"{new}.mlp.fc2.{part}"] = weights[f"{old}.mlp.c_proj.{part}"]
    return found


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_the_same_weights_under_transformers_names_give_the_same_features(plain, expected, tmp_path, prefix):
    save_file(prefixed(prefix, transformers_names(plain.state_dict())), tmp_path / "hf.safetensors")
    for found, wanted in zip(features(clip.load(f"{NAME}:{tmp_path / 'hf.safetensors'}")), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


def refusal(name: str) -> str:
    with pytest.raises(ClipError) as raised:
        clip.load(name)
    text = str(raised.value)
    assert "\n" not in text and "\x1b" not in text and len(text) < 900 and "weights_only" not in text
    return text


def test_misfits_name_missing_and_unknown_weights(plain, tmp_path):
    weights = plain.state_dict()
    cases = {
        "missing 'logit_scale', unknown none": {k: v for k, v in weights.items() if k != "logit_scale"},
        "missing none, unknown 'extra'": {**weights, "extra": torch.zeros(1)},
        "ln_final.bias is (7,), expected (32,)": {**weights, "ln_final.bias": torch.zeros(7)},
        "missing 'text_projection.weight'; expected the state dict of transformers' CLIPModel": {
            name: tensor for name, tensor in transformers_names(weights).items() if name != "text_projection.weight"
        },
        f"does not fit {NAME}: ": {**weights, "visual.positional_embedding": torch.zeros(3)},
        f"fit {NAME}: ": {**transformers_names(weights), "visual_projection.weight": torch.zeros(3)},
        f"not fit {NAME}: ": {
            **transformers_names(weights),
            "text_model.encoder.layers.0.self_attn.q_proj.weight": torch.zeros(3),
        },
        "have the same name without their prefixes": {**weights, **prefixed("module.", weights)},
    }
    for number, (message, content) in enumerate(cases.items()):
        torch.save(content, tmp_path / f"{number}.pt")
        assert message in refusal(f"{NAME}:{tmp_path / f'{number}.pt'}")


@pytest.mark.parametrize("form", ["whole model", "evil", "empty", "cut off", "text", "numbers"])
def test_files_that_are_no_state_dict_are_one_sentence_and_run_no_code(plain, tmp_path, form):
    file = tmp_path / "weights.pt"
    if form == "whole model":
        torch.save(plain, file)
    elif form == "evil":
        torch.save({"x": Evil(tmp_path / "harm")}, file)
    elif form == "numbers":
        torch.save({"epoch": 3, "loss": [1.0]}, file)
    else:
        torch.save(plain.state_dict(), file)
        whole = file.read_bytes()
        file.write_bytes({"empty": b"", "cut off": whole[:3_000], "text": b"hello"}[form])
    message = refusal(f"{NAME}:{file}")
    assert "save model.state_dict()" in message
    assert not (tmp_path / "harm").exists()


def test_the_code_of_a_torchscript_file_is_not_loaded(plain, tmp_path, monkeypatch):
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(str(tmp_path / "weights.pt"))
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("TorchScript was loaded"))
    assert "unknown 'bias', 'weight'" in refusal(f"{NAME}:{tmp_path / 'weights.pt'}")


def test_a_torchscript_archive_with_a_pickle_in_it_runs_no_code(tmp_path):
    import pickle
    import zipfile

    with zipfile.ZipFile(tmp_path / "weights.pt", "w") as archive:
        archive.writestr("x/code/a.py", "")
        archive.writestr("x/data.pkl", pickle.dumps(Evil(tmp_path / "harm")))
    assert "it contains io.open" in refusal(f"{NAME}:{tmp_path / 'weights.pt'}")
    assert not (tmp_path / "harm").exists()


def test_an_archive_that_unpacks_to_much_more_is_refused(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "weights.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"\0" * 10**7)
    assert "unpacks to 10,000,000 bytes" in refusal(f"{NAME}:{tmp_path / 'weights.pt'}")


@pytest.fixture
def folder(tmp_path) -> Path:
    return tiny.clip_folder(tmp_path / "clip")


def changed(folder: Path, part: str, changes: dict) -> str:
    file = folder / "open_clip_config.json"
    content = json.loads(file.read_text())
    values = content
    for name in part.split("."):
        values = values[name]
    values |= changes
    tiny.write_json(file, content)
    return str(folder)


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("model_cfg.text_cfg", {"hf_model_name": "attacker/model"}, "has 'hf_model_name', which is unknown or loads"),
        ("model_cfg.text_cfg", {"hf_tokenizer_name": "attacker/model"}, "has 'hf_tokenizer_name', which is unknown or"),
        ("model_cfg.text_cfg", {"tokenizer_kwargs": {"a": 1}}, "has 'tokenizer_kwargs'"),
        ("model_cfg.vision_cfg", {"timm_model_name": "hf-hub:attacker/x"}, "timm has no such model"),
        ("model_cfg.vision_cfg", {"timm_model_name": "local-dir:/tmp"}, "timm has no such model"),
        ("model_cfg.vision_cfg", {"timm_model_pretrained": True}, "has 'timm_model_pretrained'"),
        ("model_cfg.vision_cfg", {"act_kwargs": {"inplace": True}}, "has 'act_kwargs'"),
        ("model_cfg", {"pretrained": "/tmp/x.pt"}, "has 'pretrained', which is unknown or loads other files"),
        ("model_cfg", {"text_cfg": 3}, "text_cfg is 3, expected an object of settings"),
        ("model_cfg", {"embed_dim": 10**9}, "embed_dim is 1000000000, expected 1 to 16,384"),
        ("model_cfg.vision_cfg", {"layers": 10**9}, "layers is 1000000000, expected 1 to 256"),
        ("model_cfg.vision_cfg", {"image_size": 10**6}, "image_size is 1000000, expected 1 to 2,048"),
        ("model_cfg.vision_cfg", {"width": 16_000, "layers": 200}, "the weights do not fit the config: "),
        ("model_cfg.vision_cfg", {"head_width": 0}, "not a CLIP that open_clip can build (integer division"),
        ("model_cfg.text_cfg", {"vocab_size": 10**9}, "vocab_size is 1000000000, expected 1 to 1,000,000"),
        ("preprocess_cfg", {"size": 10**6}, "image_size is 1000000, expected 1 to 2,048"),
        ("preprocess_cfg", {"interpolation": "x"}, "preprocess_cfg: "),
        ("preprocess_cfg", {"std": [0, 0, 0]}, "preprocess_cfg: std evaluated to zero"),
        ("preprocess_cfg", {"mean": ["a"]}, "preprocess_cfg: too many dimensions"),
        ("preprocess_cfg", {"mean": [1, 2, 3, 4]}, "preprocess_cfg: The size of tensor"),
        ("preprocess_cfg", {"size": 0}, "preprocess_cfg: image_size is 0, expected 1 to 2,048"),
        ("preprocess_cfg", {"size": 64}, "photos become (3, 64, 64), expected (3, 32, 32), the size of the model"),
        ("preprocess_cfg", {"mean": "x" * 70_000}, "mean is 'xxx"),
    ],
)
def test_a_hostile_folder_is_one_sentence(folder, part, changes, message):
    assert message in refusal(changed(folder, part, changes))


@pytest.mark.parametrize(
    "content", ["[" * 100_000, "", "[1]", '{"model_cfg": null}', '{"model_cfg": {"embed_dim": NaN}}']
)
def test_a_damaged_config_of_a_folder_is_one_sentence(folder, content):
    (folder / "open_clip_config.json").write_text(content)
    assert "open_clip_config.json: " in refusal(str(folder))


def test_settings_that_load_nothing_are_accepted(folder):
    before = features_of(folder)
    name = changed(folder, "model_cfg.text_cfg", {"hf_tokenizer_name": None})
    np.testing.assert_array_equal(features_of(Path(name)), before)


def features_of(folder: Path) -> np.ndarray:
    loaded = clip.load(str(folder))
    return loaded.text_features(["a dog"]).features


def test_a_tokenizer_with_more_tokens_than_the_model_is_one_sentence(folder):
    (folder / "tokenizer.json").unlink()  # then CLIP's own, of 49,408 tokens
    assert "the model has 90 tokens and the tokenizer 49,408" in refusal(str(folder))
