"""Kills commands at every change of the file system and continues them: nothing may be lost or differ.

    python -m tests.kills [--all] [--seed N] [--kills N] [--commands NAME ...]

A warmed process forks: a child counts the changes of an undisturbed command, another is killed before change k, and a
third runs the same command again. Tables, weights, records and all other files must then be those of the undisturbed
command, except times and versions.
"""

import argparse
import hashlib
import json
import os
import pickle
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kills.changes import IGNORED, Changes

LONGEST = 120
"""Seconds after which a command counts as hanging."""

_TIMES = ("created", "versions", "timings", "hardware", "seconds_per_image", "sweep_seconds_per_image")
_TIMES += ("waited_for_photos", "workers")
_COUNTS = ("requests", "retries")
_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{32}")
"""What a kill leaves of a file that several processes may write: with a name of its own, and deleted an hour later."""


@dataclass(frozen=True)
class Command:
    """A command that writes into the working folder; `prepare` makes what it needs there, uncounted."""

    name: str
    run: Callable[[], int]
    prepare: Callable[[], None] = lambda: None


@dataclass
class Found:
    """The kills of one command so far, and what went wrong."""

    changes: list[str]
    whole: dict[str, str]
    kills: int = 0
    faults: list[str] = field(default_factory=list)


def forked(work: Callable[[], int], folder: Path) -> tuple[int, str]:
    """Return the status (negative for a signal) and the output of `work` in a child that runs in `folder`."""
    log = folder.with_suffix(".log")
    child = os.fork()
    if child == 0:
        status = 70
        try:
            signal.alarm(LONGEST)
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.chdir(folder)
            status = work()
            sys.stdout.flush()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(ended), log.read_text(encoding="utf-8", errors="replace")


def undisturbed(command: Command, folder: Path) -> Found:
    """Run a command once and return its changes and what it leaves."""
    _prepared(command, folder)
    kept = folder.with_suffix(".changes")

    def counted() -> int:
        changes = Changes(folder)
        changes.install()
        status = command.run()
        with os.fdopen(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "w") as file:
            json.dump(changes.seen, file)
        return status

    status, output = forked(counted, folder)
    if status != 0:
        raise RuntimeError(f"{command.name} failed without a kill ({status}):\n{output[-3_000:]}")
    return Found(json.loads(kept.read_text()), snapshot(folder))


def killed(command: Command, folder: Path, at: int, found: Found) -> None:
    """Kill a command before change number `at`, run it again, and compare what it leaves."""
    _prepared(command, folder)

    def doomed() -> int:
        Changes(folder, at).install()
        return command.run()

    found.kills += 1
    where = f"{command.name}, killed before change {at} of {len(found.changes)} ({found.changes[at - 1]})"
    status, output = forked(doomed, folder)
    if status != -signal.SIGKILL:
        found.faults.append(f"{where}: was not killed, but ended with {status}: {output[-500:]}")
        return
    status, output = forked(command.run, folder)
    if status != 0:
        found.faults.append(f"{where}: the same command then ended with {status}: {output[-1_500:]}")
        return
    now = snapshot(folder)
    if now != found.whole:
        names = sorted(name for name in now | found.whole if now.get(name) != found.whole.get(name))
        shown = [f"{name} ({_difference(name, now, found.whole)})" for name in names[:5]]
        found.faults.append(f"{where}: other files than undisturbed: {', '.join(shown)}")


def _difference(name: str, now: dict[str, str], whole: dict[str, str]) -> str:
    return "missing" if name not in now else "left over" if name not in whole else "differs"


