"""Load a model with its processor by a name of the Hub or from a folder, through transformers' Auto classes.

Code that comes with a model is never executed.
"""

import hashlib
import importlib.util
import re
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.captioners.huggingface.errors import HuggingFaceError
from engine.captioners.huggingface.families import Family, family_of
from engine.models import fingerprints
from engine.models.hub import quiet_downloads
from engine.reading import first_line, quoted

PREFIX = "hf:"
_NAME = re.compile(r"[\w.-]+/[\w.-]+|[\w.-]+")


@dataclass(frozen=True)
class Loaded:
    """A model with what prepares its input and reads its output."""

    name: str
    model: Any
    """A transformers model with `generate`, in evaluation mode."""
    processor: Any
    """Prepares photos and text together; None if the model has only an image processor and a tokenizer."""
    image_processor: Any
    tokenizer: Any
    revision: str | None
    """The commit on the Hub, if known."""
    device_map: str | dict[str, Any] | None = None
    """How the model is spread over devices; None if it is on one."""
    missing: tuple[str, ...] = ()
    """Weights that the model's files lack; their values are NaN."""

    @property
    def device(self) -> torch.device:
        """Return the device of the model's inputs and outputs; a spread model moves them to its parts by itself."""
        place = getattr(getattr(self.model, "_hf_hook", None), "execution_device", None)  # of accelerate
        return self.model.device if place is None else torch.device(place)

    @property
    def family(self) -> Family:
        """Return the model's family."""
        return family_of(self.model.config.model_type)


def split_name(name: str) -> tuple[str, str | None]:
    """Return the folder or name on the Hub, and the revision, of `hf:NAME@REVISION`.

    Raises:
        HuggingFaceError: it is neither a folder nor a name on the Hub.
    """
    where = name.removeprefix(PREFIX)
    if where and Path(where).exists():
        if not Path(where, "config.json").is_file():
            raise HuggingFaceError(f"{name}: {where} has no config.json; expected a folder of save_pretrained")
        return where, None
    repository, _, revision = where.partition("@")
    if not _NAME.fullmatch(repository):
        raise HuggingFaceError(f"{name}: expected a folder that exists, or a name on the Hub such as org/model")
    return repository, revision or None


def require_transformers(name: str) -> None:
    """Raise `HuggingFaceError` if transformers is not installed."""
    if importlib.util.find_spec("transformers") is None:
        raise HuggingFaceError(f"{name}: transformers is not installed; run pip install 'captionscope[hf]'")


def require_accelerate(name: str) -> None:
    """Raise `HuggingFaceError` if accelerate is not installed."""
    if importlib.util.find_spec("accelerate") is None:
        raise HuggingFaceError(
            f"{name}: --device-map needs accelerate, which is not installed; run pip install 'captionscope[hf]'"
        )


def load(
    name: str,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    device_map: str | dict[str, Any] | None = None,
) -> Loaded:
    """Load a model and its processor.

    Args:
        name: `hf:` and a folder, or a name on the Hub with an optional `@revision`.
        device_map: `auto` spreads the model over all devices, or the device of each part (accelerate).

    Raises:
        HuggingFaceError: transformers is not installed, the model cannot be found, or is not a captioner.
    """
    require_transformers(name)
    if device_map is not None:
        require_accelerate(name)
    from transformers.utils import logging

    where, revision = split_name(name)
    logging.set_verbosity_error()
    options = {"revision": revision} if revision else {}
    with quiet_downloads(), _bars(), as_sentences(name, where):
        model, missing = _model(where, dtype, device_map, options)
        processor = processor_of(where, options)
        images, tokenizer = parts_of(where, processor, options)
    if not model.config.is_encoder_decoder:
        tokenizer.padding_side = "left"  # generation continues at the end
    if device_map is None:
        model = model.to(device)
    found = getattr(model.config, "_commit_hash", None) or revision
    return Loaded(name.removeprefix(PREFIX), model.eval(), processor, images, tokenizer, found, device_map, missing)


@contextmanager
def as_sentences(name: str, where: str) -> Generator[None]:
    """Turn errors of transformers and its libraries, which raise almost anything for damaged files, into sentences."""
    try:
        yield
    except HuggingFaceError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # of tokenizers
            raise
        raise HuggingFaceError(_why(name, where, error)) from error


