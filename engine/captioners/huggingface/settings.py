"""The search settings in a model's `generation_config.json`."""

from pathlib import Path
from typing import Any

from engine.captioners.huggingface.errors import HuggingFaceError
from engine.captioners.huggingface.loading import PREFIX, require_transformers, split_name
from engine.models.hub import quiet_downloads
from engine.reading import first_line, quoted

RULES = (
    *("repetition_penalty", "no_repeat_ngram_size", "bad_words_ids", "sequence_bias", "min_length", "min_new_tokens"),
    *("forced_bos_token_id", "forced_eos_token_id", "suppress_tokens", "begin_suppress_tokens"),
    *("exponential_decay_length_penalty", "remove_invalid_values", "renormalize_logits"),
)
"""Settings that change scores of the next token by the prefix alone: applied at every step."""

REFUSED: dict[str, tuple[Any, ...]] = {
    **{"num_beam_groups": (0, 1), "diversity_penalty": (0,), "penalty_alpha": (0,), "guidance_scale": (1,)},
    **{"encoder_no_repeat_ngram_size": (0,), "encoder_repetition_penalty": (1,), "token_healing": (False,)},
    **{"constraints": ([],), "force_words_ids": ([],), "stop_strings": ([], ""), "max_time": (), "dola_layers": ()},
    **{"watermarking_config": (), "num_return_sequences": (1,)},
}
"""Settings of searches that are not supported, with the values that have no effect; None has none either."""

REPLACED: dict[str, Any] = {
    **{"do_sample": False, "num_beams": 1, "use_cache": True},
    **{"cache_implementation": None, "cache_config": None, "max_cache_len": None, "prefill_chunk_size": None},
    **{"prompt_lookup_num_tokens": None, "assistant_early_exit": None, "use_mtp": None, "is_assistant": None},
    **{"low_memory": None, "output_attentions": False, "output_hidden_states": False, "output_scores": False},
    **{"output_logits": False, "return_dict_in_generate": False},
}
"""Settings that the command has options for, or that change speed and memory but no caption, with our values."""


def rules(config: Any) -> dict[str, Any]:
    """Return the settings of `RULES` that a generation config has.

    They are passed to `generate()`, because models that hand over to an inner language model, such as BLIP and BLIP-2,
    read only the settings of that.
    """
    found = {name: getattr(config, name, None) for name in RULES}
    return {name: value for name, value in found.items() if value is not None}


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
        except (OSError, ValueError) as error:
            if not Path(where, "generation_config.json").exists() and "valid JSON" not in str(error):
                return {}  # older models have none; loading the model reports what is missing
            raise _unreadable(where, error) from error
        except Exception as error:  # a file of another form
            raise _unreadable(where, error) from error
    check(where, found)
    settings = {"length_penalty": found.length_penalty, "early_stopping": found.early_stopping}
    return {key: value for key, value in settings.items() if value is not None}


def _unreadable(where: str, error: Exception) -> HuggingFaceError:
    reason = quoted(first_line(error))
    return HuggingFaceError(f"{PREFIX}{where}: generation_config.json cannot be read ({reason}); copy it again")


def check(name: str, config: Any) -> None:
    """Raise `HuggingFaceError` if generation settings ask for a search that is not supported."""
    refused = [key for key, harmless in REFUSED.items() if getattr(config, key, None) not in (None, *harmless)]
    refused += ["early_stopping"] if config.early_stopping not in (None, False, True) else []
    penalty = config.length_penalty
    refused += ["length_penalty"] if penalty is not None and not isinstance(penalty, int | float) else []
    if refused:
        setting = f"{refused[0]} {quoted(getattr(config, refused[0]))}"
        raise HuggingFaceError(
            f"{PREFIX}{name}: generation_config.json has {setting}, which is not supported; remove it"
        )
