"""The tokens of a block as word numbers on disk: tokenised once, read again by every later pass.

A block numbers its own words. `Vocabulary` numbers those of all blocks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.data.blocks import Block
from engine.metrics import ptb
from engine.metrics.ngrams import Texts


@dataclass(frozen=True)
class BlockTokens:
    """The tokens of the images of a block that have references; texts are numbered, equal texts have one number."""

    images: int
    """Images of the block, with and without references."""
    rows: np.ndarray
    """Those with references, int64[R]."""
    references: np.ndarray
    """The text of each reference, image by image, int64[S]."""
    counts: np.ndarray
    """References of each of `rows`, int64[R]."""
    captions: np.ndarray
    """The text of each caption, int64[settings, R]."""
    texts: Texts
    """Words between single spaces, as ROUGE-L and METEOR count them: an empty text has one empty word."""
    plain: Texts
    """Words between any white space, as CIDEr and BLEU count them."""

    @property
    def starts(self) -> np.ndarray:
        """Where the references of each image begin and the last end, int64[R + 1]."""
        return np.concatenate([[0], np.cumsum(self.counts)])


def write(folder: Path, number: int, block: Block) -> list[str]:
    """Tokenise a block, keep its tokens in `folder` and return its words.

    Raises:
        MetricError: the tokeniser failed.
    """
    split = block.split
    rows = split.having({"references"})
    numbers: dict[str, int] = {}
    references = [numbers.setdefault(text, len(numbers)) for row in rows for text in split.references[row]]
    captions = [[numbers.setdefault(each[row], len(numbers)) for row in rows] for each in block.captions.values()]
    words: dict[str, int] = {}
    tokens = ptb.tokenize(list(numbers)) if numbers else []
    texts = _numbered([text.split(" ") for text in tokens], words)
    is_plain = all(word.split() == [word] for word in words)
    plain = {} if is_plain else _numbered([text.split() for text in tokens], words, "plain_")
    arrays = {"references": references, "counts": [len(split.references[row]) for row in rows], "rows": rows}
    small = {name: np.array(values, dtype=np.int32) for name, values in arrays.items()}
    small["captions"] = np.array(captions, dtype=np.int32).reshape(len(captions), len(rows))
    every = {"images": np.array(len(split)), **small, **texts, **plain}
    np.savez(_file(folder, number), **every)  # ty: ignore[invalid-argument-type]  # numpy's stub knows only its own keywords
    return list(words)


def _numbered(texts: Sequence[Sequence[str]], words: dict[str, int], prefix: str = "") -> dict[str, np.ndarray]:
    """Return texts as word numbers; new words are added to `words`."""
    for text in texts:
        for word in text:
            if word not in words:
                words[word] = len(words)
    flat = np.fromiter((words[word] for text in texts for word in text), dtype=np.int32)
    return {f"{prefix}words": flat, f"{prefix}lengths": np.fromiter(map(len, texts), dtype=np.int32)}


def read(folder: Path, number: int) -> BlockTokens:
    """Return the tokens of a block, with the numbers of `Vocabulary`."""
    vocabulary = np.load(_vocabulary_file(folder, number))
    with np.load(_file(folder, number)) as kept:
        found = {name: kept[name].astype(np.int64) for name in kept.files}

    def texts(prefix: str) -> Texts:
        return Texts(vocabulary[found[f"{prefix}words"]], found[f"{prefix}lengths"])

    every = texts("")
    named = {name: found[name] for name in ("rows", "references", "counts", "captions")}
    return BlockTokens(
        int(found["images"]), **named, texts=every, plain=texts("plain_") if "plain_words" in found else every
    )


class Vocabulary:
    """The words of all blocks of a split, numbered in the order in which they are added."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def add(self, folder: Path, number: int, words: Sequence[str]) -> None:
        """Add the words of a block, and keep their numbers for `read`."""
        numbers = [self._numbers.setdefault(word, len(self._numbers)) for word in words]
        np.save(_vocabulary_file(folder, number), np.array(numbers, dtype=np.int64))

    def words(self) -> list[str]:
        """Return all words by number."""
        return list(self._numbers)


def _file(folder: Path, number: int) -> Path:
    return folder / f"tokens{number}.npz"


def _vocabulary_file(folder: Path, number: int) -> Path:
    return folder / f"words{number}.npy"
