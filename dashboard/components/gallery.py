"""A grid of cards with photos that are chosen by a click or a key.

Knows cards. Knows nothing of queries or of what choosing one leads to.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import streamlit as st

_HERE = Path(__file__).parent
_CARDS = st.components.v2.component(
    "captionscope.gallery",
    html='<div class="grid"></div>',
    css=(_HERE / "gallery.css").read_text(encoding="utf-8"),
    js=(_HERE / "gallery.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True)
class Bar:
    """A label with its probability (0 to 1), marked where it is the right one."""

    label: str
    probability: float
    right: bool = False


@dataclass(frozen=True)
class Card:
    """A photo with what stands under it. `photo` is a data URI, or "" with `missing` saying why."""

    id: str
    photo: str
    missing: str = ""
    badge: str = ""
    title: str = ""
    note: str = ""
    mark: str = ""  # "right" or "wrong": a coloured edge, with a sign for those who do not see colours
    bars: tuple[Bar, ...] = ()


def gallery(cards: list[Card], key: str, chosen: str = "", choose: Callable[[str], None] | None = None) -> None:
    """Draws `cards`, the one with the id `chosen` marked; a click calls `choose` with a card's id."""

    def clicked() -> None:
        picked = str(st.session_state[key].picked or "")
        # The browser says which card: believe it only if that card was sent.
        if choose is not None and picked in {card.id for card in cards}:
            choose(picked)

    _CARDS(
        key=key,
        data={"cards": [asdict(card) for card in cards], "chosen": chosen, "clickable": choose is not None},
        on_picked_change=clicked,
    )
