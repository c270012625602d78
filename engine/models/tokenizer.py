"""Convert text to token ids and back, and map words to their tokens.

Supports Hugging Face `tokenizers` files with four special tokens and a prefix (`##`) for continuing pieces, and English
spacing around punctuation.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from engine.reading import first_line, read_text

SPECIALS = ("[PAD]", "[UNK]", "[BOS]", "[EOS]")
LARGEST = 128 * 2**20
"""Largest tokenizer file, in bytes; those of a million tokens have half of it."""

_NO_SPACE_BEFORE = re.compile(r" (?=[.,!?;:%)\]}。，、！？；：）])|(?<=[(\[{（。，、！？；：]) ")
_APOSTROPHE = re.compile(r"(?<=\w) ?(['’]) ?(?=(?:s|t|re|ve|ll|d|m)\b)")
# Captions have hundreds of hyphens per dash, and the metrics' tokeniser keeps `t-shirt` as one word.
_HYPHEN = re.compile(r"(?<=\w) - (?=\w)")


class TokenizerError(ValueError):
    """A tokenizer file that cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Word:
    """A word of a caption and its tokens: positions start <= i < stop in the token ids."""

    text: str
    start: int
    stop: int


class CaptionTokenizer:
    """A caption tokenizer: ids with the special tokens, words with their token spans.

    Args:
        tokenizer: its vocabulary must contain the tokens of SPECIALS.

    Raises:
        TokenizerError: a special token is missing, or ids have gaps.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        ids = {token: found for token in SPECIALS if (found := tokenizer.token_to_id(token)) is not None}
        missing = [token for token in SPECIALS if token not in ids]
        if missing:
            raise TokenizerError(f"the tokenizer has no token {missing[0]!r}: expected all of {', '.join(SPECIALS)}")
        largest = max(tokenizer.get_vocab(with_added_tokens=True).values())
        if largest >= tokenizer.get_vocab_size():
            raise TokenizerError(
                f"the tokenizer has the id {largest:,}, expected ids below its number of tokens "
                f"({tokenizer.get_vocab_size():,})"
            )
        self._tokenizer = tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.pad_id, self.unk_id, self.bos_id, self.eos_id = (ids[token] for token in SPECIALS)
        self._prefix = getattr(tokenizer.model, "continuing_subword_prefix", None) or "##"
        # A vocabulary of lower-cased captions has no capitals, so `A` would be unknown.
        self._lower = not any(any(map(str.isupper, token)) for token in set(tokenizer.get_vocab()) - set(SPECIALS))

    @classmethod
    def load(cls, path: Path) -> "CaptionTokenizer":
        """Load a `tokenizers` JSON file.

        Raises:
            TokenizerError: the file does not exist, is not a tokenizer, or lacks a special token.
        """
        if not path.is_file():
            raise TokenizerError(f"{path}: there is no such file; expected a Hugging Face tokenizers JSON file")
        text = read_text(path, TokenizerError, LARGEST)
        try:
            return cls(Tokenizer.from_str(text))
        except TokenizerError as error:
            raise TokenizerError(f"{path}: {error}") from error
        except BaseException as error:  # the library raises bare Exception, and a panic that is not even that
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            reason = first_line(error)[:200]
            raise TokenizerError(f"{path}: not a Hugging Face tokenizers file ({reason})") from error

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> "CaptionTokenizer":
        """Train a lower-casing BPE tokenizer with `##` pieces on `texts`; the same texts give the same file."""
        texts = [text.lower() for text in texts]
        tokenizer = Tokenizer(models.BPE(unk_token="[UNK]", continuing_subword_prefix="##"))
        tokenizer.normalizer = normalizers.Lowercase()
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        # The trainer numbers continuing letters in hash order and breaks ties by number. Passed as special tokens they
        # have a fixed order, so training is reproducible.
        letters = [f"##{letter}" for letter in sorted({letter for text in texts for letter in text if letter.strip()})]
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=[*SPECIALS, *letters],
            continuing_subword_prefix="##",
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[BOS] $A [EOS]", special_tokens=[("[BOS]", 2), ("[EOS]", 3)]
        )
        content = json.loads(tokenizer.to_str())
        content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] in SPECIALS]
        return cls(Tokenizer.from_str(json.dumps(content)))

    def save(self, path: Path) -> None:
        """Write the `tokenizers` JSON file."""
        self._tokenizer.save(str(path))

    def to_json(self) -> str:
        """Return the `tokenizers` JSON text."""
        return self._tokenizer.to_str()

    @property
    def vocab_size(self) -> int:
        """The number of token ids, special ones included."""
        return self._tokenizer.get_vocab_size()

    def encode(self, text: str, max_length: int | None = None) -> list[int]:
        """Return the ids from [BOS] to [EOS], truncated to `max_length` new tokens, the end token included."""
        text = text.lower() if self._lower else text
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        if max_length is not None:
            ids = ids[: max_length - 1]
        return [self.bos_id, *ids, self.eos_id]

    def words(self, ids: Sequence[int]) -> list[Word]:
        """Return the words of `ids`, without special tokens, with the positions of their tokens.

        A continuing piece belongs to the word before it; without one it begins a word.
        """
        words: list[Word] = []
        skip = {self.pad_id, self.bos_id, self.eos_id}
        joined = False
        for position, token_id in enumerate(ids):
            if token_id in skip:
                joined = False
                continue
            piece = self._tokenizer.id_to_token(int(token_id)) or SPECIALS[1]
            continues = piece.startswith(self._prefix) and len(piece) > len(self._prefix)
            text = piece[len(self._prefix) :] if continues else piece
            if continues and joined:
                last = words[-1]
                words[-1] = Word(last.text + text, last.start, position + 1)
            else:
                words.append(Word(text, position, position + 1))
            joined = True
        return words

    def decode(self, ids: Sequence[int]) -> str:
        """Return the caption of `ids` with usual spacing: no space before a full stop or around a hyphen."""
        return join_words([word.text for word in self.words(ids)])


def join_words(words: Sequence[str]) -> str:
    """Join words and punctuation marks to one line of text."""
    text = _NO_SPACE_BEFORE.sub("", " ".join(words))
    return _HYPHEN.sub("-", _APOSTROPHE.sub(r"\1", text))
