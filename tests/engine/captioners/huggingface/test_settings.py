"""The search settings of a model's generation_config.json: each is honoured, refused or replaced by the command's."""

import json
import shutil

import pytest
from transformers import GenerationConfig

from engine import __main__ as command
from engine.captioners.huggingface import explainer, settings
from engine.captioners.huggingface.errors import HuggingFaceError
from engine.config import DecodingConfig
from tests.support import tiny
from tests.support.generate_peer import assert_equal, choose_ends, generated, opened, searched

CONFIG = DecodingConfig(beam_sizes=(1, 3), max_length=8, n_best=2)
OF_THE_COMMAND = {"max_length", "max_new_tokens", "temperature", "top_k", "top_p", "min_p", "top_h", "typical_p"} | {
    *("epsilon_cutoff", "eta_cutoff")
}
"""Lengths, and sampling, which is the command's alone."""

DEFAULTS = {"length_penalty", "early_stopping"}
TOKENS = {"pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"}
OF_ASSISTANTS = {"num_assistant_tokens", "num_assistant_tokens_schedule", "assistant_confidence_threshold"} | {
    *("max_matching_ngram_size", "assistant_lookbehind", "target_lookbehind", "assistant_ensemble_weight"),
    "speculation_type",
}
"""Read only with an assistant model, which there is none of."""

OF_COMPILING = {"compile_config", "disable_compile", "continuous_batching_config"}
RECORDS = {"_from_model_config", "transformers_version"}

VALUES = {
    **{"max_length": 3, "max_new_tokens": 3, "temperature": 0.1, "top_k": 2, "top_p": 0.1, "min_p": 0.9, "top_h": 0.1},
    **{"typical_p": 0.1, "epsilon_cutoff": 0.5, "eta_cutoff": 0.5, "do_sample": True, "num_beams": 5},
    **{"use_cache": False, "cache_implementation": "static", "max_cache_len": 100},
    **{"cache_config": {"backend": "quanto"}, "prefill_chunk_size": 4, "prompt_lookup_num_tokens": 3},
    **{"assistant_early_exit": 1, "use_mtp": True, "is_assistant": True, "low_memory": True},
    **{"output_attentions": True, "output_hidden_states": True, "output_scores": True, "output_logits": True},
    **{"return_dict_in_generate": True, "num_assistant_tokens": 5, "assistant_confidence_threshold": 0.3},
    **{"num_assistant_tokens_schedule": "constant", "max_matching_ngram_size": 2, "disable_compile": True},
}
"""Values of settings that change no caption here."""


@pytest.mark.parametrize("name", sorted(GenerationConfig().__dict__))
def test_every_setting_of_transformers_is_known(name):
    """A setting that a new version of transformers adds fails here, until somebody decides what it means."""
    known = (settings.RULES, settings.REFUSED, settings.REPLACED, OF_THE_COMMAND, DEFAULTS, TOKENS)
    assert sum(name in group for group in (*known, OF_ASSISTANTS, OF_COMPILING, RECORDS)) == 1


@pytest.fixture(scope="module")
def several(folders):
    """Captioners of several kinds: with an encoder, with a prompt, and with an inner language model."""
    made = {name: explainer.load(f"hf:{folders(name)}") for name in ("vit_gpt2", "llava", "blip", "blip2")}
    for captioner in made.values():
        choose_ends(captioner, CONFIG.max_length, 1)
    return made


@pytest.fixture
def changed(several):
    """Give settings to a captioner's model for one test."""
    before = {}

    def give(name, **values):
        captioner = several[name]
        config = captioner._loaded.model.generation_config
        for key, value in values.items():
            before.setdefault((name, key), getattr(config, key))
            setattr(config, key, value)
        return captioner

    yield give
    for (name, key), value in before.items():
        setattr(several[name]._loaded.model.generation_config, key, value)


def rule_of(name, captioner):
    """The value of a rule that changes the captions of a model, which `plain` shows."""
    plain = searched(captioner, CONFIG)
    greedy = [image[0][0] for image in plain[1]]
    batch = opened(captioner, CONFIG)
    # An end token cannot be a bad word.
    word = next(token for image in plain[3] for token in image[0][0] if token not in batch.end_ids)
    second = next((token for token in greedy[1] if token != greedy[0][0]), greedy[0][0])
    values = {
        **{"repetition_penalty": 1.7, "no_repeat_ngram_size": 2, "min_new_tokens": 6, "forced_bos_token_id": 20},
        **{"min_length": batch.ids.shape[1] + 6, "forced_eos_token_id": batch.end_ids[0]},
        **{"suppress_tokens": [greedy[0][0], second], "begin_suppress_tokens": [each[0] for each in greedy]},
        **{"bad_words_ids": [[word], list(greedy[1][:2])], "exponential_decay_length_penalty": [2, 1.5]},
        **{"sequence_bias": [[[greedy[0][0]], -9.0], [list(greedy[1][:2]), 9.0]]},
        **{"remove_invalid_values": True, "renormalize_logits": True},
    }
    return values[name], plain


