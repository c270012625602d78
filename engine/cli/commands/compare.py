"""The command `compare`: test whether one run or beam size is better than another."""

import argparse

from engine.cli import output, parser


def add(commands: parser.Commands) -> None:
    """Add the command."""
    command = parser.add_command(
        commands,
        "compare",
        run,
        "test whether one run or beam size is better than another on the same images",
        "python -m engine compare demo:3 demo:1",
    )
    for side in ("left", "right"):
        command.add_argument(side, metavar=side.upper(), help="RUN:BEAM, or RUN for its best beam size by CIDEr")


def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from engine.cli import compare

    print(output.short_lines(compare.text(options.results, options.left, options.right)))
    return 0
