"""Commands that compute what a page or a report does not have."""

import shlex
from collections.abc import Sequence

EVALUATE = "python -m engine evaluate --data DATA --captioner CAPTIONER --run NAME"
BEAMS = f"{EVALUATE} --beams 1 3 5"
SCORE = "python -m engine score PREDICTIONS --data DATA --run NAME"
ZEROSHOT = 'python -m engine zeroshot --data DATA --clip MODEL --templates "This is a photo of {object}" --run NAME'
_FEW = 40  # ids that are written into a command; more are read from a file
TRAIN = "python -m engine train --data DATA --recipe FILE --out FOLDER"


def attention_of(command: str, image_id: str) -> str:
    """Return the command that adds the attention of an image to the run that `command` made."""
    return f"{command} --attention-of {shlex.quote(image_id)}"


def only(command: str, image_ids: Sequence[str]) -> str:
    """Return the command that evaluates a few images of the run that `command` made, as a run of its own."""
    parts = shlex.split(command)
    for place, part in enumerate(parts[:-1]):
        if part == "--run":
            parts[place + 1] += "-selection"
    listed = list(image_ids) if len(image_ids) <= _FEW else ["@ids.txt"]
    return shlex.join([*parts, "--only", *listed])


def with_explanations(command: str) -> str:
    """Return the command that also measures explanation methods in the run that `command` makes."""
    return f"{command} --explain attention gradient"
