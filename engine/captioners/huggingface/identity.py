"""What decides the captions of a model besides the search: weights, revision, precision, prompt and chat template."""

import hashlib
import json
from typing import Any

from engine.captioners.huggingface import handover, loading


def identity(loaded: loading.Loaded, prompt: str | None) -> dict[str, Any]:
    """Return JSON values that must be equal for a run to continue, each under its own name.

    Args:
        prompt: the text that goes to the processor, with the chat template applied.

    Returns:
        captioner (fingerprint of weights and settings), revision, dtype, prompt, chat_template (its digest, None if
        none is applied), transformers (its version) and device_map.
    """
    from transformers import __version__

    return {
        "captioner": loading.fingerprint(loaded),
        "revision": loaded.revision,
        "dtype": str(loaded.model.dtype).removeprefix("torch."),
        "prompt": prompt,
        "chat_template": template_digest(loaded),
        "transformers": __version__,
        "device_map": loaded.device_map,
    }


def template_digest(loaded: loading.Loaded) -> str | None:
    """Return 16 hex digits of the chat template that is applied to the prompt, or None if none is."""
    if not handover.has_template(loaded):
        return None
    return hashlib.sha256(json.dumps(loaded.processor.chat_template, sort_keys=True).encode()).hexdigest()[:16]
