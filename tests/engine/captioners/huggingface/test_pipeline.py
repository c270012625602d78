"""Models of Hugging Face through the command line: captions, scores, prompts, and what is refused."""

import json
import shutil
import socket
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from engine import __main__ as command
from engine.captioners import registry
from engine.captioners.huggingface import explainer, loading
from engine.captioners.huggingface.errors import HuggingFaceError
from engine.captioners.huggingface.words import TokenWords
from engine.config import DecodingConfig
from engine.evaluation.signature import captioner_fields
from engine.protocols import Captioner
from engine.store import records, signatures, tables
from tests.support import tiny, tiny_transformers


@pytest.fixture
def gpt2(folders):
    return folders("vit_gpt2")


@pytest.fixture
def llava(folders):
    return folders("llava")


def run(*arguments: object) -> int:
    return command.main([str(argument) for argument in arguments])


def test_evaluate_captions_and_scores_with_any_model(gpt2, tmp_path, capsys):
    data = tiny.coco(tmp_path / "data", count=3)
    arguments = ["--data", data, "--captioner", f"hf:{gpt2}", "--beams", 1, 3, "--max-length", 6, "--n-best", 2]
    assert run("evaluate", *arguments, "--run", "x", "--results", tmp_path / "r") == 0
    capsys.readouterr()
    folder = records.run_folder(tmp_path / "r", "x")
    captions = tables.read_table(folder, "captions").to_pylist()
    found = {(row["image_id"][-1], row["beam_size"]) for row in captions}
    assert found == {(number, size) for number in "123" for size in (1, 3)} and len(captions) == 6
    assert all(row["logprob"] < 0 for row in captions)
    assert {row["metric"] for row in tables.read_table(folder, "corpus_scores").to_pylist()} >= {"cider", "bleu_4"}
    maps = tables.read_table(folder, "attention").to_pylist()
    assert len(maps) == 6 and all((row["grid_height"], row["grid_width"]) == (4, 4) for row in maps)
    record = records.read_record(folder)
    assert record["attention"]["pass"] == "one pass over the finished caption, as in the search"
    assert record["captioner"]["family"] == "VisionEncoderDecoder"
    assert record["captioner"]["decoder_layers"] == 2
    assert run("evaluate", *arguments, "--run", "x", "--results", tmp_path / "r") == 0
    assert "is finished already" in capsys.readouterr().out


def test_it_is_a_captioner_by_the_protocol(gpt2):
    assert isinstance(explainer.load(f"hf:{gpt2}"), Captioner)


def test_the_prompt_is_part_of_the_runs_identity(llava):
    usual = explainer.load(f"hf:{llava}")
    other = explainer.load(f"hf:{llava}", prompt="What is this?")
    assert "Describe this image in one short sentence." in usual.metadata["prompt"]
    assert "What is this?" in other.metadata["prompt"]
    assert usual.fingerprint != other.fingerprint
    assert usual.fingerprint == explainer.load(f"hf:{llava}").fingerprint


def evaluate(results, data, name, *more):
    arguments = ("--data", data, "--captioner", name, "--beams", 1, "--max-length", 4, "--results", results)
    return run("evaluate", *arguments, "--metrics", "cider", "--run", "x", *more)


def test_another_prompt_version_or_template_is_refused_by_its_name(llava, tmp_path, monkeypatch, capsys):
    data, results = tiny.coco(tmp_path / "data", count=1), tmp_path / "r"
    folder = shutil.copytree(llava, tmp_path / "model")
    odd = "What | is: this?\nSay it " + "well, " * 100
    assert evaluate(results, data, f"hf:{folder}", "--prompt", odd) == 0
    record = records.read_record(records.run_folder(results, "x"))
    assert odd.strip() in record["captioner"]["prompt"] and record["captioner"]["revision"] is None
    assert record["captioner"]["dtype"] == "float32" and len(record["captioner"]["chat_template"]) == 16
    signed = tables.read_table(records.run_folder(results, "x"), "corpus_scores").to_pylist()[0]["signature"]
    known = signatures.entries(signed)
    assert len(known["prompt"]) == 16 and known["chat_template"] == record["captioner"]["chat_template"]
    assert (known["revision"], known["dtype"]) == ("none", "float32")
    assert known["transformers"] == record["captioner"]["transformers"]
    capsys.readouterr()
    assert evaluate(results, data, f"hf:{folder}", "--prompt", odd) == 0
    assert "is finished already" in capsys.readouterr().out

    assert evaluate(results, data, f"hf:{folder}", "--prompt", "Another") == 2
    shown = capsys.readouterr().err
    assert "already exists with other settings (prompt: USER" in shown and "captioner: " not in shown
    assert evaluate(results, data, f"hf:{folder}", "--prompt", odd, "--precision", "bf16") == 2
    assert "dtype: float32 before, bfloat16 now" in capsys.readouterr().err
    monkeypatch.setattr("transformers.__version__", "5.99")
    assert evaluate(results, data, f"hf:{folder}", "--prompt", odd) == 2
    assert "transformers: 5.24.0 before, 5.99 now" in capsys.readouterr().err
    monkeypatch.undo()
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text() + "{# another, with the same prompt #}")
    assert evaluate(results, data, f"hf:{folder}", "--prompt", odd) == 2
    shown = capsys.readouterr().err
    assert "(chat_template: " in shown and "prompt: " not in shown


