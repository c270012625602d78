"""Part of the stage that captions a chunk: what the model says about each word of its captions.

A caption is read three times: with its photo, with a grey one, and with that of the next image of the chunk. Captions
that beam sizes share are read once. Captions sampled from views of the photo show which words the model says again.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.config import DecodingConfig
from engine.diagnosis.lexicon import Mentions, names
from engine.explain.attention import from_bytes
from engine.explain.map_features import map_features
from engine.explain.token_scores import TokenScores, gains, label_logprobs, of_words
from engine.explain.views import VIEWS, View, seen, unmirrored, views_of
from engine.protocols import Captioner, Hypothesis, TokenScorer


@dataclass(frozen=True)
class EvidenceSettings:
    """What is computed for every word."""

    labels: tuple[str, ...]
    """The objects that a word may name."""
    samples: int = 10
    """Captions that are sampled of each photo; 0 for none."""
    temperature: float = 0.7
    """Of these samples."""
    seed: int = 0


Found = Mapping[int, Sequence[Hypothesis]]
"""Beam size -> the best caption of each image."""


def word_rows(
    captioner: TokenScorer,
    photos: Sequence[np.ndarray],
    image_ids: Sequence[str],
    found: Found,
    maps: Sequence[Mapping[str, Any]],
    config: DecodingConfig,
    settings: EvidenceSettings,
) -> list[dict[str, Any]]:
    """Return the rows of `words` for a chunk, ordered by beam size, image and word.

    Args:
        maps: rows of `attention` of the chunk; captions without maps have no features of maps.
    """
    vocabulary = Vocabulary(captioner, settings.labels)
    every = _different(found)
    read = _read(captioner, photos, every, config, vocabulary)
    looked = {(row["beam_size"], row["image_id"]): _map_columns(row) for row in maps}
    rows = []
    for size, captions in found.items():
        for at, (image_id, caption) in enumerate(zip(image_ids, captions, strict=True)):
            own = read.get((at, caption.tokens), [])
            more = looked.get((size, image_id), ())
            for index, columns in enumerate(own):
                features = more[index] if index < len(more) else {}
                rows.append({"image_id": image_id, "beam_size": size, "word_index": index, **columns, **features})
    return rows


def sample_rows(
    captioner: Captioner,
    photos: Sequence[np.ndarray],
    image_ids: Sequence[str],
    config: DecodingConfig,
    settings: EvidenceSettings,
) -> list[dict[str, Any]]:
    """Return the rows of `samples` for a chunk: captions drawn from the model for views of each photo."""
    if config.rule == "study":  # the study's rule does not sample
        return []
    rows = []
    for view, count in views_of(settings.samples):
        drawn = DecodingConfig(
            beam_sizes=(1,),
            sample=True,
            n_best=count,
            temperature=settings.temperature,
            max_length=config.max_length,
            seed=settings.seed,
            precision=config.precision,
        )
        some = photos if view == VIEWS[-1] else [seen(photo, view) for photo in photos]
        lists = captioner.caption(some, image_ids, drawn)[1]
        texts = [[_as_of_photo(each.text, view) for each in own] for own in lists]
        pairs = zip(image_ids, texts, strict=True)
        rows += [{"image_id": image_id, "view": view.name, "captions": own} for image_id, own in pairs]
    return rows


def _as_of_photo(caption: str, view: View) -> str:
    return " ".join(unmirrored(caption.split(" "))) if view.is_mirrored else caption


class Vocabulary:
    """The first tokens of the names of labels, and which label each of them belongs to."""

    def __init__(self, captioner: TokenScorer, labels: Sequence[str]) -> None:
        self.labels = labels
        self.mentions = Mentions(labels) if labels else None
        spellings = [(number, name) for number, label in enumerate(labels) for name in sorted(names(label))]
        tokens = captioner.first_tokens([name for _, name in spellings])
        by_token: dict[int, set[int]] = defaultdict(set)
        for (number, _), token in zip(spellings, tokens, strict=True):
            by_token[token].add(number)
        # A token that begins the names of several labels says nothing about which one it is.
        clear = {token: min(owners) for token, owners in by_token.items() if len(owners) == 1}
        self.tokens, self.owners = list(clear), list(clear.values())

    def named(self, words: Sequence[str]) -> Iterator[tuple[int, int, int]]:
        """Yield the first word, one past the last word and the number of each label that `words` name."""
        if self.mentions is not None:
            for start, stop, label in self.mentions.spans(words):
                yield start, stop, self.labels.index(label)


def _different(found: Found) -> list[tuple[int, Hypothesis]]:
    """Return the different captions of each image: (image, caption), those of an image side by side."""
    seen: dict[tuple[int, tuple[int, ...]], Hypothesis] = {}
    for at in range(len(next(iter(found.values()), ()))):
        for captions in found.values():
            if tokens := captions[at].tokens:
                seen.setdefault((at, tokens), captions[at])
    return [(at, caption) for (at, _), caption in seen.items()]


def _read(
    captioner: TokenScorer,
    photos: Sequence[np.ndarray],
    every: Sequence[tuple[int, Hypothesis]],
    config: DecodingConfig,
    vocabulary: Vocabulary,
) -> dict[tuple[int, tuple[int, ...] | None], list[dict[str, Any]]]:
    """Return the columns of each word of each caption."""
    captions = [caption for _, caption in every]
    if not captions:
        return {}
    own = [photos[at] for at, _ in every]
    scores = captioner.token_scores(own, captions, config, vocabulary.tokens)
    without = captioner.token_scores(list(_grey(captioner, own)), captions, config)
    others: Sequence[TokenScores | None] = [None] * len(captions)
    if len(photos) > 1:
        others = captioner.token_scores([photos[(at + 1) % len(photos)] for at, _ in every], captions, config)
    return {
        (at, caption.tokens): _columns(captioner, caption, scores[number], without[number], others[number], vocabulary)
        for number, (at, caption) in enumerate(every)
    }


def _grey(captioner: TokenScorer, photos: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield a grey picture of the size of each photo; photos of one size share it."""
    made: dict[tuple[int, ...], np.ndarray] = {}
    for photo in photos:
        yield made.setdefault(photo.shape, np.full_like(photo, captioner.fill))


