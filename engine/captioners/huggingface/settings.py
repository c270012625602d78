"""The search settings in a model's `generation_config.json`."""

from typing import Any

from engine.captioners.huggingface.errors import HuggingFaceError
from engine.captioners.huggingface.loading import PREFIX, require_transformers, split_name
from engine.models.hub import quiet_downloads
from engine.reading import first_line, quoted

_REFUSED = (
    *("num_beam_groups", "penalty_alpha", "dola_layers", "constraints", "force_words_ids", "guidance_scale"),
    *("encoder_no_repeat_ngram_size", "encoder_repetition_penalty", "token_healing", "watermarking_config"),
)
"""Settings of searches that are not supported, unless they have a value without effect."""

_WITHOUT_EFFECT: tuple[Any, ...] = (None, 0, 1, False, [], {})


def decoding_defaults(name: str) -> dict[str, Any]:
    """Return length_penalty and early_stopping of a model, where its generation settings have them.

    Its constraints and forced tokens are applied at every step, see `handover`. Captions are searched, not sampled, and
    beam sizes and the maximum length are those of the command, whatever the model's settings are.

    Raises:
        HuggingFaceError: the settings ask for a search that is not supported.
    """
    require_transformers(name)
    from transformers import GenerationConfig

    where, revision = split_name(name)
    with quiet_downloads():
        try:
            found = GenerationConfig.from_pretrained(where, revision=revision or "main")
        except (OSError, ValueError):
            return {}  # older models have none; loading the model reports what is missing
        except Exception as error:  # a file of another form
            raise HuggingFaceError(
                f"{PREFIX}{where}: generation_config.json cannot be read ({first_line(error)}); copy it again"
            ) from error
    check(where, found)
    settings = {"length_penalty": found.length_penalty, "early_stopping": found.early_stopping}
    return {key: value for key, value in settings.items() if value is not None}


def check(name: str, config: Any) -> None:
    """Raise `HuggingFaceError` if generation settings ask for a search that is not supported."""
    refused = [key for key in _REFUSED if getattr(config, key, None) not in _WITHOUT_EFFECT]
    refused += ["early_stopping"] if config.early_stopping not in (None, False, True) else []
    penalty = config.length_penalty
    refused += ["length_penalty"] if penalty is not None and not isinstance(penalty, int | float) else []
    if refused:
        setting = f"{refused[0]} {quoted(getattr(config, refused[0]))}"
        raise HuggingFaceError(
            f"{PREFIX}{name}: generation_config.json has {setting}, which is not supported; remove it"
        )
