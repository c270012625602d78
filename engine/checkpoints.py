"""Captioners on disk: our folder, and the study's own checkpoint read as it is.

Ours is `config.json`, `model.safetensors` and `tokenizer.json`; the study's is `model_config.json` and
`Best_model.pth`. Knows files and what may be wrong with them; the model itself is `captioner`.
"""

import hashlib
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.captioner import Captioner
from engine.config import CaptionerConfig, from_dict
from engine.documents import first_line
from engine.tokenizer import CaptionTokenizer

_STUDY_KEYS = ("vocab_size", "encoder", "num_layers", "nhead", "d_model", "activation", "dropout")
_STUDY_IGNORED = ("batch_first", "pretrained")  # ours is always batch first; the checkpoint brings the weights


TRAINED_ON = "trained_on.txt"
"""Beside a captioner that was trained here: its training images, one a line: the id, a tab, the photo's bytes."""


class CheckpointError(ValueError):
    """A captioner that cannot be loaded; the message names the file, what was expected and what to do."""


def save(folder: Path, captioner: Captioner, tokenizer: CaptionTokenizer) -> None:
    """Writes `config.json`, `tokenizer.json` and `model.safetensors` (float16 where that is the weights' type).

    Raises:
        CheckpointError: the disk is full, or refuses otherwise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().contiguous().cpu() for name, tensor in captioner.state_dict().items()}
    weights.pop("positional_embedding.pe")  # computed, not learned
    config = json.dumps(asdict(captioner.config), indent=2) + "\n"
    for name, write in (
        ("config.json", lambda path: path.write_text(config, encoding="utf-8")),
        ("tokenizer.json", tokenizer.save),
        ("model.safetensors", lambda path: save_file(weights, str(path))),
    ):
        temporary = folder / f"{name}.tmp"
        try:
            write(temporary)
        except OSError:
            raise
        except Exception as error:  # safetensors and tokenizers raise their own kinds, on a full disk for one
            raise CheckpointError(unwritten(temporary, error)) from error
        temporary.replace(folder / name)


def unwritten(path: Path, error: Exception) -> str:
    """What to say of a file that could not be written; what there is of it is deleted."""
    is_full = shutil.disk_usage(path.parent).free < 2**20
    path.unlink(missing_ok=True)
    reason = "the disk is full" if is_full else first_line(error)[:200]
    return f"{path}: {reason}; make room and run the same command again, it continues where it was"


def load(
    folder: Path, tokenizer: Path | None = None, fallback: Path | None = None
) -> tuple[Captioner, CaptionTokenizer]:
    """Load a captioner in evaluation mode with its tokenizer: ours, or the study's own checkpoint.

    Args:
        folder: `config.json`, `model.safetensors`, `tokenizer.json`; or `model_config.json` and `Best_model.pth`.
        tokenizer: the tokenizer file, instead of the folder's own.
        fallback: the tokenizer file where the folder has none, such as the dataset's.

    Raises:
        CheckpointError, TokenizerError: anything is missing or does not fit, with what to do.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: there is no such folder; expected a captioner made by `engine train`")
    if (folder / "config.json").is_file():
        config = from_dict(CaptionerConfig, _read_json(folder / "config.json"), str(folder / "config.json"))
        weights = _read_safetensors(folder / "model.safetensors")
    elif (folder / "model_config.json").is_file():
        config = _study_config(folder / "model_config.json")
        weights = _study_weights(folder / "Best_model.pth")
    else:
        raise CheckpointError(
            f"{folder}: no captioner here; expected config.json with model.safetensors and tokenizer.json, or the "
            "study's model_config.json with Best_model.pth"
        )
    words = CaptionTokenizer.load(tokenizer or _find_tokenizer(folder, fallback))
    if words.vocab_size != config.vocab_size:
        raise CheckpointError(
            f"{folder}: the captioner has {config.vocab_size} words and the tokenizer {words.vocab_size}; give the "
            "tokenizer it was trained with, by --tokenizer"
        )
    captioner = Captioner(_with_feedforward_width(config, weights))
    _fill(captioner, weights, folder)
    return captioner.eval(), words


def fingerprint(captioner: Captioner) -> str:
    """The first 16 hex digits of a SHA-256 over the config and every weight."""
    digest = hashlib.sha256(json.dumps(asdict(captioner.config), sort_keys=True).encode())
    for name, tensor in sorted(captioner.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.detach().float().cpu().numpy()))
    return digest.hexdigest()[:16]


