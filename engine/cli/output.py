"""What commands print: captions, labels and file names come from anywhere, and a terminal obeys what is in them."""

import sys
from collections.abc import Generator
from contextlib import contextmanager, redirect_stdout
from typing import IO, Any

from engine.reading import message, printable


class _Printable:
    """A stream that writes control characters out."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(printable(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def safe_stdout() -> Generator[None]:
    """Write out control characters in everything that is printed."""
    with redirect_stdout(_Printable(sys.stdout)):  # ty: ignore[invalid-argument-type]  # a stream by its methods
        yield


def short_lines(text: str) -> str:
    """Return lines to print, none of which a huge value makes endless."""
    return "\n".join(message(line) for line in text.split("\n"))
