"""An endpoint of the OpenAI chat API, played by a local server."""

import shutil

import pytest

from engine import __main__ as command
from engine.captioners import endpoint
from engine.store import records, signatures, tables
from tests.support import chat_server, tiny

KEPT = "answers so far are kept, run the same command again to continue"


def message(content: object, reason: str = "stop") -> dict:
    """An answer of the chat API."""
    return {"choices": [{"message": {"content": content}, "finish_reason": reason}]}


def captions(results) -> list[dict]:
    return tables.read_table(records.run_folder(results, "x"), "captions").to_pylist()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(endpoint, "PAUSE", 0.01)
    with chat_server.serving() as found:
        yield found


def evaluate(server, data, results, *more: object) -> int:
    arguments = ["--data", data, "--captioner", f"openai:{server.url}", "--model", "m", "--run", "x"]
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


def test_every_temporary_failure_is_tried_again_and_counted(server, tmp_path, monkeypatch):
    monkeypatch.setattr(endpoint, "AT_ONCE", 1)
    monkeypatch.setattr(endpoint, "TIMEOUT", 0.2)
    data = tiny.coco(tmp_path / "data", count=2)
    server.plan = [429, 500, -1, 0, 200, 408, 502, 503, 504]  # -1: too late, 0: closed without an answer
    assert evaluate(server, data, tmp_path / "r") == 0
    record = records.read_record(records.run_folder(tmp_path / "r", "x"))
    assert (record["captioner"]["requests"], record["captioner"]["retries"]) == (10, 8)
    assert len(server.bodies) == 2


