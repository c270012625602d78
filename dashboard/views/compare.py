"""Compare: two runs or beam sizes, or any number of them, on the same images, with paired tests."""

from typing import Any

import pandas as pd
import streamlit as st

from dashboard import metrics
from dashboard.components.gallery import Card, gallery
from dashboard.figures import comparisons
from dashboard.figures.thumbnails import LARGE, photo
from dashboard.report import comparison, exports
from dashboard.report.comparison import Sides
from dashboard.state import choices, data
from dashboard.text import formatting
from dashboard.widgets import case, export_button, layout, many_runs, versus
from engine.store import queries
from engine.store.frames import named_rows
from engine.store.schema import METRICS

_CARDS = 6
_CHANGES = (("gains", True, _CARDS), ("losses", False, _CARDS))
# The captions of both sides stay visible while the cards scroll.
_STICKY = """<style>
@media (min-width: 960px) { [data-testid="stColumn"]:has(.st-key-pair) {
  position: sticky; top: 4rem; align-self: flex-start; max-height: calc(100vh - 5rem); overflow-y: auto;
} }
</style>"""


def draw() -> None:
    """Draw the view."""
    slot = layout.titled("Compare")
    run = layout.current_run()
    partners = _partners(run)
    if partners.empty or not run.captions:
        layout.missing(
            "There is nothing to compare with this run: it has only one setting, and no other run has captions of "
            "the same images. Make some with:",
            f"{layout.EVALUATE} --beams 1 3 5\n{layout.SCORE}",
            run,
        )
        return
    if _mode() == "many":
        many_runs.draw(run, partners, slot)
        return
    sides = _choose(run, partners)
    if sides is None:
        return
    with st.spinner("Testing every metric on every image ..."):
        found = data.query(queries.comparison, *sides.arguments)
    if found.empty:
        st.info(
            "The two settings share no metric on their common images. Score both with the same metrics; CLIPScore "
            "needs no references:"
        )
        st.code(f"{layout.scoring(run)} --clip ViT-B/32", language="bash", wrap_lines=True)
        return
    metric = _choose_metric(sides, found)
    _verdict(found[found.metric == metric].iloc[0])
    _figures(sides, metric, found)
    _table(sides, found)
    # The exports have the largest changes, whatever page is open.
    changes = {name: data.query(queries.paired_cases, *sides.arguments, metric, *left) for name, *left in _CHANGES}
    _changes(sides, metric, changes)
    with slot:
        export_button.offer(lambda: comparison.items(data.query, sides, metric, found, changes), "compare")


# Choosing


def _partners(run: data.Run) -> pd.DataFrame:
    """Return runs for the right side: those with images of this run, and the run itself if it has several sizes."""
    found = data.query(queries.partners, run.name)
    found = found[found.run.isin([each.name for each in layout.listed_runs()])]
    alone = len(data.query(queries.beam_sizes, run.name)) < 2
    return found[found.run != run.name] if alone else found


def _mode() -> str:
    modes = {"two": "Two settings", "many": "Any number of settings"}
    segments = st.segmented_control
    return choices.one_of("Compare", "mode", list(modes), "two", modes.__getitem__, segments, required=True)


def _choose(run: data.Run, partners: pd.DataFrame) -> Sides | None:
    by_name = {each.name: each for each in data.runs()}
    shared = dict(zip(partners.run, partners.shared, strict=True))
    sizes = _sizes(run)
    columns = layout.columns([3, 4, 3, 2], "choice", "sides", vertical_alignment="bottom")
    with columns[0]:
        left = choices.one_of(
            f"Left: beam size of {run.shown}", "left_beam", sizes, layout.first_beam(run, sizes), run.beam
        )
    with columns[1]:
        counts = {name: formatting.count(int(count), "shared image") for name, count in shared.items()}
        named = {name: f"{by_name[name].shown} ({count})" for name, count in counts.items()}
        other = by_name[
            choices.one_of("Right: run", "right", list(named), next(iter(named)), named.__getitem__, says_so=True)
        ]
    with columns[2]:
        others = [size for size in _sizes(other) if other.name != run.name or size != left]
        right = choices.one_of("Right: beam size", "right_beam", others, others[0], other.beam)
    _say_replaced(run, other)
    sides = Sides(run, left, other, right)
    with columns[3]:
        st.button("Swap", icon=":material/swap_horiz:", on_click=_swap, args=(sides,), width="stretch")
    return sides if _say_overlap(sides) else None