def _prepared(command: Command, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    status, output = forked(lambda: command.prepare() or 0, folder)
    if status != 0:
        raise RuntimeError(f"{command.name} could not be prepared:\n{output[-3_000:]}")


def snapshot(folder: Path) -> dict[str, str]:
    """Return a digest of every file of a folder, by its path."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    kept = [path for path in paths if not set(IGNORED) & set(path.relative_to(folder).parts)]
    kept = [path for path in kept if not _TEMPORARY.fullmatch(path.name)]
    return {str(path.relative_to(folder)): hashlib.sha256(_content(path)).hexdigest() for path in kept}


def _content(path: Path) -> bytes:
    """Return the content of a file without what differs between two runs: times and versions."""
    if path.name == "run.json":
        record = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(record.get("captioner"), dict):  # requests of an endpoint before a kill are not counted
            record["captioner"] = {name: each for name, each in record["captioner"].items() if name not in _COUNTS}
        return json.dumps({name: value for name, value in record.items() if name not in _TIMES}).encode()
    if path.name == "state.pt":
        return _tensors(path)
    return path.read_bytes()


def _tensors(path: Path) -> bytes:
    """Return the values in a file of torch.save, whose own bytes also depend on the identity of objects."""
    import torch

    def plain(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return (str(value.dtype), tuple(value.shape), value.contiguous().numpy().tobytes())
        if isinstance(value, dict):
            return [(str(name), plain(each)) for name, each in value.items()]
        return [plain(each) for each in value] if isinstance(value, list | tuple) else repr(value)

    return repr(plain(torch.load(path, weights_only=True))).encode()


def main(arguments: list[str] | None = None) -> int:
    """Kill the chosen commands; print the number of kills and every fault. Return 1 if there are faults."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__.split("\n\n")[0])
    parser.add_argument("--all", action="store_true", help="kill before every change, not before some of them")
    parser.add_argument("--kills", type=int, default=40, metavar="N", help="kills without --all (default: 40)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="chooses the kills without --all (default: 0)")
    parser.add_argument("--commands", nargs="+", metavar="NAME", help="only these commands")
    options = parser.parse_args(arguments)
    from tests.kills import commands

    start = time.perf_counter()
    memory = Path("/dev/shm")  # where waiting for the disk costs nothing
    with tempfile.TemporaryDirectory(prefix="kills-", dir=memory if memory.is_dir() else None) as name:
        folder = Path(name).resolve()
        chosen = commands.warmed(folder / "inputs", options.commands)
        found = {command.name: undisturbed(command, folder / command.name / "whole") for command in chosen}
        plan = [(command, at) for command in chosen for at in range(1, len(found[command.name].changes) + 1)]
        if not options.all:
            plan = _sample(plan, options.kills, options.seed)
        for number, (command, at) in enumerate(plan):
            if number % 50 == 0:
                print(f"{number} of {len(plan)} kills", file=sys.stderr)
            before = len(found[command.name].faults)
            killed(command, folder / command.name / "killed", at, found[command.name])
            for fault in found[command.name].faults[before:]:
                print(f"FAULT {fault}", flush=True)
    for name, each in found.items():
        print(f"{name}: {len(each.changes)} changes, {each.kills} kills, {len(each.faults)} faults")
    kills, faults = sum(each.kills for each in found.values()), sum(len(each.faults) for each in found.values())
    print(f"{kills} kills, {faults} faults in {time.perf_counter() - start:.0f} seconds")
    return 1 if faults else 0


def _sample(plan: list, kills: int, seed: int) -> list:
    """Return a sample with a kill of every command, in the order of the commands."""
    rest = list(range(len(plan)))
    generator = random.Random(seed)
    generator.shuffle(rest)
    first: dict[str, int] = {}
    for number in rest:
        first.setdefault(plan[number][0].name, number)
    ordered = [*first.values(), *(number for number in rest if number not in first.values())]
    return [plan[number] for number in sorted(ordered[: max(kills, len(first))])]


def remember(function: Callable[[list[str]], dict[str, str]], file: Path) -> Callable[[list[str]], dict[str, str]]:
    """Return a function that computes each line once over all processes, and keeps the results in `file`."""
    kept: dict[str, str] = {}

    def remembered(lines: list[str]) -> dict[str, str]:
        if not kept and file.exists():
            kept.update(pickle.loads(file.read_bytes()))
        if missing := [line for line in lines if line not in kept]:
            kept.update(function(missing))
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.write(handle, pickle.dumps(kept))
            os.close(handle)
        return {line: kept[line] for line in lines}

    return remembered
