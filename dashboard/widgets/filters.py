"""Filters over the cases of a run: as widgets, in the URL, and as text.

Knows the tags, conditions and words of a beam size and Streamlit. Filters by scores are in `score_filters`.
"""

from dataclasses import replace

import pandas as pd
import streamlit as st

from dashboard.annotations import verdicts
from dashboard.report import slices
from dashboard.state import choices, data
from dashboard.text import formatting
from dashboard.widgets import layout, score_filters, versus
from engine.store import queries
from engine.store.frames import named_rows
from engine.store.queries import Selection
from engine.store.schema import RENAMED_TAGS, TAGS

_SEARCH = "“dog” also finds “dogs”. Put text in quotation marks to find whole words only."
_WORD = "A whole word of the caption. With “A word is a”, this word must be it: “dog” that is a wrong object."
_MATCHES = {"any": "Any of them", "all": "All of them"}
_PHOTOS = {"": "Any", "yes": "Has a photo", "no": "Photo is missing"}
_KEYS = ("text", "tag", "match", "condition", "slice", "photo", "fact", "says", "verdict", versus.KEY)


def choose(run: data.Run, beam: int, ranges: pd.DataFrame) -> Selection:
    """Draw the filters that are texts or choices, and return the selection in the URL.

    Args:
        ranges: `queries.metric_ranges`.
    """
    columns = layout.columns([4, 4, 3, 3, 3], "choice", "filters", vertical_alignment="bottom")
    with columns[0]:
        searched = choices.text("Words in caption or reference", "text", placeholder="a dog", help=_SEARCH)
    with columns[1]:
        tags = _tags(data.query(queries.tags, run.name, beam))
    with columns[2]:
        known = list(data.query(queries.conditions, run.name).condition)
        condition = choices.one_of("Condition", "condition", ["", *known], "", _any, disabled=not known)
    with columns[3]:
        verdict = choices.one_of("Your verdict", "verdict", list(verdicts.FILTERS), "", verdicts.FILTERS.__getitem__)
    with columns[4]:
        more = _more(run, beam)
    spans, lasso = score_filters.chosen(ranges)
    chosen = replace(more, ranges=spans, text=searched.strip(), tags=tuple(tags), condition=condition, lasso=lasso)
    return _judged(replace(chosen, versus=versus.choose()), run, beam, verdict)


def _tags(found: pd.DataFrame) -> list[str]:
    """Draw the choice of failure tags with the number of their cases.

    Args:
        found: `queries.tags`.
    """
    counts = dict(zip(found.tag, found.images, strict=True))
    defined = "\n".join(f"- **{name}**: {TAGS[name]}" for name in counts if name in TAGS) or None
    counted = lambda name: f"{name} ({counts[name]:,})"  # noqa: E731
    return choices.several(
        "Failure tags",
        "tag",
        list(counts),
        [],
        counted,
        RENAMED_TAGS,
        help=defined,
        placeholder="Any" if counts else "No case has a tag",  # the label of a disabled list can hardly be read
    )


def _more(run: data.Run, beam: int) -> Selection:
    """Draw the filters that are used less often, and return a selection of them alone."""
    active = sum(bool(choices.get(key)) for key in ("match", "slice", "photo", "fact", "says"))
    label = f"More ({active})" if active else "More"
    with st.popover(label, icon=":material/tune:", width="stretch"):
        every = choices.one_of("Cases have the tags", "match", [*_MATCHES], "any", _MATCHES.__getitem__, st.radio)
        chosen = _slice(data.query(queries.slices, run.name, beam))
        word, (fact, verdict) = _of_words(data.query(queries.word_claims, run.name, beam))
        photo = choices.one_of("Photo", "photo", [*_PHOTOS], "", _PHOTOS.__getitem__)
    has_photo = {"yes": True, "no": False}.get(photo)
    return Selection(every_tag=every == "all", fact=fact, verdict=verdict, word=word, photo=has_photo, slice=chosen)


def _slice(found: pd.DataFrame) -> tuple[str, int] | None:
    """Draw the choice of a slice, if there are any; return its metric and rank.

    Args:
        found: `queries.slices`.
    """
    rows = {slices.key(row): row for row in named_rows(slices.ordered(found))}
    if not rows and not choices.get("slice"):
        return None
    shown = lambda name: slices.described(rows[name]) if name else "Any"  # noqa: E731
    row = rows.get(choices.one_of("Slice with worse scores", "slice", ["", *rows], "", shown))
    return None if row is None else (row.metric, int(row.rank))


def _of_words(claims: pd.DataFrame) -> tuple[str, tuple[str, str]]:
    """Draw the filters of single words, if some word claims anything; return the word, and (fact, verdict).

    Args:
        claims: `queries.word_claims`.
    """
    if claims.empty:
        return "", ("", "")
    options = {f"{row.verdict} {row.fact}": row for row in named_rows(claims)}
    counted = {key: f"{key} ({row.captions:,})" for key, row in options.items()}
    claim = choices.one_of("A word is a", "fact", ["", *options], "", lambda key: counted.get(key) or _any(key))
    word = choices.text("This word", "says", placeholder="dog", help=_WORD).strip()
    row = options.get(claim)
    return word, ("", "") if row is None else (row.fact, row.verdict)


def _any(name: str) -> str:
    return name or "Any"


def _judged(selection: Selection, run: data.Run, beam: int, verdict: str) -> Selection:
    """Return the selection restricted to cases with such a verdict."""
    if not verdict:
        return selection
    found = verdicts.read(data.results_folder(), run.name)
    if verdict == "open":
        return replace(selection, exclude_ids=found.images(beam, "judged"))
    return replace(selection, include_ids=found.images(beam, verdict))


def clear() -> None:
    """Remove all filters."""
    choices.keep(**dict.fromkeys([*_KEYS, *score_filters.keys()]))


def described(selection: Selection) -> str:
    """Return the selection as text, `CIDEr 0.10 to 0.50, tag repetition`; "" for all cases."""
    parts = [f"{formatting.title(metric)} {low:.3g} to {high:.3g}" for metric, low, high in selection.ranges]
    if selection.lasso:
        parts.append(f"a region of {formatting.title(selection.lasso.x)} and {formatting.title(selection.lasso.y)}")
    if selection.tags:
        joined = (" and " if selection.every_tag else " or ").join(selection.tags)
        parts.append(f"{'tag' if len(selection.tags) == 1 else 'tags'} {joined}")
    parts += _of_images(selection)
    if selection.fact:
        parts.append(f"a word is a {selection.verdict} {selection.fact}")
    if selection.word:
        parts.append(f"the word “{formatting.shortened(selection.word, 80)}”")
    if selection.text:
        phrase, is_whole = queries.search_phrase(selection.text)
        parts.append(
            f"“{formatting.shortened(phrase, 80)}”{' as whole words' * is_whole} in the caption or a reference"
        )
    if selection.include_ids is not None or choices.get("verdict") == "open":
        parts.append(f"verdict {verdicts.FILTERS.get(choices.get('verdict'), '').lower()}")
    return ", ".join(parts)


def _of_images(selection: Selection) -> list[str]:
    """Return the filters that are about the image of a case, as texts."""
    parts = [f"condition {selection.condition}"] if selection.condition else []
    if selection.slice:
        parts.append(f"slice {choices.get('slice')}")
    if selection.versus:
        parts.append(versus.described(selection.versus))
    if selection.photo is not None:
        parts.append("has a photo" if selection.photo else "photo is missing")
    return parts
