"""One case in full: its photo, what was said and what should have been, every score, and the other beam sizes.

Knows an image at a beam size of a run. Knows nothing of lists, orders or filters.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import metrics
from dashboard.figures.thumbnails import LARGE, photo
from dashboard.state import choices, data
from dashboard.text import formatting, word_diff
from dashboard.widgets import layout, verdict_form
from engine.store import queries


def draw(run: data.Run, beam: int, image_id: str) -> None:
    """Draws the case in the column that is open.

    Raises:
        IndexError: the run has no such case.
    """
    case = data.query(queries.case, run.name, beam, image_id).iloc[0]
    layout.picture(photo(run.root("images"), case.file_name, LARGE), f"Photo {image_id}: {case.caption}", "45vh")
    words(case)
    st.caption(formatting.markdown(image_id) + _facts(case))
    _tags(case)
    _attention_link(run, beam, image_id)
    verdict_form.draw(run, beam, image_id, said(case))
    _metrics(run, beam, image_id)
    _other_beams(run, beam, image_id, said(case))
    _hypotheses(run, beam, image_id, said(case))


def said(case: pd.Series) -> str:
    """The caption of a row of `queries.cases`; "" where it is missing."""
    return case.caption if isinstance(case.caption, str) else ""


def words(case: pd.Series) -> None:
    """The caption against its references, word by word."""
    caption = said(case)
    known = [*case.references] if isinstance(case.references, Sequence | np.ndarray) else []
    shown = word_diff.html(word_diff.candidate(caption, known)) if known else formatting.escaped(caption)
    lines = [f'<div class="candidate" role="heading" aria-level="4">{shown or f"<em>{formatting.EMPTY}</em>"}</div>']
    if known:
        heard = word_diff.counted(caption)
        rows = "".join(f"<li>{word_diff.html(word_diff.against(line, heard))}</li>" for line in known)
        lines.append(f"<strong>References</strong><ul>{rows}</ul>")
        lines.append(
            '<div class="legend"><mark class="w-said">in both</mark>: the caption and a reference have the word. '
            '<mark class="w-unsaid">in one</mark>: only that side has it, or has it more often. '
            "Compared as metrics do: lower case, no punctuation.</div>"
        )
    st.html(f'{word_diff.style(layout.template())}<div class="wording">{"".join(lines)}</div>')


def references(case: pd.Series) -> None:
    """What people said about the photo, if anybody did."""
    if isinstance(case.references, Sequence | np.ndarray) and len(case.references):
        st.markdown("**References**\n\n" + "\n".join(f"- {formatting.markdown(line)}" for line in case.references))


def _facts(case: pd.Series) -> str:
    facts = []
    if pd.notna(case.logprob):
        facts.append(f"log-probability {formatting.number(case.logprob, 2)} nats")
    if pd.notna(case.finished) and not case.finished:
        facts.append("cut at the maximum length")
    if pd.notna(case.clip_truncated) and case.clip_truncated:
        facts.append("longer than CLIP reads")
    facts += [formatting.markdown(condition) for condition in case.conditions]
    return "".join(f" · {fact}" for fact in facts)


def _tags(case: pd.Series) -> None:
    for entry in case.tags:
        evidence = formatting.markdown(entry["evidence"] or "")
        st.markdown(f":orange-badge[{formatting.markdown(entry['tag'])}] {evidence}")


def _attention_link(run: data.Run, beam: int, image_id: str) -> None:
    if data.query(queries.has_attention, run.name, beam, image_id).empty:
        return
    st.page_link(
        "views/attention.py",
        label="Where did the model look?",
        icon=":material/visibility:",
        query_params=choices.linked(image=image_id, beam=beam),
    )


def _metrics(run: data.Run, beam: int, image_id: str) -> None:
    found = data.query(queries.case_metrics, run.name, beam, image_id)
    if found.empty:
        st.caption("This case has no score.")
        return
    table = pd.DataFrame(
        {
            "Metric": [formatting.title(metric) for metric in found.metric],
            "Value": [formatting.score(row.metric, row.value) for row in found.itertuples()],
            "Rank": [f"{row.rank} of {row.scored}" for row in found.itertuples()],
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
    layout.table(table, column_config={"Percentile": percentile, "Rank": st.column_config.Column(width="small")})


def _other_beams(run: data.Run, beam: int, image_id: str, caption: str) -> None:
    """All beam sizes beside each other, each with what it says otherwise than the case."""
    found = data.query(queries.case_captions, run.name, image_id)
    if len(found) < 2:
        return
    st.markdown("**What every beam size said**")
    shown_metrics = _headlines(found)
    rows = []
    for row in found.itertuples():
        name, is_this = {"Beam": formatting.beam(row.beam_size)}, int(row.beam_size) == beam
        rows.append(_row(name, row.caption, caption, is_this, _scores(row, shown_metrics)))
    _wordings(["Beam", "Caption", *map(formatting.title, shown_metrics)], rows, f"Beside {formatting.setting(beam)}")


def _hypotheses(run: data.Run, beam: int, image_id: str, caption: str) -> None:
    """What else was found for the case, in the order of the search, and what it is worth."""
    found = data.query(queries.case_hypotheses, run.name, beam, image_id)
    if len(found) < 2:
        return
    st.markdown(f"**The {len(found)} {'samples' if run.is_sampled else f'best that beam size {beam} found'}**")
    shown_metrics = _headlines(found)
    best = {metric: _best(metric, found[metric]) for metric in shown_metrics}
    rows = []
    for row in found.itertuples():
        scores = {"Score": formatting.number(row.score, 2), **_scores(row, shown_metrics, best)}
        rows.append(_row({"#": str(row.rank)}, row.caption, caption, row.rank == 1, scores))
    _wordings(["#", "Caption", "Score", *map(formatting.title, shown_metrics)], rows, _BESIDE_FIRST)


_BESIDE_FIRST = "Score: log-probability in nats, by length. Bold: the best. Beside the first"


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


def _row(name: Mapping[str, str], said: object, caption: str, is_this: bool, scores: Mapping[str, str]) -> str:
    """A row of a table of wordings: `said` with what it says otherwise than `caption`, cells by their column."""
    mine = said if isinstance(said, str) else ""
    shown = formatting.escaped(mine) if is_this else word_diff.html(word_diff.changes(caption, mine))
    mark = ' class="this" aria-current="true"' if is_this else ""
    return f"<tr{mark}>{_numbers(name)}<td>{shown or formatting.EMPTY}</td>{_numbers(scores)}</tr>"


def _numbers(cells: Mapping[str, str]) -> str:
    return "".join(
        f'<td class="number" data-name="{formatting.escaped(name)}">{cell}</td>' for name, cell in cells.items()
    )


def _wordings(head: Sequence[str], rows: Sequence[str], beside: str) -> None:
    """A table of captions, with what its marks mean."""
    names = "".join(f"<th>{formatting.escaped(name)}</th>" for name in head)
    legend = (
        f'<div class="legend">{beside}: <ins class="w-new">said here</ins>, '
        '<del class="w-gone">not said here</del>.</div>'
    )
    table = f"<table><thead><tr>{names}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    st.html(f'{word_diff.style(layout.template())}<div class="wording">{table}{legend}</div>')
