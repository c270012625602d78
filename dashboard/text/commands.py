"""Commands that compute what a page or a report does not have."""

import shlex

EVALUATE = "python -m engine evaluate --data DATA --captioner CAPTIONER --run NAME"
BEAMS = f"{EVALUATE} --beams 1 3 5"
SCORE = "python -m engine score PREDICTIONS --data DATA --run NAME"
ZEROSHOT = 'python -m engine zeroshot --data DATA --clip MODEL --templates "This is a photo of {object}" --run NAME'
TRAIN = "python -m engine train --data DATA --recipe FILE --out FOLDER"


def attention_of(command: str, image_id: str) -> str:
    """Return the command that adds the attention of an image to the run that `command` made."""
    return f"{command} --attention-of {shlex.quote(image_id)}"


def with_explanations(command: str) -> str:
    """Return the command that also measures explanation methods in the run that `command` makes."""
    return f"{command} --explain attention gradient"
