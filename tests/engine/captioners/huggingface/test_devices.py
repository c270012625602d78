"""Models spread over several places by accelerate: the same captions, maps and fingerprint as on one device."""

import builtins
import importlib.util

import numpy as np
import pytest

from engine import __main__ as command
from engine.captioners.huggingface import explainer, loading
from engine.captioners.huggingface.errors import HuggingFaceError
from engine.config import DecodingConfig
from engine.store import records, tables
from tests.support import tiny, tiny_transformers

CONFIG = DecodingConfig(beam_sizes=(1, 3), max_length=6)
LLAMA = {
    **{"model.vision_tower": "cpu", "model.multi_modal_projector": "disk", "model.language_model.embed_tokens": "disk"},
    **{"model.language_model.layers.0": "cpu", "model.language_model.layers.1": "disk"},
    **{"model.language_model.norm": "cpu", "model.language_model.rotary_emb": "cpu", "lm_head": "disk"},
}
PLACES = {
    "llava": LLAMA,
    "vit_gpt2": {
        **{"encoder.embeddings": "disk", "encoder.layers": "cpu", "encoder.layernorm": "cpu", "encoder.pooler": "cpu"},
        **{"decoder.transformer.wte": "cpu", "decoder.transformer.wpe": "disk", "decoder.transformer.drop": "cpu"},
        **{"decoder.transformer.h.0": "disk", "decoder.transformer.h.1": "cpu", "decoder.transformer.ln_f": "disk"},
        **{"decoder.lm_head": "cpu", "enc_to_dec_proj": "cpu"},
    },
}
"""The place of each part: weights on the disk are read when their part computes."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {name: tiny_transformers.make(name, tmp_path_factory.mktemp("hf") / name) for name in PLACES}


def photos() -> list[np.ndarray]:
    generator = np.random.default_rng(3)
    return [generator.integers(0, 255, (height, width, 3), dtype=np.uint8) for height, width in ((40, 60), (60, 40))]


def captioned(captioner):
    found = captioner.caption(photos(), ["a", "b"], CONFIG)
    best = [each[0] for each in found[3]]
    return found, captioner.maps(photos(), best, CONFIG, "mean")


@pytest.mark.parametrize("name", PLACES)
def test_a_model_in_two_places_gives_the_same_captions_maps_and_fingerprint(folders, name):
    whole, spread = (explainer.load(f"hf:{folders[name]}", device_map=each) for each in (None, PLACES[name]))
    assert {"cpu", "disk"} == {str(place) for place in spread._loaded.model.hf_device_map.values()}
    assert any(weight.is_meta for weight in spread._loaded.model.parameters())
    (expected, maps), (found, others) = captioned(whole), captioned(spread)
    for size in CONFIG.beam_sizes:
        for one, other in zip(expected[size], found[size], strict=True):
            assert [each.tokens for each in one] == [each.tokens for each in other]
            assert [each.logprob for each in one] == pytest.approx([each.logprob for each in other], abs=1e-5)
    for one, other in zip(maps, others, strict=True):
        assert one.words == other.words and one.grid == other.grid
        np.testing.assert_allclose(one.floats(), other.floats(), atol=1e-5)
    assert whole.identity["captioner"] == spread.identity["captioner"]
    assert whole.fingerprint != spread.fingerprint  # its numbers may differ in the last digits


def run(data, results, *more):
    arguments = ("--data", data, "--beams", 1, "--max-length", 4, "--metrics", "cider", "--results", results)
    return command.main([str(each) for each in ("evaluate", *arguments, "--run", "x", *more)])


def test_the_option_spreads_a_model_and_is_recorded(folders, tmp_path, capsys):
    data, results = tiny.coco(tmp_path / "data", count=2), tmp_path / "r"
    named = ("--captioner", f"hf:{folders['llava']}")
    assert run(data, results, *named, "--device-map", "auto", "--precision", "bf16") == 0
    folder = records.run_folder(results, "x")
    record = records.read_record(folder)
    assert record["captioner"]["device_map"] == "auto" and record["captioner"]["dtype"] == "bfloat16"
    assert len(tables.read_table(folder, "attention")) == 2
    capsys.readouterr()
    assert run(data, results, *named, "--precision", "bf16") == 2
    assert "device_map: auto before, None now" in capsys.readouterr().err


def test_the_option_is_refused_where_it_has_no_meaning(folders, tmp_path, capsys):
    data, results = tiny.coco(tmp_path / "data", count=1), tmp_path / "r"
    own = tiny.captioner_folder(tmp_path / "own")
    assert run(data, results, "--captioner", own, "--device-map", "auto") == 2
    assert "--device-map auto: only models of Hugging Face are spread; remove --device-map" in capsys.readouterr().err
    endpoint = ("--captioner", "openai:http://127.0.0.1:9", "--model", "m")
    assert run(data, results, *endpoint, "--device-map", "auto") == 2
    assert "only models of Hugging Face are spread" in capsys.readouterr().err
    named = ("--captioner", f"hf:{folders['llava']}")
    assert run(data, results, *named, "--device-map", "auto", "--device", "cpu") == 2
    assert "--device cpu and --device-map auto: expected one of them; remove --device" in capsys.readouterr().err


def test_without_accelerate_or_what_it_needs_it_is_one_sentence(folders, monkeypatch):
    find, load = importlib.util.find_spec, builtins.__import__

    def refuse(name, *rest, **more):
        if name == "psutil":
            raise ModuleNotFoundError("No module named 'psutil'", name="psutil")
        return load(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(HuggingFaceError, match="No module named 'psutil'; run pip install 'captionscope\\[hf\\]'"):
        loading.load(f"hf:{folders['llava']}", device_map="auto")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "accelerate" else find(name))
    with pytest.raises(HuggingFaceError, match="--device-map needs accelerate, which is not installed; run pip"):
        loading.load(f"hf:{folders['llava']}", device_map="auto")
