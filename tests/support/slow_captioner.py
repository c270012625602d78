"""A captioner that takes its time and notes which processes captioned, for tests that end processes midway."""

import os
import time
from pathlib import Path

from engine.captioners.native.pipeline import NativeCaptioner

FOLDER, NOTES, SECONDS = "SLOW_CAPTIONER", "SLOW_CAPTIONER_NOTES", "SLOW_CAPTIONER_SECONDS"
"""Environment variables: the captioner's folder, a folder for the notes, and the seconds that each call takes."""

NAME = "tests.support.slow_captioner:make"


class SlowCaptioner(NativeCaptioner):
    """Notes its process and the first image of each call."""

    def caption(self, photos, image_ids, config):
        note = Path(os.environ[NOTES]) / f"{os.getpid()}-{image_ids[0]}"
        note.touch()
        time.sleep(float(os.environ.get(SECONDS, "0")))
        return super().caption(photos, image_ids, config)


def make() -> SlowCaptioner:
    """Return the captioner of the folder in the environment."""
    return SlowCaptioner.load(Path(os.environ[FOLDER]))
