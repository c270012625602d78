"""The command line: `python -m engine COMMAND`.

Runs a command and turns errors into messages: a user error is one sentence on stderr and exit status 2, without a
traceback.
"""

import argparse
import errno
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.cli.commands import compare, correlate, doctor, evaluate, export, gate, score, sql, study, train, zeroshot
from engine.cli.output import safe_stdout
from engine.reading import message

COMMANDS = (evaluate, score, zeroshot, train, study, compare, gate, correlate, export, sql, doctor)
"""One module per command, in the order of `--help`: `add` describes its options, `run` executes it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    options = build_parser().parse_args(arguments)
    try:
        with safe_stdout():
            return _run(options)
    except KeyboardInterrupt:
        print("\nstopped; run the same command again to continue", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 0
    except OSError as error:
        # A full disk or a read-only folder is not a bug.
        where = f"{error.filename}: " if error.filename else ""
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "; free some space and run the same command again, which continues" if is_full else ""
        _fail(f"{where}{error.strerror or error}; files written so far are kept{advice}")
        return 2
    except (ValueError, RuntimeError) as error:
        # User errors are engine exceptions printed in one line; anything else is a bug and keeps its traceback.
        if not type(error).__module__.startswith("engine."):
            raise
        _fail(str(error))
        return 2


def _run(options: argparse.Namespace) -> int:
    """Run a command; results on object storage are copied into their mirror before and uploaded afterwards."""
    from engine.store import remote  # pyarrow takes a while to import

    place = remote.of(options.results)
    if place is None:
        return options.run(options)
    place.pull()
    status = options.run(options)
    for name in place.push():
        print(f"run {name!r} is at {place.address}")
    return status


def _fail(text: str) -> None:
    print(f"error: {message(text)}", file=sys.stderr)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands, each with its options and an example."""
    program = Path(sys.argv[0]).name  # `captionscope` if it is installed, else this file
    prog = "captionscope" if program.startswith("captionscope") else "python -m engine"
    parser = argparse.ArgumentParser(prog=prog, description="Explain why an image captioner fails.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
