"""Curves over beam sizes and over training steps: Plotly figures from DataFrames.

Pure functions that set titles and units. Uses the column names of `engine.store.queries` and no default
template: a figure looks the same on a page, in a test and in an exported file.
"""

import math
from collections.abc import Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from dashboard.theme import (
    COLOURS,
    DASHES,
    HEIGHT,
    INK,
    LEGEND,
    LIGHT,
    SYMBOLS,
    blank,
    labels,
    plain,
    whole,
    whole_ticks,
)
from engine.store import published as study
from engine.store.frames import groups
from engine.store.schema import METRICS


def metric_by_beam(
    frame: pd.DataFrame,
    metric: str,
    template: str = LIGHT,
    published: pd.DataFrame | None = None,
    apart: bool = False,
) -> go.Figure:
    """Draw a corpus metric against beam size with its 95 % band, and published figures dashed next to it.

    Published figures get a second panel below if our curve would take less than half of a common axis.

    Args:
        frame: `queries.corpus_scores` of one metric: beam_size, value, low, high.
        published: beam_size (null if the source does not give it), value, source.
        apart: always draw a second panel, as for values on another scale.
    """
    described = METRICS[metric]
    name_of_metric = plain(described.title)
    figure = blank(f"{name_of_metric} by beam size", "Beam size", _with_unit(metric), template)
    theirs = published if published is not None else pd.DataFrame(columns=["beam_size", "value", "source"])
    apart = bool(len(theirs)) and (apart or _is_far(frame, theirs))
    sources = [*groups(theirs, "source")]
    names = labels(source for source, _ in sources)
    for place, ((source, known), name) in enumerate(zip(sources, names, strict=True)):
        label = study.LABEL if source == study.REPORT else name
        _published(figure, known, (source, label), described.digits, place, frame, template, "y2" if apart else "y")
    _band(figure, frame, "value", 0, "this run", described.digits, template)
    if len(theirs):
        figure.update_layout(**LEGEND)
    if apart:
        _two_panels(figure, name_of_metric)
    return _beam_axis(figure, pd.concat([frame[["beam_size"]], theirs[["beam_size"]].dropna()]))


def metric_by_run(frames: Mapping[str, pd.DataFrame], metric: str, template: str = LIGHT) -> go.Figure:
    """Draw a corpus metric of several runs against beam size, each with its 95 % band.

    Imported captions have no beam size: beside runs that have one, they are a level line.

    Args:
        frames: name of a run -> `queries.corpus_scores` of one metric: beam_size, value, low, high.
    """
    described = METRICS[metric]
    sizes = sorted({int(size) for frame in frames.values() for size in frame.beam_size if size > 0})
    if sizes:
        frames = {name: _level(frame, sizes) for name, frame in frames.items()}
    figure = blank(f"{plain(described.title)} by beam size", "Beam size", _with_unit(metric), template)
    for place, (name, frame) in enumerate(zip(labels(frames), frames.values(), strict=True)):
        _band(figure, frame, "value", place, name, described.digits, template)
    # One line per run above the axes: long names side by side would be cut off.
    room = 20 * len(frames)
    figure.update_layout(showlegend=True, legend={"orientation": "v"}, margin={"t": 64 + room}, height=HEIGHT + room)
    return _beam_axis(figure, pd.concat([frame[["beam_size"]] for frame in frames.values()]))


def _level(frame: pd.DataFrame, sizes: Sequence[int]) -> pd.DataFrame:
    """Return a frame of imported captions at the first and the last beam size, and any other frame as it is."""
    if not (frame.beam_size == 0).all() or frame.empty:
        return frame
    ends = sorted({sizes[0], sizes[-1]})
    return pd.concat([frame.iloc[:1].assign(beam_size=size) for size in ends], ignore_index=True)


def _with_unit(metric: str) -> str:
    """Return `CIDEr (0 to 10)`; a plugin may have a metric without a unit."""
    title, unit = plain(METRICS[metric].title), plain(METRICS[metric].unit)
    return f"{title} ({unit})" if unit else title


def _is_far(ours: pd.DataFrame, theirs: pd.DataFrame) -> bool:
    """Return whether our curve with its band would take less than half of a common axis."""
    own = pd.concat([ours.value, ours.low, ours.high]).dropna()
    both = pd.concat([own, theirs.value])
    return bool(own.max() - own.min() < 0.5 * (both.max() - both.min()))


def _two_panels(figure: go.Figure, title: str) -> None:
    """Put our curve above and the published ones below, with one axis of beam sizes."""
    figure.update_layout(
        height=HEIGHT + 120,
        yaxis={"domain": [0.48, 1], "title": {"text": title}},
        yaxis2={"domain": [0, 0.36], "title": {"text": f"{title}, published"}, "anchor": "x", "tickformat": ".3~g"},
        xaxis={"anchor": "y2"},
    )


