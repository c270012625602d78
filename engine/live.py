"""Runs commands for another process, which keeps the libraries of models loaded between them: `python -m engine.live`.

A request is a line of JSON on standard input, {"arguments": ["evaluate", ...]}; the answer is a line {"status": 0,
"message": ""} on standard output, with what the command wrote to standard error. It ends with its input.
"""

import json
import os
import sys
import traceback
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import TextIO

from engine.__main__ import main
from engine.reading import message


def serve(requests: Iterable[str], answers: TextIO) -> None:
    """Answer each request in order; a request that is not understood gets status 2 and a sentence."""
    for line in requests:
        status, said = _answer(line)
        answers.write(json.dumps({"status": status, "message": said}) + "\n")
        answers.flush()


def _answer(line: str) -> tuple[int, str]:
    try:
        arguments = [str(each) for each in json.loads(line)["arguments"]]
    except (ValueError, KeyError, TypeError):
        return 2, 'expected a line such as {"arguments": ["evaluate", "--data", "photos"]}'
    said = StringIO()
    with redirect_stdout(StringIO()), redirect_stderr(said):
        status = _status(arguments)
    errors = [text.removeprefix("error: ") for text in said.getvalue().splitlines() if text.startswith("error: ")]
    return status, message(errors[-1] if errors else said.getvalue()[-500:]) if status else ""


def _status(arguments: list[str]) -> int:
    try:
        return main(arguments)
    except SystemExit as ended:  # wrong options
        return ended.code if isinstance(ended.code, int) else 2
    except Exception:  # a bug must not end the process that serves the next request
        traceback.print_exc(file=sys.__stderr__)
        print(f"error: {traceback.format_exc(limit=0).splitlines()[-1]}", file=sys.stderr)
        return 1


def _serve_standard_streams() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not be mistaken for an answer
    serve(sys.stdin, answers)


if __name__ == "__main__":
    _serve_standard_streams()
