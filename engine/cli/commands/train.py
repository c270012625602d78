"""The command `train`: train a captioner by a recipe."""

import argparse
import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli import parser

if TYPE_CHECKING:  # loading these takes seconds
    from engine.config import Recipe
    from engine.data.dataset import Dataset
    from engine.training.ranks import Ranks


def add(commands: parser.Commands) -> None:
    """Add the command."""
    command = parser.add_command(
        commands,
        "train",
        run,
        "train a captioner, on several GPUs under torchrun; the same command continues an interrupted training",
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
    from engine.training import ranks

    with ranks.joined(options.device) as team:
        return _train(options, team)


def _train(options: argparse.Namespace, team: "Ranks") -> int:
    from engine.models import clip, device
    from engine.store import locks, tables
    from engine.training import loop

    recipe, train_set, validation_set = team.in_turn(lambda: _inputs(options))
    model_device = team.in_turn(lambda: device.prepare(team.device(options.device)))

    def keep(rows: list[dict]) -> None:
        tables.write_table(options.out, "training", tables.table_of("training", rows))

    with ExitStack() as stack:
        # Rank 0 alone holds the folder, and validates.
        team.first(lambda: stack.enter_context(locks.alone(options.out)))
        scorers: list[clip.Clip] = []
        if options.clip:
            team.first(lambda: scorers.append(clip.load(options.clip, model_device)))
        scorer = scorers[0] if scorers else None
        done = loop.train(train_set, validation_set, recipe, options.out, model_device, scorer, keep, team)
    best = f"best validation CIDEr {done.best_cider:.3f}" if done.is_validated else "no photos to validate on"
    print(f"\n{options.out}: {done.epoch} epochs, {done.step} steps, {best}")
    print(f"next: {_next(options)}")
    return 0


def _inputs(options: argparse.Namespace) -> "tuple[Recipe, Dataset, Dataset]":
    """Return the recipe, the training set and the validation set."""
    from engine.cli import inputs
    from engine.data import registry

    recipe, train_set = _recipe(options), inputs.dataset(options, "train")
    return recipe, train_set, registry.load(options.data, options.format, "val", options.hold_out)


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
