"""The command `gate` over real results: exit status, the report, and what is refused."""

import re
from pathlib import Path

import numpy as np
import pytest

from engine import __main__ as command
from engine.store import records, tables
from tests.support import tiny

IMAGES = 120
HOSTILE = "a <script>alert(1)</script> & dog"
SIGNATURE = "CIDEr-D|beam:imported|images:120|refs:1|data:{data}|tok:{tok}|version:1"


def run(
    results: Path, name: str, scale: float = 1.0, tok: str = "ptb", images: int = IMAGES, text: str = "a dog"
) -> Path:
    """A run of imported captions; dark images (every sixth) have `scale` times the scores."""
    folder = records.run_folder(results, name)
    generator = np.random.default_rng(0)
    rows = [
        {"image_id": f"{row:03d}", "file_name": f"{row:03d}.jpg", "references": [text], "objects": [], "crowds": []}
        | {"conditions": ["dark"] if row % 6 == 0 else []}
        for row in range(images)
    ]
    values = generator.gamma(4, 0.25, images)
    values = np.where(np.arange(images) % 6 == 0, values * scale, values)
    keys = [{"image_id": row["image_id"], "beam_size": 0} for row in rows]
    captions = [{**key, "caption": HOSTILE if scale < 1 else "a dog", "words": []} for key in keys]
    scores = [{**key, "tags": [], "cider": float(value)} for key, value in zip(keys, values, strict=True)]
    corpus = [{"beam_size": 0, "metric": "cider", "value": float(values.mean()), "images": images}]
    corpus[0]["signature"] = SIGNATURE.format(data=name, tok=tok)
    for table, found, metrics in (
        ("images", rows, None),
        ("captions", captions, None),
        ("scores", scores, ["cider"]),
        ("corpus_scores", corpus, None),
    ):
        tables.write_table(folder, table, tables.table_of(table, found, metrics))
    record = {"run": name, "kind": "predictions", "roots": {"images": str(results / "photos")}}
    records.write_record(folder, record | {"command": f"python -m engine score p.json --data d --run {name}"})
    return folder


@pytest.fixture
def results(tmp_path: Path) -> Path:
    run(tmp_path, "old")
    run(tmp_path, "new", scale=0.2)
    tiny.photo(tmp_path / "photos" / "000.jpg")
    return tmp_path


def gate(results: Path, new: str, old: str, *options: str) -> int:
    out = str(results / "gate.html")
    return command.main(["gate", new, "--against", old, "--results", str(results), "--out", out, *options])


def test_a_loss_fails_and_the_report_says_why(results, capsys):
    assert gate(results, "new", "old") == 1
    printed = capsys.readouterr().out
    assert printed.startswith("FAILED: CIDEr of new is 0.") and "the limit is a loss of 1 %" in printed
    assert "images are needed; this comparison has 120" in printed
    page = (results / "gate.html").read_text(encoding="utf-8")
    assert "FAILED" in page and "1. dark" in page and "20 images: mean change -" in page
    assert "python -m engine score p.json --data d --run new-slice --only 0" in page
    assert page.index("<h1") < page.index("Where the loss is") < page.index("Words that went wrong")


def test_the_report_is_one_file_without_scripts_and_texts_are_escaped(results):
    gate(results, "new", "old")
    page = (results / "gate.html").read_text(encoding="utf-8")
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "prefers-color-scheme: dark" in page
    sources = re.findall(r"(?:src|href)\s*=\s*[\"']?([^\"'> ]*)", page)
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert "no photo: " in page  # most photos are missing


def test_a_gain_and_equal_captions_pass(results, capsys):
    assert gate(results, "old", "new") == 0
    assert capsys.readouterr().out.startswith("PASSED: ")
    assert gate(results, "old", "old") == 0
    assert "no image differs" in capsys.readouterr().out


def test_a_loss_within_the_limit_passes_and_one_that_is_not_certain_says_so(results, capsys):
    assert gate(results, "new", "old", "--max-loss", "1.0") == 0
    assert capsys.readouterr().out.startswith("PASSED: ")
    assert gate(results, "new", "old", "--max-loss", "13%") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("PASSED, not decided: ") and "these images cannot decide: a loss of up to" in printed


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"tok": "spaces"}, "new and other were measured differently (tokeniser: spaces vs. ptb)"),
        (
            {"images": 100},
            "new has 120 images and other has 100, 100 of them the same; evaluate both on the same split",
        ),
        ({"text": "a cat"}, "new and other have different references, first of image '000'; score both with the same"),
    ],
)
def test_runs_that_are_not_comparable_are_refused(results, capsys, other, sentence):
    run(results, "other", **other)
    assert gate(results, "new", "other") == 2
    assert capsys.readouterr().err.startswith(f"error: {sentence}")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("new", "nobody"), "run 'nobody' has no scores in the results, expected one of: new, old"),
        (("new:3", "old"), "run 'new' has no beam size 3, expected one of 0"),
        (("new", "old", "--beam", "5"), "run 'old' has no beam size 5, expected one of 0"),
        (("new", "old", "--metric", "clipscore"), "run 'old' has no clipscore, expected one of its metrics: cider"),
        (("new", "old", "--metric", "fame"), "--metric 'fame': expected one of cider"),
        (("new", "old", "--max-loss", "much"), "--max-loss 'much': expected a share such as 1%"),
    ],
)
def test_wrong_arguments_are_one_sentence(results, capsys, arguments, sentence):
    assert gate(results, *arguments) == 2
    assert capsys.readouterr().err.startswith(f"error: {sentence}")
    assert not (results / "gate.html").exists()
