import json
import subprocess
import sys

import pytest

from engine.evaluation.run import RunExists, RunInProgress
from engine.store import database, parts, records, tables
from engine.store.errors import ResultsError
from tests.conftest import ROOT


def begin(tmp_path, **plan) -> tuple[RunInProgress, bool]:
    run = RunInProgress("mine", tmp_path, plan, "python -m engine evaluate")
    return run, run.begin()


def test_a_run_continues_with_the_same_plan_its_chunk_size_and_the_time_of_an_older_version(tmp_path):
    run, is_open = begin(tmp_path, beams=[1])
    state = run.folder / ".parts" / "plan.json"
    state.write_text(json.dumps(json.loads(state.read_text()) | {"chunk_size": 5, "seconds": {"encode": 7.0}}))
    again = RunInProgress("mine", tmp_path, {"beams": [1]}, "")
    assert is_open and again.begin(chunk_size=9)
    assert again.watch.seconds == {"encode": 7.0} and again.chunk_size == 5


def test_an_unfinished_run_with_another_plan_is_not_touched(tmp_path):
    begin(tmp_path, beams=[1])
    with pytest.raises(RunExists, match=r"started with other settings \(beams: \[1\] before, \[3\] now\)"):
        begin(tmp_path, beams=[3])


def test_a_finished_run_is_finished_for_the_same_plan_only(tmp_path):
    run, _ = begin(tmp_path, beams=[1])
    run.metadata["kind"] = "captioner"
    run.finish()
    assert begin(tmp_path, beams=[1])[1] is False
    with pytest.raises(RunExists, match="choose another --run"):
        begin(tmp_path, beams=[3])
    record = records.read_record(run.folder)
    assert (record["kind"], record["command"], record["plan"]) == ("captioner", run.command, {"beams": [1]})
    assert not (run.folder / ".parts").exists()


def test_a_setting_missing_from_an_older_plan_is_not_a_difference_but_a_removed_one_is(tmp_path):
    run, _ = begin(tmp_path, kind="captioner", beams=[1])
    run.finish()
    assert begin(tmp_path, kind="captioner", beams=(1,), clip_setup="a")[1] is False
    with pytest.raises(RunExists, match=r"beams: \[1\] before, None now"):
        begin(tmp_path, kind="captioner")


def test_a_record_without_a_plan_matches_no_run(tmp_path):
    records.write_record(records.run_folder(tmp_path, "mine"), {"run": "mine"})
    with pytest.raises(RunExists):
        begin(tmp_path, kind="captioner")


def table(run: RunInProgress) -> None:
    run.write("images", tables.table_of("images", [{"image_id": "x", "file_name": "x.jpg"}]))


@pytest.mark.parametrize("damage", ["record", "broken table", "deleted table"])
def test_the_same_command_makes_a_damaged_run_again(tmp_path, damage):
    run, _ = begin(tmp_path, beams=[1])
    table(run)
    run.finish()
    if damage == "record":
        (run.folder / "run.json").write_text("{")
    elif damage == "broken table":
        (run.folder / "images.parquet").write_bytes(b"PAR1")
    else:
        (run.folder / "images.parquet").unlink()
    again, is_open = begin(tmp_path, beams=[1])
    assert is_open
    table(again)
    again.finish()
    assert begin(tmp_path, beams=[1])[1] is False
    assert database.connect(tmp_path)[1] == []


def test_a_damaged_run_with_other_settings_is_not_touched(tmp_path):
    run, _ = begin(tmp_path, beams=[1])
    table(run)
    run.finish()
    (run.folder / "images.parquet").unlink()
    with pytest.raises(RunExists):
        begin(tmp_path, beams=[3])
    assert records.read_record(run.folder) is not None


def test_a_setting_within_a_group_is_named_alone(tmp_path):
    begin(tmp_path, decoding={"beam_sizes": [1], "seed": 0}, labels={})
    with pytest.raises(RunExists, match=r"settings \(decoding.beam_sizes: \[1\] before, \[3\] now\)"):
        begin(tmp_path, decoding={"beam_sizes": [3], "seed": 0, "new": 1}, labels={})
    with pytest.raises(RunExists, match=r"settings \(decoding.beam_sizes: \[1\] before, None now, decoding.seed"):
        begin(tmp_path, decoding=None, labels={})


_OTHER_PROCESS = """
import sys
from pathlib import Path
from engine.evaluation.run import RunInProgress
try:
    print(RunInProgress("mine", Path(sys.argv[1]), {"beams": [1]}, "").begin())
except ValueError as error:
    print(error)
"""


def other_process(results) -> str:
    """What another process gets that begins the same run."""
    asked = [sys.executable, "-c", _OTHER_PROCESS, str(results)]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks there")
def test_a_run_is_written_by_one_process_at_a_time(tmp_path):
    run, _ = begin(tmp_path, beams=[1])
    expected = "run 'mine' is being written by another process; wait until that one has ended, or choose another --run"
    assert other_process(tmp_path) == expected
    run.finish()
    assert other_process(tmp_path) == "False"
    assert not (run.folder / ".parts").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no such locks there")
def test_a_process_that_ended_holds_no_run(tmp_path):
    assert other_process(tmp_path) == "True"
    assert other_process(tmp_path) == "True"
    assert begin(tmp_path, beams=[1])[1]


@pytest.mark.parametrize(
    "content",
    [
        "",
        '{"plan": {"be',
        "[1]",
        '{"plan": [1], "seconds": {}}',
        '{"plan": {}, "seconds": {"a": "b"}}',
        '{"plan": {}, "seconds": {}, "chunk_size": 0}',
    ],
)
def test_damaged_settings_of_an_unfinished_run_are_one_sentence_and_delete_nothing(tmp_path, content):
    run, _ = begin(tmp_path, beams=[1])
    parts.write_part(run.folder, "captions", 0, {"skipped": tables.table_of("skipped", [])})
    run._release()
    (run.folder / ".parts" / "plan.json").write_text(content)
    with pytest.raises(ResultsError, match=r"plan.json: .*; delete .*\.parts to start over$"):
        begin(tmp_path, beams=[1])
    assert (run.folder / ".parts" / "captions" / "000000" / "skipped.parquet").is_file()


def test_chunks_without_their_settings_are_not_used(tmp_path):
    run, _ = begin(tmp_path, beams=[1])
    parts.write_part(run.folder, "captions", 0, {"skipped": tables.table_of("skipped", [])})
    run._release()
    (run.folder / ".parts" / "plan.json").unlink()
    begin(tmp_path, beams=[3])
    assert not parts.is_part(run.folder, "captions", 0, ["skipped"])


@pytest.mark.parametrize("content", ['{"plan": [1]}', '{"tables": null}', "[" * 100_000])
def test_a_run_with_a_damaged_record_is_computed_again(tmp_path, content):
    run, _ = begin(tmp_path, beams=[1])
    run.finish()
    (run.folder / "run.json").write_text(content)
    assert begin(tmp_path, beams=[1])[1] is True


def test_a_kill_after_the_record_leaves_no_chunks_for_ever(tmp_path):
    run, _ = begin(tmp_path, beams=[1])
    run.finish()
    parts.write_part(run.folder, "captions", 0, {"skipped": tables.table_of("skipped", [])})
    assert begin(tmp_path, beams=[1])[1] is False
    assert not (run.folder / ".parts").exists()
