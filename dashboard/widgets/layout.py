"""Elements that several views share: columns, photos, notes on scores, messages about missing data.

Knows runs and Streamlit. Runs no query.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import theme
from dashboard.figures.heatmaps import AttentionView
from dashboard.figures.thumbnails import Photo
from dashboard.report.source import Source, companions
from dashboard.state import choices, data
from dashboard.text import commands, formatting
from engine.store.errors import Problem, ResultsError

EVALUATE, SCORE, ZEROSHOT, TRAIN = commands.EVALUATE, commands.SCORE, commands.ZEROSHOT, commands.TRAIN


def first_run(runs: list[data.Run]) -> data.Run:
    """Return the run that is shown first: one that fills most views, the newest of those."""
    return max(runs, key=lambda run: (bool(run.attention) + bool(run.captions), run.text("created"), run.name))


def listed_runs() -> list[data.Run]:
    """Return the runs that lists show: without hidden ones, unless the user shows these or one is open."""
    runs, current = data.runs(), choices.get(choices.RUN)
    if choices.get("hidden"):
        return runs
    return [run for run in runs if not run.is_hidden or run.name == current] or runs


def current_run() -> data.Run:
    """Return the run of the page."""
    runs = {run.name: run for run in data.runs()}
    return runs[choices.get(choices.RUN)]


def source(run: data.Run, beam: int | None = None, **chosen: Any) -> Source:
    """Return the run as the source of chapters, figures and tables."""
    runs = data.runs()
    return Source(run, listed_runs(), data.query, data.results_folder(), beam, parts=companions(run, runs), **chosen)


@contextmanager
def sentences() -> Generator[None]:
    """Draw a sentence where results turn out to be unreadable, and leave out what would follow in the block."""
    try:
        yield
    except ResultsError as error:
        st.error(formatting.markdown(str(error)), icon="⚠️")


def first_beam(run: data.Run, sizes: Sequence[int]) -> int:
    """Return the beam size that every view shows first: the run's best one, else the first of `sizes`."""
    best = source(run).setting()
    return best if best is not None and best in sizes else sizes[0]


def steps(previous: str | None, following: str | None, noun: str, choose: Callable[[str], None]) -> None:
    """Draw the buttons to the neighbours of a case, with the keys that all views share.

    Args:
        noun: what the views steps through, `case` or `image`.
    """
    for label, key, target in (("Previous", "P", previous), ("Next", "N", following)):
        there, said = bool(target), f"{label} {noun} (key {key})"
        st.button(label, key=f"go_{key}", shortcut=key, help=said, disabled=not there, on_click=choose, args=(target,))


def attention_view() -> dict[str, str]:
    """Return the URL parameters of the attention view, for `heatmaps.read_attention_view`."""
    return {key: choices.get(key) for key in ("word", "layer", "head", "subtract", "opacity", "scale")}


def keep_attention_view(view: AttentionView) -> None:
    """Keep the settings of the attention view in the URL."""
    choices.keep(
        word=view.word,
        layer=view.layer,
        head=view.head,
        subtract=view.subtract if view.subtract != AttentionView.subtract else None,
        opacity=view.opacity if view.opacity != AttentionView.opacity else None,
        scale=view.scale if view.scale != AttentionView.scale else None,
    )


def titled(title: str) -> DeltaGenerator:
    """Draw the title of a view; return the container at its right, for the Export button."""
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        st.title(title, width="content")
        return st.container(width="content")


LEAST = {"choice": 8.5, "number": 9.4, "case": 17.0, "figure": 21.0}
"""Content of a column -> its minimum width in rem; a narrower column moves below its neighbour."""


def columns(spec: int | list[int], least: str, key: str, **settings: Any) -> list[DeltaGenerator]:
    """Return columns side by side, or below each other if they would be narrower than `LEAST`.

    Args:
        key: unique on the page.
    """
    with st.container(key=f"{least}_columns_{key}"):
        return st.columns(spec, **settings)


def widths() -> str:
    """Return the style of `columns`; a row of buttons is never narrower than its buttons."""
    inside = '> [data-testid="stLayoutWrapper"] > [data-testid="stHorizontalBlock"] > [data-testid="stColumn"]'
    rules = [
        f'[class*="st-key-{name}_columns_"] {inside} {{ min-width: min(100%, {least}rem); }}'
        for name, least in LEAST.items()
    ]
    rules.append(f'[class*="st-key-choice_columns_"] {inside}:has([data-testid="stButtonGroup"]) {{')
    return "\n".join(rules) + " min-width: max-content; max-width: 100%; }"


def missing(sentence: str, command: str, run: data.Run) -> None:
    """Say which data a view needs and which command computes it, and name unreadable files of the run.

    Args:
        command: "" if no command can.
    """
    broken = [problem for problem in data.problems() if run.name in _folders(problem.path)]
    for problem in broken:
        st.warning(f"**{formatting.markdown(problem.path.name)}**: {formatting.markdown(problem.reason)}", icon="⚠️")
    if broken and run.text("command"):
        sentence, command = "The data of this view may be in that file. Make the run again with:", run.text("command")
    with st.container(border=True):
        st.markdown(sentence)
        if command:
            st.code(command, language="bash", wrap_lines=True)


def _folders(path: Path) -> tuple[str, str]:
    """Return the folders that a file of a run is in: the run's own, or a table's in the run's."""
    return path.parent.name, path.parent.parent.name


