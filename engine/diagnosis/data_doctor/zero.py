"""Why CIDEr is 0: no score of 0 stays without an explanation."""

from collections import Counter
from collections.abc import Sequence
from statistics import median

from engine.diagnosis.data_doctor.finding import Finding, quote, some
from engine.diagnosis.data_doctor.texts import Texts

ZERO = 5e-4
"""CIDEr below this is shown as 0.000."""

_FAR = 20
"""A difference of so many words costs a caption 99.6 % of its CIDEr-D: exp(-20² / (2 * 6²))."""
_FEW_IMAGES = 5


def cider_zero(value: float, texts: Texts) -> Finding | None:
    """Return why CIDEr is 0; None if it is not.

    Args:
        value: the corpus CIDEr.
        texts: images with their captions and references, or a sample of them.
    """
    if value >= ZERO:
        return None
    rows = [row for row, references in enumerate(texts.references) if references]
    own = Texts(
        [texts.image_ids[row] for row in rows],
        [texts.captions[row] for row in rows],
        [texts.references[row] for row in rows],
    )
    title, remedy, ids = _why(own)
    return Finding("cider_zero", f"CIDEr is {value:.3f} because {title}", remedy, ids)


def _why(texts: Texts) -> tuple[str, str, tuple[str, ...]]:
    """Return the reason, the remedy and images that show it."""
    ids, count = texts.image_ids, len(texts.image_ids)
    other = "read ROUGE-L or BLEU instead, or score more images together"
    if count <= 1:
        return f"there is {count} image with references: no word is rarer than another, so all weights are 0", other, ()
    empty = [image_id for image_id, own in zip(ids, texts.caption_words, strict=True) if not own]
    if len(empty) > count / 2:
        why = f"{len(empty):,} of {count:,} captions have no words, such as that of image {empty[0]}"
        return (
            why,
            "check that the captions were read from the right column and that the captioner ends late",
            some(empty),
        )
    return (
        _equal_references(texts, other)
        or _no_spaces(texts)
        or _nothing_shared(texts)
        or _lengths(texts)
        or _common_words_only(texts, other)
    )


Reason = tuple[str, str, tuple[str, ...]]


def _equal_references(texts: Texts, other: str) -> Reason | None:
    images = [frozenset(text.lower() for text in own) for own in texts.references]
    if len(set(images)) > 1:
        return None
    why = (
        f"all {len(images):,} images have the same references, such as {quote(texts.references[0][0])}: no word is "
        "rarer than another, so all weights are 0"
    )
    return why, f"check that each image has its own references; otherwise {other}", some(list(texts.image_ids))


def _no_spaces(texts: Texts) -> Reason | None:
    lengths = [(len(text.split()), len(own)) for text, own in zip(texts.captions, texts.caption_words, strict=True)]
    joined = sum(spaced <= 2 and known >= 5 for spaced, known in lengths)
    if joined <= len(lengths) / 2:
        return None
    why = (
        f"{joined:,} of {len(lengths):,} captions have no spaces between words, such as {quote(texts.captions[0])}: a "
        "whole sentence counts as one word"
    )
    return (
        why,
        "segment captions and references into words first, with a space between them",
        some(list(texts.image_ids)),
    )


def _nothing_shared(texts: Texts) -> Reason | None:
    """Return the reason if captions share no word that has a weight."""
    own = _reference_sets(texts)
    shared = [set(words) & known for words, known in zip(texts.caption_words, own, strict=True)]
    if any(shared):
        return None
    why = (
        f"no caption shares a word with its references: image {texts.image_ids[0]} has {quote(texts.captions[0])} and "
        f"the reference {quote(texts.references[0][0])}"
    )
    remedy = "check that captions and references have the same language and spelling, and belong to the same images"
    return why, remedy, some(list(texts.image_ids))


def _lengths(texts: Texts) -> Reason | None:
    own, usual = median(map(len, texts.caption_words)), median(map(len, texts.reference_words))
    if abs(own - usual) < _FAR:
        return None
    why = f"captions have {own:.0f} words and references {usual:.0f} (medians), and CIDEr-D punishes the difference"
    return why, "ask for captions of the length of the references", ()


def _common_words_only(texts: Texts, other: str) -> Reason:
    """Return the reason that remains: shared words have no weight, or they are few."""
    own, count = _reference_sets(texts), len(texts.image_ids)
    frequency = Counter(word for known in own for word in known)
    shared = Counter(word for words, known in zip(texts.caption_words, own, strict=True) for word in set(words) & known)
    weighty = [word for word in shared if frequency[word] < count]
    first = ", ".join(word for word, _ in shared.most_common(3))
    few = "; with few images most words are in all of them" if count <= _FEW_IMAGES else ""
    if not weighty:
        why = f"captions share only words with their references that are in those of every image ({first}){few}"
        return why, f"check that captions belong to these images; if they do, {other}", some(list(texts.image_ids))
    images = sum(bool(set(words) & known & set(weighty)) for words, known in zip(texts.caption_words, own, strict=True))
    why = (
        f"only {images:,} of {count:,} captions share a word with their references that is not in those of every image "
        f"(words in common: {first}){few}"
    )
    return why, "compare some captions with their photos: they describe something else", some(list(texts.image_ids))


def _reference_sets(texts: Texts) -> list[set[str]]:
    lists, start, found = texts.reference_words, 0, []
    for own in texts.references:
        found.append({word for each in lists[start : start + len(own)] for word in each})
        start += len(own)
    return found


def is_explained(findings: Sequence[Finding]) -> bool:
    """Return whether a finding about texts already explains a CIDEr of 0."""
    explains = {"list_as_text", "other_split", "shifted_ids", "one_caption", "language", "length"}
    return any(each.key in explains for each in findings)
