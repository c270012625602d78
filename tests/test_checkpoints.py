import json

import pytest
import torch
from torch import nn

from engine import checkpoints
from engine.checkpoints import CheckpointError
from tests import tiny


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


def test_the_studys_checkpoint_without_a_tokenizer_says_what_to_give(tmp_path):
    with pytest.raises(CheckpointError, match="--tokenizer FILE"):
        checkpoints.load(study_folder(tmp_path / "CIDEr")[0])


def test_a_pickle_with_code_in_it_is_not_run(tmp_path):
    folder, _ = study_folder(tmp_path / "CIDEr")

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "harm"), "w"))

    torch.save({"head.weight": Evil()}, folder / "Best_model.pth")
    with pytest.raises(CheckpointError, match="weights_only=True"):
        checkpoints.load(folder, tmp_path / "caption_tokenizer.json")
    assert not (tmp_path / "harm").exists()


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
        (damage_weights, "not a whole safetensors file"),
        (remove_weights, "there is no such file; the captioner's folder is incomplete"),
        (change_layers, r"do not fit the config: missing \['decoder.layers.2"),
        (change_width, r" is \(.*expected \("),
        (change_words, "the captioner has 7 words and the tokenizer"),
    ],
)
def test_a_damaged_folder_is_one_clear_error(tmp_path, damage, message):
    folder = tiny.captioner_folder(tmp_path / "mine")
    damage(folder)
    with pytest.raises(CheckpointError, match=message):
        checkpoints.load(folder)


def test_a_folder_that_is_no_captioner_says_what_was_expected(tmp_path):
    with pytest.raises(CheckpointError, match="no captioner here; expected config.json"):
        checkpoints.load(tmp_path)
    with pytest.raises(CheckpointError, match="no such folder"):
        checkpoints.load(tmp_path / "nothing")


def test_the_settings_of_a_training_are_read_where_they_are_known(tmp_path):
    assert checkpoints.training_settings(tmp_path) == {}
    told = {"recipe": {"training": {"batch_size": 8, "learning_rate": 5e-5, "epochs": 5, "seed": 0}}}
    (tmp_path / "training.json").write_text(json.dumps(told))
    assert checkpoints.training_settings(tmp_path) == {"batch_size": 8, "learning_rate": 5e-5, "epochs": 5}
