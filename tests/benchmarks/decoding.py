"""Compare decoding at the study's shape: ours, Hugging Face transformers' `generate()`, and the study's way.

`python tests/benchmarks/decoding.py [--mode quick|full] [--threads N] [--device cpu|cuda] [--precision float32|bf16]`

Four layers, width 1024, 8 heads, feed-forward width 2048, vocabulary 18,022, 197 memory tokens, random weights, so that
no caption ends before 30 tokens. The transformers model is Marian's decoder with the same weights and the same memory.
Ours and theirs alternate in every round. Each number is a median over rounds, each ratio the median of the rounds'
ratios. Memory is measured in one more round, because measuring it takes time. Images are encoded beforehand: the time
starts at the memory tokens. Freed memory is kept in the process for both, as in the project's commands.

`least` is the lower bound of this machine for a decoder that reads its weights once per step (`limits.py`), measured
before each row; `at most` is the peer's time divided by it, the largest ratio that such a decoder can reach.

The study's way decodes one image at a time and computes the whole prefix again at every step, without a cache, the keys
and values of the image included; the beams of an image are one batch.

Quick takes a few minutes; full adds beam 100 on eight images and the sweep, and starts no row after --minutes.
"""

import argparse
import ctypes
import gc
import os
import platform
import re
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a file, the tests are not on the path

from engine.captioners.native.captioner import CaptionerModel
from engine.config import CaptionerConfig, DecodingConfig
from engine.decoding import memory, study_rule, sweep
from engine.decoding.cuda_graphs import GraphCache
from engine.decoding.steps import Steps
from engine.models.allocator import keep_freed_memory, use_huge_pages
from tests.benchmarks.limits import Limits
from tests.support import peers, tiny

BOS, EOS, PAD, STEPS, TOKENS, IMAGES = 2, 3, 0, 30, 197, 64
SWEEP = (1, 3, 4, 5, 6, 7, 8, 9, 10, 15, 100)
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
Ids = list[tuple[int, ...]]


class Counted:
    """Steps that record how many prefixes each of them computes."""

    def __init__(self, steps: Steps, prefixes: list[int]) -> None:
        self._steps, self._prefixes, self.reorder = steps, prefixes, steps.reorder

    def step(self, tokens: Tensor) -> Tensor:
        """int64[R] -> [R, V]."""
        self._prefixes.append(len(tokens))
        return self._steps.step(tokens)


