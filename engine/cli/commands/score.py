"""The command `score`: score captions that were made elsewhere."""

import argparse
from pathlib import Path

from engine.cli import parser


def add(commands: parser.Commands) -> None:
    """Add the command."""
    command = parser.add_command(
        commands,
        "score",
        run,
        "score captions that were made elsewhere",
        "python -m engine score predictions.json --data data/flickr8k --partial --run theirs",
    )
    command.add_argument(
        "predictions", type=Path, help="JSON: COCO results, {name: caption}, or [{img_id, prediction}]"
    )
    parser.add_data(command)
    command.add_argument(
        "--partial", action="store_true", help="score the images that have a caption, even if others have none"
    )
    parser.add_device(command)
    parser.add_run(command)
    parser.add_metrics(command)


def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from engine.cli import inputs, summary
    from engine.data import predictions
    from engine.evaluation import predictions_run

    dataset = inputs.dataset(options)
    found = predictions.read(options.predictions)
    captions = predictions.match(found, dataset, options.predictions, options.partial)
    job = predictions_run.PredictionsRun(
        name=options.name,
        results=options.results,
        dataset=dataset,
        captions=captions,
        source=options.predictions,
        metrics=inputs.metrics(options.metrics, dataset),
        clip=inputs.clip_settings(options),
        command=inputs.command_line(),
    )
    is_new = predictions_run.score(job)
    return summary.show(options.results, options.name, is_new)
