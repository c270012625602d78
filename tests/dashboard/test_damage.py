"""Files that are damaged inside: one sentence in their place, and everything else stays usable."""

import json
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.annotations import bookmarks, verdicts
from dashboard.annotations.json_store import JsonStoreError
from dashboard.figures.thumbnails import photo, pixels
from dashboard.report import archive, other_runs
from dashboard.report import command as report_command
from dashboard.state.answers import answer
from dashboard.state.data import RESULTS_VARIABLE
from engine.store import database, queries, shards
from engine.store.errors import ResultsError
from tests.conftest import ROOT
from tests.support import runs

VIEWS = ["overview", "failures", "beams", "attention", "compare", "export", "zeroshot"]


def damage(file: Path, column: str) -> None:
    """Overwrite the data of a column; the footer stays valid."""
    found = pq.ParquetFile(file).metadata.row_group(0)
    chunks = [found.column(place) for place in range(found.num_columns)]
    chunk = next(each for each in chunks if each.path_in_schema == column)
    content = bytearray(file.read_bytes())
    first = chunk.dictionary_page_offset or chunk.data_page_offset
    content[first + 30 : first + chunk.total_compressed_size] = b"\xa5" * (chunk.total_compressed_size - 30)
    file.write_bytes(content)
    assert pq.ParquetFile(file).metadata.num_rows


def opened(monkeypatch, results: Path, view: str, run: str) -> AppTest:
    monkeypatch.setenv(RESULTS_VARIABLE, str(results))
    app = AppTest.from_file(str(ROOT / "dashboard" / "page.py"), default_timeout=60)
    app.query_params["run"] = run
    app.run()
    return app if view == "overview" else app.switch_page(f"views/{view}.py").run()


@pytest.fixture(scope="module")
def damaged(tmp_path_factory) -> Path:
    """A whole run `demo`, and the same as `broken` with damaged attention weights, which no check at opening reads."""
    results = tmp_path_factory.mktemp("damaged") / "results"
    folder = runs.captioner_run(results, "broken")
    runs.captioner_run(results, "demo")
    damage(shards.files_of(folder, "attention")[0], "weights")
    return results


@pytest.mark.parametrize("view", VIEWS)
def test_a_damaged_page_is_at_most_one_sentence_and_other_runs_stay_usable(monkeypatch, damaged, view):
    app = opened(monkeypatch, damaged, view, "broken")
    assert not app.exception and len(app.error) <= 1
    if view == "attention":
        assert "attention" in app.error[0].value and "make its run again" in app.error[0].value
    other = opened(monkeypatch, damaged, view, "demo")
    assert not other.exception and not other.error


def test_an_answer_and_the_report_say_it_in_one_sentence(damaged, tmp_path, capsys):
    connection, _ = database.connect(damaged)
    with pytest.raises(ResultsError, match=r"attention\.parquet cannot be read \(.+\): restore the file from a copy"):
        answer(connection, queries.attention, "broken", 1, "scene_01")
    out = str(tmp_path / "report.zip")
    assert (
        report_command.main(["broken", "--results", str(damaged), "--out", out, "--quiet", "--images", "scene_01"]) == 2
    )
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == 1 and shown[0].startswith("error: ") and "attention.parquet" in shown[0]


def test_a_run_that_cannot_be_read_is_a_sentence_in_the_comparison_of_another_run(tmp_path):
    folder = runs.captioner_run(tmp_path / "results", "broken")
    runs.captioner_run(tmp_path / "results", "demo")
    damage(shards.files_of(folder, "scores")[0], "cider")
    source, problems = archive.open_source(tmp_path / "results", "demo")
    found = "\n".join(chapter.lead for chapter in other_runs.compared(source))
    assert problems or "Not compared, because results cannot be read: broken" in found


