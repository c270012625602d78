import math

import pytest

from engine.config import CaptionerConfig, ConfigError, DecodingConfig, Recipe, TrainingConfig, from_dict, read_recipe
from tests.conftest import ROOT


@pytest.mark.parametrize("recipe", sorted((ROOT / "engine" / "recipes").glob("*.toml")), ids=lambda path: path.name)
def test_every_included_recipe_is_valid_and_names_its_source(recipe):
    assert read_recipe(recipe).model.encoder
    comment = [line for line in recipe.read_text().splitlines() if line.startswith("#")]
    for word in ("Source", "Expected", "Command"):
        assert any(word in line for line in comment), f"{recipe.name} does not say its {word}"


def test_an_unknown_key_names_the_file_the_key_and_the_known_ones(tmp_path):
    file = tmp_path / "bad.toml"
    file.write_text("[model]\nencoder = 'vit'\n[training]\nlearning_rat = 1\n")
    with pytest.raises(
        ConfigError, match=r"bad.toml: training: unknown setting 'learning_rat', expected one of epochs"
    ):
        read_recipe(file)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": {}}, "'encoder' is missing"),
        ({"model": {"encoder": 3}}, "expected str"),
        ({"model": {"encoder": "vit"}, "training": {"epochs": 1.5}}, "epochs: 1.5: expected int"),
        ({"model": {"encoder": "vit"}, "training": {"precision": "fp8"}}, "precision is 'fp8', expected one of"),
        (
            {"model": {"encoder": "vit"}, "training": {"pretrained": True, "encoder_weights": "x"}},
            "the encoder can start from only one of them",
        ),
    ],
)
def test_the_error_for_a_wrong_value_names_what_was_expected(values, message):
    with pytest.raises(ConfigError, match=message):
        from_dict(Recipe, values, "recipe")


def test_a_missing_recipe_names_those_there_are(tmp_path):
    with pytest.raises(ConfigError, match="demo.toml"):
        read_recipe(tmp_path / "nothing.toml")


def test_whole_numbers_are_taken_for_shares_and_lists_for_tuples():
    config = from_dict(
        CaptionerConfig, {"encoder": "v", "vocab_size": 9, "d_model": 8, "dropout": 0, "mean": [1, 2, 3]}, "x"
    )
    assert config.dropout == 0.0
    assert config.mean == (1, 2, 3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("crop_pct", 0.0), ("crop_pct", 2.0), ("interpolation", "lanczos"), ("mean", ["a", "b", "c"])),
        *(("mean", [0.5, 0.5]), ("std", [0.0, 0.5, 0.5]), ("std", [math.nan, 0.5, 0.5])),
    ],
)
def test_a_preprocessing_that_makes_no_picture_is_refused(name, value):
    with pytest.raises(ConfigError, match=f"recipe: model: {name} is .*, expected"):
        from_dict(Recipe, {"model": {"encoder": "vit", name: value}}, "recipe")


@pytest.mark.parametrize("sizes", [(), (0,), (101,), (3, 3)])
def test_beam_sizes_that_cannot_be_are_refused(sizes):
    with pytest.raises(ConfigError, match="beam_sizes"):
        DecodingConfig(beam_sizes=sizes)


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(ConfigError, match="multiple of nhead"):
        CaptionerConfig(encoder="v", vocab_size=9, d_model=10, nhead=4)


def test_the_defaults_are_the_studys():
    config = TrainingConfig()
    assert (config.epochs, config.batch_size, config.learning_rate, config.warmup_steps) == (5, 32, 5e-5, 1000)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample": True}, r"beam_sizes is \(1, 3, 5\), expected only 1 when captions are sampled"),
        ({"temperature": 0.5}, "temperature is 0.5, expected 1.0 unless captions are sampled"),
        ({"top_k": 5}, "top_k is 5, expected 0 unless captions are sampled"),
        ({"top_p": 0.9}, "top_p is 0.9, expected 1.0 unless captions are sampled"),
        ({"seed": 3}, "seed is 3, expected 0 unless captions are sampled"),
        ({"sample": True, "beam_sizes": (1,), "temperature": 0.0}, "temperature is 0.0, expected a number above 0"),
        ({"sample": True, "beam_sizes": (1,), "top_p": 1.5}, "top_p is 1.5, expected a share above 0, up to 1"),
        ({"sample": True, "beam_sizes": (1,), "n_best": 101}, "n_best is 101, expected 1 to 100 samples"),
        ({"n_best": 6}, r"n_best is 6, expected 1 to the largest beam size \(5\)"),
        ({"repetition_penalty": 0.0}, "repetition_penalty is 0.0, expected a number above 0"),
        ({"length_penalty": math.nan}, "length_penalty is nan, expected a number from -10 to 10"),
        ({"length_penalty": math.inf}, "length_penalty is inf"),
        ({"length_penalty": 1e308}, "length_penalty is 1e"),
        ({"repetition_penalty": math.inf}, "repetition_penalty is inf"),
        ({"repetition_penalty": math.nan}, "repetition_penalty is nan"),
        ({"sample": True, "beam_sizes": (1,), "temperature": math.inf}, "temperature is inf"),
        ({"no_repeat_ngram": -1}, "no_repeat_ngram is -1, expected 0, or a number of tokens"),
        ({"precision": "fp8"}, "precision is 'fp8', expected one of"),
        ({"rule": "study", "no_repeat_ngram": 2}, "no_repeat_ngram is 2, expected 0 under the study's rule"),
        ({"rule": "study", "early_stopping": True}, "early_stopping is True, expected false under the study's rule"),
        ({"rule": "study", "sample": True, "beam_sizes": (1,)}, "sample is True, expected false under the study's"),
    ],
)
def test_a_search_that_contradicts_itself_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        DecodingConfig(**changes)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("max_length", 600), ("clip_norm", 0.0), ("clip_norm", math.nan), ("learning_rate", math.inf)),
        *(("warmup_steps", -5), ("validation_images", -1), ("vocab_size", 3), ("seed", -1), ("weight_decay", -1.0)),
    ],
)
def test_a_training_that_could_not_end_well_does_not_begin(name, value):
    with pytest.raises(ConfigError, match=f"recipe: training: {name} is {value}, expected"):
        from_dict(Recipe, {"model": {"encoder": "vit"}, "training": {name: value}}, "recipe")


def test_signature_fields_have_the_rule_always_and_the_rest_unless_default():
    always = {"rule": "standard", "max_length": 30, "length_penalty": 1.0, "early_stopping": False}
    assert DecodingConfig().signature_fields() == always
    assert DecodingConfig(n_best=2, precision="bf16").signature_fields() == always | {"n_best": 2, "precision": "bf16"}
    sampled = DecodingConfig(beam_sizes=(1,), sample=True, top_k=9).signature_fields()
    assert sampled == always | {"sample": True, "temperature": 1.0, "top_k": 9, "top_p": 1.0, "seed": 0}
