"""Beams: what a larger beam size buys, and what it costs."""

import pandas as pd
import streamlit as st

from dashboard import choices, data, figures, parts, text
from engine import queries

_FIRST = ["cider", "clipscore"]


def draw() -> None:
    """The whole view."""
    st.title("Beams")
    run = parts.current_run()
    scores = data.ask(queries.corpus_scores, run.name)
    if scores.empty:
        parts.missing("This run has no captions that were scored. This command makes some:", parts.EVALUATE, run)
        return
    if scores.beam_size.nunique() == 1:
        size = text.beam(scores.beam_size.iloc[0])
        parts.missing(
            f"This run has one setting only ({size}), so there is nothing to compare. This command decodes several:",
            f"{parts.EVALUATE} --beams 1 3 5",
            run,
        )
        st.dataframe(_table(data.ask(queries.beam_statistics, run.name), _seconds(run)), hide_index=True)
        return
    _metrics(run, scores)
    _captions(run)


def _metrics(run: data.Run, scores: pd.DataFrame) -> None:
    present = list(dict.fromkeys(scores.metric))
    ordered = [metric for metric in _FIRST if metric in present] + [m for m in present if m not in _FIRST]
    columns = st.columns(2)
    for place, column in enumerate(columns[: len(ordered)]):
        with column:
            key = ("left", "right")[place]
            label = ("Left figure", "Right figure")[place]
            metric = choices.one_of(label, f"metric_{key}", ordered, ordered[place], text.title)
            drawn = figures.metric_by_beam(scores[scores.metric == metric], metric, parts.template())
            parts.figure(drawn, f"figure_{key}", f"{text.title(metric)} by beam size")
    st.caption(
        "The bands are 95 % bootstrap intervals over images. All sizes see the same images, so bands that overlap do "
        "not mean that two sizes are equal."
    )
    parts.clip_note(run)


def _captions(run: data.Run) -> None:
    st.subheader("What the captions become")
    statistics = data.ask(queries.beam_statistics, run.name)
    seconds = _seconds(run)
    drawn = [(figures.words_by_beam(statistics, parts.template()), "words", "Mean caption length by beam size")]
    if statistics.changed.notna().any() or statistics.unfinished.notna().any():
        shares = figures.shares_by_beam(statistics, parts.template())
        drawn.append((shares, "shares", "Share of captions changed and unfinished by beam size"))
    if not seconds.empty:
        times = figures.seconds_by_beam(seconds, parts.template())
        drawn.append((times, "seconds", "Decoding time an image by beam size"))
    for column, (figure, key, alt) in zip(st.columns(len(drawn)), drawn, strict=True):
        with column:
            parts.figure(figure, key, alt)
    st.dataframe(_table(statistics, seconds), hide_index=True)


def _seconds(run: data.Run) -> pd.DataFrame:
    """Columns beam_size, seconds (an image), as far as the record has them and they make sense."""
    recorded = run.part("seconds_per_image")
    rows = [
        {"beam_size": int(size), "seconds": float(value)}
        for size, value in (recorded.items() if isinstance(recorded, dict) else [])
        if str(size).isdigit() and isinstance(value, int | float)
    ]
    return pd.DataFrame(rows, columns=["beam_size", "seconds"]).sort_values("beam_size")


def _table(statistics: pd.DataFrame, seconds: pd.DataFrame) -> pd.DataFrame:
    joined = statistics.merge(seconds, on="beam_size", how="left")
    return pd.DataFrame(
        {
            "Beam size": [text.beam(size) for size in joined.beam_size],
            "Captions": joined.captions,
            "Words (mean)": [text.number(value, 2) for value in joined.words],
            "Distinct words": joined.distinct_words,
            "Unfinished": [text.percent(value) for value in joined.unfinished],
            "Changed": [text.percent(value) for value in joined.changed],
            "s an image": [text.number(value) for value in joined.seconds],
        }
    )


draw()
