"""The process that runs models for the dashboard, which itself imports no torch.

Knows the protocol of `engine.live`. One request at a time.
"""

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

LIVE_VARIABLE = "CAPTIONSCOPE_LIVE"
"""Set to 1 by `make dashboard LIVE=1`: the pages may run models."""

SECONDS = 600.0
"""The longest that a request may take: a large model is loaded from disk first."""

_ROOT = Path(__file__).resolve().parents[2]


class ModelProcess:
    """A process with the engine's models. It is started by the first request, and again if it has ended."""

    def __init__(self, command: Sequence[str] = (sys.executable, "-m", "engine.live")) -> None:
        self._command, self._lock = list(command), threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, arguments: Sequence[str], seconds: float = SECONDS) -> str:
        """Run a command of the engine; return "", or a sentence on what went wrong.

        Args:
            seconds: how long it may take; then the process is ended.
        """
        with self._lock:
            process = self._started()
            try:
                line = self._exchange(process, json.dumps({"arguments": list(arguments)}), seconds)
                answer = json.loads(line)
            except TimeoutError:
                self.close()
                return f"the model took longer than {seconds:.0f} s; its process was ended"
            except (OSError, ValueError):
                status = process.poll()
                self.close()
                return f"the process of the model ended (status {status}); its output is in the dashboard's terminal"
            return "" if answer["status"] == 0 else str(answer["message"]) or f"status {answer['status']}"

    def close(self) -> None:
        """End the process, if it runs."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            # Its input ends with this process, and it ends with its input.
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=os.getcwd(), env=self._environment()
            )
        return self._process

    @staticmethod
    def _environment() -> dict[str, str]:
        paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}

    @staticmethod
    def _exchange(process: subprocess.Popen[bytes], request: str, seconds: float) -> bytes:
        """Send a line and return the line that answers it.

        Raises:
            TimeoutError: no whole line came in time.
            OSError: the process does not read.
            ValueError: it ended.
        """
        if process.stdin is None or process.stdout is None:
            raise ValueError("no pipe")
        process.stdin.write(request.encode() + b"\n")
        process.stdin.flush()
        found, end = b"", time.monotonic() + seconds
        while not found.endswith(b"\n"):
            left = end - time.monotonic()
            if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
                raise TimeoutError
            part = os.read(process.stdout.fileno(), 65_536)
            if not part:
                raise ValueError("ended")
            found += part
        return found


def is_live() -> bool:
    """Return whether pages may run models."""
    return os.environ.get(LIVE_VARIABLE, "") not in ("", "0")


@st.cache_resource(show_spinner=False)
def shared() -> ModelProcess:
    """Return the process of this server."""
    return ModelProcess()
