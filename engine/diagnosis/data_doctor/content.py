"""Captions whose content cannot be right: one for all images, far too long, or cut by CLIP."""

from collections import Counter
from dataclasses import replace
from statistics import median

from engine.diagnosis.data_doctor.finding import Finding, quote, some
from engine.diagnosis.data_doctor.texts import Texts

_HALF, _LEAST = 0.5, 5
"""One caption for more than this share of at least so many images."""

_TIMES = 5
"""Captions so many times as long as the references are not descriptions of the same kind. A caption that repeats
itself up to a limit of 50 tokens stays below it."""


def one_caption(texts: Texts) -> Finding | None:
    """Return the finding that most images have the same caption, or an empty one, while their references differ."""
    count = len(texts.captions)
    if count < _LEAST:
        return None
    caption, times = Counter(texts.captions).most_common(1)[0]
    if times <= _HALF * count:
        return None
    same = [row for row, text in enumerate(texts.captions) if text == caption]
    described = Counter(tuple(texts.references[row]) for row in same if texts.references[row])
    if len(described) == 1 and caption.strip():
        return None  # the references say that the photos are alike
    what = f"the caption {quote(caption)}" if caption.strip() else "an empty caption"
    return Finding(
        "one_caption",
        f"{times:,} of {count:,} images have {what}, such as image {texts.image_ids[same[0]]}",
        "check that the captioner receives the photos and its trained weights; its scores say nothing about images",
        some([texts.image_ids[row] for row in same]),
    )


def length(texts: Texts) -> Finding | None:
    """Return the finding that captions are several times as long as the references."""
    captions, references = texts.caption_words, texts.reference_words
    if not captions or not references:
        return None
    own, usual = median(map(len, captions)), median(map(len, references))
    if not usual or own < _TIMES * usual:
        return None
    first = max(range(len(captions)), key=lambda row: len(captions[row]))
    return Finding(
        "length",
        f"captions are {own / usual:.0f} times as long as the references (median {own:.0f} and {usual:.0f} words); the "
        f"longest has {len(captions[first]):,} words, image {texts.image_ids[first]}",
        "ask for one short sentence, or score the first sentence only; CIDEr punishes every difference in length",
        (texts.image_ids[first],),
    )


def clip_cut(cut: int, captions: int, context: int, example: str | None = None) -> Finding | None:
    """Return the finding that CLIP cut `cut` of the `captions`, which are longer than its `context` in tokens."""
    if not cut:
        return None
    named = f", such as that of image {example}" if example else ""
    verb = "is" if captions == 1 else "are"
    return Finding(
        "clip_cut",
        f"{cut:,} of {captions:,} captions {verb} cut at CLIP's {context} tokens{named}",
        "shorten the captions, or read CLIPScore as the score of their first sentences",
        (example,) if example else (),
    )


def with_cut(long: Finding, cut: Finding) -> Finding:
    """Return one finding for captions that are too long both for the references and for CLIP."""
    return replace(long, title=f"{long.title}; {cut.title.split(', such as')[0]}")
