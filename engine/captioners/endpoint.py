"""Captions from an HTTP endpoint that speaks the OpenAI chat API: `--captioner openai:URL --model NAME`.

Every answer is kept on disk as soon as it arrives, so that an image that was answered is never sent again. The key
comes from the environment variable OPENAI_API_KEY and is stored nowhere.
"""

import base64
import hashlib
import http.client
import io
import json
import math
import os
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from engine.captioners.huggingface.families import DESCRIBE
from engine.config import DecodingConfig
from engine.protocols import Hypothesis
from engine.reading import first_line, message, parse_json, quoted

PREFIX = "openai:"
KEY = "OPENAI_API_KEY"
TRIES = 6
"""Requests for one image, the first included."""

PAUSE = 1.0
"""Seconds before the second request for an image; doubled each time, unless the server names a time."""

TIMEOUT = 120
"""Seconds to wait for an answer."""

AT_ONCE = 4

QUIET = 60.0
"""Seconds between two lines that say that requests wait: requests run side by side, and all wait for one server."""

LONGEST_ANSWER = 10_000
"""Characters of an answer that become the caption: 20 for each token of the longest caption that can be requested."""

_TEMPORARY = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_OF_A_PHOTO = frozenset({400, 413, 415, 422})
"""Refusals that depend on the photo; others, such as a wrong key, concern every request."""

_ESCAPES = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)
_KEPT = "answers so far are kept, run the same command again to continue"
_OPTIONS = {each.name: each.metadata["flag"] or f"--{each.name.replace('_', '-')}" for each in fields(DecodingConfig)}
_HONOURED = frozenset({"max_length"})


class EndpointError(ValueError):
    """The endpoint cannot be used; the message says why and what to do."""


