"""The results contract, second part: tables of answers, which pages show and a run computes over all its captions.

Their columns are those of the functions of `queries` that return them, with the arguments in front.
"""

import pyarrow as pa

_N, _D, _S, _B = pa.int64(), pa.float64(), pa.string(), pa.bool_()

ANSWERS: dict[str, pa.Schema] = {
    table: pa.schema(columns)
    for table, columns in {
        # A row is a beam size: its captions, and their differences from those of the next smaller size.
        "beam_statistics": {"beam_size": _N, "captions": _N}
        | dict.fromkeys(("words", "words_low", "words_high"), _D)
        | {"distinct_words": _N}
        | dict.fromkeys(("unfinished", "unfinished_low", "unfinished_high"), _D)
        | {"previous": _N, "changed": _D, "changed_low": _D, "changed_high": _D},
        # A row is a metric: which beam size is enough.
        "beam_choices": {"metric": _S, "smallest": _N, "best": _N, "images": _N, "pooled": _B, "too_few": _S},
        # A row is a metric and two beam sizes, the smaller one on the left: paired tests.
        "beam_comparisons": {"beam_size": _N, "other_beam_size": _N, "metric": _S, "images": _N}
        | {"left": _D, "right": _D, "pooled": _B, "difference": _D, "low": _D, "high": _D}
        | {"wins": _N, "ties": _N, "losses": _N, "p_bootstrap": _D, "p_randomization": _D, "differing": _N}
        | {"p_holm": _D, "p_reachable": _D},
        # A row is two beam sizes: how many images and captions they share.
        "beam_overlaps": dict.fromkeys(("beam_size", "other_beam_size", "left", "right", "shared", "same"), _N),
        # A row is a failure tag at a beam size, with the first image that has it.
        "failure_tags": {"beam_size": _N, "tag": _S, "images": _N, "image_id": _S, "caption": _S, "evidence": _S},
        # A row is a beam size: what CHAIR depends on, and captions with a hallucinated object by CHAIR and by the tag.
        "hallucinations": {"beam_size": _N, "captions": _N, "mentions": _D, "unfinished": _D}
        | dict.fromkeys(("by_chair", "by_tag", "by_both"), _N),
        # A row is a beam size and a metric: what a perfect choice from the n-best lists would give.
        "oracle": {"beam_size": _N, "metric": _S, "images": _N}
        | dict.fromkeys(("kept", "chosen", "average", "best", "better", "gain", "gain_low", "gain_high"), _D)
        | {"lead": _D, "lead_low": _D, "lead_high": _D, "lead_differing": _N},
    }.items()
}
"""What the pages show of all captions of a run, computed once by the run; `queries` also compute them of older runs."""

ANSWER_KEYS: dict[str, tuple[str, ...]] = {
    "beam_statistics": ("beam_size",),
    "beam_choices": ("metric",),
    "beam_comparisons": ("beam_size", "other_beam_size", "metric"),
    "beam_overlaps": ("beam_size", "other_beam_size"),
    "failure_tags": ("beam_size", "tag"),
    "hallucinations": ("beam_size",),
    "oracle": ("beam_size", "metric"),
}
"""Table -> the columns that identify a row."""
