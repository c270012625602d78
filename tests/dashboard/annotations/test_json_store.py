"""Files of entries that several sessions change: nothing is lost, and a broken file is a sentence."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from dashboard.annotations import bookmarks, json_store, verdicts
from dashboard.annotations.json_store import JsonStoreError
from dashboard.annotations.verdicts import Verdict
from dashboard.report.exports import table
from dashboard.state.record import Run


def case(image: str, beam: int = 1) -> Verdict:
    return Verdict(image, beam, f"caption of {image}")


def test_a_verdict_is_kept_question_by_question_and_taken_back(tmp_path):
    verdicts.keep(tmp_path, "demo", case("a"), reasonable="no")
    verdicts.keep(tmp_path, "demo", case("a"), attends="partly", note="<b>looks away</b>")
    found = verdicts.read(tmp_path, "demo").of("a", 1)
    assert (found.reasonable, found.attends, found.note, found.caption) == (
        "no",
        "partly",
        "<b>looks away</b>",
        "caption of a",
    )
    assert found.described == "caption no, attention partly, with a note"
    assert verdicts.read(tmp_path, "demo").of("a", 3).empty and verdicts.read(tmp_path, "other").by_case == {}
    for key in ("reasonable", "attends", "note"):
        verdicts.keep(tmp_path, "demo", case("a"), **{key: ""})
    assert verdicts.read(tmp_path, "demo").by_case == {}
    with pytest.raises(ValueError, match="expected one of yes, partly, no"):
        verdicts.keep(tmp_path, "demo", case("a"), reasonable="maybe")


def test_sessions_do_not_overwrite_each_others_verdicts(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: verdicts.keep(tmp_path, "demo", case(f"t{n}"), reasonable="yes"), range(24)))
    script = (
        "import sys; from pathlib import Path; from dashboard.annotations import verdicts\n"
        "for n in range(12):\n"
        "    case = verdicts.Verdict(f'{sys.argv[2]}{n}', 1)\n"
        "    verdicts.keep(Path(sys.argv[1]), 'demo', case, reasonable='no')"
    )
    started = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path), name]) for name in "pq"]
    assert [process.wait(timeout=60) for process in started] == [0, 0]
    assert len(verdicts.read(tmp_path, "demo").by_case) == 24 + 2 * 12


def test_verdicts_are_filtered_by_answer(tmp_path):
    verdicts.keep(tmp_path, "demo", case("a"), reasonable="no")
    verdicts.keep(tmp_path, "demo", case("b"), reasonable="yes", attends="no")
    verdicts.keep(tmp_path, "demo", case("c", 3), reasonable="no")
    found = verdicts.read(tmp_path, "demo")
    assert found.images(1, "judged") == ("a", "b") and found.images(1, "reasonable:no") == ("a",)
    assert found.images(1, "attends:no") == ("b",) and found.images(1, "drop:no") == ()
    counts = verdicts.counts_by_setting(Run("demo", {}), found)
    assert [line.partition(";")[0] for line in counts] == [
        "at beam size 1 (greedy), 2 cases: caption yes 1, partly 0, no 1",
        "at beam size 3, 1 case: caption yes 0, partly 0, no 1",
    ]
    written = table(verdicts.table(Run("demo", {}), found), "csv").decode("utf-8-sig")
    assert written.startswith("image_id,beam_size,caption,reason")


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"entries": 3}', '{"entries": [{"image_id": 3}]}', "\x00\xff"])
def test_a_broken_file_is_a_sentence_that_names_it_and_is_left_as_it_is(tmp_path, content):
    for path in (verdicts.path(tmp_path, "demo"), bookmarks.path(tmp_path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="latin-1")
    assert "demo.json" in verdicts.read(tmp_path, "demo").problem
    assert "bookmarks.json" in bookmarks.read(tmp_path)[1]
    with pytest.raises(JsonStoreError, match=r"demo\.json"):
        verdicts.keep(tmp_path, "demo", case("a"), reasonable="yes")
    with pytest.raises(JsonStoreError, match=r"bookmarks\.json"):
        bookmarks.save(tmp_path, "mine", "failures", {})
    assert verdicts.path(tmp_path, "demo").read_text(encoding="latin-1") == content


def test_an_interrupted_change_leaves_the_old_file(tmp_path, monkeypatch):
    verdicts.keep(tmp_path, "demo", case("a"), reasonable="yes")

    def torn(path, value):
        path.with_name(path.name + ".tmp").write_text('{"entr')
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json_store.atomic, "write_json", torn)
    with pytest.raises(JsonStoreError, match="No space left on device; nothing was saved"):
        verdicts.keep(tmp_path, "demo", case("b"), reasonable="no")
    assert list(verdicts.read(tmp_path, "demo").by_case) == [("a", 1)]


def test_selections_are_saved_renamed_and_deleted_by_name(tmp_path):
    bookmarks.save(tmp_path, " my   failures ", "failures", {"run": "demo", "in_cider": "0:0.5"})
    bookmarks.save(tmp_path, "<script>", "", {"run": "demo"})
    found, problem = bookmarks.read(tmp_path)
    assert [each.name for each in found] == ["<script>", "my failures"] and not problem
    assert found[1].parameters == {"run": "demo", "in_cider": "0:0.5"} and found[1].view == "failures"
    with pytest.raises(JsonStoreError, match="choose another name"):
        bookmarks.save(tmp_path, "my failures", "beams", {})
    with pytest.raises(JsonStoreError, match="1 to 80"):
        bookmarks.save(tmp_path, "  ", "beams", {})
    bookmarks.rename(tmp_path, "my failures", "low CIDEr")
    bookmarks.delete(tmp_path, "<script>")
    assert [each.name for each in bookmarks.read(tmp_path)[0]] == ["low CIDEr"]
    assert json.loads(bookmarks.path(tmp_path).read_text())["entries"][0]["view"] == "failures"
