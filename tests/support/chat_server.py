"""An endpoint of the OpenAI chat API, played by a local server."""

import base64
import io
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image


class Server:
    """Answers with the size of the photo, and a GET with the number of requests.

    `plan` has the status codes of the first requests; 0 closes the connection without an answer, and -1 takes
    too long to answer.
    """

    def __init__(self) -> None:
        self.plan: list[int] = []
        self.bodies: list[dict] = []
        self.keys: list[str | None] = []
        self.answer = lambda size: {
            "choices": [{"message": {"content": f"a photo of {size}"}, "finish_reason": "stop"}]
        }
        self.message = "try later"
        self.slow = 0.5
        """Seconds of an answer that takes too long."""
        self.redirect = ""
        """Where requests are sent on to."""
        self.got: list[str | None] = []
        """Keys of GET requests."""
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                owner.keys.append(self.headers["Authorization"])
                if owner.redirect:
                    self.send_response(302)
                    self.send_header("Location", owner.redirect)
                    self.end_headers()
                    return
                status = owner.plan.pop(0) if owner.plan else 200
                if status <= 0:
                    time.sleep(owner.slow if status < 0 else 0)
                    self.close_connection = True
                    return
                if status != 200:
                    self._send(status, {"error": {"message": owner.message}})
                    return
                owner.bodies.append(body)
                url = body["messages"][0]["content"][1]["image_url"]["url"]
                photo = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
                self._send(200, owner.answer(photo.size))

            def do_GET(self) -> None:
                owner.got.append(self.headers["Authorization"])
                self._send(200, {"requests": len(owner.keys)})

            def _send(self, status: int, content: dict) -> None:
                self.send_response(status)
                self.send_header("Retry-After", "0")
                self.end_headers()
                self.wfile.write(json.dumps(content).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"


@contextmanager
def serving() -> Iterator[Server]:
    """Serve in a thread of this process; it ends with the block."""
    found = Server()
    thread = threading.Thread(target=found.http.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.http.shutdown()
        found.http.server_close()
