"""What comes from an endpoint of the chat API: its answers, its error messages, and the answers that are kept."""

import io
import json
import urllib.error
from email.message import Message
from pathlib import Path
from unittest import mock

from engine.captioners import endpoint
from engine.config import DecodingConfig
from engine.store import tables
from tests.fuzz.harness import Reader, is_ours

_CONFIG = DecodingConfig(beam_sizes=(1,), max_length=5)
_REPLY = {
    "id": "x",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "a dog runs"}, "finish_reason": "stop"},
        {"index": 1, "message": {"role": "assistant", "content": None}, "finish_reason": "length"},
    ],
    "usage": {"total_tokens": 12},
}


def _captioner(folder: Path) -> endpoint.EndpointCaptioner:
    return endpoint.EndpointCaptioner("openai:http://127.0.0.1:1/v1", "m", None, folder)


def _answer(folder: Path) -> None:
    (folder / "answer.json").write_text(json.dumps(_REPLY))


def _read_answer(folder: Path) -> None:
    """Read an answer as the captioner does, and store the caption as a run does."""
    content = (folder / "answer.json").read_bytes()
    with mock.patch("urllib.request.urlopen", lambda *_, **__: io.BytesIO(content)):
        found = _captioner(folder / "kept").caption([b"photo"], ["a"], _CONFIG)[1][0][0]
    for path in (folder / "kept").iterdir():
        path.unlink()
    _stored(found.text, found.words)


def _stored(caption: str, words: tuple[str, ...]) -> None:
    row = {"image_id": "a", "beam_size": 1, "caption": caption, "words": list(words)}
    tables.table_of("captions", [row])


def _error(folder: Path) -> None:
    (folder / "error.json").write_text(json.dumps({"error": {"message": "no such model", "type": "x", "code": 404}}))


def _read_error(folder: Path) -> None:
    """Read an error message, which ends in an error of ours, whatever it says."""
    content = (folder / "error.json").read_bytes()

    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.HTTPError("http://x", 404, "Not Found", Message(), io.BytesIO(content))

    with mock.patch("urllib.request.urlopen", refuse):
        try:
            _captioner(folder / "kept").caption([b"photo"], ["a"], _CONFIG)
        except endpoint.EndpointError as error:
            if not is_ours(error):
                raise AssertionError(f"not one printable line: {error}") from error


def _kept(folder: Path) -> None:
    answers = endpoint._Answers(folder / "a.jsonl")
    for number in range(4):
        answers.keep(f"{number:064x}", {"text": "a dog runs", "finished": True})


def _read_kept(folder: Path) -> None:
    answers = endpoint._Answers(folder / "a.jsonl")
    for number in range(4):
        if found := answers.get(f"{number:064x}"):
            _stored(found["text"], tuple(found["text"].split()))


READERS = (
    Reader("endpoint-answer", _answer, _read_answer),
    Reader("endpoint-error", _error, _read_error),
    Reader("endpoint-kept-answers", _kept, _read_kept),
)
