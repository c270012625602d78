"""Texts whose form is wrong: lists written as text, Markdown, an echoed prompt."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import chain

from engine.diagnosis.data_doctor.finding import Finding, quote, some
from engine.diagnosis.data_doctor.texts import Texts

_LIST = re.compile(
    r"""\s*(?:[\[(]\s*['"].*['"]\s*,?\s*[\])]|\{\s*['"]\w+['"]\s*:.*\}|\[\s*\[.*\]\s*\])\s*$""", re.DOTALL
)
_MARKDOWN = re.compile(
    r"\*\*[^*\s][^*]*\*\*|__[^_\s][^_]*__|`[^`]+`|\[[^\]]+\]\([^)\s]+\)"  # emphasis, code, links
    r"|^\s*(?:#{1,6}|[-*+•>]|\d{1,2}\.)\s+\w"  # a heading or a bullet, which begins the caption
    r"|(?:^|\s)#{2,6}\s+\w|(?:^|\s)\*[^*\s][^*]*\*(?=\W|$)"
)
_MARKDOWN_SHARE = 0.01
_TIMES_REFERENCES = 5
"""Markdown counts if captions have it so many times as often as references."""

_EVERY, _RARE = 0.95, 20
"""An echo is in this share of the captions, and one of its words is so many times rarer in references."""
_LEAST_CAPTIONS, _LEAST_REFERENCES, _LONGEST_PROMPT = 5, 20, 60
_ABOUT_PHOTOS = frozenset(
    ("photo", "photograph", "image", "picture", "describe", "description", "caption")
    + ("question", "answer", "assistant", "user", "prompt")
)
"""Words of prompts; used for images without references."""


def list_as_text(texts: Texts) -> Finding | None:
    """Return the finding that references or captions are lists written as text, such as "['a dog', 'a cat']"."""
    every = [(row, text) for row, own in enumerate(texts.references) for text in own]
    for kind, pairs in (("references", every), ("captions", list(enumerate(texts.captions)))):
        found = [(row, text) for row, text in pairs if text.lstrip()[:1] in ("[", "(", "{") and _LIST.match(text)]
        if found:
            row, text = found[0]
            return Finding(
                "list_as_text",
                f"{len(found):,} of {len(pairs):,} {kind} are a list written as text, such as {quote(text)} of image "
                f"{texts.image_ids[row]}",
                "read the column with ast.literal_eval or json.loads, and write each text of the list as a caption of "
                "its own",
                some([texts.image_ids[row] for row, _ in found]),
            )
    return None


def markdown(texts: Texts) -> Finding | None:
    """Return the finding that captions contain Markdown which references do not have."""
    rows = [row for row, text in enumerate(texts.captions) if _MARKDOWN.search(text)]
    if not rows or len(rows) < _MARKDOWN_SHARE * len(texts.captions):
        return None
    share = len(rows) / len(texts.captions)
    own = list(chain.from_iterable(texts.sample(5_000).references))
    if own and sum(bool(_MARKDOWN.search(text)) for text in own) / len(own) * _TIMES_REFERENCES > share:
        return None
    return Finding(
        "markdown",
        f"{len(rows):,} of {len(texts.captions):,} captions contain Markdown, such as {quote(texts.captions[rows[0]])} "
        f"of image {texts.image_ids[rows[0]]}",
        "ask the model for plain text, or remove headings, bullets, emphasis and links before scoring",
        some([texts.image_ids[row] for row in rows]),
    )


def prompt_echo(texts: Texts) -> Finding | None:
    """Return the finding that nearly all captions begin or end with the same words, which references do not have."""
    if len(texts.captions) < _LEAST_CAPTIONS:
        return None
    captions = texts.caption_words
    reversed_words = [each[::-1] for each in captions]
    for where, found in (("begin", _common(captions)), ("end", _common(reversed_words)[::-1])):
        if found and _is_foreign(found, texts):
            count = sum((own[: len(found)] if where == "begin" else own[-len(found) :]) == found for own in captions)
            return Finding(
                "prompt_echo",
                f"{count / len(captions):.0%} of the captions {where} with {quote(' '.join(found))}, which looks like "
                f"the prompt, such as {quote(texts.captions[0])} of image {texts.image_ids[0]}",
                "remove these words from the captions, or decode only the tokens after the prompt",
                some(list(texts.image_ids)),
            )
    return None


def _common(captions: Sequence[Sequence[str]]) -> list[str]:
    """Return the longest beginning that nearly all captions share."""
    prefix: list[str] = []
    rest = captions
    while len(prefix) < _LONGEST_PROMPT:
        at = len(prefix)
        counts = Counter(own[at] for own in rest if len(own) > at)
        word, count = counts.most_common(1)[0] if counts else ("", 0)
        if count < _EVERY * len(captions):
            break
        rest = [own for own in rest if len(own) > at and own[at] == word]
        prefix.append(word)
    return prefix


def _is_foreign(prefix: Sequence[str], texts: Texts) -> bool:
    """Return whether a word of the beginning is rare in the references; without references, whether it names photos."""
    references = texts.reference_words
    if not references:
        return not _ABOUT_PHOTOS.isdisjoint(prefix)
    if len(references) < _LEAST_REFERENCES:
        return False
    rows = list(map(frozenset, references))
    rarest = min(sum(word in row for row in rows) for word in set(prefix))
    return (rarest + 1) / (len(rows) + 1) * _RARE <= _EVERY
