"""The results contract, fourth part: slices, the groups of images on which captions are worse."""

import pyarrow as pa

SLICE_TABLES: dict[str, pa.Schema] = {
    # A row is a slice: the images that meet a condition, or two, and have significantly worse scores than the others.
    "slices": pa.schema(
        {
            "beam_size": pa.int32(),
            "metric": pa.string(),
            "rank": pa.int32(),  # 1 is the worst
            "condition": pa.string(),
            "also": pa.list_(pa.string()),  # other significant conditions that share most images with it
            "size": pa.int32(),  # images
            "inside": pa.float64(),  # mean score of the slice
            "outside": pa.float64(),  # mean score of all other images
            "effect": pa.float64(),  # inside - outside
            "low": pa.float64(),  # 95 % interval of the effect, of this slice alone
            "high": pa.float64(),
            "p": pa.float64(),  # one-sided, of this condition alone
            "q": pa.float64(),  # corrected for all conditions, see diagnosis.slices
        }
    ),
    # A row is an image of a slice.
    "slice_images": pa.schema(
        {"beam_size": pa.int32(), "metric": pa.string(), "rank": pa.int32(), "image_id": pa.string()}
    ),
}

SLICE_KEYS: dict[str, tuple[str, ...]] = {
    "slices": ("beam_size", "metric", "rank"),
    "slice_images": ("beam_size", "metric", "rank", "image_id"),
}
"""Table -> the columns that identify a row."""
