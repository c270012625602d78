"""The passes over the blocks of a split that CIDEr-D, BLEU and ROUGE-L need; what is kept between them is on disk.

The first pass tokenises, two count document frequencies, the last scores. Between two passes the sums of all blocks are
merged, so that no score depends on how a split is divided into blocks.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from engine.data.blocks import Block
from engine.metrics import frequencies, ngrams, tokens
from engine.metrics.tokens import BlockTokens

Apply = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""Like `map`: applies a function to items, here or in other processes, and returns the results in order."""

_TOGETHER = 1_024
"""Images whose n-grams are in memory at a time."""


@dataclass(frozen=True)
class Prepared:
    """A split whose blocks are tokenised."""

    folder: Path
    blocks: int
    images: int
    """Images with references."""
    words: list[str]
    """The words of the split by number."""


def tokenise(blocks: Iterable[Block], folder: Path, apply: Apply = map) -> Prepared:
    """Tokenise all blocks and number their words.

    Raises:
        MetricError: the tokeniser failed.
    """
    vocabulary, count, images = tokens.Vocabulary(), 0, 0
    for number, (words, own) in enumerate(apply(partial(_tokenise, folder), enumerate(blocks))):
        vocabulary.add(folder, number, words)
        count, images = count + 1, images + own
    return Prepared(folder, count, images, vocabulary.words())


def _tokenise(folder: Path, numbered: tuple[int, Block]) -> tuple[list[str], int]:
    number, block = numbered
    return tokens.write(folder, number, block), len(block.split.having({"references"}))


def count_documents(prepared: Prepared, apply: Apply = map) -> None:
    """Count in how many images each n-gram occurs, for `score`."""
    folder = prepared.folder
    for orders in (frequencies.FIRST, frequencies.LATER):
        for _ in apply(partial(_count, folder, orders), range(prepared.blocks)):
            pass
        for order in orders:
            files = [_counts_file(folder, order, number) for number in range(prepared.blocks)]
            frequencies.merge(files, frequencies.table_file(folder, order))
            for file in files:
                file.unlink()


def _count(folder: Path, orders: tuple[int, ...], number: int) -> None:
    block, known = tokens.read(folder, number), frequencies.read(folder, 0)
    references = block.plain.take(block.references)
    images = np.repeat(np.arange(len(block.rows)), block.counts)
    for order in orders:
        np.save(_counts_file(folder, order, number), frequencies.count(order, references, images, known))


def _counts_file(folder: Path, order: int, number: int) -> Path:
    return folder / f"counts{order}-{number}.npy"


def score(prepared: Prepared, apply: Apply = map) -> Iterator[dict[str, np.ndarray]]:
    """Yield for each block cider and rouge_l float64[settings, R], and bleu float64[settings, R, 10], of R images.

    These are the images with references.
    """
    return apply(partial(_score, prepared.folder, prepared.images), range(prepared.blocks))


def _score(folder: Path, images: int, number: int) -> dict[str, np.ndarray]:
    block, known = tokens.read(folder, number), frequencies.read(folder, images)
    settings, rows = block.captions.shape
    found = {
        "cider": np.empty((settings, rows)),
        "rouge_l": np.empty((settings, rows)),
        "bleu": np.empty((settings, rows, 10)),
    }
    for start in range(0, rows, _TOGETHER):
        some = slice(start, min(start + _TOGETHER, rows))
        for name, values in _score_rows(block, some, known).items():
            found[name][:, some] = values
    return found


def _score_rows(block: BlockTokens, some: slice, known: frequencies.Frequencies) -> dict[str, np.ndarray]:
    """Return the scores of some images; captions that settings share are scored once."""
    starts, counts = block.starts[some.start : some.stop + 1], block.counts[some]
    captions = block.captions[:, some]
    texts = len(block.texts.lengths)
    distinct, places = np.unique(np.arange(captions.shape[1]) * texts + captions, return_inverse=True)
    image, text = np.divmod(distinct, texts)
    references = block.references[starts[0] : starts[-1]]
    own = np.concatenate([[0], np.cumsum(counts[image])])
    reference = ngrams.ranges(starts[image] - starts[0], counts[image])
    pairs = np.column_stack([np.repeat(np.arange(len(image)), counts[image]), reference])
    cider, bleu = ngrams.cider_and_bleu(block.plain.take(text), block.plain.take(references), pairs, own, known.weights)
    rouge = ngrams.rouge(block.texts.take(text), block.texts.take(references), pairs, own)
    every = {"cider": cider, "rouge_l": rouge, "bleu": bleu}
    return {name: values[places.reshape(captions.shape)] for name, values in every.items()}
