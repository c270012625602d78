"""The readers of models and trainings: captioners, CLIP, tokenizers, recipes and what a training keeps."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import transformers

from engine.captioners.huggingface import explainer, settings
from engine.captioners.native import checkpoints
from engine.captioners.native.captioner import CaptionerModel
from engine.config import DecodingConfig, read_recipe
from engine.data import registry
from engine.models import clip
from engine.models.tokenizer import CaptionTokenizer
from engine.training import state
from tests.fuzz.harness import Reader
from tests.support import tiny, tiny_transformers

RECIPE = """[model]
encoder = "vit_tiny_patch16_224"
encoder_kwargs = { depth = 1, embed_dim = 32, num_heads = 2 }
d_model = 32
num_layers = 1
nhead = 2
[training]
epochs = 2
batch_size = 4
learning_rate = 1e-4
"""


def _captioner(folder: Path) -> None:
    tiny.captioner_folder(folder, num_layers=1)
    (folder / checkpoints.TRAINED_ON).write_text("000000000001\t1234\nold\n")
    recipe = {"training": {"batch_size": 4, "learning_rate": 0.1, "epochs": 2}}
    (folder / "training.json").write_text(json.dumps({"recipe": recipe}))


def _read_captioner(folder: Path) -> None:
    checkpoints.load(folder)
    checkpoints.trained_on(folder)
    checkpoints.training_settings(folder)


def _study(folder: Path) -> None:
    model = tiny.captioner(num_layers=1)
    config = asdict(model.config)
    kept = ("vocab_size", "encoder", "num_layers", "nhead", "d_model", "activation", "dropout")
    # The study's file has no encoder settings; a small registered encoder is the nearest.
    values = {name: config[name] for name in kept} | {"batch_first": True, "pretrained": False}
    tiny.write_json(folder / "model_config.json", values)
    own = CaptionerModel(tiny.config(num_layers=1, encoder="test_vit", encoder_kwargs={}))
    tiny.write_json(folder / "model_config.json", values | {"encoder": "test_vit"})
    weights = {name: tensor for name, tensor in own.state_dict().items() if name != "positional_embedding.pe"}
    torch.save(weights, folder / "Best_model.pth")
    tiny.tokenizer().save(folder / "tokenizer.json")


def _clip_file(folder: Path) -> None:
    tiny.clip_folder(folder / "clip")


def _training(folder: Path) -> None:
    model = torch.nn.Linear(4, 4)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    state.save(folder, state.Progress(1, 3, 0.5, 0.25), [{"step": 1, "loss": 2.0}], model, optimizer)


def _read_training(folder: Path) -> None:
    model = torch.nn.Linear(4, 4)
    state.epochs_done(folder)
    state.restore(folder, model, torch.optim.AdamW(model.parameters()), torch.device("cpu"))


def _claimed(folder: Path) -> None:
    tiny.coco(folder / "data", count=2)
    dataset = registry.load(folder / "data")
    state.claim(folder / "out", b"{}", dataset, dataset.examples)
    (folder / "out" / "model.safetensors").write_bytes(b"")


def _hugging_face(folder: Path) -> None:
    transformers.utils.logging.disable_progress_bar()
    tiny_transformers.make("vit_gpt2", folder / "model")


def _read_hugging_face(folder: Path) -> None:
    name = f"hf:{folder / 'model'}"
    settings.decoding_defaults(name)
    captioner = explainer.load(name)
    config = DecodingConfig(beam_sizes=(1,), max_length=2)
    captioner.caption([np.zeros((32, 32, 3), np.uint8)], ["a"], config)


READERS = (
    Reader("hugging-face-folder", _hugging_face, _read_hugging_face),
    Reader("captioner-folder", _captioner, _read_captioner),
    Reader("study-checkpoint", _study, checkpoints.load),
    Reader("CLIP-folder", _clip_file, lambda folder: clip.load(str(folder / "clip"))),
    Reader(
        "tokenizer",
        lambda folder: tiny.tokenizer().save(folder / "tokenizer.json"),
        lambda folder: CaptionTokenizer.load(folder / "tokenizer.json").encode("a dog runs"),
    ),
    Reader(
        "recipe",
        lambda folder: (folder / "r.toml").write_text(RECIPE),
        lambda folder: read_recipe(folder / "r.toml"),
    ),
    Reader("training-state", _training, _read_training),
    Reader(
        "training-folder",
        _claimed,
        lambda folder: state.check_folder(folder / "out", b"{}"),
        lambda folder: sorted((folder / "out").iterdir()),
    ),
)