def _say_replaced(run: data.Run, other: data.Run) -> None:
    """Warn if the URL names a run without shared images, so that another run is on the right."""
    requested = choices.get("right")
    if requested and requested != other.name:
        named = "itself" if other.name == run.name else formatting.markdown(other.name)
        st.warning(
            f"Run {formatting.quoted(requested)} has no captions of images of {formatting.markdown(run.name)}; "
            f"it is compared with {named} instead.",
            icon="⚠️",
        )


def _sizes(run: data.Run) -> list[int]:
    return [int(size) for size in data.query(queries.beam_sizes, run.name).beam_size]


def _swap(sides: Sides) -> None:
    choices.keep(
        run=sides.right.name, left_beam=sides.right_beam, right=sides.left.name, right_beam=sides.left_beam, image=None
    )


def _say_overlap(sides: Sides) -> bool:
    """Say how many images are shared, and return whether there are any."""
    row = data.query(queries.overlap, *sides.arguments).iloc[0]
    if not row.shared:
        st.info("The two settings have no image in common. Choose another run or beam size.")
        return False
    have = "has" if row.same == 1 else "have"
    same = f"{row.same:,} of them {have} the same caption on both sides."
    if row.shared == row.left == row.right:
        st.caption(f"Both sides have the same {formatting.count(int(row.shared), 'image')}; {same}")
    else:
        st.warning(
            f"**{formatting.count(int(row.shared), 'image')} shared** of {row.left:,} on the left and {row.right:,} on "
            f"the right. Everything below uses only the shared images. {same}",
            icon="⚠️",
        )
    collisions = data.query(queries.id_collisions, sides.left.name, sides.right.name).images.item()
    if collisions:
        st.warning(
            f"**{formatting.count(collisions, 'shared image')} without a common reference**: check that they are the "
            "same photos. If two datasets use the same names for different photos, this comparison is meaningless.",
            icon="⚠️",
        )
    return True


def _choose_metric(sides: Sides, found: pd.DataFrame) -> str:
    left, right = layout.columns([3, 9], "choice", "metric", vertical_alignment="bottom")
    with left:
        metric = choices.one_of("Metric", "contrast", list(found.metric), found.metric.iloc[0], formatting.title)
    with right:
        names = [formatting.markdown(name) for name in sides.names]
        sign = "positive" if metrics.higher_is_better(metric) else "negative"
        st.markdown(
            f"Left: **{names[0]}**, right: **{names[1]}**. A {sign} difference means that the left one is better."
        )
    _say_terms(sides, metric)
    if "clip" in metric:
        layout.clip_note(sides.left if sides.left.demo_clip else sides.right)
    return metric


def _say_terms(sides: Sides, metric: str) -> None:
    """Name what makes the two numbers not comparable, and differences of the search."""
    found = comparison.terms(data.query, sides)[metric]
    measured = [formatting.markdown(str(each)) for each in found if not each.search]
    searched = [formatting.markdown(str(each)) for each in found if each.search]
    if measured:
        st.warning(
            f"**{formatting.markdown_title(metric)} was not measured in the same way on both sides**, so a difference "
            "may come from the metric and not from the captions.\n\n" + "\n".join(f"- {line}" for line in measured),
            icon="⚠️",
        )
    if searched:
        st.caption("Captions were generated differently: " + "; ".join(searched) + ".")