class EndpointCaptioner:
    """A model behind an endpoint: captions without log-probabilities and maps."""

    def __init__(self, name: str, model: str | None, prompt: str | None, folder: Path) -> None:
        """Prepare the requests.

        Args:
            name: `openai:` and the URL, such as openai:http://127.0.0.1:8000/v1.
            folder: where answers are kept.

        Raises:
            EndpointError: the URL or the model is missing.
        """
        self.url = name.removeprefix(PREFIX).rstrip("/")
        if not _is_address(self.url):
            raise EndpointError(f"{name}: expected openai: and a URL such as openai:http://127.0.0.1:8000/v1")
        if not model:
            raise EndpointError(f"{name}: the endpoint may have several models; choose one with --model")
        self.name, self._model, self._prompt = f"{model} at {self.url}", model, prompt or DESCRIBE
        self.fingerprint = json.dumps([self.url, model, self._prompt])
        self.requests, self.retries = 0, 0
        digest = hashlib.sha256(self.fingerprint.encode()).hexdigest()[:16]
        self._answers = _Answers(folder / f"{digest}.jsonl")
        self._counting = threading.Lock()
        self._said_at = -math.inf

    @property
    def identity(self) -> dict[str, Any]:
        """Return what must be equal for a run to continue."""
        return {"captioner": self.url, "model": self._model, "prompt": self._prompt}

    @property
    def metadata(self) -> dict[str, Any]:
        """Return the captioner's entries in `run.json`."""
        counts = {"requests": self.requests, "retries": self.retries}
        reason = "an endpoint returns text alone"
        return {"url": self.url, "model": self._model, "prompt": self._prompt, "maps": reason, **counts}

    def check(self, config: DecodingConfig) -> None:
        """Raise `EndpointError` if captions are asked for that an endpoint cannot give."""
        check_search(f"{PREFIX}{self.url}", asdict(config))

    def read(self, photo: Image.Image) -> bytes:
        """Return the photo as JPEG."""
        content = io.BytesIO()
        photo.save(content, "JPEG", quality=95)
        return content.getvalue()

    def caption(
        self, photos: Sequence[bytes], image_ids: Sequence[str], config: DecodingConfig
    ) -> dict[int, list[list[Hypothesis]]]:
        """Return one caption per photo; those that are kept are not asked for again."""
        self.check(config)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            named = zip(photos, image_ids, strict=True)
            asked = [pool.submit(self._answer, photo, image_id, config) for photo, image_id in named]
            try:
                found = [each.result() for each in asked]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return {1: [[each] for each in found]}

    def _answer(self, photo: bytes, image_id: str, config: DecodingConfig) -> Hypothesis:
        key = hashlib.sha256(photo + str(config.max_length).encode()).hexdigest()
        kept = self._answers.get(key)
        if kept is None:
            kept = self._ask(photo, image_id, config)
            self._answers.keep(key, kept)
        text, is_cut = kept["text"], len(kept["text"]) > LONGEST_ANSWER
        if is_cut:
            reason = f"has {len(text):,} characters and is cut to {LONGEST_ANSWER:,}"
            tqdm.write(message(f"{PREFIX}{self.url}: the answer for photo {image_id} {reason}"))
        words = tuple(text[:LONGEST_ANSWER].split())
        return Hypothesis(" ".join(words), words, finished=kept["finished"] and not is_cut)

    def _ask(self, photo: bytes, image_id: str, config: DecodingConfig) -> dict[str, Any]:
        picture = f"data:image/jpeg;base64,{base64.b64encode(photo).decode()}"
        content = [{"type": "text", "text": self._prompt}, {"type": "image_url", "image_url": {"url": picture}}]
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": config.max_length,
            "temperature": 0,
        }
        answer = self._sent(json.dumps(body).encode(), image_id)
        try:
            choice = answer["choices"][0]
            text, reason = _text(choice["message"]["content"]), choice.get("finish_reason")
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise EndpointError(
                f"{PREFIX}{self.url}: photo {image_id}: the answer is {quoted(answer)}, expected a chat completion; "
                f"{_KEPT}"
            ) from error
        if text is None:
            hint = "use a larger --max-length" if reason == "length" else "remove the photo from the data"
            raise EndpointError(
                f"{PREFIX}{self.url}: photo {image_id}: the answer has no text (finish_reason {quoted(reason)}); "
                f"{_KEPT}, or {hint}"
            )
        return {"text": text, "finished": reason != "length"}

    def _sent(self, body: bytes, image_id: str) -> Any:
        """Return the answer to a request; temporary failures are tried again."""
        pause = PAUSE
        for number in range(1, TRIES + 1):
            with self._counting:
                self.requests += 1
                self.retries += number > 1
            try:
                return self._once(body)
            except urllib.error.HTTPError as error:
                reason = f"HTTP {error.code} {_reason(error)}"
                if error.code not in _TEMPORARY:
                    raise EndpointError(f"{PREFIX}{self.url}: {_refusal(error.code, reason, image_id)}") from error
                pause = _asked_pause(error, pause)
            except (OSError, http.client.HTTPException) as error:
                reason = first_line(error)
            if number < TRIES:
                self._say_waiting(reason, TRIES - number)
                time.sleep(pause)
                pause *= 2
        raise EndpointError(f"{PREFIX}{self.url}: no answer after {TRIES} requests ({reason}); {_KEPT}")

    def _say_waiting(self, reason: str, more: int) -> None:
        """Print why requests wait, once for those that wait at the same time."""
        with self._counting:
            is_known = time.monotonic() - self._said_at < QUIET
            self._said_at = self._said_at if is_known else time.monotonic()
        if not is_known:
            tqdm.write(message(f"{PREFIX}{self.url}: {reason}; waiting, then trying again up to {more} times"))

    def _once(self, body: bytes) -> Any:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/chat/completions", body, headers)
        if key := os.environ.get(KEY, "").strip():
            if not (key.isascii() and key.isprintable()):
                raise EndpointError(f"{KEY} has characters that a key cannot have; set it again")
            # Another host, to which the endpoint redirects, does not get the key.
            request.add_unredirected_header("Authorization", f"Bearer {key}")
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            text = answer.read(2**24).decode("utf-8", errors="replace")
        return parse_json(_whole_characters(text), f"{PREFIX}{self.url}: the answer", EndpointError)


