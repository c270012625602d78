"""The families of models that are supported, and what differs between them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """A family of models, by `model_type` in their config."""

    title: str
    prompt: str | None = None
    """The default prompt; None for models that caption without one."""
    is_chat: bool = False
    """Whether the prompt goes through the chat template of the processor."""
    is_nested: bool = False
    """Whether the processor expects a list of photos per text: a flat list would be one text with many photos."""


DESCRIBE = "Describe this image in one short sentence."

FAMILIES: dict[str, Family] = {
    "vision-encoder-decoder": Family("VisionEncoderDecoder"),
    "blip": Family("BLIP"),
    "git": Family("GIT"),
    "blip-2": Family("BLIP-2"),
    "florence2": Family("Florence-2", "<CAPTION>"),
    "paligemma": Family("PaliGemma", "<image>caption en"),
    "llava": Family("LLaVA", DESCRIBE, is_chat=True),
    "llava_next": Family("LLaVA-Next", DESCRIBE, is_chat=True),
    "qwen2_vl": Family("Qwen2-VL", DESCRIBE, is_chat=True),
    "qwen2_5_vl": Family("Qwen2.5-VL", DESCRIBE, is_chat=True),
    "qwen3_vl": Family("Qwen3-VL", DESCRIBE, is_chat=True),
    "smolvlm": Family("SmolVLM", DESCRIBE, is_chat=True, is_nested=True),
    "idefics3": Family("Idefics3", DESCRIBE, is_chat=True, is_nested=True),
}

UNKNOWN = Family("another family", DESCRIBE, is_chat=True)
"""How a family that is not in the list is prompted, if its processor has a chat template."""


def family_of(model_type: str) -> Family:
    """Return the family of a `model_type`."""
    return FAMILIES.get(model_type, UNKNOWN)