def _add_line(figure: go.Figure, sizes: pd.Series, values: pd.Series, hover: str, template: str) -> None:
    """Add one curve over beam sizes; `hover` is the text of a value."""
    figure.add_scatter(
        x=sizes,
        y=values,
        mode="lines+markers",
        line={"color": COLOURS[template][0]},
        marker={"size": 9},
        hovertemplate=f"beam size %{{x}}<br>{hover}<extra></extra>",
    )


def distinct_by_beam(frame: pd.DataFrame, template: str = LIGHT) -> go.Figure:
    """Draw the number of distinct words in all captions against beam size, from `queries.beam_statistics`."""
    figure = blank("Vocabulary size by beam size", "Beam size", "Vocabulary size (distinct words)", template)
    _add_line(figure, frame.beam_size, frame.distinct_words, "%{y} distinct words", template)
    figure.update_yaxes(**whole_ticks(frame.distinct_words.max() - frame.distinct_words.min()))
    return _beam_axis(figure, frame)


def words_by_beam(frame: pd.DataFrame, template: str = LIGHT) -> go.Figure:
    """Draw mean caption length against beam size with its 95 % band, from `queries.beam_statistics`."""
    figure = blank("Caption length by beam size", "Beam size", "Words per caption (mean)", template)
    _band(figure, frame, "words", 0, "words", 2, template)
    return _beam_axis(figure, frame)


def shares_by_beam(frame: pd.DataFrame, template: str = LIGHT) -> go.Figure:
    """Draw the shares of changed and of unfinished captions against beam size, from `queries.beam_statistics`."""
    figure = blank(shares_title(frame), "Beam size", "Share of captions (%)", template)
    for place, column in enumerate(_shares(frame)):
        known = frame[frame[column].notna()]
        columns = [column, f"{column}_low", f"{column}_high"]
        percent = known.assign(**{name: 100 * known[name] for name in columns})
        _band(figure, percent, column, place, _SHARES[column], 1, template)
    figure.update_yaxes(range=[0, 102], tickmode="auto")
    figure.update_layout(**LEGEND)
    return _beam_axis(figure, frame)


_SHARES = {"changed": "changed vs. the next smaller beam size", "unfinished": "cut at the maximum length"}


def _shares(frame: pd.DataFrame) -> list[str]:
    """Return the shares that are known and above zero at some beam size."""
    return [column for column in _SHARES if (frame[column] > 0).any()]


def shares_title(frame: pd.DataFrame) -> str:
    """Return the title of `shares_by_beam`, or "" where both shares are zero or unknown."""
    found = " and ".join(_shares(frame))
    return f"{found.capitalize()} captions by beam size" if found else ""


def seconds_by_beam(frame: pd.DataFrame, template: str = LIGHT) -> go.Figure:
    """Draw decoding time against beam size.

    Args:
        frame: columns beam_size, seconds (per image).
    """
    figure = blank("Seconds per image by beam size", "Beam size", "Seconds per image", template)
    _add_line(figure, frame.beam_size, frame.seconds, "%{y:.3g} s per image", template)
    figure.update_yaxes(rangemode="tozero")
    return _beam_axis(figure, frame)


def oracle_by_beam(frame: pd.DataFrame, metric: str, template: str = LIGHT) -> go.Figure:
    """Draw one metric of the best, the chosen and the mean hypothesis at each beam size, from `queries.oracle`."""
    described = METRICS[metric]
    figure = blank(f"{plain(described.title)} of the n-best lists", "Beam size", _with_unit(metric), template)
    parts = (("best", "best hypothesis (oracle)"), ("chosen", "chosen caption"), ("average", "mean of all hypotheses"))
    for place, (column, name) in enumerate(parts):
        figure.add_scatter(
            x=frame.beam_size,
            y=frame[column],
            name=name,
            mode="lines+markers",
            line={"color": COLOURS[template][place], "dash": DASHES[place]},
            marker={"symbol": SYMBOLS[place], "size": 9},
            hovertemplate=f"beam size %{{x}}<br>{name} %{{y:.{described.digits}f}}<extra></extra>",
        )
    figure.update_layout(
        showlegend=True, margin={"t": 106}, height=HEIGHT + 22
    )  # one line more than LEGEND has room for
    return _beam_axis(figure, frame)


def training_loss(frame: pd.DataFrame, template: str = LIGHT) -> go.Figure:
    """Draw training loss against step, from `queries.training`."""
    logged = frame[frame.loss.notna()]
    figure = blank("Training loss", "Step", "Loss (nats per token)", template)
    figure.add_scatter(
        x=logged.step,
        y=logged.loss,
        mode="lines",
        line={"color": COLOURS[template][0]},
        hovertemplate="step %{x}<br>loss %{y:.3f}<extra></extra>",
    )
    return figure


