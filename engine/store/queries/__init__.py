"""Every SELECT over the results: one function per question, each returning a DataFrame.

The queries read the views of `database.connect`. Values from users and files are bound as parameters; what cannot be
bound (a column to sort by) is checked against the contract first.
"""

from engine.store.queries.attention_maps import (
    attention,
    attention_beam_sizes,
    attention_captions,
    attention_parts,
    has_attention,
)
from engine.store.queries.beams import (
    beam_statistics,
    smallest_beam,
)
from engine.store.queries.case_list import (
    case_count,
    cases,
    neighbours,
    selected_ids,
)
from engine.store.queries.case_tags import (
    conditions,
    tag_examples,
    tags,
)
from engine.store.queries.columns import (
    metric_column,
)
from engine.store.queries.comparisons import (
    comparison,
)
from engine.store.queries.distributions import (
    histograms,
    metric_ranges,
    quadrants,
    scattered,
)
from engine.store.queries.exported import (
    exported,
)
from engine.store.queries.grounding import (
    boxes,
    case_grounding,
    grounding_heads,
    grounding_labels,
    grounding_offsets,
)
from engine.store.queries.hallucinations import (
    hallucination_differences,
    hallucinations,
)
from engine.store.queries.many_settings import (
    many_settings,
    mean_ranks,
)
from engine.store.queries.nbest import (
    case_hypotheses,
    oracle,
)
from engine.store.queries.pairs import (
    all_paired_cases,
    id_collisions,
    overlap,
    paired_cases,
    paired_scores,
    partners,
)
from engine.store.queries.run_overview import (
    beam_sizes,
    best_scores,
    corpus_scores,
    headline_scores,
    runs,
    skipped,
    skipped_count,
    training,
)
from engine.store.queries.selection import (
    EVERYTHING,
    Lasso,
    Selection,
    Versus,
    search_phrase,
)
from engine.store.queries.selection_statistics import (
    selection_makeup,
    selection_scores,
)
from engine.store.queries.single_case import (
    case,
    case_captions,
    case_metrics,
)
from engine.store.queries.slices import (
    slice_images,
    slices,
)
from engine.store.queries.twins import twin_pictures, twin_shares
from engine.store.queries.words import (
    OBJECT,
    alarm_bins,
    alarms,
    best_attention_head,
    case_samples,
    case_words,
    certificates,
    has_words,
    suspicious_words,
    word_agreement,
    word_claims,
    word_maps,
)
from engine.store.queries.zeroshot import (
    zero_shot_accuracy,
    zero_shot_cases,
    zero_shot_changes,
    zero_shot_comparison,
    zero_shot_confusion,
    zero_shot_labels,
)

__all__ = [
    "OBJECT",
    "EVERYTHING",
    "Lasso",
    "Selection",
    "Versus",
    "alarm_bins",
    "alarms",
    "all_paired_cases",
    "attention",
    "attention_beam_sizes",
    "attention_captions",
    "attention_parts",
    "beam_sizes",
    "beam_statistics",
    "best_attention_head",
    "best_scores",
    "boxes",
    "case",
    "case_captions",
    "case_count",
    "case_grounding",
    "case_hypotheses",
    "case_metrics",
    "case_samples",
    "case_words",
    "cases",
    "certificates",
    "comparison",
    "conditions",
    "corpus_scores",
    "exported",
    "grounding_heads",
    "grounding_labels",
    "grounding_offsets",
    "hallucination_differences",
    "hallucinations",
    "has_attention",
    "has_words",
    "headline_scores",
    "histograms",
    "id_collisions",
    "many_settings",
    "mean_ranks",
    "metric_column",
    "metric_ranges",
    "neighbours",
    "selected_ids",
    "oracle",
    "overlap",
    "paired_cases",
    "paired_scores",
    "partners",
    "quadrants",
    "runs",
    "scattered",
    "search_phrase",
    "selection_makeup",
    "selection_scores",
    "skipped",
    "skipped_count",
    "slice_images",
    "slices",
    "smallest_beam",
    "suspicious_words",
    "tag_examples",
    "tags",
    "training",
    "twin_pictures",
    "twin_shares",
    "word_agreement",
    "word_claims",
    "word_maps",
    "zero_shot_accuracy",
    "zero_shot_cases",
    "zero_shot_changes",
    "zero_shot_comparison",
    "zero_shot_confusion",
    "zero_shot_labels",
]