def _read_json(path: Path) -> dict:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: not JSON ({error})") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: expected a JSON object")
    return value


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file; the captioner's folder is incomplete")
    try:
        return load_file(str(path))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a whole safetensors file ({error})") from error


def _study_config(path: Path) -> CaptionerConfig:
    values = _read_json(path)
    missing = [key for key in _STUDY_KEYS if key not in values]
    if missing:
        raise CheckpointError(f"{path}: the key {missing[0]!r} is missing; expected {', '.join(_STUDY_KEYS)}")
    known = {key: values[key] for key in _STUDY_KEYS}
    unknown = sorted(set(values) - set(_STUDY_KEYS) - set(_STUDY_IGNORED))
    if unknown:
        raise CheckpointError(f"{path}: unknown key {unknown[0]!r}")
    return from_dict(CaptionerConfig, known, str(path))


def _study_weights(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(
            f"{path}: there is no such file; expected the study's state dict beside model_config.json"
        )
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and torch each raise their own kinds on a damaged or unsafe file
        raise CheckpointError(f"{path}: not a state dict that loads with weights_only=True ({error})") from error
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise CheckpointError(f"{path}: expected a state dict of tensors")
    return weights


def is_studys(folder: Path) -> bool:
    """Return whether `folder` holds a checkpoint written by the study's own code."""
    return (folder / "model_config.json").is_file() and not (folder / "config.json").is_file()


def _find_tokenizer(folder: Path, fallback: Path | None) -> Path:
    for name in ("tokenizer.json", "caption_tokenizer.json"):
        if (folder / name).is_file():
            return folder / name
    if fallback is not None:
        return fallback
    raise CheckpointError(f"{folder}: no tokenizer.json; give the tokenizer it was trained with, by --tokenizer FILE")


def _with_feedforward_width(config: CaptionerConfig, weights: dict[str, Tensor]) -> CaptionerConfig:
    """The feed-forward width as the weights have it: the study's config does not say it."""
    width = weights.get("decoder.layers.0.linear1.weight")
    return config if width is None else replace(config, dim_feedforward=width.shape[0])


def _fill(captioner: Captioner, weights: dict[str, Tensor], folder: Path) -> None:
    own = captioner.state_dict()
    given = {name: tensor.to(torch.float32) for name, tensor in weights.items() if not _is_classifier(name, own)}
    missing = sorted(set(own) - set(given) - {"positional_embedding.pe"})  # computed, not learned
    unknown = sorted(set(given) - set(own))
    if missing or unknown:
        lists = f"missing {missing[:3] or 'none'}, unknown {unknown[:3] or 'none'}"
        raise CheckpointError(f"{folder}: the weights do not fit the config: {lists}")
    for name, tensor in given.items():
        if own[name].shape != tensor.shape:
            raise CheckpointError(f"{folder}: {name} is {tuple(tensor.shape)}, expected {tuple(own[name].shape)}")
    captioner.load_state_dict(given, strict=False)


def _is_classifier(name: str, own: dict[str, Tensor]) -> bool:
    """An ImageNet head that came with the encoder: nobody asks it."""
    return name not in own and name.startswith(("encoder.head.", "encoder.classifier.", "encoder.fc."))


def trained_on(folder: Path) -> dict[str, int | None]:
    """The images a captioner was trained on: id -> bytes of the photo; none where nobody wrote them down.

    Photos of another dataset may bear the same names. Earlier trainings wrote names only: their bytes are None.
    """
    file = folder / TRAINED_ON
    lines = file.read_text(encoding="utf-8").split("\n") if file.is_file() else []
    return dict(_trained_photo(line) for line in lines if line)


def _trained_photo(line: str) -> tuple[str, int | None]:
    name, tab, size = line.rpartition("\t")
    return (name, int(size)) if tab and size.isdecimal() else (line, None)


def training_settings(folder: Path) -> dict[str, int | float]:
    """Return batch_size, learning_rate and epochs of a captioner that was trained here; {} where they are not known."""
    file = folder / "training.json"
    found = _read_json(file).get("recipe") if file.is_file() else None
    used = found.get("training") if isinstance(found, dict) else None
    names = ("batch_size", "learning_rate", "epochs")
    return {name: used[name] for name in names if name in used} if isinstance(used, dict) else {}
