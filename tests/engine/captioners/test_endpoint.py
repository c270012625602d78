"""An endpoint of the OpenAI chat API, played by a local server."""

import base64
import io
import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from engine import __main__ as command
from engine.captioners import endpoint
from engine.store import records, signatures, tables
from tests.support import tiny


class Server:
    """Answers with the size of the photo; `plan` has the status codes of the first requests."""

    def __init__(self) -> None:
        self.plan: list[int] = []
        self.bodies: list[dict] = []
        self.keys: list[str | None] = []
        self.answer = lambda size: {
            "choices": [{"message": {"content": f"a photo of {size}"}, "finish_reason": "stop"}]
        }
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                owner.keys.append(self.headers["Authorization"])
                status = owner.plan.pop(0) if owner.plan else 200
                if status != 200:
                    self._send(status, {"error": {"message": "try later"}})
                    return
                owner.bodies.append(body)
                url = body["messages"][0]["content"][1]["image_url"]["url"]
                photo = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
                self._send(200, owner.answer(photo.size))

            def _send(self, status: int, content: dict) -> None:
                self.send_response(status)
                self.send_header("Retry-After", "0")
                self.end_headers()
                self.wfile.write(json.dumps(content).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(endpoint, "PAUSE", 0.01)
    found = Server()
    thread = threading.Thread(target=found.http.serve_forever, daemon=True)
    thread.start()
    yield found
    found.http.shutdown()
    found.http.server_close()


def evaluate(server, data, results, *more: object) -> int:
    arguments = ["--data", data, "--captioner", f"openai:{server.url}", "--model", "m", "--run", "x", "--beams", 1]
    return command.main([str(each) for each in ("evaluate", *arguments, "--results", results, *more)])


def test_captions_are_scored_and_an_answered_image_is_never_sent_again(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    data = tiny.coco(tmp_path / "data", count=4)
    server.plan = [429, 503]
    assert evaluate(server, data, tmp_path / "r", "--prompt", "What is it?") == 0
    assert "no attention maps: an endpoint returns text alone" in capsys.readouterr().out
    folder = records.run_folder(tmp_path / "r", "x")
    captions = tables.read_table(folder, "captions").to_pylist()
    assert [row["caption"] for row in captions] == ["a photo of (80, 60)"] * 4
    assert len(server.bodies) == 4 and set(server.keys) == {"Bearer secret"}
    assert server.bodies[0]["messages"][0]["content"][0]["text"] == "What is it?"
    record = records.read_record(folder)
    assert (record["captioner"]["requests"], record["captioner"]["retries"]) == (6, 2)
    stored = "".join(path.read_text(errors="ignore") for path in (tmp_path / "r").rglob("*") if path.is_file())
    assert "secret" not in stored
    shutil.rmtree(folder)
    assert evaluate(server, data, tmp_path / "r", "--prompt", "What is it?") == 0
    assert len(server.bodies) == 4


def test_prompt_and_model_are_in_the_signature_and_another_one_is_refused_by_its_name(server, tmp_path, capsys):
    data = tiny.coco(tmp_path / "data", count=1)
    assert evaluate(server, data, tmp_path / "r", "--prompt", "What | is: it?") == 0
    folder = records.run_folder(tmp_path / "r", "x")
    signed = signatures.entries(tables.read_table(folder, "corpus_scores").to_pylist()[0]["signature"])
    assert signed["model"] == "m" and len(signed["prompt"]) == 16
    capsys.readouterr()
    assert evaluate(server, data, tmp_path / "r", "--prompt", "Another?") == 2
    assert "with other settings (prompt: What | is: it? before, Another? now)" in capsys.readouterr().err


def test_a_run_that_failed_continues_where_it_was(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(endpoint, "AT_ONCE", 1)
    data = tiny.coco(tmp_path / "data", count=4)
    server.plan = [200, 200] + [500] * endpoint.TRIES
    assert evaluate(server, data, tmp_path / "r") == 2
    shown = capsys.readouterr().err
    assert "no answer after 6 requests (HTTP 500 try later); answers so far are kept" in shown
    assert evaluate(server, data, tmp_path / "r") == 0
    assert len(server.bodies) == 4


@pytest.mark.parametrize(
    ("plan", "answer", "sentence"),
    [
        ([401], None, "HTTP 401 try later; set OPENAI_API_KEY"),
        ([404], None, "HTTP 404 try later"),
        ([], {"choices": []}, "the answer is {'choices': []}, expected a chat completion"),
        ([], {"choices": [{"message": {"content": 5}}]}, "expected a chat completion"),
    ],
)
def test_a_permanent_failure_is_one_sentence_and_not_tried_again(server, tmp_path, capsys, plan, answer, sentence):
    data = tiny.coco(tmp_path / "data", count=1)
    server.plan = plan
    if answer is not None:
        server.answer = lambda size: answer
    assert evaluate(server, data, tmp_path / "r") == 2
    assert sentence in capsys.readouterr().err
    assert len(server.keys) == 1


def test_what_an_endpoint_cannot_do_is_refused_before_anything_is_sent(server, tmp_path, capsys):
    data = tiny.coco(tmp_path / "data", count=1)
    assert evaluate(server, data, tmp_path / "r", "--beams", 1, 3) == 2
    assert "an endpoint has no beams; use --beams 1" in capsys.readouterr().err
    arguments = ["--data", data, "--captioner", f"openai:{server.url}", "--run", "x", "--results", tmp_path / "r"]
    assert command.main([str(each) for each in ("evaluate", *arguments)]) == 2
    assert "choose one with --model" in capsys.readouterr().err
    arguments[3] = "openai:localhost"
    assert command.main([str(each) for each in ("evaluate", *arguments, "--model", "m")]) == 2
    assert "expected openai: and a URL such as" in capsys.readouterr().err
    assert not server.keys


def test_a_damaged_file_of_answers_loses_only_its_damaged_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('["a", {"text": "x", "finished": true}]\n["b", {"te\n5\n' + "[" * 5000)
    found = endpoint._Answers(path)
    assert found.get("a") == {"text": "x", "finished": True} and found.get("b") is None
    found.keep("b", {"text": "y", "finished": False})
    assert endpoint._Answers(path).get("b") == {"text": "y", "finished": False}