def test_a_server_that_is_not_there_is_one_sentence(server, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(endpoint, "TRIES", 3)
    server.http.server_close()
    assert evaluate(server, tiny.coco(tmp_path / "data", count=1), tmp_path / "r") == 2
    shown = capsys.readouterr().err
    assert "no answer after 3 requests" in shown and "Connection refused" in shown and "Traceback" not in shown


def test_the_key_is_in_no_message_and_no_file_of_a_failed_run(server, tmp_path, capsys, monkeypatch):
    data = tiny.coco(tmp_path / "data", count=1)
    for key, plan, sentence in (
        ("secret\n", [401], "HTTP 401 try later; set OPENAI_API_KEY"),
        ("secret\nsecond: line", [], "OPENAI_API_KEY has characters that a key cannot have; set it again"),
        ("sécret", [], "OPENAI_API_KEY has characters that a key cannot have; set it again"),
    ):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        server.plan = plan
        assert evaluate(server, data, tmp_path / "r") == 2
        shown = capsys.readouterr()
        assert sentence in shown.err and "cret" not in (shown.out + shown.err).replace(sentence, "")
    assert server.keys == ["Bearer secret"]
    files = [path for path in (tmp_path / "r").rglob("*") if path.is_file()]
    assert not any("cret" in path.read_text(errors="ignore") for path in files)


def test_another_host_that_the_endpoint_redirects_to_does_not_get_the_key(server, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    with chat_server.serving() as other:
        server.redirect = f"{other.url}/chat/completions"
        assert evaluate(server, tiny.coco(tmp_path / "data", count=1), tmp_path / "r") == 2
        assert server.keys == ["Bearer secret"] and other.got == [None]


@pytest.mark.parametrize(
    ("plan", "answer", "sentence"),
    [
        ([401], None, "HTTP 401 try later; set OPENAI_API_KEY"),
        ([404], None, "HTTP 404 try later"),
        ([400], None, f"photo 000000000001: HTTP 400 try later; {KEPT}, or remove the photo from the data"),
        ([], {"choices": []}, "photo 000000000001: the answer is {'choices': []}, expected a chat completion"),
        ([], message(5), "expected a chat completion"),
        ([], message([{"type": "text", "text": None}]), "expected a chat completion"),
        ([], message(["a dog"]), "expected a chat completion"),
        ([], message(None), f"the answer has no text (finish_reason 'stop'); {KEPT}, or remove the photo"),
        ([], message([], "length"), f"(finish_reason 'length'); {KEPT}, or use a larger --max-length"),
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


@pytest.mark.parametrize(
    ("content", "caption"),
    [
        ([{"type": "text", "text": "a black "}, {"type": "text", "text": "dog"}], "a black dog"),
        ([{"type": "thinking", "thinking": []}, {"type": "text", "text": "a dog"}], "a dog"),
        ("", ""),
        ("a dog \ud83d runs \ud83d\ude00", "a dog \ufffd runs \U0001f600"),
        (r"a \ud83d dog", r"a \ud83d dog"),  # an escaped backslash and six letters
        ("<think>**dog**</think> a dog", "<think>**dog**</think> a dog"),
    ],
)
def test_the_text_of_an_answer_is_the_caption(server, tmp_path, content, caption):
    server.answer = lambda size: message(content)
    assert evaluate(server, tiny.coco(tmp_path / "data", count=1), tmp_path / "r") == 0
    assert [(row["caption"], row["finished"]) for row in captions(tmp_path / "r")] == [(caption, True)]


def test_an_endless_answer_is_cut_and_its_photo_is_named(server, tmp_path, capsys):
    server.answer = lambda size: message("word " * 200_000)
    assert evaluate(server, tiny.coco(tmp_path / "data", count=1), tmp_path / "r") == 0
    assert "the answer for photo 000000000001 has 1,000,000 characters and is cut to 10,000" in capsys.readouterr().out
    assert [(len(row["words"]), row["finished"]) for row in captions(tmp_path / "r")] == [(2_000, False)]


def test_a_refused_photo_stops_the_run_and_the_answers_before_it_are_kept(server, tmp_path, monkeypatch):
    monkeypatch.setattr(endpoint, "AT_ONCE", 1)
    data = tiny.coco(tmp_path / "data", count=4)
    server.plan = [200, 200, 400]
    assert evaluate(server, data, tmp_path / "r") == 2
    assert evaluate(server, data, tmp_path / "r") == 0
    assert len(server.bodies) == 4 and len(server.keys) == 5


def test_requests_that_wait_say_so_once_a_minute(server, tmp_path, monkeypatch, capsys):
    data = tiny.coco(tmp_path / "data", count=4)
    server.plan, server.message = [503, 503, 500, 0, 503, 429], "busy\x1b"
    assert evaluate(server, data, tmp_path / "r") == 0
    shown = [line for line in capsys.readouterr().out.splitlines() if "waiting" in line]
    assert len(shown) == 1 and shown[0].endswith("; waiting, then trying again up to 5 times")
    assert f"openai:{server.url}: " in shown[0] and "\x1b" not in shown[0]
    monkeypatch.setattr(endpoint, "QUIET", 0.0)
    server.plan = [503, 503]
    assert evaluate(server, data, tmp_path / "r", "--prompt", "Another?", "--run", "y") == 0
    shown = capsys.readouterr().out
    assert shown.count(r"HTTP 503 busy\x1b; waiting, then trying again up to") == 2


def test_what_an_endpoint_cannot_do_is_refused_before_anything_is_sent(server, tmp_path, capsys):
    data = tiny.coco(tmp_path / "data", count=1)
    for given, named in (
        ("--beams 1 3", "--beams 1 3"),
        ("--n-best 3", "--n-best 3"),
        ("--sample --top-k 5", "--sample, --top-k 5"),
        ("--length-penalty 0.5 --beams 1", "--length-penalty 0.5"),
    ):
        assert evaluate(server, data, tmp_path / "r", *given.split()) == 2
        shown = capsys.readouterr().err
        it = "them" if "," in named else "it"
        assert f"{named}: openai:{server.url} has only the search setting --max-length" in shown
        assert shown.rstrip().endswith(f"remove {it}")
    arguments = ["--data", data, "--captioner", f"openai:{server.url}", "--run", "x", "--results", tmp_path / "r"]
    assert command.main([str(each) for each in ("evaluate", *arguments)]) == 2
    assert "choose one with --model" in capsys.readouterr().err
    for name in ("openai:localhost", "openai:http://", "openai:http://localhost:x/v1", "openai:http://a\nb/v1"):
        arguments[3] = name
        assert command.main([str(each) for each in ("evaluate", *arguments, "--model", "m")]) == 2
        assert "expected openai: and a URL such as" in capsys.readouterr().err
    assert not server.keys


def test_an_error_message_of_a_server_is_one_printable_line(server, tmp_path, capsys):
    data = tiny.coco(tmp_path / "data", count=1)
    server.plan, server.message = [400], "no\x1b[2J\nmodel" + "x" * 5000
    assert evaluate(server, data, tmp_path / "r") == 2
    shown = capsys.readouterr().err.splitlines()[-1]
    assert r"HTTP 400 no\x1b[2J model" in shown and len(shown) < 400


def test_a_damaged_file_of_answers_loses_only_its_damaged_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('["a", {"text": "x", "finished": true}]\n["b", {"te\n5\n' + "[" * 5000)
    found = endpoint._Answers(path)
    assert found.get("a") == {"text": "x", "finished": True} and found.get("b") is None
    found.keep("b", {"text": "y", "finished": False})
    assert endpoint._Answers(path).get("b") == {"text": "y", "finished": False}
