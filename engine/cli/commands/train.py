"""The command `train`: train a captioner by a recipe."""

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli import parser

if TYPE_CHECKING:
    from engine.config import Recipe


def add(commands: parser.Commands) -> None:
    """Add the command."""
    command = parser.add_command(
        commands,
        "train",
        run,
        "train a captioner; the same command continues an interrupted training",
        "python -m engine train --data data/demo --recipe engine/recipes/demo.toml --out checkpoints/mine",
    )
    parser.add_data(command, "train")
    command.add_argument(
        "--recipe", type=Path, required=True, metavar="FILE", help="TOML file of settings, see engine/recipes/"
    )
    command.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder of the trained captioner")
    command.add_argument(
        "--encoder-weights", type=Path, metavar="FILE", help="safetensors file, instead of the recipe's weights"
    )
    command.add_argument("--clip", metavar="MODEL", help="CLIP for validation with CLIPScore")
    parser.add_device(command)


def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from engine.cli import inputs
    from engine.data import registry
    from engine.models import clip, device
    from engine.store import locks, tables
    from engine.training import loop

    recipe = _recipe(options)
    train_set = inputs.dataset(options, "train")
    validation_set = registry.load(options.data, options.format, "val", options.hold_out)
    model_device = device.prepare(options.device)
    scorer = clip.load(options.clip, model_device) if options.clip else None

    def keep(rows: list[dict]) -> None:
        tables.write_table(options.out, "training", tables.table_of("training", rows))

    with locks.alone(options.out):
        done = loop.train(train_set, validation_set, recipe, options.out, model_device, scorer, keep)
    best = f"best validation CIDEr {done.best_cider:.3f}" if done.is_validated else "no photos to validate on"
    print(f"\n{options.out}: {done.epoch} epochs, {done.step} steps, {best}")
    print(f"next: {_next(options)}")
    return 0


def _recipe(options: argparse.Namespace) -> "Recipe":
    from dataclasses import replace

    from engine.config import read_recipe
    from engine.training import build

    recipe = build.resolve_paths(read_recipe(options.recipe), options.recipe.parent)
    if options.encoder_weights is None:
        return recipe
    weights = str(options.encoder_weights.resolve())
    return replace(recipe, training=replace(recipe.training, encoder_weights=weights, pretrained=False))


def _next(options: argparse.Namespace) -> str:
    """Return the command that evaluates the captioner."""
    from engine.store import records

    # The split by name: data without splits would be evaluated completely, training photos included.
    data = ["--data", str(options.data), *(["--format", options.format] if options.format else []), "--split", "val"]
    held_out = ["--hold-out", str(options.hold_out)] if options.hold_out != parser.HOLD_OUT else []
    name = options.out.resolve().name
    run = ["--captioner", str(options.out), "--run", name if records.RUN_NAME.fullmatch(name) else "mine"]
    return shlex.join(["python", "-m", "engine", "evaluate", *data, *held_out, *run])
