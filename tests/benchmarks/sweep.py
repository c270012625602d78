"""Measure the study's whole sweep with the project's own command: photos in, Parquet out, DeiT-III large included.

`python tests/benchmarks/sweep.py [--images N] [--precision float32 bf16] [--device cpu|cuda] [--profile]`

The captioner has the study's shape (DeiT-III large at 224 pixels, 4 decoder layers, width 1024, vocabulary 18,022) and
random weights, so that no caption ends before 30 tokens; a trained captioner has less work. Photos are generated JPEGs
of 500 x 375 pixels. Stages are those of the run record. `least` is the time of the arithmetic alone, for encoding the
photos and computing each prefix, at the speed of this machine's matrix products (`limits.py`).

`--profile` decodes one more chunk under torch's profiler: how long the GPU was busy, and with what.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a file, the tests are not on the path

from engine.captioners.native import checkpoints, incremental, pipeline
from engine.captioners.native.captioner import CaptionerModel
from engine.config import CaptionerConfig, DecodingConfig
from engine.data import registry
from engine.decoding.batched import BatchedSearch, Found
from engine.evaluation import captioner_run
from engine.models.allocator import keep_freed_memory, use_huge_pages
from engine.models.tokenizer import CaptionTokenizer
from engine.store import records
from tests.benchmarks.decoding import SWEEP, machine
from tests.benchmarks.limits import Limits
from tests.support import tiny

ENCODER = "deit3_large_patch16_224.fb_in22k_ft_in1k"
SHAPE = {"d_model": 1024, "num_layers": 4, "nhead": 8, "dim_feedforward": 2048}
VOCABULARY, STUDY_IMAGES, TOKENS = 18022, 1789, 197
STAGES = ("wait for photos", "encode", "decode", "attention")
DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}


def draw_photos(folder: Path, count: int) -> None:
    """Write JPEGs of smooth noise."""
    folder.mkdir()

    def draw(number: int) -> None:
        noise = np.random.default_rng(number).integers(0, 255, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((500, 375), Image.Resampling.BICUBIC).save(folder / f"{number:05d}.jpg")

    with ThreadPoolExecutor() as pool:
        list(pool.map(draw, range(count)))


def tokenizer(count: int) -> CaptionTokenizer:
    """Return a tokenizer with exactly this many tokens, trained on random words."""
    letters = np.random.default_rng(0).integers(97, 123, (4 * count, 6)).astype(np.uint8)
    return CaptionTokenizer.train([" ".join(bytes(word).decode() for word in letters)], count)


@contextmanager
def counted() -> Iterator[list[int]]:
    """Record the prefixes that every step of the sweep computes, without the sizes that are timed by themselves."""
    seen: list[int] = []
    step, run_all = incremental.IncrementalDecoder.step, BatchedSearch.run

    def noting(decoding: incremental.IncrementalDecoder, tokens: torch.Tensor) -> torch.Tensor:
        seen.append(len(tokens))
        return step(decoding, tokens)

    def running(search: BatchedSearch, sizes: Sequence[int] | None = None, images: int | None = None) -> Found:
        with mock.patch.object(incremental.IncrementalDecoder, "step", noting if sizes is None else step):
            return run_all(search, sizes, images)

    with mock.patch.object(BatchedSearch, "run", running):
        yield seen


def run(folder: Path, precision: str, device: str, images: int) -> None:
    """Evaluate the photos and print the time of each stage."""
    ask = captioner_run.CaptionerRun(
        name=precision,
        results=folder / "results",
        dataset=registry.load(folder / "photos"),
        captioner=str(folder / "captioner"),
        decoding=DecodingConfig(beam_sizes=SWEEP, precision=precision),
        metrics=(),
        device=device,
    )
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    with counted() as seen:
        start = time.perf_counter()
        captioner_run.evaluate(ask)
        total = time.perf_counter() - start
    record = records.read_record(records.run_folder(ask.results, precision))
    seconds, alone = record["timings"], record["seconds_per_image"]
    stages = {name: seconds.get(name, 0.0) for name in STAGES}
    print(f"\n{precision}: {images:,} images at {len(SWEEP)} beam sizes in {total:.1f} s")
    print(", ".join(f"{name} {value:.2f} s" for name, value in stages.items()), end=", ")
    print(f"other {total - sum(stages.values()):.2f} s (load weights, measure latency, write tables)")
    print(f"data loading: {record['waited_for_photos']:.2%} of captioning time")
    print("latency, ms per image: " + ", ".join(f"beam {size} {1e3 * value:.2f}" for size, value in alone.items()))
    if device != "cpu":
        print(f"peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    print_least(folder, precision, device, images, seen)


def print_least(folder: Path, precision: str, device: str, images: int, prefixes: list[int]) -> None:
    """Print the time of the arithmetic alone."""
    captioner = checkpoints.load(folder / "captioner")[0].to(device, DTYPES[precision])
    limits, size = Limits(captioner), captioner.preprocessing.size
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        captioner.encode(torch.zeros(1, 3, size, size, device=device, dtype=DTYPES[precision]))
    arithmetic = limits.arithmetic()
    print(
        f"least: encode {counter.get_total_flops() * images / arithmetic:.2f} s, "
        f"decode, {sum(prefixes):,} prefixes, {limits.operations(prefixes) / arithmetic:.2f} s; "
        f"products run at {arithmetic / 1e12:.1f} Tflop/s, weights are read at {limits.bandwidth() / 1e9:.0f} GB/s"
    )


def trace(folder: Path, precision: str, device: str, images: int) -> None:
    """Print what the GPU does while one chunk is decoded."""
    captioner, words = checkpoints.load(folder / "captioner")
    captioner.to(device, DTYPES[precision])
    memory = torch.randn(images, TOKENS, SHAPE["d_model"]).to(device, DTYPES[precision])
    decoding = DecodingConfig(beam_sizes=SWEEP, precision=precision)
    search = tiny.search(captioner, words, memory, decoding)
    on_gpu = device != "cpu"
    search.run()
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU], acc_events=True) as watched:
        start = time.perf_counter()
        search.run()
        wall = time.perf_counter() - start
    name = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    events = sorted(
        ((getattr(each, name) / 1e6, each.count, each.key) for each in watched.key_averages()), reverse=True
    )
    busy = sum(seconds for seconds, _, _ in events)
    print(f"\n{precision}, decoding {images} images: {wall:.2f} s, busy {busy:.2f} s ({busy / wall:.0%})")
    for seconds, count, key in events[:14]:
        print(f"  {seconds:7.3f} s {seconds / busy:4.0%} {count:6} times {key[:100]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--images", type=int, help=f"({STUDY_IMAGES} on a GPU, else 4)")
    parser.add_argument("--precision", choices=DTYPES, nargs="+", default=["float32", "bf16"])
    parser.add_argument("--profile", action="store_true", help="also trace the decoding of one chunk")
    options = parser.parse_args()
    images = options.images or (4 if options.device == "cpu" else STUDY_IMAGES)
    keep_freed_memory()
    use_huge_pages()
    torch.backends.cudnn.allow_tf32 = False  # both as in the project's commands
    print(machine(options.device))
    print(", ".join(f"{name} {version(name)}" for name in ("torch", "timm")))
    with tempfile.TemporaryDirectory() as name:
        folder, words = Path(name), tokenizer(VOCABULARY)
        draw_photos(folder / "photos", images)
        torch.manual_seed(0)
        shape = CaptionerConfig(encoder=ENCODER, vocab_size=words.vocab_size, **SHAPE)
        checkpoints.save(folder / "captioner", CaptionerModel(shape), words)
        for precision in options.precision:
            run(folder, precision, options.device, images)
            if options.profile:
                trace(folder, precision, options.device, min(images, pipeline.CHUNK_ON_GPU))


if __name__ == "__main__":
    main()
