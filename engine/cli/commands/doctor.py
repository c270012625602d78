"""The command `doctor`: report what is installed and what is missing, or what is wrong with data."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli import parser
from engine.config import ConfigError

if TYPE_CHECKING:
    from engine.diagnosis.data_doctor.finding import Finding


def add(commands: parser.Commands) -> None:
    """Add the command."""
    command = parser.add_command(
        commands,
        "doctor",
        run,
        "report what is installed and what is missing, or what is wrong with data",
        "python -m engine doctor --data data/flickr8k --predictions predictions.json",
    )
    command.add_argument("--captioner", metavar="NAME", help="also look for the files of a captioner, as hf:NAME")
    parser.add_data(command, is_required=False)
    command.add_argument(
        "--predictions", type=Path, metavar="FILE", help="captions to check together with --data, as for score"
    )


def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    if options.predictions and not options.data:
        raise ConfigError(f"--predictions {options.predictions}: expected the data of these images; add --data")
    lines = _installed(options.captioner) if options.data is None else _data(options)
    for line in lines:
        print(line)
    return 0


def _installed(captioner: str | None) -> Iterator[str]:
    from engine.cli import doctor

    for finding in doctor.examine(captioner):
        yield f"{'ok' if finding.is_there else '--':>4}  {finding.name:<26} {finding.text}"


def _data(options: argparse.Namespace) -> Iterator[str]:
    """Yield what is wrong with the data and, if there is a file, with its captions."""
    from engine.cli import output, summary

    what, found = _examined(options)
    lines = summary.findings_text([each.as_json() for each in found])
    yield output.short_lines("\n".join([what, *(lines or ["nothing is wrong with the data that can be seen here"])]))


def _examined(options: argparse.Namespace) -> tuple[str, "list[Finding]"]:
    """Return what was examined, and the findings; other splits are read even if that takes long."""
    from engine.cli import inputs
    from engine.data import predictions, registry
    from engine.evaluation import data_findings

    file = options.predictions
    if file is None:
        dataset, captions = registry.load(options.data, options.format, options.split, options.hold_out), None
        inputs.print_remarks(dataset)
    else:
        given = predictions.read(file)
        dataset, captions = inputs.dataset_for(
            options, lambda dataset: predictions.match(given, dataset, file, True), file
        )
        dataset = dataset.subset(each for each in dataset.examples if each.image_id in captions)
    counted = f"{len(dataset.examples):,} images of {dataset.name} {dataset.split}"
    what = counted if captions is None else f"{counted}, {len(captions):,} captions of {file}"
    splits = inputs.other_splits(options, dataset)
    return what, data_findings.of_data(dataset, captions, splits, whole=True)
