"""Overview: defects of the data and what went wrong, then all runs, scores, training, skipped photos, unused data."""

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import metrics
from dashboard.figures import curves
from dashboard.items import Figure, Table
from dashboard.report import chapters, hallucinations, slices, tables
from dashboard.state import choices, data
from dashboard.text import formatting
from dashboard.widgets import export_button, layout, run_management, worst_slices
from engine.store import queries
from engine.store.frames import named_rows
from engine.store.schema import METRICS, TAGS

_ACROSS = 3
_ROWS, _TABLE = 12, 440  # rows that are visible without scrolling, and the height of a longer table in pixels
_WIDTHS = {"Run": 150, "Encoder": 200, "Data": 170}  # pixels


def draw() -> None:
    """Draw the view."""
    slot = layout.titled("Overview")
    run = layout.current_run()
    _findings(run)
    _remarks(run)
    _tags(run)
    if (beam := layout.source(run).setting()) is not None:
        worst_slices.draw(run, beam)
    _cards()
    run_management.draw(run)
    _all_runs(run)
    _scores(run)
    _hallucinations(run)
    _training(run)
    _skipped(run)
    layout.show_problems(data.problems())
    with slot:
        export_button.offer(lambda: _items(run), "overview")


def _findings(run: data.Run) -> None:
    """Show first what is wrong with the data of the current run, because its scores then mean something else."""
    for title, remedy in run.findings():
        found, advice = (formatting.markdown(formatting.capitalized(each)) for each in (title, remedy))
        st.warning(f"{found}.  \n{advice}.")


def _items(run: data.Run) -> list[Figure | Table]:
    """Return the exports of the current run."""
    training, scores = data.query(queries.training, run.name), data.query(queries.corpus_scores, run.name)
    small = chapters.note(run)
    items: list[Figure | Table] = list(chapters.all_runs(layout.source(run)).items)
    if not scores.empty:
        items.append(tables.beams(scores, data.query(queries.beam_statistics, run.name), run, small))
        items += chapters.tags(layout.source(run)).items
        found = [*slices.chapters(layout.source(run)), *hallucinations.chapters(layout.source(run))]
        items += [item for chapter in found for item in chapter.items]
    if not training.empty:
        items.append(Figure("training_loss", "Training loss", lambda: curves.training_loss(training), small))
        validation = lambda: curves.training_validation(training)  # noqa: E731
        items.append(Figure("training_validation", "Validation by epoch", validation, small))
    return items


def _cards() -> None:
    runs, best = layout.listed_runs(), data.query(queries.best_scores)
    for start in range(0, len(runs), _ACROSS):
        columns = layout.columns(_ACROSS, "case", f"runs_{start}")
        for column, run in zip(columns, runs[start : start + _ACROSS], strict=False):
            with column:
                _card(run, best[best.run == run.name])


def _card(run: data.Run, best: pd.DataFrame) -> None:
    current = run.name == layout.current_run().name
    with st.container(border=True, key=f"card_{run.name}", height="stretch"):  # cards of a row end at the same line
        st.markdown(f"### {formatting.markdown(run.shown)}" + (" :blue-badge[current]" if current else ""))
        st.caption(" · ".join(formatting.markdown(line) for line in [*run.described(), _captioner(run)] if line))
        run_management.note(run)
        shown = list(dict.fromkeys([*metrics.HEADLINES, *metrics.headlines(best.metric)]))
        for start in range(0, len(shown), 2):
            for column, metric in zip(st.columns(2), shown[start : start + 2], strict=False):
                with column:
                    _headline(run, metric, best[best.metric == metric])
        _accuracy(run)
        if not current:
            st.page_link("views/overview.py", label="Open", query_params={"run": run.name})


def _captioner(run: data.Run) -> str:
    layers = run.text("captioner", "decoder_layers")
    described = [run.text("captioner", "encoder"), f"{layers} decoder layers" if layers else ""]
    return ", ".join(part for part in described if part)


