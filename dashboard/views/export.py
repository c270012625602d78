"""Export: the whole report as one zip, HTML file or PDF, or its figures and tables one by one."""

import shlex
from dataclasses import replace

import streamlit as st

from dashboard.report import archive, chapters, exports, forms, strips, web
from dashboard.report.source import Chapter, Source
from dashboard.state import choices, data
from dashboard.text import formatting
from dashboard.widgets import export_button, layout
from engine.store import queries

_MADE = "report"
_MOST = 12  # images with attention strips per report


def draw() -> None:
    """Draw the view."""
    st.title("Export")
    run = layout.current_run()
    source = _choose(run)
    written = chapters.chapters(source)
    st.markdown(
        "One zip with everything for a report: figures as PNG, SVG and PDF, tables as CSV, LaTeX and Markdown, and a "
        "`report.md` that contains all of them with captions and the origin of the numbers. Or the same report as one "
        "HTML file, which opens without a network, or as one PDF."
    )
    if exports.browser_missing():
        st.warning(f"{exports.browser_missing()} Until then, only the zip can be made, with HTML figures.", icon="⚠️")
    _make(source)
    _contents(written)
    st.caption("From the command line:")
    st.code(_command(source), language="bash", wrap_lines=True)


def _choose(run: data.Run) -> Source:
    """Draw the settings of the report, beam size and images with attention, and return its source."""
    sizes = [int(size) for size in data.query(queries.beam_sizes, run.name).beam_size]
    if not sizes:
        return layout.source(run)
    best = layout.source(run).setting()
    left, right = layout.columns([2, 7], "choice", "report")
    with left:
        beam = choices.one_of("Beam size", "report_beam", sizes, best, run.beam)
    source = layout.source(run, beam)
    kept = {int(size) for size in data.query(queries.attention_beam_sizes, run.name).beam_size}
    if not kept:
        return source
    shown = beam if beam in kept else min(kept)
    found = data.query(queries.attention_captions, run.name, shown)
    captions = dict(zip(found.image_id, found.caption.fillna(""), strict=True))
    with right:
        first = strips.interesting(source, shown)
        images = choices.several(
            "Images with attention maps",
            "report_images",
            list(dict.fromkeys([*first, *captions])),
            first,
            lambda image: f"{image}: {captions.get(image, '')}",
            max_selections=_MOST,
            wrap=True,
        )
    return replace(source, images=tuple(images), attention=layout.attention_view())


def _make(source: Source) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        form = st.segmented_control(
            "Form of the report",
            list(forms.FORMS),
            default="zip",
            required=True,
            format_func=str.upper,
            label_visibility="collapsed",
            key="report_form",
        )
        identity = (form, *_identity(source))
        if st.button("Make the report", type="primary", icon=":material/inventory_2:"):
            _draw_all(source, form, identity)
        made = st.session_state.get(_MADE)
        if made is None or made[0] != identity:
            st.caption("Takes about 20 seconds.")
            return
        name = exports.file_name(f"report {source.run.name}", form)
        st.download_button(f"Download {name}", made[1], name, forms.FORMS[form][1], on_click="ignore", type="primary")
        st.caption(f"{len(made[1]) / 1e6:.1f} MB")


def _identity(source: Source) -> tuple:
    """Return everything that a report depends on; a report made from anything else is not offered."""
    files = data.fingerprint(source.results, (*data.RUNS, *data.BESIDE))
    joined = tuple(sorted((part, run.name) for part, run in source.parts.items()))
    return source.run.name, joined, source.beam, source.images, dict(source.attention), files, exports.browser_missing()


def _draw_all(source: Source, form: str, identity: tuple) -> None:
    with st.empty():
        bar = st.progress(0.0, "Starting ...")

        def say(done: int, total: int, title: str) -> None:
            bar.progress(done / max(total, 1), f"{done} of {total}: {formatting.markdown(title)}")

        try:
            st.session_state[_MADE] = (identity, forms.FORMS[form][0](source, say))
        except (exports.NoBrowser, web.PrintError) as error:
            st.error(formatting.markdown(str(error)))
            return
        st.write("")


def _contents(written: list[Chapter]) -> None:
    for place, chapter in enumerate(written, 1):
        title = f"{place}. {chapter.title}" + (" · not in this run" if chapter.missing else "")
        opened = choices.opened(title, f"chapter_{place}", icon=_icon(chapter))
        with opened:
            st.markdown(chapter.missing or chapter.lead)
            if chapter.missing and chapter.command:
                st.code(chapter.command, language="bash", wrap_lines=True)
            if opened.open and not chapter.missing:
                export_button.rows(chapter.items, f"chapter_{place}")


def _icon(chapter: Chapter) -> str:
    return ":material/do_not_disturb_on:" if chapter.missing else ":material/check_circle:"


def _command(source: Source) -> str:
    form = st.session_state.get("report_form") or "zip"
    words = ["python", "-m", "dashboard.report", source.run.name, "--out", f"report.{form}"]
    results = source.results.resolve()
    # The command's default is the results folder of the project.
    words += ["--results", str(results)] if results != data.RESULTS.resolve() else []
    words += ["--beam", str(source.beam)] if source.beam is not None else []
    words += ["--images", *source.images] if source.images else []
    return shlex.join([*words, *archive.attention_options(source.attention)])


draw()