def unscored(run: data.Run) -> None:
    """Say why captions have no scores; CLIPScore needs no references."""
    if not run.captions:
        missing("This run has no scored captions. Caption and score photos with:", EVALUATE, run)
        return
    sentence = (
        "The captions of this run have no scores: its photos have no references, or no metric was selected. CLIPScore "
        "needs no references; all other metrics do:"
    )
    missing(sentence, f"{scoring(run)} --clip ViT-B/32", run)


def scoring(run: data.Run) -> str:
    """Return the command that scores captions of this kind of run."""
    return EVALUATE if run.text("kind") == "captioner" else SCORE


def welcome(results: Path, problems: list[Problem]) -> None:
    """Draw the page of a results folder without a finished run."""
    st.title("Welcome to CaptionScope")
    st.markdown("There are no results yet. Run the demo (no training needed):")
    st.code("make evaluate", language="bash")
    st.markdown("With your own captioner, or with captions from a file:")
    st.code(f"{EVALUATE}\n{SCORE}", language="bash", wrap_lines=True)
    st.caption(
        f"Results are read from {formatting.markdown(str(results))}. Reload this page when the command has finished."
    )
    show_problems(problems)


def show_problems(problems: list[Problem]) -> None:
    """Name each skipped run and file with the reason: broken, or not finished."""
    if not problems:
        return
    st.header("Skipped runs and files")
    for problem in problems:
        where = "/".join(problem.path.parts[-2:])
        st.warning(f"**{formatting.markdown(where)}**: {formatting.markdown(problem.reason)}", icon="⚠️")


def picture(photo: Photo, alt: str, height: str) -> None:
    """Draw a photo as large as its column and `height` (CSS) allow, or a grey box with the reason why it is missing."""
    if photo.uri:
        st.html(
            f'<img src="{photo.uri}" alt="{formatting.escaped(formatting.shortened(alt, 400))}" loading="lazy" '
            f'style="display:block;width:100%;max-height:{height};object-fit:contain;object-position:left top">'
        )
        return
    st.html(
        '<div role="img" style="height:30vh;max-width:100%;border-radius:0.5rem;background:#8883;display:flex;'
        "align-items:center;justify-content:center;text-align:center;padding:1rem;box-sizing:border-box;"
        f'overflow-wrap:anywhere">{formatting.escaped(photo.missing)}</div>'
    )


def case_link(beam: int, image_id: str, label: str = "Open this case") -> None:
    """Draw a link to a case in the Failures view."""
    st.page_link(
        "views/failures.py",
        label=label,
        icon=":material/search:",
        query_params=choices.linked(image=image_id, beam=beam),
    )


def cases_link(label: str, parameters: dict[str, str], note: str, key: str) -> None:
    """Draw a link to a list of cases in the Failures view, with a note beside it.

    Args:
        key: unique on the page.
    """
    left, right = columns([5, 7], "case", key, vertical_alignment="center")
    with left:
        st.page_link("views/failures.py", label=label, icon=":material/search:", query_params=parameters)
    with right:
        st.caption(note)


def clip_note(run: data.Run) -> None:
    """Say that CLIPScores come from the demo CLIP, if they do."""
    if run.demo_clip:
        st.caption(
            "This CLIPScore comes from the demo CLIP, a small model trained on the generated scenes. It is not "
            "comparable to the CLIPScore of ViT-B/32 in papers."
        )


def partly_scored(run: data.Run, scores: pd.DataFrame) -> None:
    """Name the metrics that some images of a run have no value of, such as CLIPScore of missing photos.

    Args:
        scores: `queries.corpus_scores`.
    """
    fewer = scores[scores.images < run.images].drop_duplicates("metric")
    for images, found in fewer.groupby("images"):
        names = " and ".join(map(formatting.markdown_title, found.metric))
        st.caption(f"{names}: computed for {images:,} of {formatting.count(run.images, 'image')}.")


_LETTER = 7  # pixels per character in a table


def long_names(shown: pd.DataFrame, *columns: str, width: int) -> dict[str, Any]:
    """Return settings that limit the width of columns with long names, so that the numbers stay visible.

    Args:
        width: pixels of such a column.
    """
    long = [name for name in columns if shown[name].str.len().max() * _LETTER > width]
    return dict.fromkeys(long, st.column_config.Column(width=width))


def table(frame: pd.DataFrame, **settings: Any) -> None:
    """Draw a table with few rows at full height; a missing value is a dash."""
    shown: dict[str, Any] = {"height": "content", "placeholder": "–"} | settings
    st.dataframe(frame, hide_index=True, **shown)


def template() -> str:
    """Return the figure template of the page's theme."""
    return theme.template_of(st.context.theme.type)


def figure(drawn: go.Figure, key: str, alt: str, click: Callable[[int, int], None] | None = None) -> None:
    """Draw a figure in its own colours, without Plotly's links to other sites.

    Args:
        click: called with the numbers of the curve and of the point that was clicked.
    """
    settings = {"displaylogo": False, "modeBarButtonsToRemove": ["sendChartToCloud", "select2d", "lasso2d"]}
    if click is None:
        st.plotly_chart(drawn, theme=None, key=key, config=settings, alt=alt)
        return

    def clicked() -> None:
        for point in st.session_state[key]["selection"]["points"][:1]:
            click(int(point["curve_number"]), int(point["point_index"]))

    st.plotly_chart(drawn, theme=None, key=key, config=settings, alt=alt, on_select=clicked, selection_mode="points")
