"""The command `study`: reproduce the original study, and print our numbers next to the published ones."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli import output, parser
from engine.config import RULES

if TYPE_CHECKING:
    from engine.evaluation.study import Study

RECIPE = Path(__file__).parents[2] / "recipes" / "study.toml"
"""The best setting of the study."""


def add(commands: parser.Commands) -> None:
    """Add the command."""
    command = parser.add_command(
        commands,
        "study",
        run,
        "reproduce the study: its prompts, its captioner, its eleven decodings and its five photos",
        "python -m engine study --data hw3_data --captioner checkpoints/mine --run study",
    )
    command.add_argument(
        "--data", type=Path, required=True, metavar="DATA", help="folder with p1_data, p2_data, p3_data"
    )
    command.add_argument(
        "--captioner", type=Path, metavar="FOLDER", help="a trained captioner (default: one is trained)"
    )
    command.add_argument(
        "--recipe", type=Path, metavar="FILE", help="TOML file for the training (default: the study's best setting)"
    )
    command.add_argument(
        "--out", type=Path, metavar="FOLDER", help="folder of the trained captioner (default: checkpoints/RUN)"
    )
    command.add_argument("--zeroshot-clip", default="ViT-L/14", metavar="MODEL", help="CLIP for classification")
    command.add_argument("--score-clip", default="ViT-B/32", metavar="MODEL", help="CLIP for CLIPScore")
    command.add_argument("--beams", type=int, nargs="+", metavar="K", help="beam sizes (default: the study's eleven)")
    command.add_argument(
        "--rule", choices=RULES, help="search rule (default: study for the study's own checkpoint, else standard)"
    )
    parser.add_device(command)
    parser.add_run(command, default="study")


def run(options: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from engine.cli import inputs
    from engine.config import read_recipe
    from engine.evaluation import study
    from engine.models import device
    from engine.training import build

    recipe = options.recipe or RECIPE
    job = study.Study(
        name=options.name,
        results=options.results,
        data=options.data,
        out=options.out or Path("checkpoints") / options.name,
        recipe=build.resolve_paths(read_recipe(recipe), recipe.parent),
        captioner=options.captioner,
        zeroshot_clip=options.zeroshot_clip,
        score_clip=options.score_clip,
        beams=tuple(options.beams or study.BEAMS),
        rule=options.rule,
        device=device.prepare(options.device),
        command=inputs.command_line(),
    )
    print(f"\n{output.short_lines(make(job))}")
    return 0


def make(job: "Study", say: Callable[[str], None] = print) -> str:
    """Make the study; return our numbers next to the published ones, and what was skipped, as lines to print.

    Raises:
        StudyError, ConfigError, ClipError, CheckpointError, TrainingError: as `study.make`.
    """
    from engine.cli import side_by_side
    from engine.evaluation import study

    skipped = study.make(job, say)
    beside = side_by_side.text(job.results, job.name, job.zero_shot_run)
    return "\n\n".join(filter(None, [beside, skipped]))
