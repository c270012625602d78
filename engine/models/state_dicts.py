"""Read the weights in a checkpoint, whatever wrapped them, without running code from the file.

Reads safetensors, files of torch.save and TorchScript archives; knows no architecture. The caller passes the exception
class to raise, whose message is one sentence.
"""

import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from engine.reading import first_line, quoted

_CONTAINERS = ("state_dict", "model_state_dict", "model")
"""Where training programs store the weights next to the optimiser state and the epoch."""

_LEADING = re.compile(r"^(?:(?:module|model)\.)+")
_WRAPPED_PART = re.compile(r"^(\w+)\.(?:module\.)+")
"""A part of a model that was wrapped separately. At deeper levels, `module` may be a name of the model's own."""

_SHOWN = 3


def read(path: Path, error: type[ValueError]) -> dict[str, Tensor]:
    """Return the weights in a file under the names of the model that was saved.

    Raises:
        error: the file is missing or damaged, or contains something other than the state dict of one model.
    """
    if not path.is_file():
        raise error(f"{path}: there is no such file; the model is incomplete")
    _check_archive(path, error)
    if path.suffix == ".safetensors":
        weights = _safetensors(path, error)
    elif is_torchscript(path):
        weights = _torchscript(path, error)
    else:
        weights = _contained(_torch_file(path, error))
    if not _is_state_dict(weights):
        raise error(f"{path}: expected a state dict of tensors; save model.state_dict()")
    stored = path.stat().st_size
    claimed = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
    if claimed > 8 * stored:  # tensors may share their storage, such as tied embeddings
        raise error(
            f"{path}: the weights have {claimed:,} bytes and the file {stored:,}; save model.state_dict() again"
        )
    return unwrapped(weights, path, error)


def _check_archive(path: Path, error: type[ValueError]) -> None:
    """Raise `error` for a zip archive that unpacks to much more than its size; torch compresses nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # not an archive, or one that torch refuses with its own reason
    if unpacked > 8 * path.stat().st_size:
        raise error(f"{path}: unpacks to {unpacked:,} bytes; expected a file that torch.save wrote")


def _is_state_dict(weights: object) -> bool:
    if not isinstance(weights, Mapping) or not weights:
        return False
    return all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in weights.items())


def _contained(content: Any) -> Any:
    """Return the weights of a training program's checkpoint; anything else unchanged."""
    for name in _CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            return content[name]
    return content


def _safetensors(path: Path, error: type[ValueError]) -> dict[str, Tensor]:
    try:
        return load_file(str(path))
    except (SafetensorError, OSError, ValueError, KeyError, AttributeError, MemoryError) as problem:
        raise error(
            f"{path}: not a complete safetensors file ({first_line(problem)[:200]}); copy it again"
        ) from problem


def _torch_file(path: Path, error: type[ValueError]) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch also warns about files that it then refuses
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # pickle, zip and torch raise their own exceptions for damaged or unsafe files
        raise error(f"{path}: {_why_refused(problem)}") from problem


def _why_refused(error: Exception) -> str:
    """Return why torch.load with weights_only=True refused a file, and what to do, without reading the file again."""
    if found := re.search(r"GLOBAL (\S+)", str(error)):
        return (
            f"a whole pickled model or another Python object ({found[1][:100]}), which is not loaded because that "
            "would run its code; expected a state dict, save model.state_dict()"
        )
    reason = first_line(error).split(". ")[0] if isinstance(error, RuntimeError | OSError) else type(error).__name__
    return f"not a complete torch.save file ({reason[:200]}); copy it again, or save model.state_dict() again"


def is_torchscript(path: Path) -> bool:
    """Return whether a file is a TorchScript archive, such as those that OpenAI published."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(re.search(r"(^|/)code/", entry) for entry in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def _torchscript(path: Path, error: type[ValueError]) -> dict[str, Tensor]:
    """Return the parameters and buffers in a TorchScript archive; its code is not loaded, which could read files."""
    try:
        with zipfile.ZipFile(path) as archive:
            root = next(name for name in archive.namelist() if re.fullmatch(r"([^/]+/)?data\.pkl", name))
            with archive.open(root) as pickled:
                model = _ModuleReader(pickled, archive, root.removesuffix("data.pkl")).load()
        return dict(_tensors(model, ""))
    except Exception as problem:  # pickle and zip raise their own exceptions for damaged files
        raise error(
            f"{path}: not a complete TorchScript file ({first_line(problem)[:200]}); copy it again"
        ) from problem


class _Module:
    """A module in a TorchScript archive: its attributes."""

    def __setstate__(self, state: object) -> None:
        self.attributes = state if isinstance(state, dict) else {}


class _ModuleReader(pickle.Unpickler):
    """Reads modules and tensors; every other class is refused."""

    def __init__(self, file: Any, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(file)
        self._archive, self._root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return _Module
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch._utils" and name == "_rebuild_parameter":
            return lambda tensor, *_: tensor
        if module == "torch" and (dtype := _DTYPES.get(name.removesuffix("Storage"))):
            return dtype
        if module == "torch.jit._pickle" and name.startswith("build_"):
            return list
        raise pickle.UnpicklingError(f"it contains {module}.{name}"[:150])

    def persistent_load(self, pid: Any) -> Tensor:
        _, dtype, key, _, count = pid
        content = bytearray(self._archive.read(f"{self._root}data/{key}"))
        return torch.frombuffer(content, dtype=dtype, count=count) if count else torch.empty(0, dtype=dtype)


_DTYPES = {
    **{"Float": torch.float32, "Half": torch.float16, "Double": torch.float64, "BFloat16": torch.bfloat16},
    **{"Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8},
    "Bool": torch.bool,
}


def _tensor(storage: Tensor, offset: int, size: tuple, stride: tuple, *_: object) -> Tensor:
    return torch.as_strided(storage, size, stride, offset)


def _tensors(module: Any, prefix: str) -> list[tuple[str, Tensor]]:
    found = []
    for name, value in getattr(module, "attributes", {}).items():
        if isinstance(value, Tensor):
            found.append((f"{prefix}{name}", value))
        elif isinstance(value, _Module):
            found += _tensors(value, f"{prefix}{name}.")
    return found


def unwrapped(weights: Mapping[str, Tensor], file: Path, error: type[ValueError]) -> dict[str, Tensor]:
    """Return the weights under the model's own names.

    Removes the prefixes `module.` (DataParallel), `_orig_mod.` (torch.compile) and `model.` (LightningModule), in any
    order and number, also if only a part of the model was wrapped.

    Raises:
        error: two weights have the same name after removing prefixes.
    """
    names: dict[str, str] = {}
    for given in weights:
        name = _WRAPPED_PART.sub(r"\1.", _LEADING.sub("", given.replace("_orig_mod.", "")))
        if name in names:
            raise error(
                f"{file}: {quoted(names[name])} and {quoted(given)} have the same name without their prefixes; "
                "expected the state dict of one model, save model.state_dict()"
            )
        names[name] = given
    return {name: weights[given] for name, given in names.items()}


def misfit(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str | None:
    """Return how weights differ in names or shapes from the state dict `own` of a model, None if they fit."""
    missing, unknown = sorted(set(own) - set(given)), sorted(set(given) - set(own))
    if missing or unknown:
        return f"missing {_listed(missing)}, unknown {_listed(unknown)}"
    for name, tensor in given.items():
        if own[name].shape != tensor.shape:
            return f"{name} is {tuple(tensor.shape)}, expected {tuple(own[name].shape)}"
    return None


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(map(quoted, names[:_SHOWN])) + more if names else "none"
