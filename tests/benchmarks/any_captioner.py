"""Compare decoding of Hugging Face's captioners with their own `generate()`: all beam sizes of a sweep, and memory.

`python tests/benchmarks/any_captioner.py [--families ...] [--tokens N] [--sizes ...] [--device cpu|cuda] [--threads N]`

Three families with random weights: ViT and GPT-2 (VisionEncoderDecoder), BLIP, and LLaVA, each with 6 layers, width
384, 6 heads, a vocabulary of 8,000 and a photo of 224 x 224 pixels in 196 patches. `generate()` is called once per beam
size; ours searches all sizes together. Times are CPU seconds of one photo, encoding included; on a GPU they are
seconds. Memory is what is used beyond the weights at the largest beam size: ours, ours with keys and values stored once
per prefix, and `generate()`; `estimate` is what the commands assume for ours before they decode.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a file, the tests are not on the path

from engine.captioners.huggingface import estimates, handover
from engine.captioners.huggingface.loading import Loaded
from engine.captioners.huggingface.steps import TransformersSteps, can_share
from engine.config import DecodingConfig
from engine.decoding import sweep
from engine.models.allocator import keep_freed_memory, use_huge_pages
from tests.benchmarks.decoding import Peak, machine

SIZES = (1, 3, 4, 5, 6, 7, 8, 9, 10, 15, 100)
WIDTH, LAYERS, HEADS, VOCABULARY, SIDE, PATCH = 384, 6, 6, 8000, 224, 16
VISION = {
    **{"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_hidden_layers": LAYERS},
    **{"num_attention_heads": HEADS, "image_size": SIDE, "patch_size": PATCH},
}
Ids = dict[int, tuple[int, ...]]


@dataclass(frozen=True)
class Bench:
    """A model with the inputs of one photo."""

    model: Any
    inputs: dict[str, Tensor]
    tokens: int

    def open(self) -> handover.Batch:
        """Return the photo, ready for its first step."""
        loaded = Loaded("bench", self.model, None, None, None, None)
        return handover.open_batch(loaded, self.inputs, self._config((1,)))

    def ours(self, sizes: tuple[int, ...], is_shared: bool = True) -> Ids:
        """Return our caption at each size."""
        batch = self.open()
        with torch.inference_mode():
            steps = TransformersSteps(batch, self.tokens if is_shared else None)
        found = sweep.sweep(steps, 1, sizes, 0, batch.end_ids, self._config(sizes), batch.ids.device)
        return {size: found[size][0][0].tokens for size in sizes}

    def generated(self, sizes: tuple[int, ...]) -> Ids:
        """Return the captions of `generate()`, called once per size."""
        found, batch = {}, self.open()
        for size in sizes:
            with torch.no_grad():
                row = self.model.generate(
                    **self.inputs, do_sample=False, num_beams=size, max_new_tokens=self.tokens, length_penalty=1.0
                )[0].tolist()
            prompt = batch.ids[0].tolist()
            row = row[len(prompt) :] if row[: len(prompt)] == prompt else row
            end = next((at for at, token in enumerate(row) if token in batch.end_ids), len(row) - 1)
            found[size] = tuple(row[: end + 1])
        return found

    def estimate(self, beams: int) -> int:
        """Return the bytes that the commands assume."""
        return estimates.bytes_per_image(estimates.sizes_of(self.open()), beams, self.tokens, is_shared=True)

    def shares(self) -> bool:
        """Return whether keys and values of photo and prompt are stored once."""
        two = {name: value.repeat_interleave(2, 0) for name, value in self.inputs.items()}
        return can_share(lambda: Bench(self.model, two, self.tokens).open(), 1e-3)

    def _config(self, sizes: tuple[int, ...]) -> DecodingConfig:
        return DecodingConfig(beam_sizes=sizes, max_length=self.tokens)


def vit_gpt2() -> tuple[Any, dict[str, Tensor]]:
    decoder = hf.GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        n_positions=128,
        add_cross_attention=True,
        is_decoder=True,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.1,
    )
    config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(hf.ViTConfig(**VISION), decoder)
    model = hf.VisionEncoderDecoderModel(config)
    for key, value in {"decoder_start_token_id": 0, "pad_token_id": 1, "eos_token_id": 0, "bos_token_id": 0}.items():
        setattr(model.generation_config, key, value)
    return model, {"pixel_values": torch.randn(1, 3, SIDE, SIDE)}


def blip() -> tuple[Any, dict[str, Tensor]]:
    text = {
        **{"vocab_size": VOCABULARY, "hidden_size": WIDTH, "encoder_hidden_size": WIDTH},
        **{"intermediate_size": 4 * WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS},
        **{"bos_token_id": 5, "eos_token_id": 2, "sep_token_id": 3, "pad_token_id": 0},
        **{"max_position_embeddings": 128, "initializer_range": 0.1},
    }
    model = hf.BlipForConditionalGeneration(hf.BlipConfig(text_config=text, vision_config=VISION))
    return model, {"pixel_values": torch.randn(1, 3, SIDE, SIDE)}


def llava() -> tuple[Any, dict[str, Tensor]]:
    text = hf.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        initializer_range=0.1,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=3,
    )
    config = hf.LlavaConfig(vision_config=hf.CLIPVisionConfig(**VISION), text_config=text, image_token_index=9)
    ids = torch.tensor([[1, *range(20, 30), *[9] * (SIDE // PATCH) ** 2, *range(30, 45)]])
    model = hf.LlavaForConditionalGeneration(config)
    for key, value in {"pad_token_id": 3, "eos_token_id": 2, "bos_token_id": 1}.items():
        setattr(model.generation_config, key, value)
    return model, {
        "pixel_values": torch.randn(1, 3, SIDE, SIDE),
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
    }


FAMILIES = {"ViT and GPT-2": vit_gpt2, "BLIP": blip, "LLaVA": llava}


def build(family: str, tokens: int, device: str) -> Bench:
    torch.manual_seed(0)
    model, inputs = FAMILIES[family]()
    return Bench(model.eval().to(device), {name: value.to(device) for name, value in inputs.items()}, tokens)


def timed(work: Callable[[], object], device: str) -> float:
    """Return the seconds of `work`: CPU seconds on a CPU."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    start = clock()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return clock() - start


