"""Who gets an answer from a real server: tested by requests and websockets written byte by byte."""

import base64
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.conftest import ROOT
from tests.support.servers import served

OWN = ["127.0.0.1", "localhost", "[::1]", "LOCALHOST."]
STRANGERS = [
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1@evil.example",
    "user@localhost",
    "10.0.0.7",
    "",
    "a b[",
]


@pytest.fixture(scope="module")
def port(full_results, tmp_path_factory) -> Iterator[int]:
    """The port of a dashboard that was started in another folder than the project."""
    with served(full_results, tmp_path_factory.mktemp("elsewhere")) as (base, _):
        yield urlsplit(base).port


def asked(
    port: int, path: str, lines: list[str], more: bytes = b"", seconds: float = 20, until: bytes = b"\0"
) -> bytes:
    """Return what the server sends for a request of these header lines: until it closes, or has sent `until`."""
    head = "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode("latin-1")
    found = b""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(head)
        while until not in found:
            try:
                part = connection.recv(65536)
            except TimeoutError:
                break
            if not part:
                break
            if b"101 Switching" in part and more:
                connection.sendall(more)
            found += part
    return found


def upgrade(host: str, *more: str) -> list[str]:
    key = base64.b64encode(os.urandom(16)).decode()
    wanted = ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13"]
    return [f"Host: {host}", *wanted, "Sec-WebSocket-Protocol: streamlit", *more]


def first_message() -> bytes:
    """The masked frame by which a browser asks for the page."""
    from streamlit.proto.BackMsg_pb2 import BackMsg

    message = BackMsg()
    message.rerun_script.query_string = ""
    content = message.SerializeToString()
    return bytes([0x82, 0x80 | len(content), 0, 0, 0, 0]) + content


def stream(port: int, *lines: str, until: bytes = b"demo_cnn") -> bytes:
    return asked(port, "/_stcore/stream", list(lines), first_message(), until=until)


@pytest.mark.parametrize("host", OWN)
def test_a_websocket_to_an_own_name_gets_the_results(port, host):
    found = stream(port, *upgrade(f"{host}:{port}"))
    assert found.startswith(b"HTTP/1.1 101") and b"demo_cnn" in found


@pytest.mark.parametrize("host", STRANGERS)
def test_a_websocket_to_another_name_is_refused_and_gets_nothing(port, host):
    found = stream(port, *upgrade(host))
    assert found.startswith((b"HTTP/1.1 403", b"HTTP/1.1 400")) and b"demo" not in found


def test_a_websocket_of_another_site_is_refused(port):
    own = f"127.0.0.1:{port}"
    assert stream(port, *upgrade(own, "Origin: http://evil.example")).startswith(b"HTTP/1.1 403")
    assert stream(port, *upgrade(own, "Origin: null")).startswith(b"HTTP/1.1 403")
    assert stream(port, *upgrade(own, f"Origin: http://{own}")).startswith(b"HTTP/1.1 101")


@pytest.mark.parametrize("path", ["/", "/media/0.png", "/_stcore/health", "/_stcore/host-config", "/failures?run=demo"])
def test_every_request_to_another_name_is_answered_with_one_sentence(port, path):
    found = asked(port, path, ["Host: evil.example"])
    assert found.startswith(b"HTTP/1.1 403") and b"answers only requests to its own address" in found
    assert not asked(port, path, [f"Host: 127.0.0.1:{port}", "Connection: close"]).startswith(b"HTTP/1.1 403")


def test_two_host_names_are_refused(port):
    found = asked(port, "/", ["Host: localhost", "Host: evil.example"])
    assert found.startswith((b"HTTP/1.1 400", b"HTTP/1.1 403"))


def test_a_server_started_in_another_folder_listens_on_one_address_only(port):
    with pytest.raises(ConnectionRefusedError):  # every address 127.x.x.x would reach a server on all interfaces
        socket.create_connection(("127.0.0.2", port), timeout=5)


def test_a_configured_address_gets_an_answer(full_results, tmp_path):
    with served(full_results, tmp_path, "--server.allowedHosts", "caption.example") as (base, _):
        there = urlsplit(base).port
        assert asked(there, "/", ["Host: caption.example", "Connection: close"]).startswith(b"HTTP/1.1 200")
        assert asked(there, "/", ["Host: evil.example"]).startswith(b"HTTP/1.1 403")


def test_a_server_without_an_address_does_not_start_and_says_how(tmp_path):
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "dashboard" / "app.py"), "--server.address", ""]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    shown = done.stdout + done.stderr
    assert done.returncode and "streamlit run dashboard/app.py --server.address 127.0.0.1" in shown
    assert "Traceback" not in shown