# Showing


def _verdict(row: Any) -> None:
    columns = layout.columns(4, "number", "verdict")
    bounds = comparison.bounds(row)
    with columns[0]:
        what = "Difference of corpus values" if row.pooled else "Difference of the means"
        st.metric(what, comparison.change(row.metric, row.difference))
        st.caption(f"95 %: {bounds}" if bounds else "one image, no interval")
    with columns[1]:
        st.metric("Wins : losses", f"{row.wins:,} : {row.losses:,}")
        st.caption(f"{formatting.count(int(row.ties), 'tie')}, {formatting.count(int(row.images), 'image')}")
    with columns[2]:
        st.metric("p, randomization", comparison.resampled(row.p_randomization))
        st.caption(f"bootstrap {comparison.bootstrapped(row)}")
    with columns[3]:
        st.metric("p, Holm-corrected", comparison.resampled(row.p_holm))
        st.caption(comparison.verdict(row))


def _figures(sides: Sides, metric: str, found: pd.DataFrame) -> None:
    scores = data.query(queries.paired_scores, *sides.arguments, metric)
    left, right = layout.columns([3, 2], "figure", "figures")
    with left:
        drawn = comparisons.scatter(scores, metric, *sides.names, layout.template())
        alt = f"{formatting.title(metric)} of the two settings, image by image"
        layout.figure(drawn, "scatter", alt, lambda curve, point: _choose_point(scores, metric, curve, point))
        st.caption("Click a point to show its captions below.")
        if len(scores) < scores.shared.iloc[0]:
            st.caption(f"A random sample of {len(scores):,} of {scores.shared.iloc[0]:,} images; the tests use all.")
    with right:
        layout.figure(
            comparisons.outcomes(found, layout.template()), "outcomes", "Wins, ties and losses by metric, in percent"
        )


def _table(sides: Sides, found: pd.DataFrame) -> None:
    st.header("Metric by metric")
    layout.table(comparison.table(data.query, sides, found).shown)
    st.caption(
        "Paired bootstrap and approximate randomization, 1,000 resamples, two-sided; Holm's correction is over "
        f"{formatting.count(len(found), 'metric')}. {_means(found)}"
    )


def _means(found: pd.DataFrame) -> str:
    """Return how the values of each side were computed; older runs have no counts to pool."""
    averaged = [
        formatting.markdown_title(row.metric)
        for row in named_rows(found)
        if METRICS[row.metric].corpus == "pooled" and not row.pooled
    ]
    if not averaged:
        return "BLEU and METEOR are pooled over the shared images; all other values are means of per-image values."
    names = ", ".join(averaged)
    return f"{names}: means of per-image values, because the counts for pooling were not stored or need a plugin."


def _changes(sides: Sides, metric: str, changes: dict[str, pd.DataFrame]) -> None:
    st.header("Changed images")
    if all(rows.empty for rows in changes.values()):
        st.info(f"No image changed in {formatting.markdown_title(metric)}.")
        return
    chosen = _chosen(sides, changes)
    left, right = layout.columns([5, 4], "case", "changes", gap="medium")
    with left:
        for name, left_better, _ in _CHANGES:
            _paged(sides, metric, name, left_better, changes[name], chosen)
    with right, st.container(key="pair"):
        st.html(_STICKY)
        _pair(sides, chosen)


