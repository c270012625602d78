"""Captioners that break the protocol or their process."""

import os

from engine.protocols import Hypothesis


class Ends:
    """Ends its process at the first caption."""

    name, fingerprint, metadata = "ends", "ends-1", {}

    def read(self, photo):
        return photo.size

    def caption(self, photos, image_ids, config):
        os._exit(1)


class Lies(Ends):
    """Returns captions of a beam size that nobody asked for."""

    name, fingerprint = "lies", "lies-1"

    def caption(self, photos, image_ids, config):
        return {7: [[Hypothesis("a", ("a",))] for _ in photos]}


ends, lies = Ends, Lies
