"""Families that are not in the list: captions and scores through the whole command, and a sentence instead of maps."""

import pytest

from engine import __main__ as command
from engine.captioners.huggingface import explainer
from engine.config import DecodingConfig
from engine.protocols import Explainer
from engine.store import records, tables
from tests.support import tiny, tiny_transformers
from tests.support.generate_peer import assert_equal, generated, searched

REASON = "it is not known where the image tokens of this model lie in the photo"


@pytest.mark.parametrize("name", tiny_transformers.OTHERS)
def test_captions_equal_those_of_generate(folders, name):
    captioner = explainer.load(f"hf:{folders(name)}")
    config = DecodingConfig(beam_sizes=(1, 3, 10), max_length=6, n_best=2)
    found = searched(captioner, config)
    for size in config.beam_sizes:
        assert_equal(found[size], generated(captioner, size, config), (name, size))
    assert not isinstance(captioner, Explainer)


@pytest.mark.parametrize("name", tiny_transformers.OTHERS)
def test_the_whole_command_scores_captions_and_says_why_there_are_no_maps(folders, tmp_path, capsys, name):
    data = tiny.coco(tmp_path / "data", count=3)
    arguments = ["--data", data, "--captioner", f"hf:{folders(name)}", "--beams", 1, 3, "--max-length", 5]
    arguments += ["--run", "x", "--results", tmp_path / "r"]
    assert command.main([str(each) for each in ("evaluate", *arguments)]) == 0
    assert f"no attention maps: {REASON}" in capsys.readouterr().out
    folder = records.run_folder(tmp_path / "r", "x")
    assert len(tables.read_table(folder, "captions")) == 6 and len(tables.read_table(folder, "attention")) == 0
    assert {row["metric"] for row in tables.read_table(folder, "corpus_scores").to_pylist()} >= {"cider", "bleu_4"}
    record = records.read_record(folder)["captioner"]
    assert (record["model_type"], record["maps"]) == (name, REASON)
    assert command.main([str(each) for each in ("evaluate", *arguments, "--attention-beams", 1)]) == 2
    assert "has no attention maps" in capsys.readouterr().err
