"""The words of a caption in a row; a click or a key chooses one.

Knows words with an alarm and an image gain. Knows no query and no page.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.text import formatting

_HERE = Path(__file__).parent
_CHIPS = st.components.v2.component(
    "captionscope.chips",
    html='<div class="chips" role="group" aria-label="Words of the caption"></div>',
    css=(_HERE / "chips.css").read_text(encoding="utf-8"),
    js=(_HERE / "chips.js").read_text(encoding="utf-8"),
)
_LONGEST = 60  # characters of a word


@dataclass(frozen=True)
class Chip:
    """A word at its place in the caption. The alarm (0 to 1) and the image gain (nats) are None if not known."""

    index: int
    word: str
    alarm: float | None
    gain: float | None


def chips(words: Sequence[Chip], chosen: int, key: str, choose: Callable[[int], None]) -> None:
    """Draw the words with the word at the place `chosen` marked; a click calls `choose` with the place of a word."""

    def clicked() -> None:
        picked = st.session_state[key].picked
        # The place comes from the browser: accept only words that were sent.
        if picked in {chip.index for chip in words}:
            choose(int(picked))

    _CHIPS(
        key=key,
        data={"chips": [_sent(chip) for chip in words], "chosen": chosen, "legend": _legend(words)},
        on_picked_change=clicked,
    )


def _sent(chip: Chip) -> dict[str, Any]:
    word = formatting.shortened(chip.word, _LONGEST)
    alarm = "" if chip.alarm is None else formatting.number(chip.alarm, 2)
    gain = "" if chip.gain is None else f"{chip.gain:+z.1f}"
    named = [f"alarm {alarm}" if alarm else "no alarm", f"image gain {gain} nats" if gain else "image gain not known"]
    return asdict(chip) | {
        "word": word,
        "alarm_shown": alarm,
        "gain_shown": gain,
        "described": f"{word}: {', '.join(named)}",
    }


def _legend(words: Sequence[Chip]) -> list[dict[str, Any]]:
    alarmed = any(chip.alarm is not None for chip in words)
    bold = {"ramp": True, "text": "bold: alarm, the probability that the word is made up"}
    none = {"ramp": False, "text": "no word of this caption has an alarm"}
    gain = {"ramp": False, "text": "+ or -: image gain, log p(word | photo) - log p(word | grey picture), nats"}
    return [bold if alarmed else none, gain]
