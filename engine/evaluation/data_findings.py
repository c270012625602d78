"""Gather what the data doctor needs from a dataset and a run, and store its findings with the run."""

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from engine.data.dataset import Dataset, Example
from engine.data.other_splits import OtherSplits
from engine.diagnosis.data_doctor import content, examine, photos, zero
from engine.diagnosis.data_doctor.finding import Finding, ordered
from engine.diagnosis.data_doctor.texts import Texts
from engine.evaluation import same_photos
from engine.evaluation.caption_blocks import CaptionBlocks
from engine.evaluation.clip_settings import ClipSettings
from engine.evaluation.run import RunInProgress
from engine.store import shards

KEY = "findings"
"""The entry of `run.json`."""

_CLIP_CONTEXT = 77
"""Tokens that OpenAI's CLIP and most others read, those of start and end included."""

_MOST_PHOTOS = 0.5
"""Text metrics are often computed where only a few photos are at hand; if most are there, the others are lost."""

_SAMPLE = 3_000
"""Images whose texts explain a CIDEr of 0."""


def of_data(
    dataset: Dataset,
    captions: Mapping[str, str] | None = None,
    splits: OtherSplits | None = None,
    whole: bool = False,
    needs_photos: bool = True,
) -> list[Finding]:
    """Return what is wrong with a dataset, and with its captions if there are any; the most important first.

    Args:
        captions: image id -> caption, in the order of the file of captions.
        splits: the other splits of the dataset, for images that are in two of them.
        whole: whether other splits are read even if they are large.
        needs_photos: whether scores depend on photos. If not, missing photos are reported only if most are there.
    """
    texts, order = _texts(dataset, captions)
    found = examine.of_texts(texts, order, lambda: _other_pairs(dataset, captions or {}, splits, whole))
    used = splits if splits and (whole or splits.are_small) else None
    return ordered([*found, *_of_photos(dataset, used, 0.0 if needs_photos else _MOST_PHOTOS)])


def of_run(run: RunInProgress, dataset: Dataset, beam_size: int, splits: OtherSplits | None) -> list[Finding]:
    """Return the same for the captions that a run has written at a beam size."""
    with run.watch.measure("checks of the data"):
        captions: dict[str, str] = {}
        files = shards.files_of(run.folder, "captions")
        for rows in shards.batches(files, 8_192, ["image_id", "beam_size", "caption"]):
            own = rows.filter(pc.field("beam_size") == beam_size)
            captions.update(zip(own["image_id"].to_pylist(), own["caption"].to_pylist(), strict=True))
        return of_data(dataset, captions, splits)


def record(
    run: RunInProgress,
    blocks: CaptionBlocks,
    corpus_scores: pa.Table,
    clip: ClipSettings | None,
    found: Sequence[Finding],
) -> None:
    """Add to the record of a run what was found, captions that CLIP cut, and why CIDEr is 0 if nothing explains it."""
    every = [*found, *(_cut(run, clip.clip.context or _CLIP_CONTEXT) if clip else ())]
    if not zero.is_explained(every):
        every += _zero(blocks, corpus_scores)
    if every:
        run.metadata[KEY] = [each.as_json() for each in examine.joined(every)]


def _zero(blocks: CaptionBlocks, corpus_scores: pa.Table) -> list[Finding]:
    """Return why CIDEr is 0 at the beam size with the lowest CIDEr."""
    rows = [row for row in corpus_scores.to_pylist() if row["metric"] == "cider" and row["value"] is not None]
    if not rows or min(row["value"] for row in rows) >= zero.ZERO:
        return []
    lowest = min(rows, key=lambda row: row["value"])
    first = next(iter(blocks))
    texts = Texts(first.split.image_ids, first.captions[lowest["beam_size"]], first.split.references)
    found = zero.cider_zero(lowest["value"], texts.sample(_SAMPLE))
    return [] if found is None else [found]


def _texts(dataset: Dataset, captions: Mapping[str, str] | None) -> tuple[Texts, list[list[int]]]:
    """Return the images that have a caption, and the orders in which their ids may be shifted."""
    used = [each for each in dataset.examples if captions is None or each.image_id in captions]
    ids = [each.image_id for each in used]
    texts = Texts(ids, [] if captions is None else [captions[key] for key in ids], [each.references for each in used])
    if captions is None:
        return texts, []
    rows = {key: row for row, key in enumerate(ids)}
    orders = [[rows[key] for key in captions if key in rows]]
    numbers = [number for each in used if (number := _number(each)) is not None]
    if len(numbers) == len(used):
        orders.append(sorted(range(len(used)), key=numbers.__getitem__))
    return texts, orders


