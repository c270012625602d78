"""Who may talk to the dashboard: requests whose Host, and whose Origin if there is one, name an address of its own.

A page of a stranger can give its own name the address 127.0.0.1 and then read a local server as if it were that page's
(DNS rebinding). The name is still in the Host header, so every request and websocket with another name is refused
before Streamlit sees it. Knows Streamlit's settings and ASGI. Reads no results.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

import streamlit as st

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

LOCAL = ("localhost", "127.0.0.1", "::1")
COMMAND = "streamlit run dashboard/app.py --server.address 127.0.0.1"


def check_address() -> None:
    """End the process with one sentence if the server would listen on every interface without having been asked to.

    Raises:
        SystemExit: the setting server.address is empty.
    """
    if not st.get_option("server.address"):
        raise SystemExit(
            "error: server.address is empty, so everyone in the network could read the results; expected an address "
            f"such as 127.0.0.1. Run: {COMMAND}"
        )


class KnownHosts:
    """ASGI middleware that refuses requests and websockets whose Host or Origin is not one of `allowed()`."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with status 403 and a sentence."""
        if scope["type"] not in ("http", "websocket") or _is_known(scope["headers"]):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await _refuse(send)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": "unknown Host or Origin"})


def allowed() -> set[str]:
    """Return the host names of this server: local ones, its configured address, and those of server.allowedHosts."""
    configured = [st.get_option("server.address"), st.get_option("browser.serverAddress")]
    named = {*LOCAL, *(str(name) for name in configured if name), *st.get_option("server.allowedHosts")}
    return {_plain(name) for name in named}


def _is_known(headers: list[tuple[bytes, bytes]]) -> bool:
    hosts = [value.decode("latin-1") for name, value in headers if name.lower() == b"host"]
    origins = [value.decode("latin-1") for name, value in headers if name.lower() == b"origin"]
    names = [_name(f"//{host}") for host in hosts] + [_name(origin) for origin in origins]
    return len(hosts) == 1 and len(origins) <= 1 and set(names) <= allowed()


def _name(url: str) -> str:
    """Return the host name in a URL, or "" if there is none."""
    try:
        parts = urlsplit(url)
        return "" if parts.username is not None else _plain(parts.hostname or "")
    except ValueError:
        return ""


def _plain(name: str) -> str:
    return name.strip().strip("[]").lower().rstrip(".")


async def _refuse(send: Send) -> None:
    sentence = (
        "This dashboard answers only requests to its own address. Open it at the address that it printed at its start; "
        "to allow another name, start it with --server.allowedHosts NAME.\n"
    )
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": sentence.encode()})
