"""The process that runs commands for the dashboard: an answer per request, also after a bad one."""

import io
import json
import subprocess
import sys

from engine import live
from tests.conftest import ROOT


def answers(*lines: str) -> list[dict]:
    written = io.StringIO()
    live.serve(lines, written)
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_each_request_has_one_answer_and_a_bad_one_stops_nothing(tmp_path):
    missing = {"arguments": ["evaluate", "--data", str(tmp_path / "none"), "--captioner", "x", "--run", "y"]}
    found = answers(
        "not json", '{"arguments": 3}', json.dumps(missing), '{"arguments": ["sql"]}', '{"arguments": ["no"]}'
    )
    assert [each["status"] for each in found] == [2, 2, 2, 2, 2]
    assert "expected a line such as" in found[0]["message"]
    assert str(tmp_path / "none") in found[2]["message"] and "Traceback" not in found[2]["message"]


def test_what_a_command_prints_is_no_answer(tmp_path):
    requests = json.dumps({"arguments": ["doctor"]}) + "\n" + json.dumps({"arguments": ["nonsense"]}) + "\n"
    done = subprocess.run(
        [sys.executable, "-m", "engine.live"], input=requests, capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert [json.loads(line)["status"] for line in done.stdout.splitlines()] == [0, 2]
