"""All checks of captions and references, each of which knows one defect."""

from collections.abc import Callable, Iterable, Sequence

from engine.diagnosis.data_doctor import content, form, pairing
from engine.diagnosis.data_doctor.finding import Finding, ordered
from engine.diagnosis.data_doctor.language import language
from engine.diagnosis.data_doctor.texts import Texts

_SAMPLE = 3_000
"""Images whose texts are divided into words: a defect of all captions shows in them."""


def of_texts(
    texts: Texts,
    orders: Sequence[Sequence[int]] = (),
    others: Callable[[], Iterable[tuple[str, Texts]]] = tuple,
) -> list[Finding]:
    """Return what is wrong with captions and references, the most important first.

    Args:
        orders: see `pairing.shifted_ids`.
        others: see `pairing.other_split`.
    """
    sample = texts.sample(_SAMPLE)
    shift = pairing.shifted_ids(texts, orders)
    same = content.one_caption(texts)
    found = [
        form.list_as_text(texts),
        shift or pairing.other_split(texts, others),
        same,
        form.markdown(texts),
        None if same else form.prompt_echo(sample),
        language(sample),
        content.length(sample),
    ]
    return ordered([each for each in found if each is not None])


def joined(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings in order, with the cut of CLIP named where the length of captions is."""
    by_key = {each.key: each for each in findings}
    if "length" in by_key and "clip_cut" in by_key:
        by_key["length"] = content.with_cut(by_key["length"], by_key.pop("clip_cut"))
    return ordered(list(by_key.values()))