@contextmanager
def _bars() -> Generator[None]:
    """Show the progress bars of transformers and the Hub only in a terminal: a file would get every state of them."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from transformers.utils import logging

    before = (logging.is_progress_bar_enabled(), not are_progress_bars_disabled())
    if not sys.stderr.isatty():
        logging.disable_progress_bar()  # also those of the Hub
        disable_progress_bars()
    try:
        yield
    finally:
        if before[0]:
            logging.enable_progress_bar()
        if before[1]:
            enable_progress_bars()


def _model(where: str, dtype: torch.dtype, device_map: Any, options: dict[str, Any]) -> tuple[Any, tuple[str, ...]]:
    from transformers import AutoModelForImageTextToText

    more = {"dtype": dtype, "trust_remote_code": False, "ignore_mismatched_sizes": True, **options}
    more |= {"device_map": device_map} if device_map else {}
    load: Any = AutoModelForImageTextToText.from_pretrained  # returns a pair
    try:
        model, found = load(where, attn_implementation="sdpa", output_loading_info=True, **more)
    except ValueError as error:
        if "attention" not in str(error):
            raise
        model, found = load(where, attn_implementation="eager", output_loading_info=True, **more)
    _check_sizes(where, found)
    return model, _mark_missing(model, found)


def _check_sizes(where: str, found: dict[str, Any]) -> None:
    """Raise `HuggingFaceError` if a weight does not fit: transformers would go on with random numbers."""
    wrong = sorted(str(each[0]) for each in found["mismatched_keys"])
    if wrong:
        raise HuggingFaceError(
            f"{PREFIX}{where}: {listed(wrong)} has another size than config.json says; copy the model's folder again"
        )


def _mark_missing(model: Any, found: dict[str, Any]) -> tuple[str, ...]:
    """Return the weights that no file has, and set them to NaN instead of random numbers.

    Many published models lack weights that captions do not need, such as those of a pooler. If the logits are NaN,
    captions do need them.
    """
    missing = tuple(sorted(map(str, found["missing_keys"])))
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name in missing:
            if name in parameters and not parameters[name].is_meta:
                parameters[name].fill_(torch.nan)
    return missing


def listed(names: Sequence[str]) -> str:
    """Return the first name and how many more there are."""
    return names[0] + (f" (and {len(names) - 1:,} more)" if len(names) > 1 else "")


def processor_of(where: str, options: dict[str, Any]) -> Any:
    """Return the processor, or None if the model has none: AutoProcessor then returns one of its parts, or fails."""
    from transformers import AutoProcessor

    try:
        found = AutoProcessor.from_pretrained(where, trust_remote_code=False, **options)
    except (OSError, ValueError, KeyError):
        return None
    return found if hasattr(found, "image_processor") and hasattr(found, "tokenizer") else None


def parts_of(where: str, processor: Any, options: dict[str, Any]) -> tuple[Any, Any]:
    """Return the image processor and the tokenizer."""
    from transformers import AutoImageProcessor, AutoTokenizer

    if processor is not None:
        return processor.image_processor, processor.tokenizer
    images = AutoImageProcessor.from_pretrained(where, trust_remote_code=False, **options)
    return images, AutoTokenizer.from_pretrained(where, trust_remote_code=False, **options)


def not_a_captioner(name: str) -> str:
    """Return what is said of other models."""
    return f"{name}: not a captioner; expected a model that transformers loads as AutoModelForImageTextToText"


def _why(name: str, where: str, error: BaseException) -> str:
    text = str(error)
    if isinstance(error, ImportError):
        return f"{name}: {first_line(error)}; run pip install 'captionscope[hf]'"
    if "trust_remote_code" in text or "custom code" in text:
        return f"{name}: the model needs code of its own, which is not executed; choose a model that transformers has"
    if "Unrecognized configuration class" in text:
        return not_a_captioner(name)
    if Path(where).exists():
        return f"{name}: the model cannot be read ({quoted(first_line(error))}); copy its folder again"
    return (
        f"{name}: the model is not in the cache and cannot be downloaded ({quoted(first_line(error))}); where there is "
        f"a network, run hf download {where}, or copy its folder and pass it as hf:FOLDER"
    )


def fingerprint(loaded: Loaded) -> str:
    """Return 16 hex digits that change with any weight, with the config and with the generation settings."""
    settings = loaded.model.config.to_json_string() + loaded.model.generation_config.to_json_string()
    kind = f"{loaded.model.dtype} {settings}"
    return fingerprints.remembered(_files(loaded), kind, lambda: _fingerprint(loaded, settings))


def _files(loaded: Loaded) -> list[Path]:
    """Return the files that a model was read from; none if they are not known."""
    from huggingface_hub import snapshot_download

    where, _ = split_name(f"{PREFIX}{loaded.name}")
    if Path(where).is_dir():
        return fingerprints.files_in(Path(where))
    try:
        folder = snapshot_download(where, revision=loaded.revision, local_files_only=True)
    except (OSError, ValueError):
        return []
    return fingerprints.files_in(Path(folder))


def _fingerprint(loaded: Loaded, settings: str) -> str:
    digest = hashlib.sha256(settings.encode())
    for name, tensor in sorted(loaded.model.state_dict().items()):
        digest.update(name.encode())
        here = _read(loaded.model, name) if tensor.is_meta else tensor
        digest.update(np.ascontiguousarray(here.detach().cpu().flatten().view(torch.uint8).numpy()).tobytes())
    return digest.hexdigest()[:16]


def _read(model: Any, name: str) -> torch.Tensor:
    """Return a weight that accelerate keeps elsewhere until it is needed."""
    from accelerate.utils import align_module_device

    parent, _, own = name.rpartition(".")
    module = model.get_submodule(parent)
    with align_module_device(module):
        return getattr(module, own).detach().clone()