def _number(example: Example) -> int | None:
    source = example.source_id or ""
    return int(source) if source.isascii() and source.isdecimal() and len(source) < 19 else None


def _other_pairs(
    dataset: Dataset, captions: Mapping[str, str], splits: OtherSplits | None, whole: bool
) -> Iterator[tuple[str, Texts]]:
    """Yield the captions with the references of images in other splits that have the same ids.

    Ids are those of the annotation files where these have ids, else names.
    """
    if splits is None or not (whole or splits.are_small):
        return
    named = {each.source_id: each.image_id for each in dataset.examples if each.source_id is not None}
    for other in splits.others():
        pairs = []
        for each in other.examples:
            key = named.get(each.source_id, each.image_id) if each.source_id is not None else each.image_id
            if key in captions and each.references:
                pairs.append((each, captions[key]))
        yield (
            other.split,
            Texts(
                [each.image_id for each, _ in pairs],
                [text for _, text in pairs],
                [each.references for each, _ in pairs],
            ),
        )


def _of_photos(dataset: Dataset, splits: OtherSplits | None, share: float) -> list[Finding]:
    """Return what is wrong with photos; missing ones count if more than `share` of the photos are there."""
    own = dataset.examples
    train = splits.train() if splits else None
    others = train.examples if train else ()
    paths = [dataset.photo(each) for each in own] + ([train.photo(each) for each in others] if train else [])
    sizes = same_photos.sizes(paths)
    here = len(own) - sizes[: len(own)].count(-1)
    groups = same_photos.groups(paths, sizes)
    copies = [[own[row].image_id for row in each if row < len(own)] for each in groups]
    found = [
        photos.duplicates([each for each in copies if len(each) > 1], here),
        photos.training_images(_seen(own, others, groups, sizes), len(own)),
    ]
    if here > share * len(own):  # captions can be scored without photos
        lost = [(each.image_id, each.file_name) for each, size in zip(own, sizes, strict=False) if size < 0]
        found.append(photos.missing_photos(lost, len(own), str(dataset.root)))
    return [each for each in found if each is not None]


def _seen(
    own: Sequence[Example], others: Sequence[Example], groups: Sequence[Sequence[int]], sizes: Sequence[int]
) -> list[tuple[str, str]]:
    """Return (image id, file name in the training split) of images that are also there.

    Without photos, an image is the same if it has the same file name and a reference in common.
    """
    found: dict[str, str] = {}
    for rows in groups:
        there = [row - len(own) for row in rows if row >= len(own)]
        if there:
            found.update({own[row].image_id: others[there[0]].file_name for row in rows if row < len(own)})
    names = {each.file_name: (each, sizes[len(own) + row]) for row, each in enumerate(others)}
    for row, each in enumerate(own):
        other, size = names.get(each.file_name, (None, 0))
        if other is not None and sizes[row] < 0 and size < 0 and set(each.references) & set(other.references):
            found.setdefault(each.image_id, other.file_name)
    return sorted(found.items())


def _cut(run: RunInProgress, context: int) -> list[Finding]:
    """Return the finding that CLIP cut captions, at the beam size with the most."""
    cut: dict[int, int] = {}
    every: dict[int, int] = {}
    first: dict[int, str] = {}
    for rows in shards.batches(
        shards.files_of(run.folder, "scores"), 8_192, ["beam_size", "image_id", "clip_truncated"]
    ):
        for size in rows["beam_size"].unique().to_pylist():
            own = rows.filter(pc.field("beam_size") == size)
            every[size] = every.get(size, 0) + len(own)
            shown = own.filter(pc.field("clip_truncated"))
            if len(shown):
                cut[size] = cut.get(size, 0) + len(shown)
                first.setdefault(size, shown["image_id"][0].as_py())
    if not cut:
        return []
    size = max(cut, key=cut.__getitem__)
    found = content.clip_cut(cut[size], every[size], context, first[size])
    return [] if found is None else [found]
