"""Folders of captioners from anywhere: no file makes them run code, reach the network or take the memory."""

import json
import resource
import socket
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine import limits
from engine.captioners.native import checkpoints
from engine.captioners.native.captioner import CaptionerError
from engine.captioners.native.pipeline import NativeCaptioner
from engine.config import ConfigError, ModelConfig, Recipe, TrainingConfig, read_recipe
from engine.models.tokenizer import TokenizerError
from engine.training.build import build_captioner
from engine.training.errors import TrainingError
from tests.support import tiny

REFUSED = (checkpoints.CheckpointError, ConfigError, CaptionerError, TokenizerError)


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def folder(tmp_path) -> Path:
    return tiny.captioner_folder(tmp_path / "mine")


def test_a_good_folder_loads_and_reaches_no_network(folder):
    captioner, words = checkpoints.load(folder)
    assert captioner.config.vocab_size == words.vocab_size
    assert build_captioner(Recipe(ModelConfig(**tiny.ENCODER, d_model=32, nhead=2), TrainingConfig()), 90)


def changed(folder: Path, **changes: object) -> Path:
    config = json.loads((folder / "config.json").read_text()) | changes
    tiny.write_json(folder / "config.json", {name: value for name, value in config.items() if value is not ...})
    return folder


def refusal(folder: Path) -> str:
    start = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(REFUSED) as raised:
        checkpoints.load(folder)
    assert time.perf_counter() - start < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kilobytes
    text = str(raised.value)
    assert "\n" not in text and len(text) < 600
    return text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"d_model": ...}, "the setting 'd_model' is missing"),
        ({"vocab_size": ...}, "the setting 'vocab_size' is missing"),
        ({"d_model": None}, "d_model: None: expected int"),
        ({"image_size": 10**6}, "image_size is 1000000, expected 1 to 2,048"),
        ({"num_layers": 10**9}, "num_layers is 1000000000, expected 1 to 200"),
        ({"crop_pct": 1e-300}, "crop_pct is 1e-300, expected 0.25 to 1"),
        ({"d_model": 10**9}, "d_model is 1000000000, expected 1 to 16,384"),
        ({"d_model": 16_384, "nhead": 256, "num_layers": 200, "dim_feedforward": 131_072}, "do not fit the config"),
        ({"nhead": 0}, "nhead is 0, expected 1 to 256"),
        ({"dim_feedforward": 10**12}, "dim_feedforward is 1000000000000, expected 1 to 131,072"),
        ({"max_positions": 10**9}, "max_positions is 1000000000, expected 1 to 4,096"),
        ({"vocab_size": 10**9}, "vocab_size is 1000000000, expected 1 to 1,000,000"),
        ({"std": [1e-300] * 3}, "expected three numbers from 0.0001 to 1,000"),
        ({"mean": [1e300] * 3}, "expected three numbers from -1,000 to 1,000"),
        ({"encoder": "x" * 70_000}, "timm has no such model"),
        ({"x" * 70_000: 1}, "unknown setting 'xxx"),
        ({"encoder_kwargs": {"depth": 10**9}}, "depth is 1000000000, expected 1 to 256"),
        ({"encoder_kwargs": {"embed_dim": 10**9}}, "embed_dim is 1000000000, expected 1 to 16,384"),
        ({"encoder_kwargs": {"embed_dim": 16_384, "depth": 256, "num_heads": 2}}, "do not fit the config"),
        ({"encoder_kwargs": {"img_size": 2_048, "patch_size": 1}}, "do not fit the config"),
        ({"encoder_kwargs": {"img_size": 10**6}}, "img_size is 1000000, expected 1 to 2,048"),
        ({"encoder_kwargs": {"num_heads": 0}}, "num_heads is 0, expected 1 to 256"),
        ({"encoder_kwargs": {"patch_size": 0}}, "patch_size is 0, expected 1 to 16,384"),
        ({"encoder_kwargs": {"depth": [2] * 1000}}, "depth has 1,000 values, expected at most 64"),
        ({"encoder_kwargs": {"norm_layer": "../../x"}}, "norm_layer is '../../x', expected a number"),
        ({"encoder_kwargs": {"norm_layer": {"a": 1}}}, "expected a number, true, false, or one word"),
    ],
)
def test_a_hostile_config_is_one_sentence_and_takes_no_memory(folder, changes, message):
    assert message in refusal(changed(folder, **changes))


@pytest.mark.parametrize(
    "name",
    [
        "checkpoint_path",
        "pretrained",
        "pretrained_cfg",
        "pretrained_cfg_overlay",
        "cache_dir",
        "scriptable",
        "features_only",
    ],
)
def test_no_option_of_timm_loads_files(folder, tmp_path, name):
    torch.save({"x": Evil(tmp_path / "harm")}, tmp_path / "pickle.pth")
    kwargs = {**tiny.ENCODER["encoder_kwargs"], name: str(tmp_path / "pickle.pth")}
    assert f"encoder_kwargs has '{name}', which is not an option" in refusal(changed(folder, encoder_kwargs=kwargs))
    assert not (tmp_path / "harm").exists()
    with pytest.raises(ConfigError, match="which is not an option of an architecture"):
        ModelConfig(encoder="vit_tiny_patch16_224", encoder_kwargs=kwargs)


