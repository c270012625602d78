"""Captions and references as the checks see them: words, and an even sample of images."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

_UNSPACED = "\u3040-\u30ff\u3400-\u9fff"
"""Japanese and Chinese characters, each of which counts as a word, because these languages do not separate words."""
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")


def words(text: str) -> list[str]:
    """Return the words of a text in lower case, without punctuation."""
    return _WORD.findall(text.lower())


@dataclass(frozen=True)
class Texts:
    """N images with a caption each. Row i of everything belongs to image i."""

    image_ids: Sequence[str]
    captions: Sequence[str]
    """Empty before captions exist."""
    references: Sequence[Sequence[str]]
    """An image may have none."""

    def sample(self, most: int) -> "Texts":
        """Return at most `most` rows, evenly spaced."""
        count = len(self.image_ids)
        if count <= most:
            return self
        rows = [number * count // most for number in range(most)]
        captions = [self.captions[row] for row in rows] if self.captions else ()
        return replace(
            self,
            image_ids=[self.image_ids[row] for row in rows],
            captions=captions,
            references=[self.references[row] for row in rows],
        )

    @cached_property
    def caption_words(self) -> list[list[str]]:
        """Words of each caption."""
        return [words(text) for text in self.captions]

    @cached_property
    def reference_words(self) -> list[list[str]]:
        """Words of each reference of all images, one list per reference."""
        return [words(text) for texts in self.references for text in texts]
