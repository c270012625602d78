"""The plugins of docs/extending.md, each in one file outside the repository, from the command line to the report."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dashboard.state.data import RESULTS_VARIABLE
from engine.store import database, queries, records, tables
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = {match[1]: match[0] for match in re.findall(r"(?s)```python\n((?:# (\S+\.py)).*?)```", PAGE)}
CAPTIONS = {
    "dark.png": ["a dark photo", "a photo of the night"],
    "red.png": ["a red photo of a wall in the evening sun"],
    "green.png": ["a lawn"],
}
COLOURS = {"dark.png": (5, 5, 5), "red.png": (200, 50, 50), "green.png": (60, 160, 60)}
GAPS = {"dark": 1.0, "red": 7.0, "green": 1.0}
"""Words of the caption, three, from the mean of the references: 4, 10 and 2."""


def engine(folder: Path, *arguments: str, code: int = 0) -> str:
    """Run a command in `folder`, as a user would, and return what it prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder / "site")])}
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The files of the page, a dataset in the invented format, and a run of all three plugins."""
    folder = tmp_path_factory.mktemp("plugins")
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    for name, colour in COLOURS.items():
        Image.new("RGB", (40, 30), colour).save(folder / name)
    lines = [f"{name} | {text}" for name, texts in CAPTIONS.items() for text in texts]
    (folder / "walls.pairs").write_text("\n".join(lines) + "\n", encoding="utf-8")
    engine(
        folder,
        *("engine", "evaluate", "--data", "walls.pairs", "--format", "pairs_reader:PairsReader"),
        *("--captioner", "mean_colour:MeanColour", "--beams", "1", "2"),
        *("--metrics", "cider", "length_gap:LengthGap", "--run", "mine", "--results", "results"),
    )
    return folder


def test_the_page_has_three_plugins_of_fewer_than_40_lines():
    # The program is run by tests/engine/metrics/test_exec_metric.py.
    assert sorted(FILES) == ["length_gap.py", "mean_colour.py", "pairs_reader.py", "word_count.py"]
    assert all(len(text.splitlines()) < 40 for text in FILES.values())
    assert "torch" not in FILES["mean_colour.py"]


def test_captions_scores_and_signatures_are_those_of_the_plugins(folder):
    run = records.run_folder(folder / "results", "mine")
    captions = {
        (row["image_id"], row["beam_size"]): row["caption"] for row in tables.read_table(run, "captions").to_pylist()
    }
    assert captions == {(name, size): f"a {name} photo" for name in GAPS for size in (1, 2)}
    connection, problems = database.connect(folder / "results")
    assert not problems
    scores = connection.execute("SELECT image_id, length_gap, cider FROM scores WHERE beam_size = 1").fetchall()
    assert {image: gap for image, gap, _ in scores} == GAPS
    value, low, high, signature = connection.execute(
        "SELECT value, low, high, signature FROM corpus_scores WHERE metric = 'length_gap' AND beam_size = 1"
    ).fetchone()
    assert value == pytest.approx(np.mean([*GAPS.values()])) and low <= value <= high
    assert re.fullmatch(
        r"Length gap\|beam:1\|images:3\|refs:1-2\|data:[0-9a-f]{16}\|.*\|version:length-gap-1.0", signature
    )
    assert "tok:ptb" not in signature
    record = records.read_record(run)
    assert record["metric_definitions"]["length_gap"]["higher_is_better"] is False
    assert record["captioner"]["name"] == "mean colour" and record["data"]["format"] == "pairs"


def test_the_worst_case_is_the_one_with_the_largest_gap(folder):
    cursor = database.connect(folder / "results")[0].cursor()
    worst_first = queries.cases(cursor, "mine", 1, "length_gap", True)
    assert worst_first.image_id.tolist()[0] == "red"
    assert queries.cases(cursor, "mine", 1, "length_gap", False).image_id.tolist()[-1] == "red"


def test_the_dashboard_shows_the_metric_without_the_plugin(folder, monkeypatch):
    from streamlit.testing.v1 import AppTest

    monkeypatch.setenv(RESULTS_VARIABLE, str(folder / "results"))
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(folder)])
    app = AppTest.from_file(str(ROOT / "dashboard" / "page.py"), default_timeout=60).run()
    assert not app.exception
    assert "Length gap" in str([each.value for each in app.markdown]) + str([each.label for each in app.metric])


def test_the_report_has_the_metric_and_its_signature(folder):
    engine(folder, "dashboard.report", "mine", "--results", "results", "--out", "report.zip", "--quiet")
    with zipfile.ZipFile(folder / "report.zip") as archive:
        page = next(name for name in archive.namelist() if name.endswith("report.md"))
        text = archive.read(page).decode()
    assert "Length gap" in text and "version:length-gap-1.0" in text


def test_installed_plugins_are_known_by_name(folder):
    info = folder / "site" / "plugins-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugins\nVersion: 1.0\n")
    toml = re.search(r"(?s)```toml\n(.*?)```", PAGE)[1]
    entries = re.sub(r'\[project\.entry-points\."(.*?)"\]', r"[\1]", toml).replace('"', "")
    (info / "entry_points.txt").write_text(entries)
    engine(
        folder,
        *("engine", "evaluate", "--data", "walls.pairs", "--captioner", "mean_colour", "--beams", "1"),
        *("--metrics", "length_gap", "--run", "installed", "--results", "results"),
    )
    record = records.read_record(records.run_folder(folder / "results", "installed"))
    assert record["metrics"] == ["length_gap"] and record["data"]["format"] == "pairs"


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (["--metrics", "nowhere:Metric"], "the module 'nowhere' was not found"),
        (["--metrics", "length_gap:Nothing"], "length_gap has no class or function 'Nothing'"),
        (["--metrics", "mean_colour:MeanColour"], "metric 'mean_colour:MeanColour' has no 'definition'"),
        (["--metrics", "lenght_gap"], "unknown metric 'lenght_gap'"),
        (["--captioner", "pairs_reader:PairsReader"], "captioner 'pairs_reader:PairsReader' has no 'caption'"),
        (["--format", "words"], "format 'words': expected one of course, coco"),
        (["--attention-beams", "1"], "captioner 'mean colour' has no attention maps"),
        (["--data", "torn.pairs"], "torn.pairs: line 2 is 'b.png', expected: photo | caption"),
    ],
)
def test_a_mistake_is_one_sentence(folder, changed, sentence):
    (folder / "torn.pairs").write_text("a.png | a dog\nb.png\n", encoding="utf-8")
    arguments = {
        **{"--data": "walls.pairs", "--format": "pairs_reader:PairsReader", "--captioner": "mean_colour:MeanColour"},
        **{"--beams": "1", "--metrics": "length_gap:LengthGap", "--run": "broken", "--results": "results"},
        changed[0]: changed[1],
    }
    shown = engine(folder, "engine", "evaluate", *(part for pair in arguments.items() for part in pair), code=2)
    assert sentence in shown


def test_a_score_of_predictions_takes_the_plugins_as_well(folder):
    (folder / "pred.json").write_text(json.dumps({name: "a wall" for name in GAPS}))
    engine(
        folder,
        *("engine", "score", "pred.json", "--data", "walls.pairs", "--format", "pairs_reader:PairsReader"),
        *("--metrics", "length_gap:LengthGap", "--run", "predicted", "--results", "results"),
    )
    shown = engine(folder, "engine", "compare", "mine", "predicted", "--results", "results")
    assert "Length gap" in shown
