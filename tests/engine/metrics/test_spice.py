import stat
import sys

import numpy as np
import pytest

from engine.metrics import spice
from engine.metrics.measure import score_captions

VERSION = "echo 'openjdk version \"{version}\" 2020-01-01' >&2"
# Behaves like SPICE's jar: reads the pairs and writes a score for each.
JAR = """#!{python}
import json, sys
if "-version" in sys.argv:
    print('openjdk version "1.8.0_402"', file=sys.stderr)
    sys.exit(0)
pairs = json.load(open(sys.argv[sys.argv.index("-jar") + 3]))
values = [1.0 if pair["test"] in pair["refs"] else 0.25 for pair in pairs]
scores = [{{"image_id": p["image_id"], "scores": {{"All": {{"f": f}}}}}} for p, f in zip(pairs, values)]
json.dump(scores, open(sys.argv[sys.argv.index("-out") + 1], "w"))
"""


def put_java(folder, monkeypatch, text: str) -> None:
    folder.mkdir(exist_ok=True)
    java = folder / "java"
    java.write_text(text)
    java.chmod(java.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


@pytest.fixture
def models(tmp_path, monkeypatch):
    for name in spice.MODELS:
        (tmp_path / name).touch()
    monkeypatch.setattr(spice, "_LIB", tmp_path)
    monkeypatch.setattr(spice.peer, "get_stanford_models", lambda: None)


def test_without_its_models_spice_is_skipped_with_a_message(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(spice, "_LIB", tmp_path)
    found = score_captions({1: ["a dog", "a cat"]}, [["a dog"], ["a bus"]], ["cider", "spice"])[1]
    assert set(found.per_image) == {"cider"}
    assert "stanford-corenlp-3.6.0.jar is not in" in capsys.readouterr().err


@pytest.mark.parametrize(("version", "major"), [("1.8.0_402", 8), ("11.0.2", 11), ("17.0.15", 17)])
def test_the_major_version_of_java_is_read(tmp_path, monkeypatch, version, major):
    put_java(tmp_path / "bin", monkeypatch, "#!/bin/sh\n" + VERSION.format(version=version))
    assert spice.java_version() == major


def test_a_java_that_is_too_new_is_named(models, tmp_path, monkeypatch):
    put_java(tmp_path / "bin", monkeypatch, "#!/bin/sh\n" + VERSION.format(version="17.0.15"))
    with pytest.raises(spice.SpiceError, match="needs Java 8 to 15 .* found 17"):
        spice.check()


def test_missing_java_is_reported(models, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(spice.SpiceError, match="none was found"):
        spice.check()


def test_where_it_runs_each_caption_has_its_score(models, tmp_path, monkeypatch):
    put_java(tmp_path / "bin", monkeypatch, JAR.format(python=sys.executable))
    found = score_captions({1: ["a dog", "a cat"]}, [["a dog"], ["a bus"]], ["spice"])[1]
    np.testing.assert_array_equal(found.per_image["spice"], [1.0, 0.25])
    assert found.corpus["spice"].value == 0.625


def test_a_failing_jar_is_reported(models, tmp_path, monkeypatch):
    put_java(tmp_path / "bin", monkeypatch, "#!/bin/sh\n" + VERSION.format(version="1.8.0") + "\nexit 1")
    monkeypatch.setattr(spice, "check", lambda: None)
    with pytest.raises(spice.SpiceError, match="SPICE failed"):
        spice.score(["a dog"], [["a dog"]])
