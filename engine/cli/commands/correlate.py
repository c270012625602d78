"""The command `correlate`: correlation of metrics with human ratings."""

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli import parser

if TYPE_CHECKING:
    from engine.metrics.human_ratings import Agreement


def add(commands: parser.Commands) -> None:
    """Add the command."""
    command = parser.add_command(
        commands,
        "correlate",
        run,
        "measure how well metrics agree with human ratings of captions",
        "python -m engine correlate ratings.jsonl --data data/flickr8k --metrics cider bleu_4 rouge_l",
    )
    command.add_argument("ratings", type=Path, help="JSON lines: image, caption, human_mean")
    command.add_argument(
        "--group", metavar="COLUMN", help="also report each group of ratings, by this key of the lines"
    )
    parser.add_data(command, "the one with the rated images: val, else test, train or all")
    parser.add_device(command)
    parser.add_metrics(command)


def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from engine.cli import inputs
    from engine.evaluation.agreement import rated, rated_examples
    from engine.evaluation.scoring import MetricSettings
    from engine.metrics import human_ratings

    ratings = human_ratings.read(options.ratings, options.group)
    dataset, examples = inputs.dataset_for(
        options, lambda dataset: rated_examples(ratings, dataset, options.ratings), options.ratings
    )
    clip = inputs.clip_settings(options, dataset)
    wanted = MetricSettings(inputs.metrics(options.metrics, dataset), clip, options.results)
    for group, found in rated(ratings, examples, dataset, wanted).items():
        if options.group is not None:
            print("\nall ratings" if group is None else f"\n{options.group} {group}")
        print(_table(found))
    return 0


def _table(found: "dict[str, Agreement]") -> str:
    from engine.store.schema import METRICS

    titles = ("tau-c x 100", "tau-b x 100", "Spearman's rho", "Pearson's r", "captions")
    lines = [f"{'metric':<14}" + "".join(f"{title:>16}" for title in titles)]
    for name, each in found.items():
        cells = [_number(100 * each.tau_c, 1), _number(100 * each.tau_b, 1), _number(each.rho, 3), _number(each.r, 3)]
        lines.append(f"{METRICS[name].title:<14}" + "".join(f"{cell:>16}" for cell in (*cells, f"{each.pairs:,}")))
    return "\n".join(lines)


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"
