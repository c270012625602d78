"""The command `doctor`: report what is installed and what is missing."""

import argparse

from engine.cli import parser


def add(commands: parser.Commands) -> None:
    """Add the command."""
    command = parser.add_command(
        commands,
        "doctor",
        run,
        "report what is installed, what is missing, and how to install it",
        "python -m engine doctor",
    )
    command.add_argument("--captioner", metavar="NAME", help="also look for the files of a captioner, as hf:NAME")


def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from engine.cli import doctor

    for finding in doctor.examine(options.captioner):
        print(f"{'ok' if finding.is_there else '--':>4}  {finding.name:<26} {finding.text}")
    return 0