def _headline(run: data.Run, metric: str, best: pd.DataFrame) -> None:
    if best.empty:
        st.metric(formatting.markdown_title(metric), "–", help="Not computed in this run.")
        return
    row = best.iloc[0]
    demo = metric == "clipscore" and run.demo_clip
    st.metric(formatting.markdown_title(metric), formatting.score(metric, row.value))
    bounds = formatting.interval(row.low, row.high, METRICS[metric].digits)
    setting = formatting.IMPORTED if row.beam_size == 0 else f"beam size {run.beam(row.beam_size)}"
    size = ("demo CLIP · " if demo else "") + setting
    partly = f"  \n{row.images:,} of {formatting.count(run.images, 'image')}" if row.images < run.images else ""
    st.caption(size + partly + (f"  \n95 %: {bounds}" if bounds else ""))


def _accuracy(run: data.Run) -> None:
    if not run.zero_shot:
        return
    best = data.query(queries.zero_shot_accuracy, run.name).iloc[0]
    if pd.notna(best.accuracy):
        bounds = f"{formatting.percent(best.low)} to {formatting.percent(best.high)}"
        st.caption(f"Zero-shot accuracy {formatting.percent(best.accuracy)} (95 %: {bounds}), best prompt")


def _all_runs(run: data.Run) -> None:
    """Draw one row per run and beam size, with the study's published rows below; a click on a column sorts."""
    found = chapters.table_of_runs(layout.source(run))
    st.header(found.title)
    shown = tables.sortable(found.shown)
    digits = {formatting.title(metric): f"%.{METRICS[metric].digits}f" for metric in metrics.headlines(METRICS)}
    formats = {name: st.column_config.NumberColumn(format=kind) for name, kind in digits.items() if name in shown}
    names = {name: st.column_config.Column(width=width) for name, width in _WIDTHS.items() if name in shown}
    height = {"height": _TABLE} if len(shown) > _ROWS else {}
    layout.table(shown, column_config=names | formats, placeholder="", **height)
    st.caption("  \n".join(formatting.markdown(line) for line in found.note.splitlines()))


def _scores(run: data.Run) -> None:
    st.header(f"Scores of {formatting.markdown(run.name)} by beam size")
    scores = data.query(queries.corpus_scores, run.name)
    if scores.empty:
        layout.unscored(run)
        return
    table = scores.assign(
        shown=[
            f"{formatting.score(row.metric, row.value)}" + (f"  ({bounds})" if (bounds := _bounds(row)) else "")
            for row in named_rows(scores)
        ]
    ).pivot(index="beam_size", columns="metric", values="shown")
    table = table[metrics.ordered(table.columns)].rename(columns=formatting.title)
    table.insert(0, "Beam size", [run.beam(size) for size in table.index])
    # With many metrics the table scrolls sideways, and the beam size stays.
    layout.table(table, column_config={"Beam size": st.column_config.Column(pinned=True, width="small")})
    st.caption("Whole split; 95 % intervals in brackets.")
    layout.partly_scored(run, scores)
    layout.clip_note(run)
    opened = choices.opened("Signatures and definitions", "definitions")
    if opened.open:
        with opened:
            _definitions(scores)
    if run.text("command"):
        with choices.opened("How this run was made", "made"):
            st.code(run.text("command"), language="bash", wrap_lines=True)
            _captioner_settings(run)


def _captioner_settings(run: data.Run) -> None:
    """Draw the settings of a captioner with a prompt; others have none."""
    known = [(title, found) for key, title in tables.PROMPTED.items() if (found := run.text("captioner", key))]
    if run.text("captioner", "prompt") or run.text("captioner", "dtype"):
        layout.table(pd.DataFrame(known, columns=["Setting", "Value"]))


def _bounds(row: Any) -> str:
    return formatting.interval(row.low, row.high, METRICS[row.metric].digits)


def _definitions(scores: pd.DataFrame) -> None:
    first = scores.drop_duplicates("metric")
    rows = [
        {
            "Metric": formatting.title(row.metric),
            "Range": METRICS[row.metric].unit,
            "Definition": METRICS[row.metric].definition,
            "Signature": row.signature,
        }
        for row in named_rows(first)
    ]
    layout.table(pd.DataFrame(rows))