def _paged(sides: Sides, metric: str, name: str, left_better: bool, first: pd.DataFrame, chosen: str) -> None:
    """Draw all gains or all losses as pages of cards; `first` are the cards of the first page."""
    total = 0 if first.empty else int(first.matching.iloc[0])
    st.markdown(
        f"**{name.capitalize()} of the left setting: {formatting.count(total, 'image')}, largest change first**"
    )
    if not total:
        return
    _whole_list(sides, metric, name, left_better, total)
    pages = -(-total // _CARDS)
    page = choices.number(f"Page of {name} (of {pages:,})", f"{name}_page", 1, pages, 1, width=180) if pages > 1 else 1
    offset = _CARDS * (page - 1)
    rows = data.query(queries.paired_cases, *sides.arguments, metric, left_better, _CARDS, offset) if offset else first
    gallery([_card(sides, metric, row) for row in named_rows(rows)], f"compare_{name}", chosen, _choose_image)


def _whole_list(sides: Sides, metric: str, name: str, left_better: bool, total: int) -> None:
    """Draw a link that opens exactly these images in Failures, and the button of a file with all of them."""
    filtered = versus.written(sides.right.name, sides.right_beam, metric, name)
    parameters = {"run": sides.left.name, "beam": str(sides.left_beam), versus.KEY: filtered, "sort": metric}
    rows = data.later(queries.all_paired_cases, *sides.arguments, metric, left_better)
    with st.container(horizontal=True, vertical_alignment="center"):
        label = f"Open these {formatting.count(total, 'image')} in Failures"
        st.page_link("views/failures.py", label=label, icon=":material/search:", query_params=parameters)
        st.download_button(
            f"All {name} (CSV)",
            lambda: exports.table(comparison.complete(sides, metric, name, rows()), "csv"),
            exports.file_name(f"all_{name}_{metric}", "csv"),
            exports.TABLES["csv"],
            icon=":material/download:",
            on_click="ignore",
            help=f"Every one of the {formatting.count(total, 'image')}, largest change first",
        )


def _card(sides: Sides, metric: str, row: Any) -> Card:
    shown = photo(sides.left.root("images"), row.file_name)
    return Card(
        id=row.image_id,
        photo=shown.uri,
        missing=shown.missing,
        badge=comparison.change(metric, row.change),
        title=f"Left ({formatting.score(metric, row.left)}): {formatting.caption(row.left_caption)}",
        note=f"Right ({formatting.score(metric, row.right)}): {formatting.caption(row.right_caption)}",
    )


def _chosen(sides: Sides, changes: dict[str, pd.DataFrame]) -> str:
    """Return the image in the URL if both settings have it, else the first one listed."""
    linked = choices.get("image")
    if linked and all(len(found) for found in _both(sides, linked)):
        return linked
    return pd.concat(list(changes.values())).image_id.iloc[0]


def _choose_point(scores: pd.DataFrame, metric: str, curve: int, point: int) -> None:
    image_id = comparisons.image_of(scores, metric, curve, point)
    if image_id:
        _choose_image(image_id)


def _choose_image(image_id: str) -> None:
    choices.keep(image=image_id, word=None)


def _both(sides: Sides, image_id: str) -> list[pd.DataFrame]:
    settings = ((sides.left, sides.left_beam), (sides.right, sides.right_beam))
    return [data.query(queries.case, run.name, beam, image_id) for run, beam in settings]


def _pair(sides: Sides, image_id: str) -> None:
    """Draw one image with the captions of both settings."""
    left, right = (found.iloc[0] for found in _both(sides, image_id))
    shown = photo(sides.left.root("images"), left.file_name, LARGE)
    layout.picture(shown, f"Photo {image_id}", "38vh")
    st.caption(formatting.markdown(image_id))
    case.two_captions({f"Left ({sides.names[0]})": left.caption, f"Right ({sides.names[1]})": right.caption})
    case.references(left)
    known = [each for each in METRICS if each in left and pd.notna(left[each]) and pd.notna(right[each])]
    table = pd.DataFrame(
        {
            "Metric": [formatting.title(metric) for metric in known],
            "Left": [formatting.score(metric, left[metric]) for metric in known],
            "Right": [formatting.score(metric, right[metric]) for metric in known],
            "Change": [comparison.change(metric, left[metric] - right[metric]) for metric in known],
        }
    )
    layout.table(table)
    layout.case_link(sides.left_beam, image_id)


draw()
