"""The command `score`: score captions that were made elsewhere."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli import parser
from engine.config import ConfigError

if TYPE_CHECKING:
    from engine.data.dataset import Dataset
    from engine.evaluation.predictions_run import PredictionsRun


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
        "predictions",
        type=Path,
        help="COCO results, {name: caption} or [{img_id, prediction}] as JSON or JSON lines; or CSV, TSV",
    )
    parser.add_data(command, "the one with the predicted images: val, else test, train or all")
    command.add_argument(
        "--partial", action="store_true", help="score the images that have a caption, even if others have none"
    )
    parser.add_only(command)
    parser.add_device(command)
    parser.add_run(command)
    parser.add_metrics(command)


def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from engine.cli import summary
    from engine.evaluation import predictions_run

    begun = predictions_run.begin(_job(options))
    if begun is not None:
        predictions_run.finish(begun)  # nothing refers to the dataset and the captions any more
    return summary.show(options.results, options.name, begun is not None)


def _job(options: argparse.Namespace) -> "PredictionsRun":
    """Return the settings of the run, with the dataset and the captions."""
    from engine.cli import inputs
    from engine.data import predictions
    from engine.evaluation import predictions_run

    found = predictions.read(options.predictions)
    dataset, captions = inputs.dataset_for(
        options,
        lambda dataset: predictions.match(found, dataset, options.predictions, options.partial),
        options.predictions,
    )
    dataset = inputs.only(dataset, options.only)
    metrics = inputs.metrics(options.metrics, dataset)
    _check_something(options, dataset, captions)
    return predictions_run.PredictionsRun(
        name=options.name,
        results=options.results,
        dataset=dataset,
        captions=captions,
        source=options.predictions,
        metrics=metrics,
        clip=inputs.clip_settings(options, dataset),
        splits=inputs.other_splits(options, dataset),
        command=inputs.command_line(),
    )


def _check_something(options: argparse.Namespace, dataset: "Dataset", captions: Mapping[str, str]) -> None:
    """Raise `ConfigError` if no score would be computed."""
    scored = (example for example in dataset.examples if example.image_id in captions)
    if options.metrics is None and options.clip is None and not any(example.references for example in scored):
        raise ConfigError(
            f"nothing to compute: the images of {options.predictions} have no references in {dataset.path}; "
            "give --clip for CLIPScore, or data with references"
        )
