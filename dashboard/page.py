"""What the browser runs for every interaction: page settings, choice of a run, navigation."""

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from dashboard import theme
from dashboard.annotations import run_labels
from dashboard.state import choices, data, model_process
from dashboard.text import formatting
from dashboard.widgets import layout, run_management, saved_selections

PAGES = [
    st.Page("views/overview.py", title="Overview", icon=":material/dashboard:", default=True),
    st.Page("views/failures.py", title="Failures", icon=":material/search:"),
    st.Page("views/beams.py", title="Beams", icon=":material/show_chart:"),
    st.Page("views/attention.py", title="Attention", icon=":material/visibility:"),
    st.Page("views/zeroshot.py", title="Zero-shot", icon=":material/label:"),
    st.Page("views/compare.py", title="Compare", icon=":material/compare_arrows:"),
    st.Page("views/export.py", title="Export", icon=":material/download:"),
]
if model_process.is_live():
    PAGES.append(st.Page("views/photo.py", title="Try a photo", icon=":material/add_a_photo:", url_path="photo"))

# Streamlit leaves a fifth of a 1280 px screen empty around a wide page; photos need the room.
# Buttons get the height of the lists beside them. Captions at Streamlit's 60 % opacity are hard to read.
_STYLE = f"""<style>
.stMainBlockContainer {{ padding: 2.25rem 2rem 3rem; }}
.stMainBlockContainer h1 {{ font-size: 2rem; padding: 0.4rem 0 0; }}
.stMainBlockContainer h2 {{ font-size: 1.5rem; padding: 0.6rem 0 0.4rem; }}
.stMainBlockContainer h3 {{ font-size: 1.25rem; padding: 0.3rem 0 0.3rem; }}
[data-testid="stHorizontalBlock"] [data-testid="stButtonGroup"] button {{ min-height: 2.5rem; }}
[data-testid="stCaptionContainer"] {{ opacity: 0.75; }}
[data-testid="stMetricLabel"] p {{ white-space: normal; }}
{layout.widths()}
</style>"""


# Streamlit writes white on the primary colour. In dark mode that colour is also used for text, so it must be light, and
# no blue contrasts enough with both white and the dark background.
_DARK = f"""<style>
[data-testid="stBaseButton-primary"], [data-testid="stBaseButton-primary"]:is(:hover, :focus, :active),
[data-testid="stMultiSelect"] [data-tag], [data-testid="stMultiSelect"] [data-tag] button {{
  color: {theme.PAPER[theme.DARK]};
}}
</style>"""


def main() -> None:
    """Draw the sidebar and the open view; what cannot be read is a sentence in their place."""
    st.set_page_config(page_title="CaptionScope", page_icon="🔎", layout="wide")
    st.html(_STYLE)
    if layout.template() == theme.DARK:
        st.html(_DARK)
    data.refresh()
    labels = run_labels.read(data.results_folder())
    data.label(labels.titles, labels.hidden)
    choices.restore()
    page = st.navigation(PAGES)
    with layout.sentences():
        _draw(page)


def _draw(page: StreamlitPage) -> None:
    runs = data.runs()
    if not runs:
        layout.welcome(data.results_folder(), data.problems())
        run_management.last_actions()
        return
    requested, chosen = choices.get(choices.RUN), _pick_run(runs)
    with st.sidebar:
        saved_selections.draw(page.url_path, {each.url_path: each for each in PAGES})
    if requested and requested != chosen:
        st.warning(
            f"The results have no finished run {formatting.quoted(requested)}; the page shows "
            f"**{formatting.markdown(chosen)}** instead.",
            icon="⚠️",
        )
    above = st.container()
    with layout.sentences():
        page.run()
    if choices.refused():
        sentence = ". ".join(map(formatting.markdown, choices.refused()))
        above.warning(f"Not everything in the address could be shown. {sentence}.", icon="⚠️")


def _pick_run(runs: list[data.Run]) -> str:
    """Draw the choice of a run and return the name of the chosen one."""
    listed = layout.listed_runs()
    by_name = {run.name: run for run in listed}
    first = layout.first_run(listed).name
    with st.sidebar:
        chosen = choices.one_of(
            "Run", choices.RUN, list(by_name), first, lambda name: by_name[name].shown, says_so=True
        )
        if any(run.is_hidden for run in runs):
            choices.opened("Show hidden runs", "hidden", widget=st.toggle)
        choices.keep(run=chosen)  # the default too: a copied URL must keep its meaning when runs are added
        run = by_name[chosen]
        st.caption(" · ".join(formatting.markdown(line) for line in run.described()))
        if data.problems():
            left_out = len(data.problems())
            counted = "1 run or file was" if left_out == 1 else f"{left_out:,} runs or files were"
            st.caption(f"⚠ {counted} skipped; see Overview.")
    return chosen


main()
