"""Beams: scores, captions and decoding time by beam size."""

import pandas as pd
import streamlit as st

from dashboard import metrics
from dashboard.figures import curves, nbest
from dashboard.items import Figure, Table
from dashboard.report import chapters, tables
from dashboard.state import choices, data
from dashboard.text import commands, formatting
from dashboard.widgets import export_button, layout
from engine.store import published, queries
from engine.store.schema import METRICS

_ORACLE = (
    "The best hypothesis of each image is an upper bound for any ranking of the list; it grows with the length of the "
    "list. A large gain means that better captions were found but ranked lower; a small gain, that none were found."
)


def draw() -> None:
    """Draw the view."""
    slot = layout.titled("Beams")
    run = layout.current_run()
    scores = data.query(queries.corpus_scores, run.name)
    if scores.empty:
        layout.unscored(run)
        return
    source = layout.source(run)
    items: list[Figure | Table] = []
    if scores.beam_size.nunique() == 1:
        setting = formatting.setting(scores.beam_size.iloc[0], run.is_sampled)
        layout.missing(
            f"This run has only one setting ({setting}). Decode several beam sizes with:",
            commands.BEAMS,
            run,
        )
        layout.clip_note(run)
    else:
        items += [*_metrics(source, scores), *_captions(source)]
    table = tables.beams(scores, _statistics(run), run, chapters.note(run))
    items.append(table)
    layout.table(table.shown)
    layout.partly_scored(run, scores)
    items += _oracle(run)
    with slot:
        export_button.offer(lambda: items, "beams")


def _metrics(source: chapters.Source, scores: pd.DataFrame) -> list[Figure]:
    run, beside = source.run, []
    ordered = metrics.ordered(scores.metric)
    columns, shown = layout.columns(2, "figure", "metrics"), []
    for place, column in enumerate(columns[: len(ordered)]):
        with column:
            key = ("left", "right")[place]
            label = ("Left figure", "Right figure")[place]
            metric = choices.one_of(label, f"metric_{key}", ordered, ordered[place], formatting.title)
            theirs, apart = chapters.published_beside(source, metric)
            beside.append(theirs)
            drawn = curves.metric_by_beam(scores[scores.metric == metric], metric, layout.template(), theirs, apart)
            layout.figure(drawn, f"figure_{key}", f"{formatting.title(metric)} by beam size")
            with st.spinner("Testing each beam size against the best one ..."):
                sentence = chapters.smallest_sentence(source.query, run, metric)
            st.markdown(sentence)
            shown.append(chapters.metric_curve(source, scores, metric))
    st.caption(
        "Bands: 95 % bootstrap intervals over images. All beam sizes use the same images, so overlapping bands do not "
        "mean that two sizes are equal. The sentences below the figures use paired tests per image."
    )
    _say_published(source, pd.concat(beside))
    layout.clip_note(run)
    return shown


def _say_published(source: chapters.Source, drawn: pd.DataFrame) -> None:
    """Name the source of the published curves, if any are drawn."""
    theirs = published.beams(source.results)
    if theirs.problem:
        st.warning(formatting.markdown(theirs.problem), icon="⚠️")
    elif not drawn.empty:
        sources = "; ".join(formatting.markdown(name) for name in drawn.source.unique())
        same = published.is_studys(source.run.part("data") or {}, published.CAPTION_IMAGES)
        images = "the same images" if same else "other images"
        demo = " CLIPScore of the demo CLIP is on another scale." if source.run.demo_clip else ""
        unknown = " A horizontal line: its source does not give the beam size."
        unknown = unknown if drawn.beam_size.isna().any() else ""
        st.caption(
            f"Dashed, with open marks: {sources}; another captioner on {images}. The published curve has its own "
            f"panel if a common axis would flatten this run's curve.{unknown}{demo}"
        )


def _statistics(run: data.Run) -> pd.DataFrame:
    with st.spinner("Counting the words of every caption ..."):  # a second for a million of them
        return data.query(queries.beam_statistics, run.name)


def _captions(source: chapters.Source) -> list[Figure]:
    st.header("How captions change with beam size")
    found, seconds = _statistics(source.run), source.run.seconds_per_image()
    if found.empty:
        st.markdown("The captions of this run are missing or damaged; see Overview.")
        return []
    drawn = [
        (curves.words_by_beam(found, layout.template()), "words", "Mean caption length by beam size"),
        (curves.distinct_by_beam(found, layout.template()), "distinct", "Vocabulary size by beam size"),
    ]
    if found.changed.notna().any() or found.unfinished.notna().any():
        shares = curves.shares_by_beam(found, layout.template())
        drawn.append((shares, "shares", "Share of captions changed and unfinished by beam size"))
    if not seconds.empty:
        times = curves.seconds_by_beam(seconds, layout.template())
        drawn.append((times, "seconds", "Decoding time per image by beam size"))
    columns = layout.columns(2, "figure", "captions")
    for place, (figure, key, alt) in enumerate(drawn):
        with columns[place % 2]:
            layout.figure(figure, key, alt)
    return chapters.caption_curves(source)


def _lacking(run: data.Run) -> str:
    """Return why there is no oracle."""
    if run.part("decoding", "n_best") is None:
        return "Run with `--n-best 5` to see whether the beam contained better captions (oracle)."
    means = [formatting.markdown_title(each.key) for each in METRICS.values() if each.corpus == "mean"]
    return f"No oracle: the hypotheses of this run have no scores by {', '.join(means[:-1])} or {means[-1]}."


def _oracle(run: data.Run) -> list[Figure | Table]:
    """Draw whether the n-best lists contain better captions, if several hypotheses were stored."""
    with st.spinner("Comparing every hypothesis with the caption ..."):
        found = data.query(queries.oracle, run.name)
    if found.empty:
        if run.text("kind") == "captioner":
            st.caption(_lacking(run))
        return []
    st.header(tables.oracle_title(run), help=_ORACLE)
    for sentence in nbest.sentences(run, None, found):
        st.markdown(sentence)
    several = [(metric, mine) for metric, mine in nbest.headlines(found) if mine.beam_size.nunique() > 1]
    for column, (metric, mine) in zip(layout.columns(2, "figure", "oracle") if several else [], several, strict=False):
        with column:
            drawn = curves.oracle_by_beam(mine, metric, layout.template())
            layout.figure(drawn, f"oracle_{metric}", nbest.title(metric))
    table, figures = chapters.oracle_items(run, found)
    layout.table(table.shown)
    return [table, *figures]


draw()
