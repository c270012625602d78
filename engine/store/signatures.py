"""How the signatures of two numbers differ, and so whether the numbers are comparable.

Works on the text `metric|name:value|...` alone.
"""

from dataclasses import dataclass

_NOT_REPORTED = {"beam"}  # the user chose to compare beam sizes

_SEARCH = {
    *("rule", "max_length", "length_penalty", "early_stopping", "repetition_penalty", "no_repeat_ngram", "n_best"),
    *("sample", "temperature", "top_k", "top_p", "seed", "precision"),
    *("model", "prompt", "chat_template", "revision", "dtype", "transformers"),
}

# Values that a signature with a search rule omits: `DecodingConfig.signature_fields` leaves out defaults.
_OMITTED = {
    **{"repetition_penalty": "1.0", "no_repeat_ngram": "0", "sample": "False", "temperature": "1.0"},
    **{"n_best": "1", "top_k": "0", "top_p": "1.0", "seed": "0", "precision": "float32"},
    # Captioners without a prompt have none of these fields.
    **dict.fromkeys(("model", "prompt", "chat_template", "revision", "dtype", "transformers"), "none"),
}

PROMPT = "prompt (fingerprint)"

_TITLES = {
    "": "metric",
    "data": "data (fingerprint)",
    "images": "images scored",
    "refs": "references per image",
    "rule": "search rule",
    "max_length": "maximum length",
    "length_penalty": "length penalty",
    "early_stopping": "early stopping",
    "prompt": PROMPT,
    "chat_template": "chat template (fingerprint)",
    "transformers": "version of transformers",
    "tok": "tokeniser",
    "clip": "CLIP",
    "weights": "CLIP weights",
    "clip_setup": "CLIP architecture and preprocessing (fingerprint)",
}
_UNKNOWN = "not known"

OF_SPLIT = {_TITLES[key] for key in ("data", "images", "refs")}
"""Entries that name the split. They do not change a metric that is computed for each image by itself."""


@dataclass(frozen=True)
class Difference:
    """An entry in which two signatures differ."""

    what: str
    left: str
    right: str
    search: bool = False  # whether it is a setting of the search or the captioner, and not of the measurement

    def __str__(self) -> str:
        return f"{self.what}: {self.left} vs. {self.right}"


def entries(signature: str) -> dict[str, str]:
    """Return name -> value of a signature in its order; the metric is the value of ""."""
    name, *rest = (signature or "").split("|")
    found = {"": name}
    last = ""
    for entry in rest:
        key, colon, value = entry.partition(":")
        if colon:
            last = key
            found[key] = value
        else:
            found[last] += f"|{entry}"  # a bar inside a value, such as in a CLIP prefix
    return found


def _value(known: dict[str, str], key: str) -> str:
    default = _OMITTED.get(key, _UNKNOWN) if "rule" in known else _UNKNOWN
    return known.get(key, default)


def differences(left: str, right: str) -> list[Difference]:
    """Return the differences of two signatures in their order, without the beam size."""
    one, other = entries(left), entries(right)
    found = []
    for key in dict.fromkeys([*one, *other]):
        mine, theirs = _value(one, key), _value(other, key)
        if key not in _NOT_REPORTED and mine != theirs:
            found.append(Difference(_TITLES.get(key, key.replace("_", " ")), mine, theirs, key in _SEARCH))
    return found
