"""Titles, notes, hidden and deleted runs: each can be undone, also in another session, and nothing is lost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.annotations import run_labels
from dashboard.annotations.json_store import JsonStoreError
from engine.store import database, remote, trash
from engine.store.errors import ResultsError
from tests.conftest import ROOT
from tests.support import runs


def files(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in sorted(folder.rglob("*")) if each.is_file()}


def undo(results: Path) -> None:
    run_labels.undo(results, run_labels.read(results).actions[-1])


def test_title_note_and_hiding_are_kept_and_undone_one_by_one(tmp_path):
    run_labels.rename(tmp_path, "demo", "  Base   model ", ["other"])
    run_labels.annotate(tmp_path, "demo", "first try\nwith ViT-B")
    run_labels.hide(tmp_path, "demo", True)
    found = run_labels.read(tmp_path)
    assert found.of("demo") == run_labels.Label("demo", "Base model", "first try\nwith ViT-B", True)
    assert found.titles == {"demo": "Base model"} and found.hidden == {"demo"}
    assert [each.described for each in found.actions] == ["rename demo to Base model", "annotate demo", "hide demo"]
    undo(tmp_path)
    assert run_labels.read(tmp_path).hidden == set()
    undo(tmp_path)
    undo(tmp_path)
    assert run_labels.read(tmp_path) == run_labels.Labels({})
    assert not (tmp_path / "runs").exists()


def test_the_same_value_again_is_no_action(tmp_path):
    run_labels.hide(tmp_path, "demo", False)
    run_labels.rename(tmp_path, "demo", "demo", [])
    assert run_labels.read(tmp_path).actions == ()


@pytest.mark.parametrize(
    ("title", "message"), [("other", "another run is called 'other'"), ("x" * 81, "81 characters"), ("Taken", "Taken")]
)
def test_a_title_that_is_taken_or_too_long_is_refused(tmp_path, title, message):
    run_labels.rename(tmp_path, "third", "Taken", ["demo", "other"])
    with pytest.raises(JsonStoreError, match=message):
        run_labels.rename(tmp_path, "demo", title, ["other", "third"])
    assert run_labels.read(tmp_path).titles == {"third": "Taken"}


def test_a_deleted_run_is_whole_in_the_trash_and_comes_back(tmp_path):
    folder = runs.captioner_run(tmp_path)
    run_labels.rename(tmp_path, "demo", "Base", [])
    before = files(folder)
    run_labels.delete(tmp_path, "demo")
    assert not folder.exists() and database.connect(tmp_path)[0].sql("FROM runs").fetchall() == []
    (moved,) = (tmp_path / trash.TRASH).iterdir()
    assert moved.name.startswith("demo-2") and files(moved) == before
    undo(tmp_path)
    assert files(folder) == before and run_labels.read(tmp_path).titles == {"demo": "Base"}
    assert list((tmp_path / trash.TRASH).iterdir()) == []


def test_a_run_that_another_process_writes_is_not_deleted(tmp_path):
    folder = runs.captioner_run(tmp_path)
    before = files(folder)
    code = (
        "import sys; from pathlib import Path; from engine.store import locks\n"
        "held = locks.hold(Path(sys.argv[1]), 'x', 'y'); print('held', flush=True); sys.stdin.read()"
    )
    for name in ("held", "held-1-of-3"):
        lock = folder / ".parts" / name
        command = [sys.executable, "-c", code, str(lock)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as holder:
            assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
            with pytest.raises(JsonStoreError, match="run 'demo' is being written by another process; .*stop it first"):
                run_labels.delete(tmp_path, "demo")
            assert holder.stdin is not None
            holder.stdin.close()
        lock.unlink()
    assert before.items() <= files(folder).items() and run_labels.read(tmp_path).actions == ()


def test_a_run_of_a_mirror_is_not_deleted(tmp_path, monkeypatch):
    runs.captioner_run(tmp_path)
    monkeypatch.setattr(remote, "of", lambda results: remote.Remote("s3://bucket/results", results))
    with pytest.raises(JsonStoreError, match="mirrors s3://bucket/results and would copy the run again"):
        run_labels.delete(tmp_path, "demo")
    assert (tmp_path / "runs" / "demo").is_dir()


def test_a_run_returns_to_its_place_if_the_action_cannot_be_noted(tmp_path, monkeypatch):
    folder = runs.captioner_run(tmp_path)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dashboard.annotations.json_store.atomic.write_json", fail)
    with pytest.raises(JsonStoreError, match="No space left on device; nothing was saved"):
        run_labels.delete(tmp_path, "demo")
    assert (folder / "run.json").is_file() and list((tmp_path / trash.TRASH).iterdir()) == []


def test_an_undo_never_replaces_a_new_run_of_the_same_name(tmp_path):
    runs.captioner_run(tmp_path)
    run_labels.delete(tmp_path, "demo")
    new = files(runs.captioner_run(tmp_path, grid=7))
    with pytest.raises(JsonStoreError, match="is there already; rename that folder first"):
        undo(tmp_path)
    assert files(tmp_path / "runs" / "demo") == new and len(run_labels.read(tmp_path).actions) == 1


def test_an_undo_of_an_action_that_is_not_the_newest_is_refused(tmp_path):
    run_labels.hide(tmp_path, "demo", True)
    seen = run_labels.read(tmp_path).actions[-1]
    run_labels.hide(tmp_path, "other", True)
    with pytest.raises(JsonStoreError, match="another session changed the runs meanwhile"):
        run_labels.undo(tmp_path, seen)
    assert run_labels.read(tmp_path).hidden == {"demo", "other"}


@pytest.mark.parametrize("run", ["../x", "a/b", "", "nobody"])
def test_only_folders_of_runs_are_moved(tmp_path, run):
    (tmp_path / "x").mkdir()
    with pytest.raises(ResultsError):
        trash.discard(tmp_path, run)
    assert (tmp_path / "x").is_dir()


@pytest.mark.parametrize("entry", [{}, {"run": 3}, {"run": "demo", "kind": "action", "what": "explode"}])
def test_a_broken_file_is_a_sentence_and_is_not_changed(tmp_path, entry):
    run_labels.path(tmp_path).write_text(json.dumps({"entries": [entry]}))
    assert "fix the file, or move it away" in run_labels.read(tmp_path).problem
    with pytest.raises(JsonStoreError, match="fix the file"):
        run_labels.hide(tmp_path, "demo", True)
    assert json.loads(run_labels.path(tmp_path).read_text()) == {"entries": [entry]}


NAMES = st.sampled_from(["demo", "other"])
STEPS = st.one_of(
    st.tuples(st.just("rename"), NAMES, st.sampled_from(["", "A", "B", "C"])),
    st.tuples(st.just("annotate"), NAMES, st.sampled_from(["", "x", "y"])),
    st.tuples(st.just("hide"), NAMES, st.booleans()),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(STEPS, max_size=12))
def test_undoing_every_action_restores_the_beginning(tmp_path_factory, steps):
    results, seen = tmp_path_factory.mktemp("labels"), [run_labels.Labels({})]
    for name, run, value in steps:
        before = run_labels.read(results)
        try:
            getattr(run_labels, name)(results, run, value, *([[]] if name == "rename" else []))
        except JsonStoreError:  # the title is taken
            assert run_labels.read(results) == before
        if run_labels.read(results).actions != before.actions:
            seen.append(run_labels.read(results))
    for expected in reversed(seen[:-1]):
        undo(results)
        assert run_labels.read(results) == expected
