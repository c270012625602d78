"""The failure tags of a split in one call, from the two steps that a run takes block by block."""

from collections.abc import Mapping, Sequence
from typing import Any

from engine.diagnosis.frequent import FrequentCaptions
from engine.diagnosis.tags import Case, Tag, TagContext, tag_block


def tag_settings(settings: Mapping[Any, Sequence[Case]]) -> dict[Any, list[list[Tag]]]:
    """Return the tags of each caption of each setting of a split; all settings have the same images in one order."""
    frequent = {}
    for key, cases in settings.items():
        captions = [case.caption for case in cases]
        counted = FrequentCaptions()
        counted.add(captions)
        found = counted.found()
        frequent[key] = counted.recounted([captions]) if found is None else found
    images = next(iter(settings.values()), ())
    labels = frozenset(label for case in images for label in (*case.labels, *case.crowds))
    return tag_block(settings, TagContext(labels, frequent))
