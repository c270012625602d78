"""The commands that are killed, on inputs so small that each takes about a second."""

import os
import pkgutil
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: threads do not survive a fork

from tests.kills.harness import Command, remember

_RECIPE = """
[model]
encoder = "vit_tiny_patch16_224"
encoder_kwargs = { depth = 1, embed_dim = 32, num_heads = 2 }
d_model = 32
num_layers = 1
nhead = 2
dim_feedforward = 32
[training]
epochs = 2
batch_size = 4
warmup_steps = 1
vocab_size = 90
validation_images = 2
"""


def warmed(inputs: Path, names: Sequence[str] | None) -> list[Command]:
    """Return the commands after importing what they use and making their inputs."""
    import torch
    from tqdm import tqdm

    import engine
    from engine.captioners.native import pipeline
    from engine.evaluation import estimates
    from engine.metrics import ptb
    from tests.support import tiny

    torch.set_num_threads(1)
    tqdm.monitor_interval = 0  # no thread
    for module in pkgutil.walk_packages(engine.__path__, "engine."):
        if module.name.split(".")[1] not in ("demo", "__main__") and "triton" not in module.name:
            __import__(module.name)
    pipeline.CHUNK = 2  # two chunks
    estimates.clip_images = estimates.captioning = estimates.learning = lambda *_: 0.0  # each runs a model for seconds
    ptb._run_tokenizer = remember(ptb._run_tokenizer, inputs.with_name("tokens"))  # Java takes half a second
    data = tiny.classes(tiny.coco(inputs / "data", 3))
    tiny.coco(data, 3, "train")
    tiny.captioner_folder(inputs / "captioner")
    tiny.clip_folder(inputs / "clip")
    _course(inputs / "course", tiny)
    (inputs / "recipe.toml").write_text(_RECIPE)
    tiny.write_json(inputs / "predictions.json", {f"{number:012d}": "a dog runs" for number in (1, 2, 3)})
    every = _commands(inputs)
    return [command for command in every if not names or command.name in names]


def _course(folder: Path, tiny) -> None:
    """Make a folder in the course's layout: classes, two splits and one photo."""
    tiny.classes(folder)
    for split in ("train", "val"):
        made = tiny.coco(folder / "made", 2, split)
        shutil.move(made / split, folder / "p2_data" / "images" / split)
        for source, name in (("captions", split), ("instances", f"instances_{split}")):
            shutil.move(made / "annotations" / f"{source}_{split}.json", folder / "p2_data" / f"{name}.json")
    tiny.photo(folder / "p3_data" / "images" / "bike.jpg")


def _commands(inputs: Path) -> list[Command]:
    data, clip, recipe = inputs / "data", inputs / "clip", inputs / "recipe.toml"
    run = ("--run", "mine", "--results", "results")
    evaluate = _engine(
        *("evaluate", "--data", data, "--captioner", inputs / "captioner", "--clip", clip, "--beams", 1, 2, *run),
        *("--max-length", 5, "--n-best", 2),
    )
    return [
        Command("evaluate", evaluate),
        Command("train", _engine("train", "--data", data, "--recipe", recipe, "--out", "out", "--clip", clip)),
        Command("score", _engine("score", inputs / "predictions.json", "--data", data, "--clip", clip, *run)),
        Command("zeroshot", _engine("zeroshot", "--data", data, "--clip", clip, *run)),
        Command(
            "study",
            _engine(
                *("study", "--data", inputs / "course", "--recipe", recipe, "--out", "out", "--beams", 1, *run),
                *("--zeroshot-clip", clip, "--score-clip", clip),
            ),
        ),
        Command("report", _report, prepare=lambda: _copied(evaluate, inputs / "evaluated")),
    ]


def _copied(evaluate: Callable[[], int], folder: Path) -> None:
    """Copy the results of one evaluation, which every report then shows with the same times."""
    if not folder.exists():
        here = Path.cwd()
        folder.mkdir()
        os.chdir(folder)
        evaluate()
        os.chdir(here)
    shutil.copytree(folder / "results", "results")


def _engine(*arguments: object) -> Callable[[], int]:
    def run() -> int:
        import sys

        from engine.__main__ import main

        sys.argv = ["engine", *map(str, arguments)]  # the record names the command
        return main(sys.argv[1:])

    return run


def _report() -> int:
    """Write a report with pictures that no browser draws: they are made in memory before the first change."""
    from dashboard.report import archive, exports

    exports.browser_missing = lambda: ""
    exports.picture = lambda figure, kind: b"picture"
    return archive.main(["mine", "--results", "results", "--out", "reports/mine.zip", "--quiet"])
