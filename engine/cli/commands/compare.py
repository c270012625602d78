"""The command `compare`: test whether one run or beam size is better than another, or than any number of others."""

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
    command.add_argument("more", nargs="*", metavar="MORE", help="further settings: all are tested against the best")
    command.add_argument("--metric", help="the metric of a comparison of more than two settings (default: the first)")


def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from engine.cli import compare, many

    settings = [options.left, options.right, *options.more]
    if options.more:
        text = many.text(options.results, settings, options.metric)
    elif options.metric:
        raise compare.SettingError("--metric chooses the metric of more than two settings; two are compared by all")
    else:
        text = compare.text(options.results, *settings)
    print(output.short_lines(text))
    return 0