def _columns(
    captioner: TokenScorer,
    caption: Hypothesis,
    scores: TokenScores,
    without: TokenScores,
    other: TokenScores | None,
    vocabulary: Vocabulary,
) -> list[dict[str, Any]]:
    spans = list(captioner.word_spans(caption))
    if not spans:
        return []
    words = of_words(scores, spans)
    against_grey = gains(scores, without, spans)
    against_other = None if other is None else gains(scores, other, spans)
    rows: list[dict[str, Any]] = [
        {
            "word": caption.words[at],
            "logprob": float(words.logprobs[at]),
            "rank": int(words.ranks[at]),
            "entropy": float(words.entropies[at]),
            "gain_grey": float(against_grey[at]),
            "gain_other": None if against_other is None else float(against_other[at]),
        }
        for at in range(len(spans))
    ]
    for start, stop, label in vocabulary.named(caption.words):
        named = label_logprobs(scores.candidates[spans[start][0]][None], vocabulary.owners, len(vocabulary.labels))[0]
        best = max((each for each in range(len(named)) if each != label), key=lambda each: named[each], default=None)
        rows[stop - 1] |= {
            "label": vocabulary.labels[label],
            "label_words": stop - start,
            "label_logprob": float(named[label]),
            "other_label": None if best is None else vocabulary.labels[best],
            "other_logprob": None if best is None else float(named[best]),
        }
    return rows


def _map_columns(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    features = map_features(from_bytes(row["weights"], row["scale"], row["shape"]))
    shares = row["share"]
    return [
        {
            "attention_entropy": float(features.entropies[at]),
            "attention_share": None if shares is None else float(shares[at]),
            "map_distance": float(features.distances[at]),
        }
        for at in range(len(row["words"]))
    ]
