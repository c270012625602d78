"""The dashboard as a person starts it, and the browser that looks at it."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dashboard.state.data import RESULTS_VARIABLE
from tests.conftest import ROOT

CHROMIUM = Path("/usr/bin/chromium")
_HEALTHY = 60  # seconds for the server to answer


@contextmanager
def served(results: Path, folder: Path = ROOT, *options: str) -> Iterator[tuple[str, int]]:
    """Address and process id of `streamlit run dashboard/app.py` over `results`; it ends with the block.

    Args:
        folder: the folder that the command is started in.
        options: further options of the command.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = str(ROOT / "dashboard" / "app.py")
    command = [sys.executable, "-m", "streamlit", "run", app, "--server.port", str(port), *options]
    environment = os.environ | {RESULTS_VARIABLE: str(results), "PYTHONPATH": str(ROOT)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=folder, env=environment, **quiet) as server:
        try:
            _wait_healthy(f"http://127.0.0.1:{port}/_stcore/health")
            yield f"http://127.0.0.1:{port}", server.pid
        finally:
            server.terminate()


def _wait_healthy(url: str) -> None:
    for _ in range(10 * _HEALTHY):
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"{url} did not answer within {_HEALTHY} s")