def _tags(run: data.Run) -> None:
    """Draw the number of captions per failure tag at the best beam size, with links to them."""
    source = layout.source(run)
    beam = source.setting()
    if beam is None:
        return
    found, total = data.query(queries.tags, run.name, beam), source.captions_at(beam)
    where = formatting.of_setting(beam, run.is_sampled)
    st.header(f"What went wrong in {formatting.markdown(run.shown)}{f' {where}' * (beam > 0)}")
    if found.empty:
        st.caption(f"None of the {formatting.count(total, 'caption')} has a failure tag.")
    for row in named_rows(found):
        layout.cases_link(
            f"**{formatting.markdown(row.tag)}**: {row.images:,} ({formatting.percent(row.images / total)})",
            {"run": run.name, "beam": str(beam), "tag": row.tag},
            TAGS.get(row.tag, ""),
            f"tag_{row.tag}",
        )


def _hallucinations(run: data.Run) -> None:
    """Draw CHAIR with what it depends on, and on request the captions on which it differs from the failure tag."""
    source = layout.source(run)
    found, beam = data.query(queries.hallucinations, run.name), source.setting()
    if found.empty or beam is None:
        return
    table = hallucinations.by_beam_size(source, found)
    st.header(hallucinations.TITLE)
    layout.table(table.shown)
    st.caption(f"{hallucinations.COMPARABLE}  \n{hallucinations.COUNTS}.")
    count, where = hallucinations.differing(found, beam), formatting.of_setting(beam, run.is_sampled)
    if not count:
        st.caption(f"CHAIR and the failure tag agree on every caption {where}.")
        return
    opened = choices.opened(f"Captions {where} on which CHAIR and the failure tag differ: {count:,}", "differences")
    if opened.open:
        with opened:
            listed = hallucinations.differences(source, found, beam)
            layout.table(listed.shown, **({"height": _TABLE} if len(listed.shown) > _ROWS else {}))
            if len(listed.shown) < count:
                st.caption(f"The first {len(listed.shown):,} of {count:,}.")


def _training(run: data.Run) -> None:
    training = data.query(queries.training, run.name)
    if training.empty:
        if run.text("kind") == "captioner":
            _missing_training(run)
        return
    st.header("Training")
    left, right = layout.columns(2, "figure", "training")
    with left:
        layout.figure(curves.training_loss(training, layout.template()), "training_loss", "Training loss by step")
    with right:
        drawn = curves.training_validation(training, layout.template())
        layout.figure(drawn, "training_validation", "Validation CIDEr and CLIPScore by epoch")


def _missing_training(run: data.Run) -> None:
    # Models of Hugging Face name their family; endpoints and plugins have no layers.
    is_native = run.part("captioner", "decoder_layers") is not None and run.part("captioner", "family") is None
    if is_native:
        layout.missing("This captioner has no training curve. Train a captioner with:", layout.TRAIN, run)
    else:
        layout.missing("This run has no training curve: its captioner was not trained with CaptionScope.", "", run)


def _skipped(run: data.Run) -> None:
    if not run.skipped:
        return
    st.header("Skipped photos")
    frame = data.query(queries.skipped, run.name)
    sentence = f"{formatting.count(run.skipped, 'photo')} of this run could not be used"
    if run.text("kind") == "predictions":
        sentence += " for CLIPScore; metrics with references include their captions"
    st.markdown(sentence + (f". The first {len(frame):,} are:" if len(frame) < run.skipped else "."))
    st.dataframe(frame.rename(columns={"image_id": "Image", "file_name": "File", "reason": "Reason"}), hide_index=True)


def _remarks(run: data.Run) -> None:
    """Show what the reader of the data left out, such as files that are not photos."""
    if remarks := run.remarks():
        st.header("Data that is not used")
        st.markdown("\n".join(f"- {formatting.markdown(remark)}" for remark in remarks))


draw()
