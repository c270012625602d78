"""Agreement of a word: the share of other captions of the same image that say it too.

The other captions are samples of the model, or the hypotheses of an n-best list. For a word that names an object, a
caption agrees if it names the same object by any word; otherwise it must contain the word itself.
"""

from collections.abc import Sequence

from engine.diagnosis.lexicon import Mentions, parts_of_text


class Agreement:
    """The captions that words of one image are compared with."""

    def __init__(self, captions: Sequence[str], mentions: Mentions | None) -> None:
        self._words = [frozenset(_words(caption)) for caption in captions]
        self._labels = [frozenset(mentions.find(caption)) if mentions else frozenset() for caption in captions]

    def of(self, word: str, label: str | None) -> float | None:
        """Return the agreement of a word, 0 to 1; None without captions, and for punctuation.

        Args:
            label: the object that the word names, if it names one.
        """
        if not self._words:
            return None
        if label is not None:
            return sum(label in named for named in self._labels) / len(self._labels)
        parts = _words(word)
        if not parts:
            return None
        return sum(all(part in words for part in parts) for words in self._words) / len(self._words)


def _words(text: str) -> list[str]:
    return [part for part in parts_of_text(text) if part not in ("", "'s")]
