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
        inside, outside = (formatting.score(row.metric, value) for value in (row.inside, row.outside))
        bounds = formatting.interval(row.low, row.high, definition(row.metric).digits, "+")
        layout.cases_link(
            f"**{formatting.markdown(row.condition)}**: {formatting.count(int(row.size), 'image')}",
            {"run": run.name, "beam": str(beam), "slice": slices.key(row), "sort": row.metric},
            f"{formatting.markdown_title(row.metric)} {inside}, all other images {outside}; difference {bounds} (95 %)",
            f"slice_{row.metric}_{row.rank}",
        )
    if (found["rank"] > _SHOWN).any():
        with st.expander(f"All {len(found):,} slices"):
            layout.table(slices.table(found, "").shown)
