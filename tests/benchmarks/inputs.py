"""What the benchmarks measure on where no data are named: Flickr8k's captions if they are here, else the demo world."""

from argparse import ArgumentParser
from pathlib import Path

from engine.data import registry
from engine.data.dataset import Dataset
from engine.demo import world

FLICKR8K = Path("../shared/data/flickr8k")
DEMO = Path("data/demo")


def add_data(parser: ArgumentParser) -> None:
    """Add `--data`, a dataset in any format that the project reads."""
    parser.add_argument("--data", type=Path, help="a captioned dataset (Flickr8k's if it is here, else the demo world)")


def dataset(data: Path | None) -> Dataset:
    """Return the images and references to measure on; the demo world is drawn where it is needed and missing."""
    if data is None and not FLICKR8K.is_dir():
        world.write_world(DEMO)
    chosen = data or (FLICKR8K if FLICKR8K.is_dir() else DEMO)
    return registry.load(chosen, split="all" if chosen == FLICKR8K else None)