def peak(work: Callable[[], object], device: str) -> float:
    """Return the MiB that `work` uses."""
    with Peak(device) as found:
        work()
    return found.bytes / 2**20


def line(family: str, bench: Bench, sizes: tuple[int, ...], device: str, rounds: int) -> str:
    largest = (max(sizes),)
    bench.ours((2,))
    theirs, ours = bench.generated(sizes), bench.ours(sizes)
    equal = sum(theirs[size] == ours[size] for size in sizes)
    ways = (lambda: bench.generated(sizes), lambda: bench.ours(sizes), lambda: bench.ours(largest))
    rows = [[timed(way, device) for way in ways] for _ in range(rounds)]  # alternating: the machine's speed varies
    once, every = (statistics.median(row[at] for row in rows) for at in (0, 1))
    ratio, share = (statistics.median(row[at] / row[at + 1] for row in rows) for at in (0, 1))
    memory = [
        peak(lambda: bench.ours(largest), device),
        peak(lambda: bench.ours(largest, is_shared=False), device),
        peak(lambda: bench.generated(largest), device),
    ]
    shown = " | ".join(f"{each:.0f}" for each in [*memory, bench.estimate(largest[0]) / 2**20])
    shared = "yes" if bench.shares() else "no"
    return (
        f"| {family} | {once:.2f} | {every:.2f} | {ratio:.1f} | {share:.2f} | {equal} of {len(sizes)} "
        f"| {shared} | {shown} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--tokens", type=int, default=12, help="maximum tokens of a caption (12)")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="beam sizes (the study's eleven)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; each ratio is the median of theirs (3)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (1)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    use_huge_pages()
    hf.logging.set_verbosity_error()
    print(machine(options.device))
    print(", ".join(f"{name} {version(name)}" for name in ("torch", "transformers")))
    print("\n| | generate() | ours | ratio | sweep / largest beam | equal captions | keys once per photo ", end="")
    print("| MiB, ours | with copies | generate() | estimate |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for family in options.families:
        bench = build(family, options.tokens, options.device)
        print(line(family, bench, tuple(options.sizes), options.device, options.rounds), flush=True)


if __name__ == "__main__":
    main()
