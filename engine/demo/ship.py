"""Copy a trained captioner, with float16 weights, and its training curve into the folder of the demo.

`python -m engine.demo.ship --captioner checkpoints/demo-models`.
"""

import argparse
import shutil
from pathlib import Path

from engine.captioners.native import checkpoints

TARGET = Path(__file__).parent / "captioner"
LARGEST = 16 * 2**20  # maximum bytes of weights in the repository


def ship(captioner: Path, target: Path = TARGET) -> int:
    """Copy the captioner to `target`; return the bytes of its weights.

    Raises:
        ValueError: the weights are larger than LARGEST.
    """
    model, tokenizer = checkpoints.load(captioner)
    checkpoints.save(target, model.half(), tokenizer)
    size = (target / "model.safetensors").stat().st_size
    if size > LARGEST:
        raise ValueError(
            f"{target}: {size:,} bytes of weights, expected at most {LARGEST:,}; train a smaller captioner"
        )
    shutil.copyfile(captioner / "training.parquet", target / "training.parquet")
    return size


def main() -> None:
    parser = argparse.ArgumentParser(description="Copy a trained captioner into the folder of the demo.")
    parser.add_argument("--captioner", type=Path, required=True, help="folder made by engine train")
    options = parser.parse_args()
    print(f"{TARGET}: {ship(options.captioner):,} bytes of weights")


if __name__ == "__main__":
    main()
