"""Findings about photos, from what the caller has compared: files are not read here."""

from collections.abc import Sequence

from engine.diagnosis.data_doctor.finding import Finding, some


def duplicates(groups: Sequence[Sequence[str]], photos: int) -> Finding | None:
    """Return the finding that photos have the same content.

    Args:
        groups: ids of images whose photos are equal, two or more each.
        photos: the number of photos that were compared.
    """
    if not groups:
        return None
    more = sum(len(each) - 1 for each in groups)
    first = " and ".join(groups[0][:2])
    copies = "is a copy of another photo" if more == 1 else "are copies of other photos"
    return Finding(
        "duplicates",
        f"{more:,} of {photos:,} photos {copies} under another name, such as {first}",
        "keep one of each in the annotation file: copies count several times in every score and narrow the intervals",
        some([image_id for each in groups for image_id in each]),
    )


def training_images(pairs: Sequence[tuple[str, str]], images: int) -> Finding | None:
    """Return the finding that images are also in the training split.

    Args:
        pairs: (image id, file name in the training split).
        images: the number of images of the split.
    """
    if not pairs:
        return None
    image_id, file_name = pairs[0]
    verb = "is" if len(pairs) == 1 else "are"
    return Finding(
        "training_images",
        f"{len(pairs):,} of {images:,} images {verb} also in the training split, such as {image_id} ({file_name})",
        "remove them from one of the splits: a captioner that was trained on them scores higher than on new images",
        some([each for each, _ in pairs]),
    )


def missing_photos(missing: Sequence[tuple[str, str]], images: int, folder: str) -> Finding | None:
    """Return the finding that photos do not exist.

    Args:
        missing: (image id, file name) of images without a photo.
        images: the number of images.
        folder: the folder in which they were expected.
    """
    if not missing:
        return None
    image_id, file_name = missing[0]
    verb = "is" if len(missing) == 1 else "are"
    return Finding(
        "missing_photos",
        f"{len(missing):,} of {images:,} photos {verb} missing in {folder}, such as {file_name} of image {image_id}",
        "copy them there, or take these images out of the annotation file; CLIPScore and pages leave them out",
        some([each for each, _ in missing]),
    )
