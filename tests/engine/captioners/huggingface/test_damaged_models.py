"""Models that are damaged or do not fit their settings: one sentence, no traceback, no numbers of random weights."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from engine import __main__ as command
from engine.captioners.huggingface import explainer, loading
from engine.captioners.huggingface.errors import HuggingFaceError
from engine.config import DecodingConfig
from engine.protocols import Hypothesis
from engine.store import records, tables
from tests.support import tiny


def run(*arguments: object) -> int:
    return command.main([str(argument) for argument in arguments])


@pytest.fixture
def copy(folders, tmp_path):
    def copied(name: str) -> Path:
        return shutil.copytree(folders(name), tmp_path / name)

    return copied


@pytest.fixture
def data(tmp_path) -> Path:
    return tiny.coco(tmp_path / "data", count=2)


def evaluated(folder: Path, data: Path, *more: object) -> int:
    asked = ("--data", data, "--captioner", f"hf:{folder}", "--beams", 1, "--max-length", 4, "--metrics", "cider")
    return run("evaluate", *asked, "--run", "x", "--results", data.parent / "r", *more)


def sentence(capsys) -> str:
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    bars = ("caption:", "Writing model shards:", "Loading weights:")
    lines = [line for line in shown.splitlines() if line.strip() and not line.startswith(bars)]
    assert len(lines) == 1, shown
    return lines[0]


def weights_without(folder: Path, name: str) -> None:
    file = folder / "model.safetensors"
    found = load_file(file)
    key = next(each for each in found if each.endswith(name))
    del found[key]
    save_file(found, file, metadata={"format": "pt"})


def test_a_model_without_a_weight_is_refused_and_does_not_get_a_random_one(copy, data, capsys):
    folder = copy("llava")
    weights_without(folder, "norm.weight")
    assert evaluated(folder, data) == 2
    missing = "model.language_model.layers.0.input_layernorm.weight"
    assert f"its files lack {missing}, which captions need" in sentence(capsys)


def test_a_weight_of_another_size_is_named(copy, capsys):
    folder = copy("llava")
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["intermediate_size"] = 40
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(HuggingFaceError, match=r"mlp.* \(and \d+ more\) has another size than config.json says"):
        loading.load(f"hf:{folder}")


def test_weights_of_another_family_are_refused(copy, folders):
    folder = copy("llava")
    shutil.copy(folders("git") / "model.safetensors", folder)
    captioner = explainer.load(f"hf:{folder}")
    with pytest.raises(HuggingFaceError, match=r"its files lack .* \(and \d+ more\), which captions need"):
        captioner.caption([np.zeros((40, 40, 3), np.uint8)], ["a"], DecodingConfig(beam_sizes=(1,), max_length=3))


def test_a_model_without_its_pooler_captions_as_before_and_is_the_same_model_each_time(copy, folders):
    # Published models of VisionEncoderDecoder (TrOCR, ViT-GPT2) lack the pooler, which captions do not need.
    folder = copy("vit_gpt2")
    for part in ("pooler.dense.weight", "pooler.dense.bias"):
        weights_without(folder, part)
    first, second = (explainer.load(f"hf:{folder}") for _ in range(2))
    assert len(first._loaded.missing) == 2 and first.fingerprint == second.fingerprint
    photo = [np.full((40, 40, 3), 90, np.uint8)]
    config = DecodingConfig(beam_sizes=(1, 3), max_length=6)
    whole = explainer.load(f"hf:{folders('vit_gpt2')}")
    assert first.caption(photo, ["a"], config) == whole.caption(photo, ["a"], config)


def test_generation_settings_that_cannot_be_read_are_not_ignored(copy, data, capsys):
    folder = copy("llava")
    (folder / "generation_config.json").write_text("{oops")
    assert evaluated(folder, data) == 2
    assert "generation_config.json cannot be read (" in sentence(capsys)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{% if", "the chat template fails (TemplateSyntaxError"),
        ("{{ raise_exception('no system prompt') }}", "the chat template fails (TemplateError: 'no system prompt')"),
        ("", "the model has no chat template"),
    ],
)
def test_a_chat_template_that_fails_is_one_sentence(copy, data, capsys, template, expected):
    folder = copy("llava")
    (folder / "chat_template.jinja").write_text(template)
    assert evaluated(folder, data) == 2
    assert expected in sentence(capsys)


def test_without_a_template_the_whole_prompt_can_be_given(copy):
    folder = copy("llava")
    usual = explainer.load(f"hf:{folder}").metadata["prompt"]
    (folder / "chat_template.jinja").write_text("")
    assert explainer.load(f"hf:{folder}", prompt=usual).metadata["prompt"] == usual


def test_a_tokenizer_of_another_model_is_one_sentence_and_blames_nothing_else(copy, folders, data, capsys):
    folder = copy("llava")
    config = json.loads((folder / "config.json").read_text())
    config["image_token_index"] = 5  # the tokens of the photo are elsewhere
    (folder / "config.json").write_text(json.dumps(config))
    assert evaluated(folder, data) == 2
    found = sentence(capsys)
    assert "the model cannot caption a photo (ValueError: " in found and "check --prompt, and the model's" in found


def test_a_failed_first_photo_does_not_keep_the_name_of_the_run(copy, folders, data, capsys):
    assert evaluated(folders("llava"), data, "--prompt", "<image> look at this") == 2
    assert "check --prompt" in sentence(capsys)
    assert evaluated(folders("llava"), data) == 0
    assert records.read_record(records.run_folder(data.parent / "r", "x")) is not None


@pytest.mark.parametrize(("name", "most"), [("git", 64), ("vit_gpt2", 128)])
def test_captions_longer_than_the_models_positions_are_refused_with_the_limit(folders, data, capsys, name, most):
    captioner = explainer.load(f"hf:{folders(name)}")
    photo = [np.zeros((40, 40, 3), np.uint8)]
    allowed = DecodingConfig(beam_sizes=(1,), max_length=most)
    assert len(captioner.caption(photo, ["a"], allowed)[1][0][0].tokens) <= most
    with pytest.raises(HuggingFaceError, match=rf"--max-length {most + 1}: the model has {most} positions"):
        captioner.caption(photo, ["a"], DecodingConfig(beam_sizes=(1,), max_length=most + 1))


def test_a_forced_token_outside_the_vocabulary_is_one_sentence(copy, data, capsys):
    folder = copy("llava")
    settings = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(settings | {"forced_eos_token_id": 99_999}))
    assert evaluated(folder, data) == 2
    assert "the model cannot caption a photo (IndexError: " in sentence(capsys)


def test_a_caption_of_spaces_has_no_words_and_no_maps(captioners):
    captioner = captioners("paligemma")
    blank = captioner._loaded.tokenizer("\n", add_special_tokens=False)["input_ids"]
    caption = Hypothesis("", (), tuple(blank), -1.0, -1.0, False)
    maps = captioner.maps([np.zeros((40, 60, 3), np.uint8)], [caption], DecodingConfig(max_length=4), "mean")
    assert maps[0].words == () and len(maps[0].weights) == 0


@pytest.mark.parametrize("name", ["llava", "llava_next", "smolvlm", "vit_gpt2", "blip", "florence2"])
def test_a_photo_of_one_pixel_is_captioned_and_mapped(captioners, name):
    captioner = captioners(name)
    photo = [np.full((1, 1, 3), 90, np.uint8)]
    config = DecodingConfig(beam_sizes=(1,), max_length=4)
    caption = captioner.caption(photo, ["a"], config)[1][0][0]
    maps = captioner.maps(photo, [caption], config, "mean")
    assert captioner.crop(1, 1) == (0, 0, 1, 1)
    assert np.isfinite(maps[0].floats()).all()


def test_markers_of_tiles_are_not_words(captioners):
    captioner = captioners("smolvlm")
    tokenizer = captioner._loaded.tokenizer
    words = explainer.TokenWords(tokenizer, [2], 3)
    ids = tokenizer("a dog", add_special_tokens=False)["input_ids"]
    marker = tokenizer.convert_tokens_to_ids("<row_1_col_2>")
    assert words.text([*ids, marker]) == words.text(ids)
    assert [word.text for word in words.words([marker, *ids])] == [word.text for word in words.words(ids)]


def test_blip_2_takes_a_prompt(folders):
    captioner = explainer.load(f"hf:{folders('blip2')}", prompt="Question: what is shown? Answer:")
    photo = [np.zeros((40, 40, 3), np.uint8)]
    config = DecodingConfig(beam_sizes=(1, 3), max_length=4)
    found = captioner.caption(photo, ["a"], config)
    assert found[1][0][0].tokens and captioner.metadata["prompt"].startswith("Question")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda folder: None, "LLaVA, with maps"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 30), "model.safetensors is damaged ("),
        (lambda folder: (folder / "model.safetensors").unlink(), "the folder has no weights"),
        (lambda folder: (folder / "chat_template.jinja").write_text("{% if"), "the chat template fails"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "clip"}'), "not a captioner; expected"),
        (lambda folder: (folder / "tokenizer.json").write_text('{"a'), "the model cannot be read ("),
    ],
)
def test_doctor_looks_into_a_folder(copy, capsys, change, expected):
    folder = copy("llava")
    change(folder)
    code = run("doctor", "--captioner", f"hf:{folder}")
    shown = capsys.readouterr().out.splitlines()[-1]
    assert expected in shown and (shown.strip().startswith("ok") or code == 1 or shown.strip().startswith("--"))
    assert shown.strip().startswith("ok") == (expected == "LLaVA, with maps")


def test_a_run_with_a_pixel_and_large_photos_goes_through(folders, tmp_path):
    data = tmp_path / "photos"
    data.mkdir()
    for name, size in (("one", (1, 1)), ("thin", (1, 40)), ("usual", (64, 48))):
        Image.new("RGB", size, (10, 90, 200)).save(data / f"{name}.png")
    asked = ("--data", data, "--captioner", f"hf:{folders('qwen2_5_vl')}", "--beams", 1, "--max-length", 3)
    assert run("evaluate", *asked, "--run", "x", "--results", tmp_path / "r") == 0
    folder = records.run_folder(tmp_path / "r", "x")
    kept = {row["image_id"] for row in tables.read_table(folder, "captions").to_pylist()}
    left = {row["image_id"] for row in tables.read_table(folder, "skipped").to_pylist()}
    assert "usual" in kept and kept | left == {"one", "thin", "usual"}
