"""Save and load captioners: our folders, and the study's own checkpoints unchanged.

Our folders contain `config.json`, `model.safetensors` and `tokenizer.json`; the study's contain `model_config.json` and
`Best_model.pth`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.captioners.native.captioner import CaptionerModel
from engine.config import CaptionerConfig, from_dict
from engine.models import state_dicts
from engine.models.tokenizer import CaptionTokenizer
from engine.reading import quoted, read_object, read_text
from engine.writing import replacing

_STUDY_KEYS = ("vocab_size", "encoder", "num_layers", "nhead", "d_model", "activation", "dropout")
_STUDY_IGNORED = ("batch_first", "pretrained")  # we are always batch first; the weights come from the checkpoint
_UNUSED = ("head", "head_dist", "pre_logits", "fc_norm", "classifier", "fc")
"""Parts of an encoder after its tokens; timm omits some of them in models without classes."""


TRAINED_ON = "trained_on.txt"
"""File in a captioner's folder with its training images, one per line: the id, a tab, the file size in bytes."""


class CheckpointError(ValueError):
    """A captioner cannot be loaded or saved; the message names the file, what was expected and what to do."""


def save(folder: Path, captioner: CaptionerModel, tokenizer: CaptionTokenizer) -> None:
    """Write `config.json`, `tokenizer.json` and `model.safetensors`, in the dtype of the weights.

    Raises:
        OSError: a file cannot be written, for example because the disk is full.
    """
    weights = {name: tensor.detach().contiguous().cpu() for name, tensor in captioner.state_dict().items()}
    weights.pop("positional_embedding.pe")  # computed, not learned
    config = json.dumps(asdict(captioner.config), indent=2) + "\n"
    for name, write in (
        ("config.json", lambda path: path.write_text(config, encoding="utf-8")),
        ("tokenizer.json", tokenizer.save),
        ("model.safetensors", lambda path: save_file(weights, str(path))),
    ):
        with replacing(folder / name) as temporary:
            write(temporary)


def load(
    folder: Path, tokenizer: Path | None = None, fallback: Path | None = None
) -> tuple[CaptionerModel, CaptionTokenizer]:
    """Load a captioner in evaluation mode and its tokenizer, from our folder or the study's own checkpoint.

    Args:
        folder: `config.json`, `model.safetensors`, `tokenizer.json`; or `model_config.json` and `Best_model.pth`.
        tokenizer: the tokenizer file, instead of the folder's own.
        fallback: the tokenizer file if the folder has none, such as the dataset's.

    Raises:
        CheckpointError, TokenizerError: a file is missing or does not fit.
    """
    if folder.is_file():
        raise CheckpointError(f"{folder} is a file; expected a folder made by `engine train`")
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: there is no such folder; expected a captioner made by `engine train`")
    if (folder / "config.json").is_file():
        file = folder / "config.json"
        config = from_dict(CaptionerConfig, read_object(file, CheckpointError), str(file))
        weights = state_dicts.read(folder / "model.safetensors", CheckpointError)
    elif (folder / "model_config.json").is_file():
        config = _study_config(folder / "model_config.json")
        weights = state_dicts.read(folder / "Best_model.pth", CheckpointError)
    else:
        raise CheckpointError(
            f"{folder}: contains no captioner; expected config.json with model.safetensors and tokenizer.json, or the "
            "study's model_config.json with Best_model.pth"
        )
    words = CaptionTokenizer.load(tokenizer or _find_tokenizer(folder, fallback))
    if words.vocab_size != config.vocab_size:
        raise CheckpointError(
            f"{folder}: the captioner has {config.vocab_size} tokens and the tokenizer {words.vocab_size}; use "
            "--tokenizer to pass the tokenizer that the captioner was trained with"
        )
    config = _with_feedforward_width(config, weights)
    # Without memory first: a config that does not fit the weights must not allocate what it claims.
    with torch.device("meta"):
        shapes = CaptionerModel(config).state_dict()
    weights = fitting(weights, shapes, folder)
    if (broken := next((name for name, each in weights.items() if not bool(each.isfinite().all())), None)) is not None:
        raise CheckpointError(
            f"{folder}: the weight {quoted(broken)} is not finite; the training diverged, or the file is damaged"
        )
    captioner = CaptionerModel(config)
    captioner.load_state_dict(weights, strict=False)
    return captioner.eval(), words


