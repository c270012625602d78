"""The attention viewer: a photo, a caption's words, and a map for each of them, drawn in the browser.

Knows one stored row of attention. All maps are sent to the browser once, so changing word, layer or head needs no
request.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.figures.heatmaps import NEAR_MEAN, SCALES, SINK, AttentionView, read_attention_view
from dashboard.figures.thumbnails import Photo
from dashboard.text import formatting

_HERE = Path(__file__).parent
_VIEWER = st.components.v2.component(
    "captionscope.viewer",
    html=(_HERE / "viewer.html").read_text(encoding="utf-8"),
    css=(_HERE / "viewer.css").read_text(encoding="utf-8"),
    js=(_HERE / "viewer.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True)
class Noun:
    """A word that names an object with boxes: (x, y, width, height) in pixels of the upright photo.

    `found` gives for a layer and head, counted from 1 (head 0 is the mean), the lift and whether the brightest patch is
    inside a box.
    """

    word: int
    label: str
    boxes: tuple[tuple[float, float, float, float], ...]
    found: dict[str, tuple[float, bool]]  # "layer/head", a key of JSON


def viewer(
    name: str,
    row: pd.Series,
    photo: Photo,
    view: AttentionView,
    key: str,
    changed: Callable[[AttentionView], None],
    nouns: Sequence[Noun] = (),
) -> None:
    """Draw the maps of one caption.

    Args:
        name: identifies the maps; a new name resets the viewer.
        row: a row of `queries.attention`.
        view: the map that is shown first.
        changed: called with the shown map, a moment after the last key or click.
    """

    def rested() -> None:
        changed(read_attention_view(st.session_state[key].view, row))

    _VIEWER(
        key=key,
        data={
            "name": name,
            "view": asdict(view),
            "photo": photo.uri,
            "missing": photo.missing,
            "scales": SCALES,
            "near_mean": NEAR_MEAN,
            "sink": SINK,
            "nouns": [asdict(noun) for noun in nouns],
            **_maps(row),
        },
        on_view_change=rested,
    )


def _shares(row: pd.Series) -> list[float] | None:
    """Return the part of each word's attention that its maps hold; None if it is not known."""
    stored = row.get("share")
    known = isinstance(stored, list | np.ndarray) and len(stored) == len(row["words"])
    return [float(share) for share in stored] if known and all(pd.notna(share) for share in stored) else None


def _maps(row: pd.Series) -> dict[str, Any]:
    """Return the stored maps as JSON; an unknown photo size is that of the crop."""
    crop = {side: float(row["crop"][side]) for side in ("x", "y", "width", "height")}
    known = pd.notna(row["width"]) and pd.notna(row["height"])
    return {
        "words": [formatting.shortened(word, 60) for word in row["words"]],
        "shape": [int(size) for size in row["shape"]],
        "grid": [int(row["grid_height"]), int(row["grid_width"])],
        "scale": [float(value) for value in row["scale"]],
        "weights": base64.b64encode(bytes(row["weights"])).decode("ascii"),
        "crop": crop,
        "share": _shares(row),
        "size": [int(row["width"]), int(row["height"])] if known else [crop["width"], crop["height"]],
    }
