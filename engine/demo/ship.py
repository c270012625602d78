"""Puts a trained captioner where the demo looks for it: weights in float16, its training curve beside them.

Knows files only. `python -m engine.demo.ship --captioner checkpoints/demo-models`.
"""

import argparse
import shutil
from pathlib import Path

from engine.captioners.native import checkpoints

TARGET = Path(__file__).parent / "captioner"
LARGEST = 16 * 2**20  # bytes of weights that a clone is asked to fetch


def ship(captioner: Path, target: Path = TARGET) -> int:
    """Copies the captioner to `target`; returns the bytes of its weights.

    Raises:
        ValueError: the weights are larger than LARGEST.
    """
    model, tokenizer = checkpoints.load(captioner)
    checkpoints.save(target, model.half(), tokenizer)
    size = (target / "model.safetensors").stat().st_size
    if size > LARGEST:
        raise ValueError(f"{target}: {size:,} bytes of weights, expected at most {LARGEST:,}")
    shutil.copyfile(captioner / "training.parquet", target / "training.parquet")
    return size


def main() -> None:
    parser = argparse.ArgumentParser(description="Put a trained captioner where the demo looks for it.")
    parser.add_argument("--captioner", type=Path, required=True, help="folder made by engine train")
    options = parser.parse_args()
    print(f"{TARGET}: {ship(options.captioner):,} bytes of weights")


if __name__ == "__main__":
    main()
