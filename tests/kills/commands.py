"""The commands that are killed, on inputs so small that each takes about a second."""

import os
import pkgutil
import shutil
import time
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


_PHOTOS = 3


def warmed(inputs: Path, names: Sequence[str] | None) -> list[Command]:
    """Return the commands after importing what they use and making their inputs."""
    import torch
    from tqdm import tqdm

    import engine
    from engine.captioners import endpoint
    from engine.captioners.native import pipeline
    from engine.evaluation import estimates
    from engine.metrics import ptb
    from tests.support import tiny, tiny_transformers

    torch.set_num_threads(1)
    tqdm.monitor_interval = 0  # no thread
    for module in pkgutil.walk_packages(engine.__path__, "engine."):
        if module.name.split(".")[1] not in ("demo", "__main__") and "triton" not in module.name:
            __import__(module.name)
    pipeline.CHUNK = 2  # two chunks
    endpoint.AT_ONCE = 1  # the changes of threads have no fixed order
    estimates.clip_images = estimates.captioning = estimates.learning = lambda *_: 0.0  # each runs a model for seconds
    ptb._run_tokenizer = remember(ptb._run_tokenizer, inputs.with_name("tokens"))  # Java takes half a second
    data = tiny.classes(tiny.coco(inputs / "data", _PHOTOS))
    tiny.coco(data, 3, "train")
    tiny.captioner_folder(inputs / "captioner")
    tiny.clip_folder(inputs / "clip")
    _course(inputs / "course", tiny)
    tiny_transformers.make("vit_gpt2", inputs / "hugging_face")
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
    small = ("evaluate", "--data", data, "--max-length", 5, *run)
    return [
        Command("evaluate", evaluate),
        Command("hugging-face", _engine(*small, "--captioner", f"hf:{inputs / 'hugging_face'}", "--beams", 1, 2)),
        Command("endpoint", _asks_once(lambda url: _engine(*small, "--captioner", url, "--model", "m", "--beams", 1))),
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


def _asks_once(command: Callable[[str], Callable[[], int]]) -> Callable[[], int]:
    """Return the command over a server; it fails if an image whose answer is kept is sent again."""
    server = _Server()

    def run() -> int:
        from engine.captioners.endpoint import _Answers

        kept = [_Answers(path) for path in Path("results").glob(".cache/endpoints/*.jsonl")]
        missing = _PHOTOS - sum(len(each._found) for each in kept)
        before = server.requests()
        status = command(f"openai:{server.url}")()
        asked = server.requests() - before
        if status == 0 and asked != missing:
            print(f"{asked} images were sent, and {missing} had no answer")
            return 3
        return status

    return run


class _Server:
    """The server of `chat_server` in a process of its own, as long as this one lives: threads do not survive a fork."""

    def __init__(self) -> None:
        self.url = ""
        reading, writing = os.pipe()
        parent = os.getpid()
        if os.fork() == 0:
            self._serve(writing, parent)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            self.url = pipe.readline().strip()

    def requests(self) -> int:
        """Return the number of images that were sent so far."""
        import json
        import urllib.request

        with urllib.request.urlopen(self.url) as answer:
            return json.load(answer)["requests"]

    @staticmethod
    def _serve(pipe: int, parent: int) -> None:
        from tests.support import chat_server

        try:
            with chat_server.serving() as server, os.fdopen(pipe, "w") as opened:
                opened.write(f"{server.url}\n")
                opened.flush()
                while os.getppid() == parent:
                    time.sleep(0.2)
        finally:
            os._exit(0)


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
    from dashboard.report import command as report_command
    from dashboard.report import exports

    exports.browser_missing = lambda: ""
    exports.picture = lambda figure, kind: b"picture"
    return report_command.main(["mine", "--results", "results", "--out", "reports/mine.zip", "--quiet"])
