"""The slices on which the captions of a run are worse, each with a link to its images.

Knows a run and a beam size.
"""

import streamlit as st

from dashboard.report import slices
from dashboard.state import data
from dashboard.text import formatting
from dashboard.widgets import layout
from engine.store import queries
from engine.store.frames import named_rows
from engine.store.orders import definition

_SHOWN = 3  # slices per metric


def draw(run: data.Run, beam: int) -> None:
    """Draw the worst slices by each metric, and all of them on request; nothing without slices."""
    found = slices.ordered(data.query(queries.slices, run.name, beam))
    if found.empty:
        return
    st.markdown(f"**{slices.TITLE}**", help=slices.MEANING)
    for row in named_rows(found[found["rank"] <= _SHOWN]):
        link, scores = layout.columns([5, 7], "case", f"slice_{row.metric}_{row.rank}", vertical_alignment="center")
        with link:
            st.page_link(
                "views/failures.py",
                label=f"**{formatting.markdown(row.condition)}**: {formatting.count(int(row.size), 'image')}",
                icon=":material/search:",
                query_params={"run": run.name, "beam": str(beam), "slice": slices.key(row), "sort": row.metric},
            )
        with scores:
            inside, outside = (formatting.score(row.metric, value) for value in (row.inside, row.outside))
            bounds = formatting.interval(row.low, row.high, definition(row.metric).digits, "+")
            st.caption(
                f"{formatting.markdown_title(row.metric)} {inside}, all other images {outside}; "
                f"difference {bounds} (95 %)"
            )
    if (found["rank"] > _SHOWN).any():
        with st.expander(f"All {len(found):,} slices"):
            layout.table(slices.table(found, "").shown)
