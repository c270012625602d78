"""The command `zeroshot`: classify photos with CLIP and compare templates, or import predicted classes."""

import argparse
from pathlib import Path

from engine.cli import parser
from engine.config import ConfigError


def add(commands: parser.Commands) -> None:
    """Add the command."""
    command = parser.add_command(
        commands,
        "zeroshot",
        run,
        "classify photos with CLIP and compare templates",
        "python -m engine zeroshot --data data/hw3 --clip ViT-B/32 --templates 'This is a photo of {object}' "
        "--run prompts",
    )
    command.add_argument("--data", type=Path, metavar="DATA", help="folder with id2label.json and val/")
    command.add_argument(
        "--predictions",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="filename,label files made elsewhere, one per template",
    )
    command.add_argument(
        "--clip", default="ViT-B/32", metavar="MODEL", help="CLIP: a name, model:file, a folder, or demo"
    )
    command.add_argument(
        "--templates", nargs="+", metavar="TEXT", help="templates with {object} (default: the study's three)"
    )
    parser.add_device(command)
    parser.add_run(command)


def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    if options.predictions:
        return _import_classes(options)
    if options.data is None:
        raise ConfigError("give --data, a folder with id2label.json and val/, or --predictions made elsewhere")
    from engine.cli import inputs, summary
    from engine.data.classes import load_classes
    from engine.evaluation import zeroshot_run
    from engine.metrics import zeroshot
    from engine.models import clip, device

    templates = tuple(options.templates or zeroshot.TEMPLATES)
    zeroshot.check(templates)
    job = zeroshot_run.ZeroShotRun(
        name=options.name,
        results=options.results,
        classes=load_classes(options.data),
        clip=clip.load(options.clip, device.prepare(options.device)),
        templates=templates,
        command=inputs.command_line(),
    )
    is_new = zeroshot_run.zero_shot(job)
    return summary.show(options.results, options.name, is_new)


def _import_classes(options: argparse.Namespace) -> int:
    from engine.cli import inputs, summary
    from engine.data import class_predictions
    from engine.data.classes import load_classes
    from engine.evaluation import zeroshot_run

    names = _template_names(options)
    classes = load_classes(options.data) if options.data else None
    job = zeroshot_run.ImportedClassesRun(
        name=options.name,
        results=options.results,
        predictions={
            name: class_predictions.read(path, classes) for name, path in zip(names, options.predictions, strict=True)
        },
        names=dict(zip(classes.label_ids, classes.labels, strict=True)) if classes else {},
        root=classes.root if classes else None,
        command=inputs.command_line(),
    )
    is_new = zeroshot_run.imported_classes(job)
    return summary.show(options.results, options.name, is_new)


def _template_names(options: argparse.Namespace) -> list[str]:
    """Return a name for each file of predictions: its template, else the name of the file."""
    names = options.templates or [path.stem for path in options.predictions]
    if len(names) != len(options.predictions):
        raise ConfigError(
            f"--templates gives {len(names)} names, expected one for each of {len(options.predictions)} files"
        )
    twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
    if twice is not None:
        raise ConfigError(f"two files are named {twice!r}; give them different names with --templates")
    return names
