"""One case: photo, caption, references, scores, and the captions of other beam sizes.

Knows an image at a beam size of a run. Knows no list, no order and no filter.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import metrics
from dashboard.figures.thumbnails import LARGE, photo
from dashboard.state import choices, data
from dashboard.text import commands, formatting, word_diff
from dashboard.widgets import layout, verdict_form, word_panel
from engine.store import queries
from engine.store.frames import named_rows

_PHOTO = "25vh"  # so that caption, tags and verdict fit below it on a screen of 1280 x 900
_LONGEST = 2000  # characters of a text that is compared word by word; longer ones take seconds


def draw(run: data.Run, beam: int, image_id: str) -> None:
    """Draw the case in the current column.

    Raises:
        IndexError: the run has no such case.
    """
    case = data.query(queries.case, run.name, beam, image_id).iloc[0]
    layout.picture(photo(run.root("images"), case.file_name, LARGE), f"Photo {image_id}: {caption_of(case)}", _PHOTO)
    caption(case)
    tags(case)
    verdict_form.draw(run, beam, image_id, caption_of(case))
    st.caption(formatting.markdown(image_id) + _facts(case))
    references(case)
    st.fragment(word_panel.draw)(run, beam, image_id)  # a click on a word draws only the words again
    _attention_link(run, beam, image_id)
    _metrics(run, beam, image_id)
    _other_beams(run, beam, image_id, caption_of(case))
    _hypotheses(run, beam, image_id, caption_of(case))


def caption_of(case: pd.Series) -> str:
    """Return the caption of a row of `queries.cases`, shortened if it is very long, or "" if it is missing."""
    return formatting.shortened(case.caption, _LONGEST) if isinstance(case.caption, str) else ""


def caption(case: pd.Series) -> None:
    """Draw the caption, with the words that its references have."""
    written, known = caption_of(case), _references(case)
    shown = word_diff.html(word_diff.candidate(written, known)) if known else formatting.escaped(written)
    _wording(f'<div class="candidate" role="heading" aria-level="2">{shown or f"<em>{formatting.EMPTY}</em>"}</div>')


def references(case: pd.Series) -> None:
    """Draw the references of the photo, if it has any, with the words that the caption has."""
    known = _references(case)
    if not known:
        return
    counts = word_diff.counted(caption_of(case))
    rows = "".join(f"<li>{word_diff.html(word_diff.against(line, counts))}</li>" for line in known)
    legend = (
        '<div class="legend"><mark class="w-matched">matched</mark>: the caption and a reference contain the word. '
        '<mark class="w-unmatched">unmatched</mark>: appears only on this side, or more often. '
        "Compared as metrics do: lower case, no punctuation.</div>"
    )
    _wording(f"<strong>References</strong><ul>{rows}</ul>{legend}")


def two_captions(captions: Mapping[str, str]) -> None:
    """Draw two captions below each other with their word differences marked.

    Args:
        captions: name of a side -> its caption; two entries.
    """
    texts = [formatting.shortened(text, _LONGEST) if isinstance(text, str) else "" for text in captions.values()]
    lines = [
        f"<p><strong>{formatting.escaped(name)}</strong>: {word_diff.html(marked) or formatting.EMPTY}</p>"
        for name, marked in zip(captions, word_diff.both(*texts), strict=True)
    ]
    legend = (
        '<div class="legend"><mark class="w-unmatched">unmatched</mark>: '
        "the other caption does not have this word at this place.</div>"
    )
    _wording("".join(lines) + legend * ("w-unmatched" in "".join(lines)))


def _references(case: pd.Series) -> list[str]:
    found = case.references if isinstance(case.references, Sequence | np.ndarray) else []
    return [formatting.shortened(line, _LONGEST) for line in found]


def _wording(content: str) -> None:
    st.html(f'{word_diff.style(layout.template())}<div class="wording">{content}</div>')


def _facts(case: pd.Series) -> str:
    facts = []
    if pd.notna(case.logprob):
        facts.append(f"log-probability {formatting.number(case.logprob, 2)} nats")
    if pd.notna(case.finished) and not case.finished:
        facts.append("reached the maximum length")
    if pd.notna(case.clip_truncated) and case.clip_truncated:
        facts.append("truncated for CLIP")
    facts += [formatting.markdown(condition) for condition in case.conditions]
    return "".join(f" · {fact}" for fact in facts)


def tags(case: pd.Series) -> None:
    """Draw the failure tags with their evidence."""
    evidence: dict[str, list[str]] = {}
    for entry in case.tags:
        evidence.setdefault(entry["tag"], []).append(entry["evidence"] or "")
    lines = (
        f":orange-badge[{formatting.markdown(tag)}] {formatting.markdown('; '.join(filter(None, found)))}"
        for tag, found in evidence.items()
    )
    if written := "  \n".join(lines):
        st.markdown(written)


def _attention_link(run: data.Run, beam: int, image_id: str) -> None:
    if data.query(queries.has_attention, run.name, beam, image_id).empty:
        if run.has_sampled_attention and beam in set(data.query(queries.attention_beam_sizes, run.name).beam_size):
            attention_command(run, image_id)
        return
    st.page_link(
        "views/attention.py",
        label="Where did the model look?",
        icon=":material/visibility:",
        query_params=choices.linked(image=image_id, beam=beam),
    )


def attention_command(run: data.Run, image_id: str) -> None:
    """Show the command that adds the attention of an image to a run that stores a sample."""
    with st.expander(f"Compute the attention of {formatting.markdown(image_id)}"):
        st.caption("This run stores the attention of a sample of images and of captions with failure tags.")
        st.code(commands.attention_of(run.text("command"), image_id), language="bash", wrap_lines=True)


def _metrics(run: data.Run, beam: int, image_id: str) -> None:
    found = data.query(queries.case_metrics, run.name, beam, image_id)
    if found.empty:
        st.caption("This case has no score.")
        return
    table = pd.DataFrame(
        {
            "Metric": [formatting.title(metric) for metric in found.metric],
            "Value": [formatting.score(row.metric, row.value) for row in named_rows(found)],
            "Rank": [f"{row.rank} of {row.scored}" for row in named_rows(found)],
            "Percentile": found.percentile,
        }
    )
    percentile = st.column_config.ProgressColumn(
        "Percentile",
        width="small",
        min_value=0,
        max_value=100,
        format="%.0f",
        help="Percent of the other cases that are worse.",
    )
    rank = st.column_config.Column(width="small", help="1 is the best of all cases of this beam size.")
    layout.table(table, column_config={"Percentile": percentile, "Rank": rank})


def _other_beams(run: data.Run, beam: int, image_id: str, caption: str) -> None:
    """Draw the captions of all beam sizes, with their differences from the caption of the case."""
    found = data.query(queries.case_captions, run.name, image_id)
    if len(found) < 2:
        return
    st.markdown("**Captions by beam size**")
    shown_metrics = _headlines(found)
    rows = []
    for row in named_rows(found):
        name, is_this = {"Beam": formatting.beam(row.beam_size)}, int(row.beam_size) == beam
        rows.append(_row(name, row.caption, caption, is_this, _scores(row, shown_metrics)))
    _caption_table(
        ["Beam", "Caption", *map(formatting.title, shown_metrics)], rows, f"Compared with {formatting.setting(beam)}"
    )


def _hypotheses(run: data.Run, beam: int, image_id: str, caption: str) -> None:
    """Draw the other hypotheses of the case with their scores, in the order of the search."""
    found = data.query(queries.case_hypotheses, run.name, beam, image_id)
    if len(found) < 2:
        return
    st.markdown(f"**{f'{len(found)} samples' if run.is_sampled else f'{len(found)}-best list of beam size {beam}'}**")
    shown_metrics = _headlines(found)
    best = {metric: _best(metric, found[metric]) for metric in shown_metrics}
    rows = []
    for row in named_rows(found):
        scores = {"Score": formatting.number(row.score, 2), **_scores(row, shown_metrics, best)}
        rows.append(_row({"#": str(row.rank)}, row.caption, caption, row.rank == 1, scores))
    _caption_table(["#", "Caption", "Score", *map(formatting.title, shown_metrics)], rows, _COMPARED_WITH_FIRST)


_COMPARED_WITH_FIRST = "Score: log-probability in nats, normalised by length. Bold: the best. Compared with #1"


def _headlines(found: pd.DataFrame) -> list[str]:
    return metrics.headlines(metric for metric in found if found[metric].notna().any())


def _best(metric: str, values: pd.Series) -> float:
    return values.max() if metrics.higher_is_better(metric) else values.min()


def _scores(row: tuple, metrics: Sequence[str], best: Mapping[str, float] = MappingProxyType({})) -> dict[str, str]:
    """Return a row's scores as HTML by title; bold are those that equal the `best` value in the digits shown."""
    shown = {}
    for metric in metrics:
        written = formatting.score(metric, getattr(row, metric))
        is_best = metric in best and written == formatting.score(metric, best[metric])
        shown[formatting.title(metric)] = f"<strong>{written}</strong>" if is_best else written
    return shown


def _row(name: Mapping[str, str], other: object, caption: str, is_this: bool, scores: Mapping[str, str]) -> str:
    """Return a row of a table of captions: `other` with its differences from `caption`, and cells by column name."""
    mine = formatting.shortened(other, _LONGEST) if isinstance(other, str) else ""
    shown = formatting.escaped(mine) if is_this else word_diff.html(word_diff.changes(caption, mine))
    mark = ' class="this" aria-current="true"' if is_this else ""
    return f"<tr{mark}>{_numbers(name)}<td>{shown or formatting.EMPTY}</td>{_numbers(scores)}</tr>"


def _numbers(cells: Mapping[str, str]) -> str:
    return "".join(
        f'<td class="number" data-name="{formatting.escaped(name)}">{cell}</td>' for name, cell in cells.items()
    )


def _caption_table(head: Sequence[str], rows: Sequence[str], compared: str) -> None:
    """Draw a table of captions with a legend of its marks."""
    names = "".join(f"<th>{formatting.escaped(name)}</th>" for name in head)
    legend = (
        f'<div class="legend">{compared}: <ins class="w-added">added</ins>, <del class="w-removed">removed</del>.</div>'
    )
    table = f"<table><thead><tr>{names}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    _wording(table + legend)