@dataclass(frozen=True)
class Bench:
    """The models and the memory tokens that every row uses."""

    captioner: CaptionerModel
    peer: nn.Module
    standing: nn.TransformerDecoder
    encoded: Tensor
    graphs: GraphCache = field(default_factory=GraphCache)

    def ours(self, images: int, sizes: tuple[int, ...]) -> Ids:
        """Return our captions of the first images at each size, found as the project's commands do."""
        config, words = DecodingConfig(beam_sizes=sizes, max_length=STEPS), SimpleNamespace(bos_id=BOS, eos_id=EOS)
        search = tiny.search(self.captioner, words, self.encoded[:images], config, self.graphs)
        return [hypotheses[0].tokens for each in search.run().values() for hypotheses in each]

    def prefixes(self, images: int, sizes: tuple[int, ...]) -> list[int]:
        """Return how many prefixes each of our steps computes."""
        config, prefixes = DecodingConfig(beam_sizes=sizes, max_length=STEPS), []
        with torch.inference_mode():
            looked = self.captioner.precompute_cross_attention(self.encoded[:images])
        batch = self.batch(images, sizes)
        for at in range(0, images, batch):
            part = looked[at : at + batch]
            steps = Counted(self.captioner.start(part, STEPS), prefixes)
            sweep.sweep(steps, len(part), sizes, BOS, EOS, config, self.captioner.device)
        return prefixes

    def batch(self, images: int, sizes: tuple[int, ...]) -> int:
        """Return how many images ours decodes at once."""
        return min(images, max(1, memory.rows_at_once(self.captioner.device) // max(sizes)))

    def least(self, limits: Limits, images: int, sizes: tuple[int, ...]) -> float:
        """Return the machine's lower bound for the prefixes that ours computes, in seconds per image."""
        prefixes, at_once = self.prefixes(images, sizes), self.batch(images, sizes)
        return limits.least(prefixes, images, at_once, self.encoded.shape[1])

    def generate(self, images: int, sizes: tuple[int, ...]) -> Ids:
        """Return transformers' captions, with one call of `generate()` per size."""
        found = []
        for size in sizes:
            found += peers.generate(self.peer, self.encoded[:images], size, EOS, max_new_tokens=STEPS)
        return [each[0].tokens for each in found]

    def study_standing(self, images: int, sizes: tuple[int, ...]) -> Ids:
        """Run the study's rule; torch's own decoder computes each prefix, as in the study."""

        def read(ids: Tensor, rows: Tensor) -> Tensor:
            x = self.standing(self.captioner.embed(ids), self.encoded[rows])
            return self.captioner.head(x)[:, -1]

        return self._by_study(read, images, sizes)

    def study_ours(self, images: int, sizes: tuple[int, ...]) -> Ids:
        """Run the study's rule as this project implements it."""
        with torch.inference_mode():
            read = self.captioner.reader(self.captioner.precompute_cross_attention(self.encoded[:images]))
        return self._by_study(read, images, sizes)

    def _by_study(self, read: study_rule.Read, images: int, sizes: tuple[int, ...]) -> Ids:
        found = study_rule.sweep(read, images, sizes, BOS, EOS, STEPS, self.captioner.device)
        return [each[0].tokens for size in sizes for each in found[size]]


def build(device: str, dtype: torch.dtype) -> Bench:
    torch.manual_seed(0)
    shape = {"d_model": 1024, "num_layers": 4, "nhead": 8, "dim_feedforward": 2048, "vocab_size": 18022}
    small = {"encoder": "vit_tiny_patch16_224", "encoder_kwargs": {"depth": 1}}
    captioner = CaptionerModel(CaptionerConfig(**small, **shape)).eval().to(device, dtype)
    study = tiny.torch_decoder(captioner).to(device, dtype)
    peer = peers.marian(captioner, BOS, EOS, PAD).to(device)
    return Bench(captioner, peer, study, torch.randn(IMAGES, TOKENS, 1024, dtype=dtype, device=device))


class Peak:
    """Peak memory above the level before, in bytes, while something ran."""

    def __init__(self, device: str) -> None:
        self._device, self._running, self.bytes = device, True, 0

    def __enter__(self) -> "Peak":
        gc.collect()
        if sys.platform == "linux":  # memory freed by earlier runs, whose reuse would not be counted
            ctypes.CDLL(None).malloc_trim(0)
        if self._device != "cpu":
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()
            return self
        self._before = self._resident()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._device != "cpu":
            self.bytes = torch.cuda.max_memory_allocated() - self._before
            return
        self._running = False
        self._thread.join()

    def _watch(self) -> None:
        while self._running:
            self.bytes = max(self.bytes, self._resident() - self._before)
            time.sleep(0.005)

    @staticmethod
    def _resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


Way = Callable[[int, tuple[int, ...]], Ids]


@dataclass(frozen=True)
class Row:
    """One line of the table: what is measured, and on how many images for each side."""

    name: str
    sizes: tuple[int, ...]
    ours: Way
    peer: Way
    images: int
    peer_images: int
    goal: float
    rounds: int
    is_same_search: bool = True


def rows_of(bench: Bench, mode: str, rounds: int) -> list[Row]:
    def row(name: str, sizes: tuple[int, ...], images: int, goal: float, count: int) -> Row:
        return Row(name, sizes, bench.ours, bench.generate, images, images, goal, count)

    rows = [row(f"batch 8, beam {size}", (size,), 8, 3, rounds) for size in (1, 3, 5, 10)]
    rows += [row(f"batch 1, beam {size}", (size,), 1, 10, rounds) for size in (1, 3, 5, 10)]
    rows.append(row("batch 2, beam 100", (100,), 2, 2, 1))
    # Many images need not be decoded one at a time: these two rows compare that with the project's own command.
    rows.append(Row("64 images, theirs one by one, beam 3", (3,), bench.ours, bench.generate, IMAGES, 1, 10, rounds))
    rows.append(Row("the study's way, beam 3", (3,), bench.ours, bench.study_standing, IMAGES, 1, 100, 3, False))
    rows.append(Row("the study's rule, beam 3", (3,), bench.study_ours, bench.study_standing, 8, 1, 1, 1))
    if mode == "full":
        rows.append(row("batch 2, the sweep of 11 sizes", SWEEP, 2, 3, 1))
        rows.append(row("batch 8, beam 100", (100,), 8, 2, 1))
    return rows


def measure(row: Row, device: str, clock: Callable[[], float], least: float | None) -> str:
    times: dict[str, list[float]] = {"ours": [], "peer": []}
    peaks, found = {}, {}
    sides = (("ours", row.ours, row.images), ("peer", row.peer, row.peer_images))
    for side, way, images in sides:
        with Peak(device) as peak:
            found[side] = way(images, row.sizes)
        peaks[side] = peak.bytes
        if device != "cpu":
            way(images, row.sizes)  # our search is captured as a CUDA graph when it is repeated
    for _ in range(row.rounds):
        for side, way, images in sides:
            start = clock()
            way(images, row.sizes)
            if device != "cpu":
                torch.cuda.synchronize()
            times[side].append((clock() - start) / images)
    ratio = statistics.median(peer / own for own, peer in zip(times["ours"], times["peer"], strict=True))
    ours, peer = (statistics.median(times[side]) for side in ("ours", "peer"))
    limits = f"{least:.3f} | {peer / least:.1f}" if least else "|"
    equal = sum(own == their for own, their in zip(found["ours"], found["peer"], strict=False))
    same = f"{equal} of {len(found['peer'])}" if row.is_same_search else "another rule"
    return (
        f"| {row.name} | {ours:.3f} | {peer:.3f} | {ratio:.1f} | {row.goal:g} | {limits} | {same} | "
        f"{peaks['ours'] / 2**20:.0f} | {peaks['peer'] / 2**20:.0f} |"
    )


def machine(device: str) -> str:
    model = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    name = torch.cuda.get_device_name() if device != "cpu" else model[0] if model else platform.machine()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} threads of torch, load before {load}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=("quick", "full"), default="quick")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each row except the longest (5)")
    parser.add_argument("--minutes", type=float, default=20, help="start no row after this time (20)")
    parser.add_argument("--only", default="", help="only rows whose name matches this regular expression")
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="cpu excludes the time of other processes; use it with --threads 1 on a busy machine (wall)",
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of torch (one per core)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", choices=("float32", "bf16"), nargs="+", help="float32; both on a GPU")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    use_huge_pages()
    on_cpu = options.device == "cpu"
    print(machine(options.device))
    print(", ".join(f"{name} {version(name)}" for name in ("torch", "transformers")))
    end = time.perf_counter() + 60 * options.minutes
    for precision in options.precision or (("float32",) if on_cpu else ("float32", "bf16")):
        bench = build(options.device, torch.float32 if precision == "float32" else torch.bfloat16)
        bench.ours(1, (2,))  # arranges the weights in memory
        bench.generate(1, (2,))
        limits = Limits(bench.captioner)
        print(f"\n{precision}; {options.clock} seconds per image, memory in MiB beyond the weights")
        print(f"weights {limits.bandwidth() / 1e9:.0f} GB/s, arithmetic {limits.arithmetic() / 1e9:.0f} Gflop/s\n")
        print("| | ours | peer | ratio | goal | least | at most | equal captions | memory, ours | memory, peer |")
        print("|---|---|---|---|---|---|---|---|---|---|")
        for row in (
            each for each in rows_of(bench, options.mode, options.rounds) if re.search(options.only, each.name)
        ):
            if time.perf_counter() > end:
                print(f"| {row.name} | no time left |")
                continue
            least = None if row.ours == bench.study_ours else bench.least(limits, row.images, row.sizes)
            print(measure(row, options.device, CLOCKS[options.clock], least), flush=True)


if __name__ == "__main__":
    main()