@pytest.mark.parametrize(
    "name",
    [
        "hf-hub:timm/vit_tiny_patch16_224",
        "hf_hub:a/b",
        "local-dir:/tmp/x",
        "timm/vit_tiny_patch16_224",
        "../x",
        "/etc/passwd",
    ]
    + ["vit_tiny_patch16_224.hf-hub:a", "vit_tiny_patch16_224.", "", "\x1b[31m"],
)
def test_only_names_of_timms_own_models_are_accepted(folder, name):
    message = refusal(changed(folder, encoder=name))
    assert "timm has no such model" in message and "\x1b" not in message
    recipe = Recipe(ModelConfig(encoder=name, d_model=32, nhead=2), TrainingConfig())
    with pytest.raises(CaptionerError, match="timm has no such model"):
        build_captioner(recipe, 90)


def test_a_recipe_for_too_large_a_model_is_refused_before_it_takes_memory():
    shape = {"d_model": 16_384, "num_layers": 50, "nhead": 16}
    with pytest.raises(TrainingError, match=rf"parameters, expected at most {limits.PARAMETERS:,}"):
        build_captioner(Recipe(ModelConfig(**tiny.ENCODER, **shape), TrainingConfig()), 90)


def test_weights_that_repeat_one_number_are_refused(tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    config = {"vocab_size": 90, "encoder": "vit_tiny_patch16_224", "num_layers": 1, "nhead": 4, "d_model": 192}
    tiny.write_json(folder / "model_config.json", {**config, "activation": "gelu", "dropout": 0.1})
    torch.save({"head.weight": torch.zeros(1).expand(100_000, 100_000)}, folder / "Best_model.pth")
    with pytest.raises(checkpoints.CheckpointError, match="the weights have 40,000,000,000 bytes and the file"):
        checkpoints.load(folder)


@pytest.mark.parametrize(
    "name", ["word_embedding.weight" + "x" * 70_000, "\x1b[31mred", "a\nb"], ids=["long", "escape", "lines"]
)
def test_names_of_weights_cannot_flood_a_message(folder, name):
    file = folder / "model.safetensors"
    save_file({**load_file(file), name: torch.zeros(1)}, file)
    assert "\x1b" not in refusal(folder)


def test_positions_of_another_shape_are_refused(folder):
    file = folder / "model.safetensors"
    save_file({**load_file(file), "positional_embedding.pe": torch.zeros(1, 3, 32)}, file)
    assert "positional_embedding.pe is (1, 3, 32), expected (1, 512, 32)" in refusal(folder)


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"\x00" * 8, b"\xff\xff\xff\xff\xff\xff\xff\x7f{}"])
def test_damaged_weights_are_one_sentence(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    assert "not a complete safetensors file" in refusal(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "[" * 100_000,
        lambda text: "",
        lambda text: text[:500],
        lambda text: text.replace('"[EOS]": 3', '"[EOS]": 4000000000').replace('"id": 3', '"id": 4000000000'),
    ],
    ids=["nested", "empty", "cut off", "large id"],
)
def test_a_damaged_tokenizer_is_one_sentence(folder, change):
    file = folder / "tokenizer.json"
    file.write_text(change(file.read_text()))
    assert "tokenizer.json: " in refusal(folder)


@pytest.mark.parametrize("name", [checkpoints.TRAINED_ON, "training.json"])
def test_what_is_recorded_of_the_training_is_read_as_utf8(folder, name):
    (folder / name).write_bytes(b'{"a": "\xff\xfe"}')
    read = checkpoints.trained_on if name == checkpoints.TRAINED_ON else checkpoints.training_settings
    for load in (read, NativeCaptioner.load):
        with pytest.raises(checkpoints.CheckpointError, match=rf"{name}: not UTF-8 text"):
            load(folder)


def test_settings_of_a_training_that_are_not_numbers_are_left_out(folder):
    training = {"batch_size": "x" * 70_000, "learning_rate": [1], "epochs": 3}
    tiny.write_json(folder / "training.json", {"recipe": {"training": training}})
    assert checkpoints.training_settings(folder) == {"epochs": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = " + "[" * 3_000 + "]" * 3_000, "nested too deeply"),
        ("[training]\nepochs = " + "9" * 5_000, "too many digits"),
        (
            "[model]\nencoder = 'vit'\n[training]\nbatch_size = 1000000000",
            "batch_size is 1000000000, expected 1 to 65,536",
        ),
        ("[model]\nencoder = 'vit'\nimage_size = 1000000", "image_size is 1000000, expected 1 to 2,048"),
        ("[model]\nencoder = ['" + "x" * 70_000 + "']", "expected str"),
    ],
)
def test_a_hostile_recipe_is_one_sentence(tmp_path, text, message):
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(ConfigError, match=message) as raised:
        read_recipe(tmp_path / "recipe.toml")
    assert len(str(raised.value)) < 500
