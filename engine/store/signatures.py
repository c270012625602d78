"""What two numbers' signatures have in common, and where they differ: whether one axis may hold both.

Knows the form `metric|name:value|...`. Knows no metric and no run.
"""

from dataclasses import dataclass

_OURS_TO_DIFFER = {"beam"}  # the choice itself; everything else is said

_SEARCH = {
    *("rule", "max_length", "length_penalty", "early_stopping", "repetition_penalty", "no_repeat_ngram", "n_best"),
    *("sample", "temperature", "top_k", "top_p", "seed", "precision"),
}

# What a signature that names its search leaves unsaid: `DecodingConfig.facts` gives these only where asked for.
_UNSAID = {
    **{"repetition_penalty": "1.0", "no_repeat_ngram": "0", "sample": "False", "temperature": "1.0"},
    **{"n_best": "1", "top_k": "0", "top_p": "1.0", "seed": "0", "precision": "float32"},
}

_WORDS = {
    "": "metric",
    "data": "data (fingerprint)",
    "images": "images scored",
    "refs": "references an image",
    "rule": "search rule",
    "max_length": "maximum length",
    "length_penalty": "length penalty",
    "early_stopping": "early stopping",
    "tok": "tokeniser",
    "clip": "CLIP",
    "weights": "CLIP weights",
    "clip_setup": "CLIP architecture and preprocessing (fingerprint)",
}
_UNKNOWN = "not known"


@dataclass(frozen=True)
class Difference:
    """One thing that two signatures do not share."""

    what: str
    left: str
    right: str
    search: bool = False  # how captions were searched for, and not how they were measured

    def __str__(self) -> str:
        return f"{self.what}: {self.left} against {self.right}"


def facts(signature: str) -> dict[str, str]:
    """The named values of a signature in its order; the metric's own name stands under ""."""
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
    unsaid = _UNSAID.get(key, _UNKNOWN) if "rule" in known else _UNKNOWN
    return known.get(key, unsaid)


def differences(left: str, right: str) -> list[Difference]:
    """What differs apart from the beam size, in the order of the signatures."""
    one, other = facts(left), facts(right)
    found = []
    for key in dict.fromkeys([*one, *other]):
        mine, theirs = _value(one, key), _value(other, key)
        if key not in _OURS_TO_DIFFER and mine != theirs:
            found.append(Difference(_WORDS.get(key, key.replace("_", " ")), mine, theirs, key in _SEARCH))
    return found