def check_search(name: str, settings: Mapping[str, Any]) -> None:
    """Raise `EndpointError` if fields of `DecodingConfig` have values that an endpoint does not honour.

    Args:
        name: the endpoint, `openai:` and the URL.
        settings: field -> value; fields that are not given have their defaults.
    """
    usual = {each.name: each.default for each in fields(DecodingConfig)} | defaults()
    wrong = [key for key, value in settings.items() if key not in _HONOURED and value != usual[key]]
    if wrong:
        given = ", ".join(_option(key, settings[key]) for key in wrong)
        it = "it" if len(wrong) == 1 else "them"
        raise EndpointError(f"{given}: {name} has only the search setting --max-length; remove {it}")


def defaults() -> dict[str, Any]:
    """Return the search settings of an endpoint, as fields of `DecodingConfig`."""
    return {"beam_sizes": (1,)}


def _option(field: str, value: Any) -> str:
    """Return a search setting as an option of the command line."""
    values = value if isinstance(value, tuple) else [] if value is True else [value]
    return " ".join(map(str, [_OPTIONS[field], *values]))


def _text(content: Any) -> str | None:
    """Return the text of a message: a string, or the joined text of its parts; None if it has none.

    Raises:
        TypeError, KeyError: the content is nothing that the chat API allows.
    """
    if isinstance(content, list):
        texts = [part["text"] for part in content if part["type"] == "text"]
        content = "".join(texts) if texts else None
    if content is not None and not isinstance(content, str):
        raise TypeError
    return content


def _refusal(code: int, reason: str, image_id: str) -> str:
    if code == 401:
        return f"{reason}; set {KEY}"
    if code in _OF_A_PHOTO:
        return f"photo {image_id}: {reason}; {_KEPT}, or remove the photo from the data"
    return f"{reason}; {_KEPT}"


def _whole_characters(text: str) -> str:
    r"""Return a JSON text whose escaped halves of characters (such as `\ud83d` alone) are replacement characters."""
    return _ESCAPES.sub(lambda found: "\ufffd" if found["half"] else found[0], text)


def _is_address(url: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:  # the port is not a number
        return False


class _Answers:
    """Answers on disk, one JSON line each; a line that a kill cut short is ignored."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._found: dict[str, dict[str, Any]] = {}
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.is_file() else []
        for line in lines:
            try:
                key, answer = parse_json(line, str(path), EndpointError)
                self._found[str(key)] = {"text": str(answer["text"]), "finished": bool(answer["finished"])}
            except (ValueError, TypeError, KeyError):
                continue

    def get(self, key: str) -> dict[str, Any] | None:
        return self._found.get(key)

    def keep(self, key: str, answer: dict[str, Any]) -> None:
        """Keep an answer; it is on disk when this returns."""
        with self._lock:
            self._found[key] = answer
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._path, "a", encoding="utf-8") as file:
                file.write("\n" + json.dumps([key, answer]))  # after what a kill may have cut short
                file.flush()
                os.fsync(file.fileno())


def _reason(error: urllib.error.HTTPError) -> str:
    """Return the server's own message in one printable line, or the standard text of the status."""
    try:
        content = error.read(65_536).decode("utf-8", errors="replace")
        text = str(parse_json(content, "", EndpointError)["error"]["message"])
    except (ValueError, KeyError, TypeError, IndexError, OSError, http.client.HTTPException):
        text = str(error.reason)
    line = " ".join(text[:200].split())
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in line)


def _asked_pause(error: urllib.error.HTTPError, usual: float) -> float:
    """Return the seconds that a server asks to wait, at most a minute."""
    try:
        return min(60.0, max(0.0, float(error.headers.get("Retry-After", usual))))
    except ValueError:
        return usual