def training_validation(frame: pd.DataFrame, template: str = LIGHT) -> go.Figure:
    """Draw validation CIDEr and CLIPScore against epoch, each with its own axis, from `queries.training`."""
    figure = blank("Validation by epoch", "Epoch", "CIDEr", template)
    axes = (("validation_cider", "CIDEr", "y"), ("validation_clipscore", "CLIPScore", "y2"))
    for place, (column, name, axis) in enumerate(axes):
        known = frame[frame[column].notna()]
        if known.empty:
            continue
        figure.add_scatter(
            x=known.epoch,
            y=known[column],
            yaxis=axis,
            name=name,
            mode="lines+markers",
            line={"color": COLOURS[template][place], "dash": DASHES[place]},
            marker={"symbol": SYMBOLS[place], "size": 8},
            hovertemplate=f"epoch %{{x}}<br>{name} %{{y:.3f}}<extra></extra>",
        )
    figure.update_layout(
        **LEGEND,
        yaxis2={
            "title": {"text": "CLIPScore"},
            "overlaying": "y",
            "side": "right",
            "showgrid": False,
            "tickmode": "auto",
            "tickformat": ".3~g",
        },
    )
    figure.update_xaxes(dtick=1 if frame.epoch.max() <= 20 else None)
    return figure


def _published(
    figure: go.Figure,
    known: pd.DataFrame,
    source: tuple[str, str],
    digits: int,
    place: int,
    ours: pd.DataFrame,
    template: str,
    axis: str,
) -> None:
    """Draw the figures of one source (full name, label) as a dashed line with open marks.

    A figure without a beam size becomes a horizontal line over our beam sizes.
    """
    sized = known[known.beam_size.notna()]
    if sized.empty:
        ends = [ours.beam_size.min(), ours.beam_size.max()]
        sized = pd.DataFrame({"beam_size": ends, "value": [known.value.iloc[-1]] * 2})
    figure.add_scatter(
        x=sized.beam_size,
        y=sized.value,
        yaxis=axis,
        name=source[1],
        mode="lines+markers",
        line={"color": INK[template], "dash": DASHES[1 + place % 3], "width": 1.5},
        marker={"symbol": f"{SYMBOLS[1 + place % 7]}-open", "size": 10},
        hovertemplate=f"{whole(source[0])}<br>beam size %{{x}}<br>%{{y:.{digits}f}}<extra></extra>",
    )


def _band(
    figure: go.Figure, frame: pd.DataFrame, column: str, place: int, name: str, digits: int, template: str
) -> None:
    """Draw a line over beam sizes with a band from `column`_low to `column`_high (for "value": low to high)."""
    low, high = ("low", "high") if column == "value" else (f"{column}_low", f"{column}_high")
    colours = COLOURS[template]
    colour = colours[place % len(colours)]
    bounded = frame[frame[low].notna() & frame[high].notna()]
    figure.add_scatter(
        x=[*bounded.beam_size, *bounded.beam_size[::-1]],
        y=[*bounded[high], *bounded[low][::-1]],
        fill="toself",
        fillcolor=_faint(colour),
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
    )
    figure.add_scatter(
        x=frame.beam_size,
        y=frame[column],
        name=name,
        mode="lines+markers",
        # A curve with the colour of an earlier one has another dash and symbol.
        line={"color": colour, "dash": DASHES[(place + place // len(colours)) % len(DASHES)]},
        marker={"symbol": SYMBOLS[(place + place // len(colours)) % len(SYMBOLS)], "size": 9},
        customdata=frame[[low, high]],
        hovertemplate=f"beam size %{{x}}<br>{name} %{{y:.{digits}f}}<br>"
        f"95 %: %{{customdata[0]:.{digits}f}} to %{{customdata[1]:.{digits}f}}<extra></extra>",
    )


def _beam_axis(figure: go.Figure, frame: pd.DataFrame) -> go.Figure:
    """Put ticks at the beam sizes of the run; logarithmic if they span more than a decade."""
    sizes = sorted({int(size) for size in frame.beam_size})
    if not sizes:
        return figure
    wide = sizes[0] > 0 and sizes[-1] > 10 * sizes[0]
    figure.update_xaxes(tickmode="array", tickvals=sizes, ticktext=_beam_names(sizes, wide), tickangle=0)
    if len(sizes) == 1:
        figure.update_xaxes(range=[sizes[0] - 1, sizes[0] + 1])
    elif wide:
        figure.update_xaxes(type="log", range=[math.log10(sizes[0] * 0.9), math.log10(sizes[-1] * 1.1)])
    return figure


def _beam_names(sizes: list[int], wide: bool) -> list[str]:
    """Return one name per beam size; on a logarithmic axis a name that would overlap another one is empty."""
    room = 0.036 * math.log10(1.2 * sizes[-1] / sizes[0]) if wide else 0.0
    names, last = [], -math.inf
    for size in sizes:
        place = math.log10(size) if wide else float(size)
        shown = place - last >= room
        names.append(("imported" if size == 0 else str(size)) if shown else "")
        last = place if shown else last
    return names


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"