DEEP = '{"entries": ' + "[" * 3000 + "]" * 3000 + "}"
BROKEN = {
    "nested": (DEEP.encode(), "nested too deeply"),
    "nested values": (b'{"entries": [{"a": ' + b"[" * 900 + b"]" * 900 + b"}]}", "has no"),
    "digits": (b'{"entries": [{"image_id": "a", "name": "a", "beam_size": ' + b"9" * 5000 + b"}]}", "too many digits"),
    "not UTF-8": (b'{"entries": [{"name": "\xff"}]}', "not UTF-8"),
    "a list": (b"[]", "expected"),
    "empty": (b"", "the file is empty"),
    "truncated": (b'{"entries": [{"name": "a"', "not JSON"),
    "no size": (b'{"entries": [{"image_id": "a", "name": "a", "beam_size": 1e400}]}', "has no"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_of_verdicts_or_selections_is_a_sentence_and_stays(monkeypatch, tmp_path, name):
    content, reason = BROKEN[name]
    runs.captioner_run(tmp_path / "results")
    files = [verdicts.path(tmp_path / "results", "demo"), bookmarks.path(tmp_path / "results")]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
    for problem in (verdicts.read(tmp_path / "results", "demo").problem, bookmarks.read(tmp_path / "results")[1]):
        assert reason in problem and "move it away to start over" in problem and "\n" not in problem
        assert len(problem) < 400
    with pytest.raises(JsonStoreError, match=reason):
        verdicts.keep(tmp_path / "results", "demo", verdicts.Verdict("scene_01", 1, "a"), reasonable="yes")
    with pytest.raises(JsonStoreError, match=reason):
        bookmarks.save(tmp_path / "results", "mine", "failures", {})
    assert [file.read_bytes() for file in files] == [content, content]
    for view in ("failures", "attention", "export"):
        app = opened(monkeypatch, tmp_path / "results", view, "demo")
        assert not app.exception
        assert any("move it away to start over" in each.value for each in app.sidebar.warning)
    assert app.title[0].value == "Export"


def test_half_characters_and_parameters_of_streamlit_in_a_file_do_not_reach_the_page(monkeypatch, tmp_path):
    runs.captioner_run(tmp_path / "results")
    note = {"image_id": "scene_01", "beam_size": 1, "note": "\ud800 half", "reasonable": ["yes"]}
    selection = {"name": "\udfff", "view": "failures", "parameters": {"embed": "true", "text": "\ud800", "run": "demo"}}
    for file, entry in (
        (verdicts.path(tmp_path / "results", "demo"), note),
        (bookmarks.path(tmp_path / "results"), selection),
    ):
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({"entries": [entry]}))
    monkeypatch.setenv(RESULTS_VARIABLE, str(tmp_path / "results"))
    app = opened(monkeypatch, tmp_path / "results", "failures", "demo")
    app.query_params.update({"image": "scene_01", "beam": "1"})
    assert not app.run().exception
    assert "? half" in [each.value for each in app.text_input]


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "link to a pipe"])
def test_only_regular_files_are_opened_as_photos(tmp_path, kind):
    place = tmp_path / "x.jpg"
    if kind == "folder":
        place.mkdir()
    elif kind == "device":
        place.symlink_to("/dev/zero")
    else:
        os.mkfifo(tmp_path / "pipe")
        place.symlink_to("pipe") if kind != "pipe" else os.mkfifo(place)
    assert photo(tmp_path, "x.jpg").missing == "x.jpg cannot be opened as a photo."
    assert pixels(tmp_path, "x.jpg") is None


def test_other_formats_are_not_decoded_under_the_name_of_a_photo(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
    (tmp_path / "y.png").write_bytes(b"P6 2 2 255\n" + bytes(12))
    for name in ("x.jpg", "y.png"):
        assert photo(tmp_path, name).missing == f"{name} cannot be opened as a photo."


def test_a_long_file_name_does_not_flood_the_message(tmp_path):
    missing = photo(tmp_path, "a" * 70_000 + ".jpg").missing
    assert len(missing) < 300 and "…" in missing


def test_a_pipe_as_a_file_of_verdicts_does_not_block_a_page(tmp_path):
    os.mkfifo(tmp_path / "bookmarks.json")
    assert "not a file" in bookmarks.read(tmp_path)[1]
    shutil.rmtree(tmp_path)