def fitting(weights: Mapping[str, Tensor], own: Mapping[str, Tensor], folder: Path) -> dict[str, Tensor]:
    """Return the weights in float32 that a captioner with the state dict `own` can load.

    Leaves out weights that the encoder's tokens do not depend on and that newer versions of timm do not have:
    classifier heads, and the buffers `relative_position_index` of BEiT, which timm 1.0 computes.

    Raises:
        CheckpointError: a weight is missing, is unknown, or has another shape.
    """
    given = {name: tensor for name, tensor in weights.items() if name in own or not _is_unused(name)}
    # The positions are computed, so that they may be missing.
    wanted = {name: tensor for name, tensor in own.items() if name in given or name != "positional_embedding.pe"}
    if why := state_dicts.misfit(given, wanted):
        raise CheckpointError(f"{folder}: the weights do not fit the config: {why}; copy both from the same training")
    return {name: tensor.to(torch.float32) for name, tensor in given.items()}


def _is_unused(name: str) -> bool:
    """Return whether the encoder's tokens are independent of the weight of this name."""
    return name.startswith("encoder.") and (name.split(".")[1] in _UNUSED or name.endswith(".relative_position_index"))


def fingerprint(captioner: CaptionerModel) -> str:
    """Return the first 16 hex digits of a SHA-256 over the config and all weights."""
    digest = hashlib.sha256(json.dumps(asdict(captioner.config), sort_keys=True).encode())
    for name, tensor in sorted(captioner.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.detach().float().cpu().numpy()).data)
    return digest.hexdigest()[:16]


def _study_config(path: Path) -> CaptionerConfig:
    values = read_object(path, CheckpointError)
    missing = [key for key in _STUDY_KEYS if key not in values]
    if missing:
        raise CheckpointError(f"{path}: the key {missing[0]!r} is missing; expected {', '.join(_STUDY_KEYS)}")
    known = {key: values[key] for key in _STUDY_KEYS}
    unknown = sorted(set(values) - set(_STUDY_KEYS) - set(_STUDY_IGNORED))
    if unknown:
        raise CheckpointError(f"{path}: unknown key {quoted(unknown[0])}")
    return from_dict(CaptionerConfig, known, str(path))


def is_studys(folder: Path) -> bool:
    """Return whether `folder` contains a checkpoint written by the study's own code."""
    return (folder / "model_config.json").is_file() and not (folder / "config.json").is_file()


def _find_tokenizer(folder: Path, fallback: Path | None) -> Path:
    for name in ("tokenizer.json", "caption_tokenizer.json"):
        if (folder / name).is_file():
            return folder / name
    if fallback is not None:
        return fallback
    raise CheckpointError(
        f"{folder}: no tokenizer.json; use --tokenizer FILE to pass the tokenizer that the captioner was trained with"
    )


def _with_feedforward_width(config: CaptionerConfig, weights: dict[str, Tensor]) -> CaptionerConfig:
    """Return the config with the feed-forward width of the weights, which the study's config does not contain."""
    width = weights.get("decoder.layers.0.linear1.weight")
    return config if width is None else replace(config, dim_feedforward=width.shape[0])


def trained_on(folder: Path) -> dict[str, int | None]:
    """Return the images a captioner was trained on as id -> file size in bytes; {} if they were not recorded.

    The sizes distinguish photos of other datasets with the same names. Older files contain names only; their sizes are
    None.
    """
    file = folder / TRAINED_ON
    lines = read_text(file, CheckpointError).split("\n") if file.is_file() else []
    return dict(_trained_photo(line) for line in lines if line)


def _trained_photo(line: str) -> tuple[str, int | None]:
    name, tab, size = line.rpartition("\t")
    return (name, int(size)) if tab and size.isascii() and size.isdecimal() and len(size) < 20 else (line, None)


def training_settings(folder: Path) -> dict[str, int | float]:
    """Return batch_size, learning_rate and epochs of a captioner's training; {} if they were not recorded."""
    file = folder / "training.json"
    found = read_object(file, CheckpointError).get("recipe") if file.is_file() else None
    used = found.get("training") if isinstance(found, dict) else None
    names = ("batch_size", "learning_rate", "epochs")
    numbers = {name: used.get(name) for name in names} if isinstance(used, dict) else {}
    return {name: value for name, value in numbers.items() if type(value) in (int, float)}
