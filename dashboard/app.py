"""The entry of `streamlit run dashboard/app.py`: page settings, the run picker and the navigation."""

import streamlit as st

from dashboard import theme
from dashboard.state import choices, data
from dashboard.text import formatting
from dashboard.widgets import layout, saved_selections

PAGES = [
    st.Page("views/overview.py", title="Overview", icon=":material/dashboard:", default=True),
    st.Page("views/failures.py", title="Failures", icon=":material/search:"),
    st.Page("views/beams.py", title="Beams", icon=":material/show_chart:"),
    st.Page("views/attention.py", title="Attention", icon=":material/visibility:"),
    st.Page("views/zeroshot.py", title="Zero-shot", icon=":material/label:"),
    st.Page("views/compare.py", title="Compare", icon=":material/compare_arrows:"),
    st.Page("views/export.py", title="Export", icon=":material/download:"),
]

# Streamlit leaves a fifth of a 1280 px screen empty around a wide page: photos need the room.
# A row of choices has one height, whether they are buttons or lists. Captions at Streamlit's 60 % are hard to read.
_STYLE = f"""<style>
.stMainBlockContainer {{ padding: 3.25rem 2rem 3rem; }}
[data-testid="stHorizontalBlock"] [data-testid="stButtonGroup"] button {{ min-height: 2.5rem; }}
[data-testid="stCaptionContainer"] {{ opacity: 0.75; }}
[data-testid="stMetricLabel"] p {{ white-space: normal; }}
{layout.widths()}
</style>"""


# Streamlit writes white on the primary colour. On a dark ground that colour is light, since it is also written in, and
# no blue is at once dark enough below white and light enough above that ground.
_DARK = f"""<style>
[data-testid="stBaseButton-primary"], [data-testid="stBaseButton-primary"]:is(:hover, :focus, :active),
[data-testid="stMultiSelect"] [data-tag], [data-testid="stMultiSelect"] [data-tag] button {{
  color: {theme.PAPER[theme.DARK]};
}}
</style>"""


def main() -> None:
    """Draws the frame around whatever view is open."""
    st.set_page_config(page_title="CaptionScope", page_icon="🔎", layout="wide")
    st.html(_STYLE)
    if layout.template() == theme.DARK:
        st.html(_DARK)
    data.refresh()
    choices.restore()
    page = st.navigation(PAGES)
    runs = data.runs()
    if not runs:
        layout.welcome(data.results_folder(), data.problems())
        return
    asked, chosen = choices.get(choices.RUN), _pick_run(runs)
    with st.sidebar:
        saved_selections.draw(page.url_path, {each.url_path: each for each in PAGES})
    if asked and asked != chosen:
        st.warning(
            f"There is no finished run {formatting.markdown(asked)} in these results: "
            f"**{formatting.markdown(chosen)}** is shown instead.",
            icon="⚠️",
        )
    page.run()


def _pick_run(runs: list[data.Run]) -> str:
    """Draws the choice of a run, and gives the name of the one that is shown."""
    by_name = {run.name: run for run in runs}
    first = layout.first_run(runs).name
    with st.sidebar:
        chosen = choices.one_of("Run", choices.RUN, list(by_name), first)
        choices.keep(run=chosen)  # the default too: a copied address must not change its meaning with the next run
        run = by_name[chosen]
        st.caption(" · ".join(formatting.markdown(line) for line in run.described()))
        if data.problems():
            left_out = len(data.problems())
            counted = "1 run or file is" if left_out == 1 else f"{left_out:,} runs or files are"
            st.caption(f"⚠ {counted} left out: see Overview.")
    return chosen


main()
