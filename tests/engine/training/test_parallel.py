"""Trainings on several ranks, and with accumulated gradients, against one process."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from timm.layers import BatchNormAct2d

from engine.captioners.native import checkpoints
from engine.config import ModelConfig, Recipe, TrainingConfig, from_dict
from engine.data import registry
from engine.data.dataset import Dataset
from engine.training import batches, loop, ranks, state
from engine.training.build import build_captioner, share_batch_statistics
from tests.conftest import ROOT
from tests.support import rank_processes, tiny

SMALL = {"d_model": 32, "num_layers": 1, "nhead": 2, "dim_feedforward": 48}
CNN = {"encoder": "mobilenetv3_small_050", "image_size": 64, **SMALL}
CLOSE = 1e-5


def recipe(model: dict | None = None, dropout: float = 0.0, **changes: object) -> Recipe:
    values = {"epochs": 4, "batch_size": 4, "learning_rate": 5e-3, "warmup_steps": 2, "vocab_size": 90, "log_steps": 1}
    values["validation_images"] = 0
    shape = ModelConfig(**(model or {**tiny.ENCODER, **SMALL}), dropout=dropout)
    return Recipe(shape, from_dict(TrainingConfig, {**values, **changes}, "test"))


@pytest.fixture
def sets(tmp_path) -> tuple[Dataset, Dataset]:
    train = registry.load(tiny.coco(tmp_path / "data", 8, "train"), split="train")  # 16 captions
    return train, registry.load(tiny.coco(tmp_path / "data2", 2))


def train(sets: tuple[Dataset, Dataset], plan: Recipe, out: Path) -> list[float]:
    """Train in this process and return the losses."""
    rows: list[dict] = []
    loop.train(*sets, plan, out, log=lambda logged: rows.extend(logged[len(rows) :]))
    return [row["loss"] for row in rows if "loss" in row]


def train_on_ranks(sets: tuple[Dataset, Dataset], plan: Recipe, out: Path, size: int = 2) -> list[float]:
    """Train on `size` ranks, which leave their weights as rank0.pt and so on, and return the losses."""

    def work() -> None:
        def log(rows: list[dict]) -> None:
            (out / "log.json").write_text(json.dumps(rows))

        with ranks.joined("cpu") as team:
            training = loop._Training(*sets, plan, out, "cpu", None, log, team)
            training.run()
            torch.save(training.captioner.state_dict(), out / f"rank{team.rank}.pt")

    ended = rank_processes.fork(work, out.with_name(f"{out.name}-logs"), size)
    assert [each.status for each in ended] == [0] * size, ended
    return [row["loss"] for row in json.loads((out / "log.json").read_text()) if "loss" in row]


def last_weights(out: Path, file: str = state.FILE) -> dict[str, torch.Tensor]:
    found = torch.load(out / file, weights_only=True)
    return found["model"] if file == state.FILE else found


def equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


# The same steps


@pytest.mark.parametrize(
    "changes",
    [{}, {"freeze_encoder": False, "label_smoothing": 0.1, "group_captions": True}],
    ids=["frozen", "whole"],
)
def test_two_ranks_take_the_steps_of_one_process(tmp_path, sets, changes):
    alone = train(sets, recipe(**changes), tmp_path / "alone")
    together = train_on_ranks(sets, recipe(**changes), tmp_path / "together")
    assert len(alone) == 16 and together == pytest.approx(alone, abs=CLOSE)
    assert equal(last_weights(tmp_path / "together", "rank0.pt"), last_weights(tmp_path / "together", "rank1.pt"))
    assert equal(last_weights(tmp_path / "together", "rank0.pt"), last_weights(tmp_path / "together"))


@pytest.mark.parametrize("accumulate", [2, 3, 4])
def test_accumulated_gradients_take_the_steps_of_whole_batches(tmp_path, sets, accumulate):
    changes = {"freeze_encoder": False, "batch_size": 5}  # the last batch has one caption
    whole = train(sets, recipe(**changes), tmp_path / "whole")
    parts = train(sets, recipe(accumulate=accumulate, **changes), tmp_path / "parts")
    assert len(whole) == 16 and parts == pytest.approx(whole, abs=CLOSE)


def test_ranks_accumulate_and_the_last_batch_may_have_fewer_captions_than_ranks(tmp_path, sets):
    changes = {"batch_size": 7, "epochs": 2}  # 7, 7 and 2 captions on 3 ranks
    alone = train(sets, recipe(**changes), tmp_path / "alone")
    for name, accumulate in (("whole", 1), ("parts", 2)):
        plan = recipe(accumulate=accumulate, **changes)
        assert train_on_ranks(sets, plan, tmp_path / name, size=3) == pytest.approx(alone, abs=CLOSE)


def test_one_process_without_accumulation_minimises_the_mean_over_tokens_to_the_last_bit(tmp_path, sets):
    plan = recipe(freeze_encoder=False, epochs=1, label_smoothing=0.1)
    train(sets, plan, tmp_path / "out")
    words = checkpoints.load(tmp_path / "out")[1]
    torch.manual_seed(plan.training.seed)
    captioner = build_captioner(plan, words.vocab_size).train()
    pairs = [(row, words.encode(text, 30)) for row, each in enumerate(sets[0].examples) for text in each.references]
    optimizer = torch.optim.AdamW(captioner.parameters(), lr=1.0, weight_decay=plan.training.weight_decay)
    photos = loop.images.create(captioner, sets[0], plan.training, tmp_path / "none", torch.device("cpu"))
    steps = batches.order(pairs, plan.training, 0)
    for step, batch in enumerate(steps):
        optimizer.param_groups[0]["lr"] = loop.learning_rate(step, len(steps), plan.training)
        rows = sorted({pairs[i][0] for i in batch})
        ids = batches.pad([pairs[i][1] for i in batch], words.pad_id)
        memory = captioner.encode(next(photos.batches([rows])))
        logits = captioner.logits(ids[:, :-1], memory, torch.tensor([rows.index(pairs[i][0]) for i in batch]))
        targets = ids[:, 1:].masked_fill(ids[:, 1:] == words.pad_id, -100).flatten()
        optimizer.zero_grad()
        F.cross_entropy(logits.flatten(0, 1), targets, label_smoothing=0.1).backward()
        torch.nn.utils.clip_grad_norm_(captioner.parameters(), plan.training.clip_norm)
        optimizer.step()
    assert equal(last_weights(tmp_path / "out"), captioner.state_dict())


def test_a_cnn_with_batch_normalisation_and_unused_weights_trains_on_ranks(tmp_path, sets):
    plan = recipe(CNN, freeze_encoder=False, epochs=2, accumulate=2)
    losses = train_on_ranks(sets, plan, tmp_path / "out")
    first, second = (last_weights(tmp_path / "out", f"rank{rank}.pt") for rank in range(2))
    trained = [name for name in first if "running_" not in name]
    assert all(torch.equal(first[name], second[name]) for name in trained)
    size = checkpoints.load(tmp_path / "out")[1].vocab_size
    torch.manual_seed(plan.training.seed)
    start = build_captioner(plan, size).state_dict()
    unused = [name for name in trained if torch.equal(first[name], start[name]) and "weight" in name]
    assert unused == ["encoder.conv_head.weight"]
    assert len(losses) == 8 and min(losses[4:]) < losses[0]


def test_shared_batch_statistics_keep_weights_activations_and_outputs():
    plan = recipe(CNN, freeze_encoder=False)
    captioner = build_captioner(plan, 50).eval()
    pixels = torch.rand(2, 3, 64, 64)
    names, before = list(captioner.state_dict()), captioner.encode(pixels)
    share_batch_statistics(captioner)
    assert list(captioner.state_dict()) == names
    assert torch.equal(captioner.encode(pixels), before)
    layers = [each for each in captioner.modules() if isinstance(each, torch.nn.SyncBatchNorm)]
    assert layers and not any(isinstance(each, BatchNormAct2d) for each in captioner.modules())


# What belongs to rank 0, and what continues


def test_photos_are_checked_and_encoded_once_and_other_ranks_print_nothing(tmp_path, sets):
    sets[0].photo(sets[0].examples[0]).write_bytes(b"")
    train_on_ranks(sets, recipe(epochs=1, validation_images=2), tmp_path / "out")
    first, other = ((tmp_path / "out-logs" / f"rank{rank}.log").read_text() for rank in range(2))
    assert first.count("skipped 000000000001.jpg: the file is empty") == 1
    assert first.count("100%|██████████| 7/7") == 1 and other == ""


def test_dropout_differs_by_rank_and_a_killed_training_continues_to_the_same_weights(tmp_path, sets):
    plan = recipe(dropout=0.3, scheduled_sampling=True, epochs=2, validation_images=2)
    whole = train_on_ranks(sets, plan, tmp_path / "whole")
    assert whole != pytest.approx(train(sets, plan, tmp_path / "alone"), abs=CLOSE)
    broken = tmp_path / "broken"

    def work() -> None:
        with ranks.joined("cpu") as team:
            training = loop._Training(*sets, plan, broken, "cpu", None, lambda rows: None, team)
            step = training._step

            def killed(*arguments):
                if team.rank == 1 and training.progress.step == 6:  # in the second epoch
                    os.kill(os.getpid(), signal.SIGKILL)
                return step(*arguments)

            training._step = killed
            training.run()

    first, other = rank_processes.fork(work, tmp_path / "logs")
    assert other.status == -signal.SIGKILL and first.status == 70
    assert "rank 0 lost the connection to another rank" in first.output
    assert state.epochs_done(broken) == 1
    assert train_on_ranks(sets, plan, broken) == whole
    assert equal(last_weights(broken), last_weights(tmp_path / "whole"))


def test_a_training_continues_with_other_ranks_and_says_what_differs(tmp_path, sets, capsys):
    alone = train(sets, recipe(), tmp_path / "alone")
    out = tmp_path / "out"

    class Enough(Exception):
        pass

    def stop(rows):
        if len(rows) == 8:  # in the second epoch
            raise Enough

    with pytest.raises(Enough):
        loop.train(*sets, recipe(), out, log=stop)
    assert train_on_ranks(sets, recipe(), out) == pytest.approx(alone, abs=CLOSE)
    assert (
        "earlier epochs ran with 1 process and accumulate = 1, this one runs with 2 processes and accumulate = 1"
        in ((tmp_path / "out-logs" / "rank0.log").read_text())
    )
    capsys.readouterr()
    loop.train(*sets, recipe(accumulate=2), out)
    assert "ran with 2 processes and accumulate = 1, this one runs with 1 process and acc" in capsys.readouterr().out


def test_a_training_of_an_earlier_version_continues(tmp_path, sets):
    whole, out = train(sets, recipe(epochs=2), tmp_path / "whole"), tmp_path / "out"

    class Enough(Exception):
        pass

    def stop(rows):
        if len(rows) == 8:
            raise Enough

    with pytest.raises(Enough):
        loop.train(*sets, recipe(epochs=2), out, log=stop)
    kept = torch.load(out / state.FILE, weights_only=True)
    for name in ("ranks", "accumulate"):  # which earlier versions did not have
        del kept["progress"][name]
    torch.save(kept, out / state.FILE)
    assert "accumulate" not in json.loads((out / state.IDENTITY).read_text())["recipe"]["training"]
    assert train(sets, recipe(epochs=2), out) == whole
    assert equal(last_weights(out), last_weights(tmp_path / "whole"))


# The command


def command(tmp_path: Path, **changes: object) -> list[str]:
    """Make data and a recipe, and return the arguments of `train`."""
    tiny.coco(tmp_path / "coco", 6, "train"), tiny.coco(tmp_path / "coco", 2, "val")
    plan = {"epochs": 3, "batch_size": 4, "warmup_steps": 2, "vocab_size": 90, "log_steps": 1, **changes}
    model = {"encoder": "vit_tiny_patch16_224", **SMALL, "dropout": 0.2}
    lines = ["[model]", *(f"{name} = {json.dumps(value)}" for name, value in model.items())]
    lines += ["encoder_kwargs = { depth = 1, embed_dim = 32, num_heads = 2 }", "[training]"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in plan.items()]
    (tmp_path / "recipe.toml").write_text("\n".join(lines))
    data, file, out = (str(tmp_path / name) for name in ("coco", "recipe.toml", "out"))
    return ["train", "--data", data, "--recipe", file, "--out", out, "--device", "cpu"]


def test_a_folder_that_another_process_holds_is_one_sentence(tmp_path, monkeypatch):
    from engine.__main__ import main

    monkeypatch.setattr(ranks, "_GRACE", 0.1)
    arguments, out = command(tmp_path), tmp_path / "out"
    out.mkdir()
    with (out / ".held").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        first, other = rank_processes.fork(lambda: main(arguments), tmp_path / "logs")
    assert (first.status, other.status, other.output) == (2, 2, "")
    assert first.output == (
        f"error: {out} is being written by another process; wait until that one has ended, or choose another --out\n"
    )


@pytest.mark.parametrize("file", ["recipe.toml", "coco/annotations/captions_train.json"])
def test_bad_input_is_one_sentence_of_rank_0(tmp_path, monkeypatch, file):
    from engine.__main__ import main

    monkeypatch.setattr(ranks, "_GRACE", 0.1)
    arguments = command(tmp_path)
    (tmp_path / file).write_text("{")
    first, other = rank_processes.fork(lambda: main(arguments), tmp_path / "logs")
    assert (first.status, other.status, other.output) == (2, 2, "")
    assert first.output.count("error: ") == 1 and first.output.count("\n") == 1


def test_torchrun_restarts_a_killed_rank_and_the_training_ends_with_the_same_weights(tmp_path):
    from engine.__main__ import main

    arguments, out, whole = command(tmp_path, epochs=5), tmp_path / "out", tmp_path / "whole"
    ended = rank_processes.fork(lambda: main([*arguments, "--out", str(whole)]), tmp_path / "logs")
    assert [each.status for each in ended] == [0, 0], ended
    assert _torchrun(arguments, kill_when=out / state.FILE) == 0
    assert equal(last_weights(out), last_weights(whole))
    assert (out / "training.parquet").read_bytes() == (whole / "training.parquet").read_bytes()


def _torchrun(arguments: list[str], kill_when: Path) -> int:
    """Run the command on two ranks, kill rank 1 as soon as the file is there, and return torchrun's status."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "1"]
    launch += ["--master-addr", "127.0.0.1", "--master-port", str(rank_processes.free_port())]
    launch += ["-m", "engine", *arguments]
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        launch, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        try:
            ends = time.monotonic() + rank_processes.LONGEST
            while not kill_when.is_file() and run.poll() is None and time.monotonic() < ends:
                time.sleep(0.01)
            os.kill(_process(run.pid, rank=1), signal.SIGKILL)
            return run.wait(timeout=rank_processes.LONGEST)
        except BaseException:
            run.terminate()  # and with it the ranks
            raise


def _process(parent: int, rank: int) -> int:
    """Return the process that has a rank among those that torchrun has started."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    wanted = f"RANK={rank}".encode()
    return next(int(child) for child in children if wanted in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"))
