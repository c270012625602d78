"""The command `correlate`: rank correlation of metrics with human ratings."""

import argparse
import math
from pathlib import Path

from engine.cli import parser


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
    parser.add_data(command, "all")
    parser.add_device(command)
    parser.add_metrics(command)


def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from engine.cli import inputs
    from engine.evaluation.agreement import rated
    from engine.evaluation.scoring import MetricSettings
    from engine.metrics import human_ratings
    from engine.store.schema import METRICS

    ratings = human_ratings.read(options.ratings)
    dataset = inputs.dataset(options, "all")
    clip = inputs.clip_settings(options)
    found = rated(ratings, dataset, MetricSettings(inputs.metrics(options.metrics, dataset), clip, options.results))
    print(f"{'metric':<14}{'tau-c x 100':>12}{'tau-b x 100':>12}{'captions':>10}")
    for name, each in found.items():
        taus = (f"{100 * tau:>12.1f}" if math.isfinite(tau) else f"{'-':>12}" for tau in (each.tau_c, each.tau_b))
        print(f"{METRICS[name].title:<14}{''.join(taus)}{each.pairs:>10,}")
    return 0
