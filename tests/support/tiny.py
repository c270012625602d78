"""Tiny real parts for tests: a captioner, photos, datasets and a CLIP that are made in milliseconds."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from engine.captioners.native import checkpoints
from engine.captioners.native.captioner import CaptionerModel
from engine.config import CaptionerConfig, DecodingConfig
from engine.decoding.batched import BatchedSearch
from engine.models.tokenizer import CaptionTokenizer

SENTENCES = (
    "a dog runs on the beach.",
    "two men ride horses in a green field.",
    "a red bus stands in the street.",
    "a cat sleeps on a couch.",
    "a woman holds an umbrella.",
)
DEVICES = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
"""Where models can run here: what holds on a CPU is tested on a GPU as well where there is one."""
ENCODER = {"encoder": "vit_tiny_patch16_224", "encoder_kwargs": {"depth": 1, "embed_dim": 32, "num_heads": 2}}


def tokenizer() -> CaptionTokenizer:
    return CaptionTokenizer.train(SENTENCES, 90)


def config(**changes: object) -> CaptionerConfig:
    values = {"vocab_size": tokenizer().vocab_size, "d_model": 32, "num_layers": 2, "nhead": 2, "dim_feedforward": 48}
    return CaptionerConfig(**{**ENCODER, **values, **changes})


def captioner(seed: int = 0, **changes: object) -> CaptionerModel:
    torch.manual_seed(seed)
    return CaptionerModel(config(**changes)).eval()


def search(
    captioner: CaptionerModel, words: CaptionTokenizer, encoded: torch.Tensor, config: DecodingConfig, graphs=None
):
    """A search of the images of `encoded` float[N, P, D], named 0 to N - 1."""
    with torch.inference_mode():
        cross = captioner.precompute_cross_attention(encoded)
    names = [str(number) for number in range(len(encoded))]
    return BatchedSearch(captioner, cross, words.bos_id, words.eos_id, config, names, graphs)


def torch_decoder(captioner: CaptionerModel) -> torch.nn.TransformerDecoder:
    """torch's own decoder with the captioner's weights, as the study used it; without a mask unless it is given one."""
    shape = captioner.config
    layer = torch.nn.TransformerDecoderLayer(
        shape.d_model, shape.nhead, shape.dim_feedforward, activation=shape.activation, batch_first=True
    )
    decoder = torch.nn.TransformerDecoder(layer, shape.num_layers).eval()
    decoder.load_state_dict(captioner.decoder.state_dict())
    return decoder


def captioner_folder(folder: Path, seed: int = 0, **changes: object) -> Path:
    checkpoints.save(folder, captioner(seed, **changes), tokenizer())
    return folder


def photo(path: Path, seed: int = 0, size: tuple[int, int] = (80, 60)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(noise).resize(size).save(path)
    return path


def coco(folder: Path, count: int = 5, split: str = "val") -> Path:
    """A COCO dataset of `count` photos with two captions and one box each."""
    images, captions, instances = [], [], []
    for number in range(1, count + 1):
        name = f"{number:012d}.jpg"
        photo(folder / split / name, seed=number)
        images.append({"id": number, "file_name": name, "width": 80, "height": 60})
        for offset in (0, 1):
            text = SENTENCES[(number + offset) % len(SENTENCES)]
            captions.append({"id": 10 * number + offset, "image_id": number, "caption": text})
        box = {"id": number, "image_id": number, "category_id": 18, "bbox": [10, 5, 30, 20], "area": 600, "iscrowd": 0}
        instances.append(box)
    write_json(folder / "annotations" / f"captions_{split}.json", {"images": images, "annotations": captions})
    content = {"images": images, "annotations": instances, "categories": [{"id": 18, "name": "dog"}]}
    write_json(folder / "annotations" / f"instances_{split}.json", content)
    return folder


def classes(folder: Path) -> Path:
    """A classification set of three classes with two photos each, in the course's layout."""
    for label in range(3):
        for number in range(2):
            photo(folder / "p1_data" / "val" / f"{label}_{number}.png", seed=10 * label + number)
    write_json(folder / "p1_data" / "id2label.json", {"0": "dog", "1": "bus", "2": "cat"})
    return folder


def clip_folder(folder: Path) -> Path:
    """A CLIP of open_clip's architecture at random weights, with its own tokenizer."""
    import open_clip
    from safetensors.torch import save_file

    words = tokenizer()
    model_cfg = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {
            **{"context_length": 12, "vocab_size": words.vocab_size, "width": 32, "heads": 2, "layers": 1},
            **{"pool_type": "eos", "eos_id": words.eos_id},
        },
    }
    torch.manual_seed(1)
    model = open_clip.CLIP(**model_cfg)
    folder.mkdir(parents=True, exist_ok=True)
    preprocess = {"size": 32, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    write_json(folder / "open_clip_config.json", {"model_cfg": model_cfg, "preprocess_cfg": preprocess})
    save_file(model.state_dict(), str(folder / "open_clip_model.safetensors"))
    words.save(folder / "tokenizer.json")
    return folder


def write_json(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path
