"""A grid of photo cards that can be chosen by click or key.

Knows cards. Knows no query and no page.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import streamlit as st

from dashboard.text import formatting

_HERE = Path(__file__).parent
_CARDS = st.components.v2.component(
    "captionscope.gallery",
    html='<div class="grid"></div>',
    css=(_HERE / "gallery.css").read_text(encoding="utf-8"),
    js=(_HERE / "gallery.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True)
class Bar:
    """A label with its probability (0 to 1), marked if it is the true label."""

    label: str
    probability: float
    right: bool = False


@dataclass(frozen=True)
class Card:
    """A photo with the text below it. `photo` is a data URI, or "" and `missing` says why."""

    id: str
    photo: str
    missing: str = ""
    badge: str = ""
    title: str = ""
    note: str = ""
    tags: tuple[str, ...] = ()
    mark: str = ""  # "right" or "wrong": a coloured edge with a sign
    bars: tuple[Bar, ...] = ()


_LONGEST = 300  # characters of a text on a card


def _brief(card: Card) -> Card:
    """Return a card whose texts cannot flood the page; its id stays, because a click returns it."""
    texts = {
        name: formatting.shortened(getattr(card, name), _LONGEST) for name in ("missing", "badge", "title", "note")
    }
    short = tuple(formatting.shortened(tag, 60) for tag in card.tags)
    return replace(
        card, **texts, tags=short, bars=tuple(replace(b, label=formatting.shortened(b.label, 60)) for b in card.bars)
    )


def gallery(
    cards: list[Card], key: str, chosen: str = "", choose: Callable[[str], None] | None = None, height: int = 0
) -> None:
    """Draw `cards` with the card `chosen` marked; a click calls `choose` with the id of a card.

    Args:
        height: pixels from which the cards scroll; 0 shows all.
    """

    def clicked() -> None:
        picked = str(st.session_state[key].picked or "")
        # The id comes from the browser: accept only cards that were sent.
        if choose is not None and picked in {card.id for card in cards}:
            choose(picked)

    _CARDS(
        key=key,
        data={"cards": [asdict(_brief(card)) for card in cards], "chosen": chosen, "clickable": choose is not None}
        | {"height": height},
        on_picked_change=clicked,
    )
