"""Whether a folder holds a captioner: its config, weights, processor and prompt are read, but no model is made."""

from pathlib import Path
from types import SimpleNamespace

from engine.captioners.huggingface import handover, loading
from engine.captioners.huggingface.errors import HuggingFaceError
from engine.models.hub import quiet_downloads


def model_type_of(name: str, where: str) -> str:
    """Return the `model_type` of the captioner in a folder.

    Args:
        name: for messages.

    Raises:
        HuggingFaceError: it is not a captioner, or a part of it is missing or damaged.
    """
    loading.require_transformers(name)
    from transformers import AutoConfig, AutoModelForImageTextToText

    with quiet_downloads(), loading.as_sentences(name, where):
        config = AutoConfig.from_pretrained(where, trust_remote_code=False)
        if type(config) not in AutoModelForImageTextToText._model_mapping:
            raise HuggingFaceError(loading.not_a_captioner(name))
        _check_weights(name, Path(where))
        processor = loading.processor_of(where, {})
        images, tokenizer = loading.parts_of(where, processor, {})
        model = SimpleNamespace(config=config)
        handover.prompt_text(loading.Loaded(where, model, processor, images, tokenizer, None), None)
    return config.model_type


def _check_weights(name: str, folder: Path) -> None:
    from safetensors import SafetensorError, safe_open

    files = sorted(folder.glob("*.safetensors"))
    if not files and not list(folder.glob("*.bin")):
        raise HuggingFaceError(f"{name}: the folder has no weights (*.safetensors); copy it again")
    for file in files:
        try:
            with safe_open(file, "pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise HuggingFaceError(f"{name}: {file.name} is damaged ({error}); copy it again") from error