def test_another_revision_is_refused_by_its_name(gpt2):
    first = explainer.load(f"hf:{gpt2}")
    other = type(first)(replace(first._loaded, revision="v2"))
    assert {name for name, value in first.identity.items() if other.identity[name] != value} == {"revision"}
    assert first.fingerprint != other.fingerprint
    assert captioner_fields(replace_revision(first.identity, "a|b:c"))["revision"] == "a b c"


def replace_revision(identity, revision):
    return {**identity, "revision": revision}


def test_a_bar_shows_the_loading_in_a_terminal_and_nothing_in_a_pipe(gpt2, monkeypatch, capsys):
    explainer.load(f"hf:{gpt2}")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    explainer.load(f"hf:{gpt2}")
    shown = capsys.readouterr()
    assert shown.out == "" and "Loading weights: 100%" in shown.err


def test_samples_depend_on_the_seed_and_not_on_the_batch(gpt2):
    captioner = explainer.load(f"hf:{gpt2}")
    photos = [np.full((40, 40, 3), shade, np.uint8) for shade in (0, 120, 250)]
    config = DecodingConfig(beam_sizes=(1,), max_length=6, sample=True, n_best=3)
    together = captioner.caption(photos, ["a", "b", "c"], config)[1]
    alone = [captioner.caption([photo], [name], config)[1][0] for photo, name in zip(photos, "abc", strict=True)]
    assert [[each.tokens for each in image] for image in together] == [
        [each.tokens for each in image] for image in alone
    ]
    assert len({each.tokens for each in together[0]}) > 1


def test_search_settings_of_the_model_are_defaults_and_what_is_not_supported_is_refused(gpt2, tmp_path):
    folder = shutil.copytree(gpt2, tmp_path / "model")
    settings = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(settings | {"length_penalty": 0.5, "num_beams": 4}))
    assert registry.decoding_defaults(f"hf:{folder}")["length_penalty"] == 0.5
    (folder / "generation_config.json").write_text(json.dumps(settings | {"early_stopping": "never", "num_beams": 4}))
    with pytest.raises(HuggingFaceError, match="early_stopping 'never', which is not supported; remove it"):
        registry.decoding_defaults(f"hf:{folder}")
    (folder / "generation_config.json").write_text(json.dumps(settings | {"encoder_no_repeat_ngram_size": 2}))
    with pytest.raises(HuggingFaceError, match="encoder_no_repeat_ngram_size 2, which is not supported; remove it"):
        explainer.load(f"hf:{folder}")
    assert registry.decoding_defaults("engine/demo/captioner") == {}


