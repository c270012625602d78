import json
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from engine.captioners.native import checkpoints
from engine.captioners.native.checkpoints import CheckpointError
from engine.models import state_dicts
from tests.support import tiny


def same_weights(left: nn.Module, right: nn.Module) -> bool:
    pairs = zip(left.state_dict().items(), right.state_dict().items(), strict=True)
    return all(name == other and torch.equal(a, b) for (name, a), (other, b) in pairs)


def test_a_saved_captioner_loads_equal(tmp_path):
    folder = tiny.captioner_folder(tmp_path / "mine")
    loaded, tokenizer = checkpoints.load(folder)
    assert same_weights(loaded, tiny.captioner())
    assert not loaded.training
    assert tokenizer.to_json() == tiny.tokenizer().to_json()
    assert checkpoints.fingerprint(loaded) == checkpoints.fingerprint(tiny.captioner())
    assert checkpoints.fingerprint(loaded) != checkpoints.fingerprint(tiny.captioner(seed=1))


class Positions(nn.Module):
    def __init__(self, table: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("pe", table)


class StudyModel(nn.Module):
    """The study's model as its state dict describes it, built of torch's own parts."""

    def __init__(self, vocab_size, encoder, num_layers, nhead, d_model, activation, batch_first, dropout, pretrained):
        super().__init__()
        import timm

        self.word_embedding = nn.Embedding(vocab_size, d_model, padding_idx=0)
        self.positional_embedding = Positions(tiny.captioner(d_model=d_model, nhead=nhead).positional_embedding.pe)
        self.encoder = timm.create_model(encoder, pretrained=pretrained)
        layer = nn.TransformerDecoderLayer(
            d_model, nhead, activation=activation, batch_first=batch_first, dropout=dropout
        )
        self.decoder = nn.TransformerDecoder(layer, num_layers)
        self.head = nn.Linear(d_model, vocab_size)


def study_folder(folder):
    config = {
        **{"vocab_size": tiny.tokenizer().vocab_size, "encoder": "vit_tiny_patch16_224", "num_layers": 2, "nhead": 4},
        **{"d_model": 192, "activation": "gelu", "batch_first": True, "dropout": 0.1, "pretrained": False},
    }
    torch.manual_seed(5)
    model = StudyModel(**config).eval()
    folder.mkdir()
    tiny.write_json(folder / "model_config.json", config)
    torch.save(model.state_dict(), folder / "Best_model.pth")
    tiny.tokenizer().save(folder.parent / "caption_tokenizer.json")
    return folder, model


def test_the_studys_checkpoint_loads_as_it_is_and_gives_its_logits(tmp_path):
    folder, study = study_folder(tmp_path / "CIDEr")
    captioner, _ = checkpoints.load(folder, tmp_path / "caption_tokenizer.json")
    ids = torch.randint(4, captioner.config.vocab_size, (2, 7))
    pixels = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        embedded = study.word_embedding(ids) + study.positional_embedding.pe[:, :7]
        mask = nn.Transformer.generate_square_subsequent_mask(7)
        memory = study.encoder.forward_features(pixels)
        expected = study.head(study.decoder(embedded, memory, tgt_mask=mask))
        torch.testing.assert_close(captioner.logits(ids, captioner.encode(pixels)), expected, atol=1e-4, rtol=0)
    assert captioner.config.dim_feedforward == 2048


def test_the_studys_checkpoint_without_a_tokenizer_names_the_option(tmp_path):
    with pytest.raises(CheckpointError, match="--tokenizer FILE"):
        checkpoints.load(study_folder(tmp_path / "CIDEr")[0])


def test_a_pickle_with_code_in_it_is_not_run(tmp_path):
    folder, _ = study_folder(tmp_path / "CIDEr")

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "harm"), "w"))

    torch.save({"head.weight": Evil()}, folder / "Best_model.pth")
    assert "another Python object (io.open), which is not loaded" in refusal(folder)
    assert not (tmp_path / "harm").exists()


def refusal(folder) -> str:
    """The message of loading the folder, one line without terminal codes."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a warning would be a second sentence beside the message
        with pytest.raises(CheckpointError) as raised:
            checkpoints.load(folder, folder.parent / "caption_tokenizer.json")
    assert "\n" not in str(raised.value) and "\x1b" not in str(raised.value)
    return str(raised.value)


def save_in_the_old_format(model, path):
    torch.save(model, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("save", [torch.save, save_in_the_old_format])
def test_a_whole_pickled_model_is_refused_in_one_sentence(tmp_path, save):
    folder, model = study_folder(tmp_path / "CIDEr")
    save(model, folder / "Best_model.pth")
    message = refusal(folder)
    assert message.startswith(f"{folder / 'Best_model.pth'}: a whole pickled model or another Python object (")
    assert "StudyModel" in message and message.endswith("save model.state_dict()")


def test_another_model_is_refused_by_the_names_of_its_weights(tmp_path):
    folder, _ = study_folder(tmp_path / "CIDEr")
    torch.jit.script(nn.Linear(2, 2)).save(folder / "Best_model.pth")
    assert "and 186 more, unknown 'bias', 'weight'; copy both from the same training" in refusal(folder)


def cut_off(path):
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize(
    "damage",
    [cut_off, lambda path: path.write_bytes(b""), lambda path: path.write_text("hello world")]
    + [lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")],
    ids=["cut off", "empty", "text", "git-lfs pointer"],
)
def test_a_damaged_checkpoint_of_the_study_is_refused_in_one_sentence(tmp_path, damage):
    folder, _ = study_folder(tmp_path / "CIDEr")
    damage(folder / "Best_model.pth")
    assert "not a complete torch.save file (" in refusal(folder)


def renamed(prefix):
    return lambda weights: {f"{prefix}{name}": tensor for name, tensor in weights.items()}


def wrapped_parts(weights):
    """DataParallel around the encoder alone, torch.compile around the decoder's layers."""
    names = {name: name.replace("encoder.", "encoder.module._orig_mod.", 1) for name in weights}
    names |= {name: name.replace("decoder.layers.0.", "decoder.layers.0._orig_mod.") for name in names if "dec" in name}
    return {names[name]: tensor for name, tensor in weights.items()}


