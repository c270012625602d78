"""Blocks: a split in parts of consecutive images, which are computed one after the other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from engine.data.split import Split

SIZE = 8_192
"""Images per block: with five references each, enough texts that the start of the tokeniser's Java is a small part."""


@dataclass(frozen=True)
class Block:
    """Some images of a split with their captions."""

    split: Split
    captions: Mapping[int, Sequence[str]]
    """Setting, such as a beam size -> the caption of each image; all blocks of a split have the same settings."""


def blocks_of(split: Split, captions: Mapping[int, Sequence[str]], size: int = SIZE) -> Iterator[Block]:
    """Yield the blocks of a split that is in memory."""
    for start in range(0, len(split), size):
        rows = range(start, min(start + size, len(split)))
        own = {setting: each[start : start + size] for setting, each in captions.items()}
        yield Block(split if len(rows) == len(split) else split.take(rows), own)
