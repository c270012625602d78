"""Words of a caption with their tokens, for any tokenizer: found by how the decoded text grows with each token."""

import os
import re
from collections.abc import Sequence
from typing import Any

from engine.models.tokenizer import Word, join_words

_WORDS = re.compile(r"\w+(?:['\u2019-]\w+)*|[^\w\s]")
_SPACE_BEFORE = re.compile(r"\s+([.,!?;:])")


class TokenWords:
    """The text and the words of token ids."""

    def __init__(self, tokenizer: Any, end_ids: Sequence[int], pad_id: int) -> None:
        self._tokenizer = tokenizer
        added = getattr(tokenizer, "added_tokens_decoder", {})  # also markers such as SmolVLM's <row_1_col_1>
        special = (token for token, each in added.items() if each.special)
        self._skipped = {*tokenizer.all_special_ids, *special, *end_ids, pad_id}
        # Tokenizers that cut at punctuation, such as BERT's, do not keep whether there was a space.
        self._loses_spaces = " - " in self._decoded(tokenizer("a-a", add_special_tokens=False)["input_ids"])

    def text(self, ids: Sequence[int]) -> str:
        """Return the caption as people write it: one line, no space before a full stop; `t-shirt`, `isn't`."""
        words = _SPACE_BEFORE.sub(r"\1", self._decoded(ids)).split()
        return join_words(words) if self._loses_spaces else " ".join(words)

    def words(self, ids: Sequence[int]) -> list[Word]:
        """Return the words and punctuation marks of a caption, each with the range of its tokens."""
        text = self._decoded(ids)
        # A token may end inside a character: the text decoded up to it then differs from the beginning of the whole.
        ends = [len(os.path.commonprefix([self._decoded(ids[: at + 1]), text])) for at in range(len(ids))]
        found = []
        for each in _WORDS.finditer(text):
            start = next((at for at, end in enumerate(ends) if end > each.start()), len(ids) - 1)
            stop = next((at for at, end in enumerate(ends) if end >= each.end()), len(ids) - 1) + 1
            found.append(Word(each.group(), start, stop))
        return found

    def _decoded(self, ids: Sequence[int]) -> str:
        kept = [token for token in ids if token not in self._skipped]
        return self._tokenizer.decode(kept, clean_up_tokenization_spaces=False)