@pytest.mark.parametrize("name", settings.RULES)
@pytest.mark.parametrize("family", ["vit_gpt2", "llava", "blip", "blip2"])
def test_every_rule_of_a_model_is_applied_as_in_generate(several, changed, family, name):
    captioner = several[family]
    value, plain = rule_of(name, captioner)
    # A penalty leaves scores that do not sum to 1, so that normalising them makes a difference.
    rules = {name: value} | ({"repetition_penalty": 1.7} if name == "renormalize_logits" else {})
    changed(family, **rules)
    found = searched(captioner, CONFIG)
    # generate() of BLIP and BLIP-2 does not read the file's rules, so they are its arguments.
    arguments = rules if family in ("blip", "blip2") else {}
    for size in CONFIG.beam_sizes:
        assert_equal(found[size], generated(captioner, size, CONFIG, **arguments), (family, size, rules))
    needs_one_token = name == "forced_bos_token_id" and family != "vit_gpt2"
    if name != "remove_invalid_values" and not needs_one_token:
        assert found != plain


def test_rules_are_read_from_the_file(folders, tmp_path):
    free = explainer.load(f"hf:{folders('vit_gpt2')}")
    word = searched(free, CONFIG)[1][0][0][0][0]
    rules = {"bad_words_ids": [[word]], "sequence_bias": [[[word], 5.0]], "no_repeat_ngram_size": 2, "min_length": 5}
    rules |= {"exponential_decay_length_penalty": [3, 1.1]}
    folder = with_settings(folders("vit_gpt2"), tmp_path / "model", rules)
    captioner = explainer.load(f"hf:{folder}")
    found = searched(captioner, CONFIG)
    for size in CONFIG.beam_sizes:
        assert_equal(found[size], generated(captioner, size, CONFIG), size)
    assert found != searched(free, CONFIG)
    assert not any(word in tokens for every in found.values() for image in every for tokens, _ in image)


@pytest.mark.parametrize("family", ["vit_gpt2", "llava"])
@pytest.mark.parametrize("name", VALUES)
def test_settings_that_the_command_replaces_change_no_caption(several, changed, family, name):
    captioner = several[family]
    plain = searched(captioner, CONFIG)
    changed(family, **{name: VALUES[name]})
    assert searched(captioner, CONFIG) == plain


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("num_beam_groups", 2), ("diversity_penalty", 0.5), ("penalty_alpha", 1), ("guidance_scale", 1.5)),
        *(("encoder_no_repeat_ngram_size", 1), ("encoder_repetition_penalty", 1.2), ("token_healing", True)),
        *(("constraints", [[5]]), ("force_words_ids", [[5]]), ("stop_strings", [" and"]), ("stop_strings", "a")),
        *(
            ("max_time", 2.0),
            ("max_time", 0),
            ("dola_layers", "low"),
            ("watermarking_config", {"greenlist_ratio": 0.5}),
        ),
        *(("num_return_sequences", 2), ("early_stopping", "never"), ("length_penalty", "long")),
    ],
)
def test_settings_of_other_searches_are_refused(folders, tmp_path, name, value):
    folder = with_settings(folders("vit_gpt2"), tmp_path / "model", {name: value, "num_beams": 4})
    with pytest.raises(HuggingFaceError, match=rf"generation_config.json has {name} .*, which is not supported"):
        settings.decoding_defaults(f"hf:{folder}")
    with pytest.raises(HuggingFaceError, match="which is not supported; remove it"):
        explainer.load(f"hf:{folder}")


def with_settings(model, folder, values):
    """Copy a model's folder and add settings to its generation_config.json."""
    path = shutil.copytree(model, folder) / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return folder


def test_a_refused_setting_is_one_sentence_before_the_run(folders, tmp_path, capsys):
    folder = with_settings(folders("vit_gpt2"), tmp_path / "model", {"stop_strings": ["."]})
    data = tiny.coco(tmp_path / "data", count=1)
    arguments = ["--data", data, "--captioner", f"hf:{folder}", "--run", "x", "--results", tmp_path / "r"]
    assert command.main([str(each) for each in ("evaluate", *arguments)]) == 2
    shown = capsys.readouterr().err
    assert "generation_config.json has stop_strings ['.'], which is not supported; remove it" in shown
    assert shown.count("\n") == 1 and not (tmp_path / "r").exists()


@pytest.mark.parametrize("name", settings.REFUSED)
def test_values_without_effect_are_accepted(name):
    for value in (None, *settings.REFUSED[name]):
        settings.check("m", GenerationConfig(**{name: value}))


@pytest.mark.parametrize(("name", "value"), [("repetition_penalty", "x"), ("bad_words_ids", 5), ("min_length", "x")])
def test_a_rule_with_a_wrong_value_is_one_sentence(several, changed, name, value):
    captioner = changed("vit_gpt2", **{name: value})
    with pytest.raises(HuggingFaceError) as caught:
        searched(captioner, CONFIG)
    assert "\n" not in str(caught.value)


def test_samples_with_one_token_to_choose_from_are_greedy_and_others_depend_on_the_seed_alone(several):
    for captioner in several.values():
        greedy = searched(captioner, DecodingConfig(beam_sizes=(1,), max_length=8))
        single = searched(captioner, DecodingConfig(beam_sizes=(1,), max_length=8, sample=True, top_k=1, seed=3))
        assert_equal(single[1], greedy[1], captioner.name)
        drawn = [
            searched(captioner, DecodingConfig(beam_sizes=(1,), max_length=8, sample=True, seed=seed, temperature=2.0))
            for seed in (1, 1, 2)
        ]
        assert drawn[0] == drawn[1] != drawn[2]