def lightning(weights):
    state = {"epoch": 3, "global_step": 900, "callbacks": {}, "optimizer_states": [{"state": {}}]}
    return {**state, "state_dict": renamed("model.")(weights)}


PREFIXES = [
    "module.",
    "_orig_mod.",
    "model.",
    "module._orig_mod.",
    "_orig_mod.module.",
    "model._orig_mod.",
    "module.module.",
]


@pytest.mark.parametrize(
    "wrap", [*map(renamed, PREFIXES), wrapped_parts, lightning], ids=[*PREFIXES, "parts", "lightning"]
)
def test_what_wrappers_add_to_names_is_removed(tmp_path, wrap):
    folder, model = study_folder(tmp_path / "CIDEr")
    plain, _ = checkpoints.load(folder, tmp_path / "caption_tokenizer.json")
    torch.save(wrap(model.state_dict()), folder / "Best_model.pth")
    assert same_weights(checkpoints.load(folder, tmp_path / "caption_tokenizer.json")[0], plain)


def test_a_duplicate_weight_is_refused(tmp_path):
    folder, model = study_folder(tmp_path / "CIDEr")
    torch.save({**model.state_dict(), **renamed("module.")(model.state_dict())}, folder / "Best_model.pth")
    assert "'word_embedding.weight' and 'module.word_embedding.weight' have the same name" in refusal(folder)


def test_an_encoder_that_itself_has_a_part_named_module_keeps_it():
    names = ["encoder.stages.3.blocks.0.module.weight", "encoder.module.stages.3.blocks.0.module.bias"]
    found = state_dicts.unwrapped({name: torch.zeros(1) for name in names}, Path("file"), CheckpointError)
    assert list(found) == ["encoder.stages.3.blocks.0.module.weight", "encoder.stages.3.blocks.0.module.bias"]


def test_a_beit_with_timm_0_6s_index_buffers_gives_the_same_logits(tmp_path):
    shape = {"depth": 2, "embed_dim": 32, "num_heads": 2}
    folder = tiny.captioner_folder(tmp_path / "mine", encoder="beit_base_patch16_224_in22k", encoder_kwargs=shape)
    plain, _ = checkpoints.load(folder)
    buffers = {f"encoder.blocks.{block}.attn.relative_position_index": torch.zeros(197, 197).long() for block in (0, 1)}
    weights = load_file(folder / "model.safetensors")
    save_file({**weights, **buffers, "encoder.head.weight": torch.zeros(3, 32)}, folder / "model.safetensors")
    loaded, _ = checkpoints.load(folder)
    pixels = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        assert torch.equal(loaded.encode(pixels), plain.encode(pixels))


def damage_config(folder):
    (folder / "config.json").write_text("{")


def damage_weights(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:500])


def remove_weights(folder):
    (folder / "model.safetensors").unlink()


def change_layers(folder):
    config = json.loads((folder / "config.json").read_text())
    tiny.write_json(folder / "config.json", {**config, "num_layers": 3})


def change_width(folder):
    config = json.loads((folder / "config.json").read_text())
    encoder = {**config["encoder_kwargs"], "embed_dim": 48}
    tiny.write_json(folder / "config.json", {**config, "d_model": 48, "encoder_kwargs": encoder})


def change_words(folder):
    config = json.loads((folder / "config.json").read_text())
    tiny.write_json(folder / "config.json", {**config, "vocab_size": 7})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_config, "config.json: not JSON"),
        (damage_weights, "not a complete safetensors file"),
        (remove_weights, "model.safetensors: there is no such file; the model is incomplete"),
        (change_layers, "do not fit the config: missing 'decoder.layers.2.*, unknown none; copy both from"),
        (change_width, r" is \(.*expected \("),
        (change_words, "the captioner has 7 tokens and the tokenizer"),
    ],
)
def test_a_damaged_folder_is_one_clear_error(tmp_path, damage, message):
    folder = tiny.captioner_folder(tmp_path / "mine")
    damage(folder)
    with pytest.raises(CheckpointError, match=message):
        checkpoints.load(folder)


def test_the_error_for_another_folder_names_what_was_expected(tmp_path):
    with pytest.raises(CheckpointError, match="contains no captioner; expected config.json"):
        checkpoints.load(tmp_path)
    with pytest.raises(CheckpointError, match="no such folder"):
        checkpoints.load(tmp_path / "nothing")


def test_the_settings_of_a_training_are_read_where_they_are_known(tmp_path):
    assert checkpoints.training_settings(tmp_path) == {}
    written = {"recipe": {"training": {"batch_size": 8, "learning_rate": 5e-5, "epochs": 5, "seed": 0}}}
    (tmp_path / "training.json").write_text(json.dumps(written))
    assert checkpoints.training_settings(tmp_path) == {"batch_size": 8, "learning_rate": 5e-5, "epochs": 5}
