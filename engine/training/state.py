"""What a training keeps in its folder to be continued: its identity, the photos it learns from, and its state.

Every file is replaced as a whole, so that a kill at any moment leaves a training that can be continued.
"""

import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.captioners.native.checkpoints import TRAINED_ON
from engine.config import Recipe
from engine.data.dataset import Dataset, Example
from engine.reading import first_line
from engine.training.errors import TrainingError
from engine.training.images import file_size
from engine.writing import replacing

FILE = "state.pt"
IDENTITY = "training.json"


@dataclass
class Progress:
    """The progress of a training, saved in the state file and restored from it."""

    epoch: int = 0
    step: int = 0
    best_cider: float = -math.inf
    best_clipscore: float = -math.inf
    ranks: int = 1
    """Number of processes of the last epoch. Weights depend on it and on `accumulate` only through random numbers and
    batch statistics; a training may continue with others."""
    accumulate: int = 1

    @property
    def is_validated(self) -> bool:
        """Whether the best captioner was chosen by validation."""
        return self.best_cider > -math.inf


def identity(recipe: Recipe, train_set: Dataset, clip: str | None) -> bytes:
    """Return what `training.json` contains; `clip` is the name of the CLIP that validates.

    The number of micro-batches is left out: it does not change what is trained, and a training that ran out of memory
    can continue with more.
    """
    settings = asdict(recipe)
    del settings["training"]["accumulate"]
    mine = {"recipe": settings, "data": train_set.fingerprint, "clip": clip}
    return (json.dumps(mine, indent=2, sort_keys=True) + "\n").encode()


def check_folder(folder: Path, mine: bytes) -> None:
    """Check that a training can start or continue in `folder`.

    A training that failed before it saved a state or a captioner does not block the folder.

    Raises:
        TrainingError: `folder` is a file, or contains another training.
    """
    if folder.is_file():
        raise TrainingError(f"--out {folder} is a file; expected a folder")
    is_trained = any((folder / name).is_file() for name in (FILE, "model.safetensors"))
    if is_trained and content(folder / IDENTITY) not in (b"", mine):
        raise TrainingError(
            f"{folder}: contains another training (its recipe, data or CLIP differ); choose another --out"
        )


def claim(folder: Path, mine: bytes, dataset: Dataset, examples: Sequence[Example]) -> None:
    """Write the identity of the training and the photos it learns from, if they are not there yet."""
    photos = sorted((example.image_id, file_size(dataset.photo(example))) for example in examples)
    lines = "".join(f"{image_id}\t{size}\n" for image_id, size in photos)
    for name, wanted in ((TRAINED_ON, lines.encode()), (IDENTITY, mine)):
        if content(folder / name) != wanted:
            with replacing(folder / name) as temporary:
                temporary.write_bytes(wanted)


def content(file: Path) -> bytes:
    """Return the content of a file, empty if it does not exist."""
    return file.read_bytes() if file.is_file() else b""


def save(
    folder: Path, progress: Progress, rows: list[dict[str, Any]], model: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Replace the state file.

    Raises:
        OSError: it cannot be written, for example because the disk is full.
    """
    state = {
        "progress": asdict(progress),
        "rows": rows,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    with replacing(folder / FILE) as temporary, open(temporary, "wb") as file:
        torch.save(state, file)


def restore(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device
) -> tuple[Progress, list[dict[str, Any]]]:
    """Load the state into `model` and `optimizer`; return the progress and the log, new ones without a state.

    Raises:
        TrainingError: the state is damaged.
    """
    file = folder / FILE
    if not file.is_file():
        return Progress(), []
    kept = _read(file, device)
    try:
        progress, rows = _progress(kept), list(kept["rows"])
        if not all(isinstance(row, dict) for row in rows):
            raise TypeError("the log is not a list of rows")
        model.load_state_dict(kept["model"])
        optimizer.load_state_dict(kept["optimizer"])
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise TrainingError(_damaged(file, error)) from error
    return progress, rows


def epochs_done(folder: Path) -> int:
    """Return the number of finished epochs of the state in `folder`, 0 if there is none.

    Raises:
        TrainingError: the state is damaged.
    """
    file = folder / FILE
    if not file.is_file():
        return 0
    kept = _read(file, torch.device("cpu"), mmap=True)
    try:
        return _progress(kept).epoch
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingError(_damaged(file, error)) from error


def _read(file: Path, device: torch.device, mmap: bool = False) -> Any:
    """Return the content of a state file; with `mmap`, weights are read from disk only if they are used."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch also warns about files that it then refuses
            return torch.load(file, map_location=device, weights_only=True, mmap=mmap)
    except Exception as error:  # pickle, zip and torch raise their own exceptions for damaged files
        raise TrainingError(_damaged(file, error)) from error


def _progress(kept: Any) -> Progress:
    progress = Progress(**kept["progress"])
    for name, value in asdict(progress).items():
        if type(value) not in (int, float) or (name not in ("best_cider", "best_clipscore") and not 0 <= value < 2**63):
            raise ValueError(f"{name} is not a number")
    return progress


def _damaged(file: Path, error: Exception) -> str:
    reason = type(error).__name__ if "weights_only" in str(error) else first_line(error)[:100]
    return f"{file}: not a complete state of a training ({reason}); restore the file, or delete it to start over"
