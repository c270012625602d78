"""Pieces that several views draw: the photo, notes on what a number is, and the sentence for what is missing.

Knows runs and Streamlit. Asks no query.
"""

from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import theme
from dashboard.figures.thumbnails import Photo
from dashboard.report.source import Source, companions
from dashboard.state import choices, data
from dashboard.text import commands, formatting
from engine.store.errors import Problem

EVALUATE, SCORE, ZEROSHOT, TRAIN = commands.EVALUATE, commands.SCORE, commands.ZEROSHOT, commands.TRAIN


def first_run(runs: list[data.Run]) -> data.Run:
    """The run a newcomer sees: one that fills most views, the newest of those."""
    return max(runs, key=lambda run: (bool(run.attention) + bool(run.captions), run.text("created"), run.name))


def current_run() -> data.Run:
    """The run of the page."""
    runs = {run.name: run for run in data.runs()}
    return runs[choices.get(choices.RUN)]


def source(run: data.Run, beam: int | None = None, **chosen: Any) -> Source:
    """The run as the source of chapters, figures and tables."""
    runs = data.runs()
    return Source(run, runs, data.query, data.results_folder(), beam, parts=companions(run, runs), **chosen)


def attention_view() -> dict[str, str]:
    """Return the URL parameters of the attention view, for `heatmaps.read_attention_view`."""
    return {key: choices.get(key) for key in ("word", "layer", "head", "subtract", "opacity", "scale")}


def titled(title: str) -> DeltaGenerator:
    """The title of a view; gives the place at its right, for the Export button that comes when all is drawn."""
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        st.title(title, width="content")
        return st.container(width="content")


LEAST = {"choice": 8.5, "number": 9.4, "case": 17.0, "figure": 21.0}
"""What stands in columns, and how narrow such a column may be, in rem: it goes below its neighbour before that."""


def columns(spec: int | list[int], least: str, key: str, **settings: Any) -> list[DeltaGenerator]:
    """Columns side by side where there is room, each at least as wide as `LEAST` says, below each other where not.

    Args:
        key: of a page alone.
    """
    with st.container(key=f"{least}_columns_{key}"):
        return st.columns(spec, **settings)


def widths() -> str:
    """The style of `columns`. The answers of a choice are all to be seen."""
    inside = '> [data-testid="stLayoutWrapper"] > [data-testid="stHorizontalBlock"] > [data-testid="stColumn"]'
    rules = [
        f'[class*="st-key-{name}_columns_"] {inside} {{ min-width: min(100%, {least}rem); }}'
        for name, least in LEAST.items()
    ]
    rules.append(f'[class*="st-key-choice_columns_"] {inside}:has([data-testid="stButtonGroup"]) {{')
    return "\n".join(rules) + " min-width: max-content; max-width: 100%; }"


def missing(sentence: str, command: str, run: data.Run) -> None:
    """Says what a view lacks and which command makes it, and names the files of the run that could not be read."""
    broken = [problem for problem in data.problems() if problem.path.parent.name == run.name]
    for problem in broken:
        st.warning(f"**{formatting.markdown(problem.path.name)}**: {formatting.markdown(problem.reason)}", icon="⚠️")
    if broken and run.text("command"):
        sentence, command = "What this view needs may stand in that file. The run was made by:", run.text("command")
    with st.container(border=True):
        st.markdown(sentence)
        st.code(command, language="bash", wrap_lines=True)


def unscored(run: data.Run) -> None:
    """Says why captions have no scores: photos without references can be scored all the same, by CLIP."""
    if not run.captions:
        missing("This run has no captions that were scored. This command makes some:", EVALUATE, run)
        return
    sentence = (
        "The captions of this run have no scores: its photos came without references, or no metric was asked for. "
        "CLIPScore needs no references; the other metrics need data that has them:"
    )
    missing(sentence, f"{scoring(run)} --clip ViT-B/32", run)


def scoring(run: data.Run) -> str:
    """The command that scores captions of the kind that a run has."""
    return EVALUATE if run.text("kind") == "captioner" else SCORE


