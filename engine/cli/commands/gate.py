"""The command `gate`: fail if a metric of new captions is worse than that of old ones by more than a limit."""

import argparse
from pathlib import Path

from engine.cli import output, parser


def add(commands: parser.Commands) -> None:
    """Add the command."""
    command = parser.add_command(
        commands,
        "gate",
        run,
        "fail (exit status 1) if the loss of a metric is significantly above a limit (one-sided paired test on the "
        "same images, level 0.05), and write an HTML file that says why",
        "python -m engine gate new --against old --metric cider --max-loss 1%",
    )
    command.add_argument("new", metavar="NEW", help="the run to check, or RUN:BEAM")
    command.add_argument("--against", required=True, metavar="OLD", help="the run to compare with, or RUN:BEAM")
    command.add_argument("--metric", default="cider", metavar="NAME", help="a metric that both runs have")
    command.add_argument(
        "--max-loss",
        default="1%",
        metavar="LIMIT",
        help="largest loss that passes: a share of the old value such as 1%%, or a number in the metric's unit such as "
        "0.01",
    )
    command.add_argument(
        "--beam", type=int, metavar="K", help="beam size of both (default: the old run's best by the metric)"
    )
    command.add_argument("--out", type=Path, default=Path("gate.html"), metavar="FILE", help="the HTML file")


def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status: 0 passed, 1 failed."""
    from engine.gate import comparison, page
    from engine.gate.decision import Verdict, limit_of
    from engine.writing import replacing

    limit = limit_of(options.max_loss)
    found = comparison.compare(options.results, options.new, options.against, options.metric, limit, options.beam)
    text = page.html(found)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(options.out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(output.short_lines("\n".join([*page.sentences(found), f"report: {options.out}"])))
    return 1 if found.decision.verdict is Verdict.FAILED else 0