def test_a_models_own_n_gram_rule_counts_the_prompt_as_in_generate(llava):
    # The equality with generate() is in test_families; this is the rule of the command line.
    captioner = explainer.load(f"hf:{llava}")
    photos = [np.zeros((40, 40, 3), np.uint8)]
    config = DecodingConfig(beam_sizes=(1,), max_length=12, no_repeat_ngram=1)
    tokens = captioner.caption(photos, ["a"], config)[1][0][0].tokens
    assert len(set(tokens)) == len(tokens)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("hf:no such/model!", "or a name on the Hub such as org/model"),
        ("hf:nobody/nothing", "hf download nobody/nothing, or copy its folder and pass it as hf:FOLDER"),
    ],
)
def test_a_model_that_cannot_be_had_is_one_sentence(name, sentence, tmp_path, monkeypatch, capsys):
    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    data = tiny.coco(tmp_path / "data", count=1)
    assert run("evaluate", "--data", data, "--captioner", name, "--run", "x", "--results", tmp_path / "r") == 2
    shown = capsys.readouterr().err
    assert sentence in shown and shown.count("\n") == 1 and "Traceback" not in shown


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda folder: (folder / "config.json").unlink(), "has no config.json; expected a folder of save_pretrained"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "bert"}'), "not a captioner; expected"),
        (lambda folder: (folder / "config.json").write_text("{"), "hf:"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 50), "hf:"),
        (lambda folder: (folder / "model.safetensors").unlink(), "hf:"),
    ],
)
def test_a_broken_folder_is_one_sentence(gpt2, tmp_path, change, sentence):
    folder = shutil.copytree(gpt2, tmp_path / "model")
    change(folder)
    with pytest.raises(HuggingFaceError) as caught:
        loading.load(f"hf:{folder}")
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_code_that_comes_with_a_model_is_not_executed(gpt2, tmp_path):
    folder = shutil.copytree(gpt2, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "mine",
        "auto_map": {"AutoConfig": "code.Mine", "AutoModelForImageTextToText": "code.Mine"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\nclass Mine: pass\n")
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')\n")
    with pytest.raises(HuggingFaceError, match="needs code of its own, which is not executed"):
        loading.load(f"hf:{folder}")
    assert not (tmp_path / "executed").exists()


def test_prompt_tokenizer_and_the_studys_rule_are_refused_where_they_have_no_meaning(gpt2, tmp_path, capsys):
    data = tiny.coco(tmp_path / "data", count=1)
    own = tiny.captioner_folder(tmp_path / "own")
    arguments = ["--data", data, "--run", "x", "--results", tmp_path / "r", "--max-length", 4]
    assert run("evaluate", *arguments, "--captioner", own, "--prompt", "hello") == 2
    assert "only models of Hugging Face and endpoints take one" in capsys.readouterr().err
    assert run("evaluate", *arguments, "--captioner", f"hf:{gpt2}", "--prompt", "hello") == 2
    assert "this model takes no prompt; remove --prompt" in capsys.readouterr().err
    assert run("evaluate", *arguments, "--captioner", f"hf:{gpt2}", "--rule", "study") == 2
    assert "--rule study needs a captioner of this project" in capsys.readouterr().err
    assert run("evaluate", *arguments, "--captioner", f"hf:{gpt2}", "--tokenizer", own / "tokenizer.json") == 2
    assert "has its own tokenizer" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["bytes", "meta", "wordpiece"])
def test_words_cover_the_text_whatever_the_tokenizer(kind):
    made = {"bytes": tiny_transformers._gpt, "meta": tiny_transformers._llama, "wordpiece": tiny_transformers._bert}
    tokenizer = made[kind]()
    text = "a man in a kitchen isn't making pizzas, and a woman watches him."
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    words = TokenWords(tokenizer, [tokenizer.eos_token_id or 3], tokenizer.pad_token_id)
    found = words.words(ids)
    expected = ["a", "man", "in", "a", "kitchen", "isn't", "making", "pizzas", ",", "and", "a", "woman", "watches"]
    assert [word.text for word in found if "'" not in word.text][:5] == expected[:5]
    assert all(0 <= word.start < word.stop <= len(ids) for word in found)
    assert all(first.start <= second.start for first, second in zip(found, found[1:], strict=False))
    assert words.text(ids).endswith("watches him.") and "pizzas, and" in words.text(ids)


WRITTEN = [
    "a man in a t-shirt isn't making pizzas, and a woman's dog watches him.",
    "two (small) dogs; a black-and-white photo: what a day!",
]


@pytest.mark.parametrize("kind", ["bytes", "meta", "wordpiece"])
def test_text_is_written_as_people_write_it_whatever_the_tokenizer(kind, monkeypatch):
    monkeypatch.setattr(tiny_transformers, "TEXTS", WRITTEN * 3)  # every letter and mark is known
    made = {"bytes": tiny_transformers._gpt, "meta": tiny_transformers._llama, "wordpiece": tiny_transformers._bert}
    tokenizer = made[kind]()
    words = TokenWords(tokenizer, [tokenizer.eos_token_id or 3], tokenizer.pad_token_id)
    for text in WRITTEN:
        assert words.text(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_a_dash_stays_a_dash_where_the_tokenizer_keeps_spaces(monkeypatch):
    tokenizer = tiny_transformers._gpt()
    words = TokenWords(tokenizer, [tokenizer.eos_token_id], tokenizer.pad_token_id)
    ids = tokenizer("a photo - old", add_special_tokens=False)["input_ids"]
    assert words.text(ids) == "a photo - old"


def test_bf16_and_photos_of_any_shape_are_captioned(llava):
    captioner = explainer.load(f"hf:{llava}", precision="bf16")
    assert captioner.metadata["dtype"] == "bfloat16"
    photos = [np.asarray(Image.new("RGB", size)) for size in ((33, 80), (200, 20))]
    found = captioner.caption(photos, ["a", "b"], DecodingConfig(beam_sizes=(2,), max_length=4, precision="bf16"))
    assert all(torch.isfinite(torch.tensor(image[0].logprob)) for image in found[2])