def welcome(results: Path, problems: list[Problem]) -> None:
    """The page of a results folder with no finished run."""
    st.title("Welcome to CaptionScope")
    st.markdown("There are no results yet. One command trains nothing, downloads little and fills every view:")
    st.code("make evaluate", language="bash")
    st.markdown("With your own photos, captions and captioner, or with predictions that were made elsewhere:")
    st.code(f"{EVALUATE}\n{SCORE}", language="bash", wrap_lines=True)
    st.caption(
        f"Results are read from {formatting.markdown(str(results))}. When the command has finished, reload this page."
    )
    show_problems(problems)


def show_problems(problems: list[Problem]) -> None:
    """Names each run and file that is left out, with the reason: one that is broken, or a run that is still made."""
    if not problems:
        return
    st.subheader("What is left out")
    for problem in problems:
        where = "/".join(problem.path.parts[-2:])
        st.warning(f"**{formatting.markdown(where)}**: {formatting.markdown(problem.reason)}", icon="⚠️")


def picture(photo: Photo, alt: str, height: str) -> None:
    """A photo as large as its column and `height` (CSS) let it, or a neutral box with the reason why there is none."""
    if photo.uri:
        st.html(
            f'<img src="{photo.uri}" alt="{formatting.escaped(alt)}" loading="lazy" '
            f'style="display:block;width:100%;max-height:{height};object-fit:contain;object-position:left top">'
        )
        return
    st.html(
        '<div role="img" style="height:30vh;max-width:100%;border-radius:0.5rem;background:#8883;display:flex;'
        "align-items:center;justify-content:center;text-align:center;padding:1rem;box-sizing:border-box;"
        f'overflow-wrap:anywhere">{formatting.escaped(photo.missing)}</div>'
    )


def case_link(beam: int, image_id: str, label: str = "This case in full") -> None:
    """The way to everything about a case."""
    st.page_link(
        "views/failures.py",
        label=label,
        icon=":material/search:",
        query_params=choices.linked(image=image_id, beam=beam),
    )


def clip_note(run: data.Run) -> None:
    """Says whose CLIPScore stands on the page, where that matters."""
    if run.demo_clip:
        st.caption(
            "CLIPScore here comes from the demo CLIP, a small model trained on the generated scenes: it is not "
            "comparable to the CLIPScore of ViT-B/32 in papers."
        )


def partly_scored(run: data.Run, scores: pd.DataFrame) -> None:
    """Names the metrics that some images of a run have no value of, as CLIPScore where their photos are missing.

    Args:
        scores: `queries.corpus_scores`.
    """
    fewer = scores[scores.images < run.images].drop_duplicates("metric")
    for images, found in fewer.groupby("images"):
        names = " and ".join(map(formatting.markdown_title, found.metric))
        st.caption(f"{names}: over the {images:,} of {formatting.count(run.images, 'image')} that have a value.")


_LETTER = 7  # pixels of one in a table


def long_names(shown: pd.DataFrame, *columns: str, width: int) -> dict[str, Any]:
    """Settings of columns with strangers' names: a long one leaves the numbers beside it their room.

    Args:
        width: of a column that needs more, in pixels.
    """
    long = [name for name in columns if shown[name].str.len().max() * _LETTER > width]
    return dict.fromkeys(long, st.column_config.Column(width=width))


def table(frame: pd.DataFrame, **settings: Any) -> None:
    """A table as high as its rows, for those of which there are few; what is missing is a dash."""
    st.dataframe(frame, hide_index=True, **{"height": "content", "placeholder": "–"} | settings)


def template() -> str:
    """The figure template that fits the page's theme."""
    return theme.template_of(st.context.theme.type)


def figure(drawn: go.Figure, key: str, alt: str) -> None:
    """A figure in its own colours, without Plotly's links to other places."""
    settings = {"displaylogo": False, "modeBarButtonsToRemove": ["sendChartToCloud", "select2d", "lasso2d"]}
    st.plotly_chart(drawn, theme=None, key=key, config=settings, alt=alt)
